package server

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/sourcegraph/jsonrpc2"

	"github.com/spoolhq/spool/protocol"
)

// asked is what the daemon asks a client. Only this goes through jsonrpc2.
type asked struct {
	rpc   *jsonrpc2.Conn
	ready chan struct{} // closed when rpc is set: it reads before its maker returns
	last  atomic.Int64

	mu   sync.Mutex
	open map[string]bool // ids of requests that are not answered; true: taken back
}

func (a *asked) begin(make func() *jsonrpc2.Conn) {
	a.rpc = make()
	close(a.ready)
}

// opened notes a request that is sent now.
func (a *asked) opened(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open == nil {
		a.open = map[string]bool{}
	}
	a.open[id] = false
}

// takeBack notes that an answer is not wanted any more. False: it is here already.
func (a *asked) takeBack(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, open := a.open[id]
	if open {
		a.open[id] = true
	}
	return open
}

// answered notes a response and reports whether it is that of a request that was taken back.
func (a *asked) answered(id string) (late bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	late = a.open[id]
	delete(a.open, id)
	return late
}

// Can reports whether the client declared that it may be asked this.
func (c *conn) Can(method string) bool { return c.session.can(method) && c.mayAnswer(method) }

func (c *conn) mayAnswer(method string) bool {
	return method == protocol.MethodToolCall.Name || c.Caller().Approve
}

// Request asks the client something; see thread.Peer. Ids are strings: the first number
// that jsonrpc2 would give is 0, which some clients take for none.
func (c *conn) Request(method string, params any, answer func(json.RawMessage, error)) func() {
	ctx, withdraw := context.WithCancel(c.ctx)
	c.wg.Go(func() {
		defer withdraw()
		<-c.asked.ready
		id := "s" + strconv.FormatInt(c.asked.last.Add(1), 10)
		c.asked.opened(id)
		call, err := c.asked.rpc.DispatchCall(ctx, method, params, jsonrpc2.PickID(jsonrpc2.ID{Str: id, IsString: true}))
		if err != nil {
			return // the connection ends
		}
		var result json.RawMessage
		err = call.Wait(ctx, &result)
		if _, refused := errors.AsType[*jsonrpc2.Error](err); err != nil && !refused {
			c.takeBack(id)
			return
		}
		answer(result, err)
	})
	return withdraw
}

// takeBack tells the client that an answer is not wanted any more.
func (c *conn) takeBack(id string) {
	if c.ctx.Err() != nil {
		return
	}
	if !c.asked.takeBack(id) {
		c.hub.manager.LateAnswer() // it came in this moment, and nobody took it
		return
	}
	f, err := protocol.Encode(protocol.EventCancelRequest, protocol.CancelRequestParams{ID: json.RawMessage(strconv.Quote(id))})
	if err == nil {
		c.out.ask(f)
	}
}
