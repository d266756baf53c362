package sdk

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// link is one connection of a client, from its handshake to its loss.
type link struct {
	t     transport
	limit int64 // longest message the daemon takes
	since time.Time

	// Guarded by Client.mu. out holds what waits to be written, in order. It is as long as
	// there are requests without an answer, and a few messages about those.
	out   []message
	ready *sync.Cond // out or dead changed
	dead  bool
}

type message struct {
	frame []byte
	call  *call // nil for what has no answer
	// written, where there is one, is all of the message: it is closed when everything
	// before it was written, or the connection is lost.
	written chan struct{}
}

// run reads the connection, and makes it again when it is lost, until the client ends. It
// is the goroutine in which all answers and events are handed on.
func (c *Client) run(l *link) {
	defer close(c.done)
	attempt := 0
	for {
		err := c.serve(l)
		if time.Since(l.since) > c.opts.Backoff.Max {
			attempt = 0 // that was no connection that is lost as soon as it is made
		}
		l, attempt, err = c.redial(attempt, err)
		if err != nil {
			c.fail(err)
			return
		}
	}
}

// serve reads and writes l until it is lost, and returns why it was.
func (c *Client) serve(l *link) error {
	var writer sync.WaitGroup
	writer.Go(func() { c.write(l) })
	if c.ctx.Err() != nil {
		l.t.abort() // Close came before this connection
	}
	var err error
	for {
		var frame []byte
		if frame, err = l.t.read(); err != nil {
			break
		}
		c.receive(l, frame)
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the daemon closed the connection")
	}
	c.down(l, err)
	l.t.abort()
	writer.Wait()
	return err
}

// write writes what is in l.out until l is lost.
func (c *Client) write(l *link) {
	for {
		frame, ok := c.nextFrame(l)
		if !ok {
			return
		}
		if err := l.t.write(frame); err != nil {
			l.t.abort() // the reading goroutine sees it and says so
			return
		}
	}
}

// nextFrame waits for something to write. From then on its request counts as sent.
func (c *Client) nextFrame(l *link) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(l.out) == 0 && !l.dead {
			l.ready.Wait()
		}
		if l.dead {
			return nil, false
		}
		m := l.out[0]
		l.out[0] = message{}
		l.out = l.out[1:]
		switch {
		case m.written != nil:
			close(m.written)
		case m.call == nil:
			return m.frame, true
		case l.limit > 0 && int64(len(m.frame)) > l.limit:
			err := protocol.Errorf(protocol.CodeInvalidRequest, "%s: the message has %d bytes, the daemon takes %d", m.call.method, len(m.frame), l.limit)
			err.Data.Limit = l.limit
			c.complete(m.call, nil, err)
		default:
			m.call.sent = l
			if m.call.feed != nil {
				m.call.feed.told = true
			}
			return m.frame, true
		}
	}
}

// push puts a message behind what waits to be written. It reports false, and does nothing,
// where there is no connection. mu is held.
func (c *Client) push(m message) bool {
	if c.link == nil {
		return false
	}
	c.link.out = append(c.link.out, m)
	c.link.ready.Signal()
	return true
}

// handshake makes a connection.
func (c *Client) handshake(ctx context.Context) (*link, protocol.InitializeResult, error) {
	c.mu.Lock()
	token, metadata := c.token, c.metadata
	c.lastID++
	id := c.lastID
	c.mu.Unlock()

	var session protocol.InitializeResult
	t, err := c.dialer.dial(ctx, token)
	if err != nil {
		return nil, session, cmp.Or(ctx.Err(), err)
	}
	stop := context.AfterFunc(ctx, t.abort)
	err = initialize(t, id, c.opts.initializeParams(token, metadata), &session)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		t.abort()
		return nil, session, err
	}
	l := &link{t: t, limit: session.Limits.MaxMessageBytes, since: time.Now(), ready: sync.NewCond(&c.mu)}
	return l, session, nil
}

func initialize(t transport, id uint64, params protocol.InitializeParams, session *protocol.InitializeResult) error {
	frame, err := encodeRequest(id, protocol.MethodInitialize.Name, params)
	if err != nil {
		return err
	}
	if err := t.write(frame); err != nil {
		return err
	}
	result, err := readAnswer(t, id)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(result, session); err != nil {
		return fmt.Errorf("the answer to initialize makes no sense: %w", err)
	}
	if v := session.ServerInfo.ProtocolVersion; v != protocol.Version {
		return protocol.Errorf(protocol.CodeInvalidRequest, "the daemon speaks version %q of the protocol, this client %q; update the older of them", v, protocol.Version)
	}
	initialized, err := protocol.Encode(protocol.EventInitialized, protocol.Empty{})
	if err != nil {
		return err
	}
	return t.write(initialized)
}

func readAnswer(t transport, id uint64) (json.RawMessage, error) {
	for {
		frame, err := t.read()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the connection was closed before the handshake")
		}
		if err != nil {
			return nil, err
		}
		if !json.Valid(frame) {
			return nil, errors.New("what answers there is no JSON, so it is no daemon of Spool")
		}
		if e := protocol.ParseFrame(frame); e.Method == "" && string(e.ID) == strconv.FormatUint(id, 10) {
			return e.Result, errorOf(e)
		}
	}
}

func (o *Options) initializeParams(token string, metadata protocol.Object) protocol.InitializeParams {
	p := protocol.InitializeParams{
		ClientInfo:   o.ClientInfo,
		Capabilities: protocol.ClientCapabilities{OptOutNotificationMethods: o.OptOut},
		Metadata:     metadata, Defaults: o.Defaults,
	}
	if token != "" {
		p.Auth = &protocol.Auth{Token: token}
	}
	p.Capabilities.Approvals, p.Capabilities.Questions, p.Capabilities.Tools = o.OnApproval != nil, o.OnQuestion != nil, o.OffersTools
	if o.NoStreaming {
		p.Capabilities.Streaming = new(bool)
	}
	return p
}

// redial makes the connection again after it was lost because of cause. attempt counts
// what was tried since it last held. The error is why it must not, or cannot ever, be made.
func (c *Client) redial(attempt int, cause error) (*link, int, error) {
	for ; ; attempt++ {
		if c.ctx.Err() != nil {
			return nil, attempt, ErrClosed
		}
		if c.dialer.once || c.opts.DisableRedial || permanent(cause) {
			return nil, attempt, cause
		}
		if !c.pause(attempt) {
			return nil, attempt, ErrClosed
		}
		ctx, cancel := context.WithTimeout(c.ctx, dialTimeout)
		l, session, err := c.handshake(ctx)
		cancel()
		if err != nil {
			cause = err
			c.logf("connecting to %s again: %v", c.dialer.name, err)
			continue
		}
		c.mu.Lock()
		c.up(l, session)
		c.mu.Unlock()
		c.logf("connected to %s again", c.dialer.name)
		c.opts.OnConnection(ConnectionChange{Connected: true, ConnectionID: session.ConnectionID})
		return l, attempt + 1, nil
	}
}

// pause waits before an attempt: not at all before the first, then as Backoff says. It
// reports whether the client still lives.
func (c *Client) pause(attempt int) bool {
	if attempt == 0 {
		return true
	}
	d := c.opts.Backoff.Max
	if shift := attempt - 1; shift < 30 {
		d = min(d, c.opts.Backoff.Min<<shift)
	}
	timer := time.NewTimer(d/2 + rand.N(d/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// up puts a connection into use: tools are offered again, subscriptions are taken up where
// they stopped, then all requests without an answer are sent again, in order. mu is held.
func (c *Client) up(l *link, session protocol.InitializeResult) {
	again := c.session.ConnectionID != ""
	c.link, c.session = l, session
	open := make([]*call, 0, len(c.calls))
	for _, call := range c.calls {
		open = append(open, call)
	}
	slices.SortFunc(open, func(a, b *call) int { return cmp.Compare(a.id, b.id) })
	if again {
		c.offerAgain()
	}
	for _, f := range c.feeds {
		c.resubscribe(f)
	}
	for _, call := range open {
		c.push(message{frame: call.frame, call: call})
		if call.cancelled {
			c.pushCancel(call)
		}
	}
}

// down takes a lost connection out of use.
func (c *Client) down(l *link, err error) {
	c.mu.Lock()
	c.link = nil
	for _, m := range l.out {
		if m.written != nil {
			close(m.written)
		}
	}
	l.dead, l.out = true, nil
	l.ready.Broadcast()
	c.leaveHandlers()
	for _, call := range c.calls {
		if call.sent == l && (!call.repeat || errors.Is(err, errTooLong)) {
			c.complete(call, nil, c.transportError(call.method, err))
		}
	}
	c.mu.Unlock()
	if c.ctx.Err() == nil {
		c.logf("lost the connection to %s: %v", c.dialer.name, err)
		c.opts.OnConnection(ConnectionChange{Err: err})
	}
}

// fail ends the client: nothing more will come.
func (c *Client) fail(err error) {
	c.end()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	for _, call := range c.calls {
		c.complete(call, nil, c.transportError(call.method, err))
	}
	for _, f := range c.feeds {
		for _, s := range f.subs {
			s.finish(c.transportError("subscription", err))
		}
	}
}

func (c *Client) logf(format string, args ...any) { c.opts.Logger(fmt.Sprintf(format, args...)) }
