package server

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/sourcegraph/jsonrpc2"

	"github.com/spoolhq/spool/protocol"
)

// conn is one connection. It is also what package thread knows of it (peer.go).
type conn struct {
	hub       *Hub
	id        string
	who       Identity
	since     protocol.Time
	transport Transport
	log       zerolog.Logger
	ctx       context.Context // ends with the connection; its cause says why
	cancel    context.CancelCauseFunc
	wg        sync.WaitGroup // writer, runners of requests
	calls     *schedule
	out       *outbox
	session   session
	asked     asked
	newcomer  *newcomer // nil: not on a socket
}

// settleTime bounds what a connection that ends waits for its requests.
const settleTime = 5 * time.Second

func newConn(ctx context.Context, h *Hub, t Transport, who Identity) *conn {
	c := &conn{hub: h, id: protocol.NewID(protocol.PrefixConnection), who: who, since: protocol.Now(), transport: t}
	c.log = h.log.With().Str("connection", c.id).Str("transport", who.Transport).Logger()
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	c.calls = newSchedule(h.limits, c.wg.Go)
	c.out = newOutbox(c.ctx, t, h.limits, c.wg.Go, c.end)
	c.session.init(c.id, who)
	c.asked.ready = make(chan struct{})
	return c
}

// end ends the connection; the first cause counts. It does not wait.
func (c *conn) end(cause error) { c.cancel(cause) }

// serve runs the connection from its first message to its last goroutine.
func (c *conn) serve() error {
	s := &stream{c: c, ended: make(chan struct{})}
	c.asked.begin(func() *jsonrpc2.Conn {
		return jsonrpc2.NewConn(c.ctx, s, &handler{c, s}, jsonrpc2.SetLogger(silent{}), jsonrpc2.OnRecv(c.received))
	})
	c.log.Debug().Msg("connection opened")
	c.converse(s)
	c.newcomer.leave()
	cause := context.Cause(c.ctx)
	c.detach()
	c.out.close()
	code := c.closeCode(cause)
	if err := c.transport.Close(code.Code, code.Reason); err != nil {
		c.log.Debug().Err(err).Msg("close")
	}
	_ = c.asked.rpc.Close() // it may have closed itself
	c.wait(s)
	c.log.Debug().AnErr("cause", cause).Msg("connection closed")
	if code.Code == CloseNormal || code.Code == CloseGoingAway {
		return nil
	}
	return code
}

// converse returns when the connection ends: by the client, by anybody's end, or because a
// socket does not say initialize in time.
func (c *conn) converse(s *stream) {
	var late <-chan time.Time
	if c.newcomer != nil {
		limit := time.NewTimer(c.hub.limits.Handshake)
		defer limit.Stop()
		late = limit.C
	}
	for c.ctx.Err() == nil {
		select {
		case <-s.ended:
			if errors.Is(s.err, io.EOF) {
				c.drain()
			}
			c.end(s.err)
		case <-late:
			if c.session.at() == stateNew {
				c.tooLate()
			}
		case <-c.ctx.Done():
		}
	}
}

// wait returns when the goroutines of the connection have ended. A terminal, or another
// file that cannot be waited for with others, is not interrupted by closing it: its reader
// ends with the next thing that is read, or with the process.
func (c *conn) wait(s *stream) {
	done := make(chan struct{})
	go func() {
		<-s.ended
		c.wg.Wait()
		close(done)
	}()
	limit := time.NewTimer(settleTime)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
		c.log.Warn().Msg("a goroutine of the connection has not ended")
	}
}

// drain answers what was asked before the client ended its side of the stream.
func (c *conn) drain() {
	ctx, cancel := context.WithTimeout(c.ctx, settleTime)
	defer cancel()
	c.calls.settle(ctx, false)
	c.out.flush(ctx)
}

// detach ends all requests and then tells the threads that the connection is gone, so that
// none of its requests can come after that.
func (c *conn) detach() {
	c.calls.close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), settleTime)
	defer cancel()
	if !c.calls.settle(ctx, true) {
		c.log.Warn().Msg("requests were still in work when the connection ended")
	}
	if c.session.at() != stateNew {
		c.hub.manager.Detach(c)
	}
}

// closeCode says how to close a connection that ended because of cause.
func (c *conn) closeCode(cause error) *CloseError {
	if e, ok := errors.AsType[*CloseError](cause); ok {
		if e.Code == CloseTryLater {
			c.hub.counters.slow.Add(1)
			c.log.Warn().Int("queuedBytes", c.out.queued()).Msg("closed a client that does not read")
		}
		return e
	}
	switch {
	case errors.Is(cause, errJournal):
		c.log.Error().Err(cause).Msg("cannot catch a client up")
		return &CloseError{CloseInternal, "internal error"}
	case errors.Is(cause, context.Canceled), errors.Is(cause, context.DeadlineExceeded):
		return &CloseError{CloseGoingAway, "the daemon stops"}
	}
	return &CloseError{CloseNormal, ""}
}

// panicked logs a panic that was recovered.
func (c *conn) panicked(doing string, p any, stack []byte) {
	c.hub.counters.panics.Add(1)
	c.log.Error().Interface("panic", p).Bytes("stack", stack).Msg("panic while " + doing)
}

// received is told of each message that jsonrpc2 took.
func (c *conn) received(req *jsonrpc2.Request, resp *jsonrpc2.Response) {
	switch {
	case resp == nil:
	case req == nil:
		c.unknownResponse()
	case c.asked.answered(resp.ID.Str):
		c.hub.manager.LateAnswer()
	}
}

func (c *conn) unknownResponse() {
	c.hub.counters.unknownResponses.Add(1)
	c.log.Debug().Msg("a response to nothing that was asked")
}

// silent is the logger of jsonrpc2; what it would say is logged in received and serve.
type silent struct{}

func (silent) Printf(string, ...any) {}
