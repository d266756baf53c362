package sdk

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/spoolhq/spool/protocol"
)

// call is a request without an answer. All but id, method, frame and done is guarded by
// Client.mu, until done is closed.
type call struct {
	id     uint64
	method string
	frame  []byte
	ctx    context.Context // of whom it is for; nil: it is given up in another way
	repeat bool            // send it again on the next connection if this one is lost
	// answered is called for a good answer by the reading goroutine, before it reads on,
	// with mu held. nil: nothing to do.
	answered func(result json.RawMessage) error
	refused  func(err error) // the same for an error

	feed      *feed // it makes the daemon send events of that; nil: of none
	sent      *link // the connection it was last sent on; nil: never
	cancelled bool  // $/cancelRequest was, or will be, sent behind it

	done   chan struct{}
	result json.RawMessage
	err    error
}

// Call sends a request of the protocol and waits for its answer:
//
//	r, err := sdk.Call(ctx, c, protocol.MethodTurnRead, protocol.TurnReadParams{…})
//
// A request that changes something gets an idempotency key if it has none. While there is
// no connection the request waits for the next one, and it is sent again if the connection
// is lost before the answer. When ctx ends the answer is not waited for any more and the
// daemon is told so; whether the request was carried out is not known then, unless it was
// not sent yet.
//
// The error is a *[protocol.Error] where the daemon refuses (a *[TurnInProgressError]
// because a turn runs), a *[TransportError] where no answer can come, or wraps ctx.Err().
func Call[P, R any](ctx context.Context, c *Client, m protocol.Request[P, R], params P) (R, error) {
	var r R
	if m.Mutating {
		addKey(&params)
	}
	call, err := c.start(ctx, m.Name, params)
	if err != nil {
		return r, err
	}
	raw, err := c.wait(ctx, call)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, fmt.Errorf("%s: the answer makes no sense: %w", m.Name, err)
	}
	return r, nil
}

func callP[P, R any](ctx context.Context, c *Client, m protocol.Request[P, R], params P) (*R, error) {
	r, err := Call(ctx, c, m, params)
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// addKey gives params, a pointer to the params of a request that changes something, an
// idempotency key if they have none.
func addKey(params any) {
	key := reflect.ValueOf(params).Elem().FieldByName("IdempotencyKey")
	if key.String() == "" {
		key.SetString(protocol.NewID("key_"))
	}
}

func encodeRequest(id uint64, method string, params any) ([]byte, error) {
	body, err := protocol.Marshal(params)
	if err != nil {
		return nil, fmt.Errorf("%s: the params cannot be written as JSON: %w", method, err)
	}
	frame := strconv.AppendUint([]byte(`{"jsonrpc":"2.0","id":`), id, 10)
	frame = append(frame, `,"method":"`...)
	frame = append(frame, method...)
	frame = append(frame, `","params":`...)
	frame = append(frame, body...)
	return append(frame, '}'), nil
}

// start sends a request for a caller that waits for its answer until ctx ends.
func (c *Client) start(ctx context.Context, method string, params any) (*call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	call, err := c.startLocked(method, params, nil)
	if err == nil {
		call.ctx = ctx
	}
	return call, err
}

// startLocked sends a request, as soon as there is a connection. mu is held.
func (c *Client) startLocked(method string, params any, answered func(json.RawMessage) error) (*call, error) {
	if c.err != nil || c.closing && method != protocol.MethodTurnInterrupt.Name {
		return nil, c.transportError(method, cmp.Or(c.err, ErrClosed))
	}
	c.lastID++
	frame, err := encodeRequest(c.lastID, method, params)
	if err != nil {
		return nil, err
	}
	call := &call{
		id: c.lastID, method: method, frame: frame, answered: answered, done: make(chan struct{}),
		repeat: method != protocol.MethodServerShutdown.Name,
	}
	c.calls[call.id] = call
	c.push(message{frame: frame, call: call})
	return call, nil
}

// wait waits for the answer of a call, or gives it up when ctx ends.
func (c *Client) wait(ctx context.Context, call *call) (json.RawMessage, error) {
	select {
	case <-call.done:
	case <-ctx.Done():
		if !c.abandon(call, true) {
			return nil, call.gaveUp(ctx)
		}
	}
	return call.result, call.err
}

// gaveUp is the error of a call that was given up when ctx ended.
func (call *call) gaveUp(ctx context.Context) error {
	return fmt.Errorf("%s: %w", call.method, ctx.Err())
}

// abandon forgets a call. With tell the daemon is told, if it knows of it. It reports
// whether the answer is there already.
func (c *Client) abandon(call *call, tell bool) (answered bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls[call.id] != call {
		return true
	}
	c.drop(call, tell)
	return false
}

// drop is abandon for a call that has no answer. mu is held.
func (c *Client) drop(call *call, tell bool) {
	delete(c.calls, call.id)
	c.withdraw(call)
	if tell && call.sent == c.link && !call.cancelled {
		c.pushCancel(call)
	}
}

// withdraw takes a call out of what waits to be written. mu is held.
func (c *Client) withdraw(call *call) {
	if c.link != nil {
		c.link.out = slices.DeleteFunc(c.link.out, func(m message) bool { return m.call == call })
	}
}

// pushCancel sends $/cancelRequest for a call. mu is held.
func (c *Client) pushCancel(call *call) {
	id := json.RawMessage(strconv.FormatUint(call.id, 10))
	frame, err := protocol.Encode(protocol.EventCancelRequest, protocol.CancelRequestParams{ID: id})
	if err == nil {
		c.push(message{frame: frame})
	}
}

// complete ends a call. mu is held.
func (c *Client) complete(call *call, result json.RawMessage, err error) {
	delete(c.calls, call.id)
	call.result, call.err = result, err
	close(call.done)
}

// receive hands on a message of the daemon.
func (c *Client) receive(l *link, frame []byte) {
	if !json.Valid(frame) {
		c.logf("the daemon sent something that is no JSON (%d bytes)", len(frame))
		return
	}
	e := protocol.ParseFrame(frame)
	switch {
	case e.Method == "":
		c.receiveAnswer(e)
	case e.ID != nil:
		c.receiveRequest(l, e)
	default:
		c.receiveEvent(e, frame)
	}
}

func (c *Client) receiveAnswer(e protocol.Envelope) {
	id, _ := strconv.ParseUint(string(e.ID), 10, 64)
	err := errorOf(e)
	c.mu.Lock()
	call := c.calls[id]
	if call != nil {
		switch {
		case err == nil && call.answered != nil:
			err = call.answered(e.Result)
		case err != nil && call.refused != nil:
			call.refused(err)
		}
		c.complete(call, e.Result, err)
	}
	c.mu.Unlock()
	if call == nil && err != nil && string(e.ID) == "null" {
		c.logf("the daemon could not read a message: %v", err)
	}
}

// errorOf returns the error of an answer, nil if it has none.
func errorOf(e protocol.Envelope) error {
	if e.Error == nil {
		if e.Result == nil {
			return fmt.Errorf("the answer has neither result nor error")
		}
		return nil
	}
	var pe protocol.Error
	if err := json.Unmarshal(e.Error, &pe); err != nil {
		return fmt.Errorf("the error of the answer makes no sense: %w", err)
	}
	return wireError(&pe)
}
