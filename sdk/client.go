package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// Client is a connection to a daemon that is made again when it is lost. All methods may
// be called from many goroutines at once.
type Client struct {
	opts   *Options
	dialer dialer
	ctx    context.Context // ends with the client
	end    context.CancelFunc
	done   chan struct{}  // closed when the goroutine of run has returned
	tasks  sync.WaitGroup // what goes on after its caller has left; see background

	// mu guards all below, and the links, calls, feeds and subscriptions that hang on it.
	// Nothing is read, written or called back while it is held.
	mu       sync.Mutex
	link     *link // nil while there is no connection
	calls    map[uint64]*call
	lastID   uint64
	feeds    map[string]*feed
	session  protocol.InitializeResult
	token    string
	metadata protocol.Object
	closing  bool  // Close was called
	sealed   bool  // it waits for tasks
	err      error // why the client is of no more use

	lifelines map[*lifeline]struct{}

	// What the daemon asks of this client; see asked.go, toolrun.go and tools.go.
	people, tools workers
	persons       map[string]*person  // by the id of the request
	runs          map[string]*toolRun // by callId
	results       toolResults
	offers        map[string]*offer // by thread
}

// Connect connects to a daemon and makes the handshake. Endpoints are
//
//	ws://127.0.0.1:7717/ws        a WebSocket, also wss; /ws is added where the path is empty
//	unix:///run/user/1000/spool/spool.sock
//	stdio:spool stdio             a child process, see [Command]; its words are split at spaces
//
// ctx is about connecting only. An attempt that fails is not repeated; the loss of the
// connection later on is made up for as Options say. A daemon that cannot be reached is a
// *[TransportError], one that refuses a *[protocol.Error]. opts may be nil.
func Connect(ctx context.Context, endpoint string, opts *Options) (*Client, error) {
	o := opts.withDefaults()
	d, err := newDialer(endpoint, o)
	if err != nil {
		return nil, err
	}
	return connect(ctx, d, o)
}

// Command starts a program that speaks the protocol on its standard input and output, such
// as "spool stdio", and connects to it. Close closes its input and waits for its end; a
// program that does not end within five seconds is killed. It is not started again when it
// ends by itself. opts may be nil.
func Command(ctx context.Context, opts *Options, name string, args ...string) (*Client, error) {
	o := opts.withDefaults()
	return connect(ctx, commandDialer(o, name, args), o)
}

// Pipe connects over a stream on which messages are lines. The client closes it. It cannot
// be made again when it is lost; [Options].Dial can. opts may be nil.
func Pipe(ctx context.Context, stream io.ReadWriteCloser, opts *Options) (*Client, error) {
	o := opts.withDefaults()
	return connect(ctx, pipeDialer(stream, o), o)
}

func connect(ctx context.Context, d dialer, o *Options) (*Client, error) {
	if err := checkTools(o.Tools); err != nil {
		return nil, err
	}
	c := &Client{
		opts: o, dialer: d, done: make(chan struct{}),
		calls: map[uint64]*call{}, feeds: map[string]*feed{}, lifelines: map[*lifeline]struct{}{},
		persons: map[string]*person{}, runs: map[string]*toolRun{}, offers: map[string]*offer{},
		results: toolResults{of: map[string]json.RawMessage{}},
		token:   o.Token, metadata: o.Metadata,
	}
	l, session, err := c.handshake(ctx)
	if err != nil {
		return nil, c.transportError("connect", err)
	}
	c.ctx, c.end = context.WithCancel(context.Background())
	c.mu.Lock()
	c.up(l, session)
	c.mu.Unlock()
	go c.run(l)
	if err := c.offerFirst(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close ends the connection and everything that still waits for it, with an error that
// wraps [ErrClosed]. It waits for turns that are being stopped because their context
// ended, for handlers of approvals, questions and tools, whose contexts it ends, and for
// the client's goroutines; so a handler must not call it. What was said before leaves
// first, also that a request was given up; a daemon that does not read is given a second
// for it. Turns that run go on, and the daemon does. Closing again does nothing but wait.
func (c *Client) Close() error {
	c.stopRuns()
	c.letOut()
	c.end()
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	var err error
	if l != nil {
		err = l.t.close()
	}
	<-c.done
	c.people.all.Wait()
	c.tools.all.Wait()
	return err
}

// stopRuns takes no more requests and waits until the turns of all contexts that have ended
// are stopped, or cannot be.
func (c *Client) stopRuns() {
	c.mu.Lock()
	c.closing = true
	var ended []*lifeline
	for l := range c.lifelines {
		if l.ctx.Err() != nil {
			ended = append(ended, l)
		}
	}
	c.mu.Unlock()
	for _, l := range ended {
		<-l.done
	}
	c.mu.Lock()
	c.sealed = true
	c.mu.Unlock()
	c.tasks.Wait()
}

// letOut waits until all that is to be written was, or cannot be, or not in time. It gives
// up the calls whose context has ended, as those who wait for them may not have noticed.
func (c *Client) letOut() {
	written := make(chan struct{})
	c.mu.Lock()
	for _, call := range c.calls {
		if call.ctx != nil && call.ctx.Err() != nil {
			c.drop(call, true)
			c.complete(call, nil, call.gaveUp(call.ctx))
		}
	}
	connected := c.push(message{written: written})
	c.mu.Unlock()
	if !connected {
		return
	}
	limit := time.NewTimer(flushTimeout)
	defer limit.Stop()
	select {
	case <-written:
	case <-limit.C:
	}
}

// Done is closed when the client is of no more use: it was closed, its connection was lost
// and may not be made again, or the daemon refused it for good. [Client.Err] says why.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the client is of no more use, nil while it is.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return nil
	}
	return c.transportError("connection", c.err)
}

// Session returns what the daemon said in the latest handshake: who it is, who the user
// is, and what the limits are.
func (c *Client) Session() protocol.InitializeResult {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// Update renews the token or changes the connection's metadata, for this connection and
// for those that are made after it.
func (c *Client) Update(ctx context.Context, params *protocol.ConnectionUpdateParams) (*protocol.ConnectionUpdateResult, error) {
	p := deref(params)
	r, err := callP(ctx, c, protocol.MethodConnectionUpdate, p)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.metadata = r.Metadata
	if p.Auth != nil {
		c.token = p.Auth.Token
	}
	return r, nil
}

// background runs f, which must end soon, in a goroutine that Close waits for. Once Close
// waits it does nothing.
func (c *Client) background(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.sealed {
		c.tasks.Go(f)
	}
}

// transportError wraps err unless it says by itself that the daemon refused.
func (c *Client) transportError(op string, err error) error {
	if permanent(err) {
		return err
	}
	return &TransportError{Op: op, Endpoint: c.dialer.name, Err: err}
}
