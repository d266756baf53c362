package server

import (
	"context"
	"encoding/json"
	"errors"
	"runtime/debug"
	"slices"

	"github.com/sourcegraph/jsonrpc2"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
)

// method is a row of the table of methods.
type method struct {
	info   protocol.RequestInfo
	fillIn fillIn
	call   func(c *conn, r *request) error // an error is the answer
}

// on ties a method to what package thread does for it.
func on[P, R any](m protocol.Request[P, R], do func(thread.Call, P, thread.Reply[R])) *method {
	info := m.Info()
	return &method{info, fillInOf(info.Params), func(c *conn, r *request) error {
		var p P
		if err := protocol.Decode(r.params, &p); err != nil {
			return err
		}
		sum, err := hash(info.Name, p)
		if err != nil {
			return err
		}
		call := thread.Call{Context: r.ctx, Caller: c.Caller(), Peer: c, Hash: sum, Park: func() error { return c.park(r) }}
		do(call, p, func(result R, err error) { c.reply(r, result, err) })
		return nil
	}}
}

// local ties a method to a function of this package that answers at once.
func local[P, R any](m protocol.Request[P, R], do func(*conn, P) (R, error)) *method {
	info := m.Info()
	return &method{info, fillInOf(info.Params), func(c *conn, r *request) error {
		var p P
		if err := protocol.Decode(r.params, &p); err != nil {
			return err
		}
		result, err := do(c, p)
		c.reply(r, result, err)
		return nil
	}}
}

// handler is the jsonrpc2.Handler of a connection. It runs on the reading goroutine, so
// nothing in it waits.
type handler struct {
	c *conn
	s *stream
}

// Handle takes the message that the stream has just read.
func (h *handler) Handle(context.Context, *jsonrpc2.Conn, *jsonrpc2.Request) {
	defer func() {
		if p := recover(); p != nil {
			h.c.panicked("taking a message", p, debug.Stack())
			h.c.end(&CloseError{CloseInternal, "internal error"})
		}
	}()
	if m := h.s.current; m.id == nil {
		h.c.notified(m)
	} else {
		h.c.requested(m)
	}
}

// requested takes a request: refuses it, or has it run when its turn comes.
func (c *conn) requested(m message) {
	c.hub.counters.requests.Add(1)
	row, err := c.route(m.method)
	if err != nil {
		c.out.respond(protocol.EncodeError(m.id, err))
		return
	}
	r := &request{id: m.id, key: idKey(m.id), method: row, params: row.fillIn.apply(m.params, c.session.defaults)}
	r.ctx, r.cancel = context.WithCancelCause(c.ctx)
	if !c.calls.add(r) {
		r.cancel(nil)
		c.out.respond(protocol.EncodeError(m.id, invalid("id %s is in use by a request that is not answered yet", m.id)))
		return
	}
	if row.info.Name == protocol.MethodInitialize.Name {
		c.execute(r) // what the client sends next already depends on it
		if c.session.refused {
			c.refuse()
		}
		return
	}
	c.calls.run(r, c.execute)
}

// route finds the row of a method that this connection may call now.
func (c *conn) route(name string) (*method, error) {
	first := name == protocol.MethodInitialize.Name
	switch opened := c.session.at() != stateNew; {
	case !opened && !first:
		return nil, protocol.Errorf(protocol.CodeNotInitialized, "%s came before initialize", name)
	case opened && first:
		return nil, protocol.Errorf(protocol.CodeAlreadyInitialized, "initialize came twice")
	}
	row := c.hub.methods[name]
	if row == nil {
		c.hub.counters.unknownCalls.Add(1)
		return nil, protocol.Errorf(protocol.CodeMethodNotFound, "there is no method %.100q", name)
	}
	if s := row.info.Scope; s != protocol.ScopeNone && !slices.Contains(c.who.Scopes, s) {
		return nil, protocol.Errorf(protocol.CodeForbidden, "%s needs the scope %s", name, s)
	}
	return row, nil
}

// execute runs a request. A reader that does not take its answers holds it up: nothing
// that is answered may grow without bound.
func (c *conn) execute(r *request) {
	defer func() {
		if p := recover(); p != nil {
			c.panicked("answering "+r.method.info.Name, p, debug.Stack())
			c.reply(r, nil, protocol.Errorf(protocol.CodeInternalError, "internal error; the daemon's log says more"))
		}
	}()
	if !c.out.waitRoom() || c.ctx.Err() != nil {
		c.calls.finish(r, func() {})
		return
	}
	if cause := context.Cause(r.ctx); cause != nil {
		c.reply(r, nil, cause)
		return
	}
	if err := r.method.call(c, r); err != nil {
		c.reply(r, nil, err)
	}
}

// reply answers a request, once. It may be called with a thread's lock held.
func (c *conn) reply(r *request, result any, err error) {
	frame := c.encode(r, result, err)
	if !c.calls.finish(r, func() { c.out.respond(frame) }) {
		c.log.Error().Str("method", r.method.info.Name).Msg("bug: a request was answered twice")
	}
}

func (c *conn) encode(r *request, result any, err error) protocol.Frame {
	if err == nil {
		var f protocol.Frame
		f, err = protocol.EncodeResult(r.id, result)
		if err == nil && (r.method.info.Mutating || int64(len(f)) <= c.hub.limits.MaxMessageBytes) {
			return f
		}
		if err == nil {
			e := tooLong(c.hub.limits.MaxMessageBytes)
			e.Message = "the answer would be longer than the limit of a message"
			e.Data.Hint = "read it in parts, with thread/turns/list or thread/items/list"
			err = e
		}
	}
	if errors.Is(err, context.Canceled) || c.ctx.Err() != nil {
		err = cancelled()
	}
	if _, ok := errors.AsType[*protocol.Error](err); !ok {
		c.log.Error().Err(err).Str("method", r.method.info.Name).Msg("request failed")
	}
	return protocol.EncodeError(r.id, err)
}

func (c *conn) park(r *request) error {
	err := c.calls.park(r)
	if err != nil {
		c.hub.counters.overloaded.Add(1)
	}
	return err
}

func cancelled() *protocol.Error {
	return protocol.Errorf(protocol.CodeRequestCancelled, "cancelled by the client")
}

// notified takes a notification.
func (c *conn) notified(m message) {
	switch m.method {
	case protocol.EventInitialized.Name:
		c.activate(m)
	case protocol.EventCancelRequest.Name:
		c.cancelRequest(m)
	default:
		c.ignored(m, "unknown")
	}
}

// ignored counts a notification that says nothing to us; there is no way to refuse one.
func (c *conn) ignored(m message, why string) {
	c.hub.counters.unknownNotifications.Add(1)
	c.log.Debug().Str("method", m.method[:min(len(m.method), maxText)]).Msg("notification ignored: " + why)
}

// cancelRequest stops a request. One that has not begun is answered here.
func (c *conn) cancelRequest(m message) {
	var p protocol.CancelRequestParams
	if err := protocol.Decode(m.params, &p); err != nil {
		c.ignored(m, err.Error())
		return
	}
	c.hub.counters.cancelled.Add(1)
	if r := c.calls.cancel(protocol.RawID(p.ID), cancelled()); r != nil {
		c.reply(r, json.RawMessage(nil), cancelled())
	}
}
