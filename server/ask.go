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
	back map[string]bool // ids of requests that were taken back and are not answered
}

func (a *asked) begin(make func() *jsonrpc2.Conn) {
	a.rpc = make()
	close(a.ready)
}

// tookBack notes that a request was taken back.
func (a *asked) tookBack(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.back == nil {
		a.back = map[string]bool{}
	}
	a.back[id] = true
}

// late reports whether a response is that of a request that was taken back.
func (a *asked) late(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := a.back[id]
	delete(a.back, id)
	return was
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
	c.asked.tookBack(id)
	f, err := protocol.Encode(protocol.EventCancelRequest, protocol.CancelRequestParams{ID: json.RawMessage(strconv.Quote(id))})
	if err == nil {
		c.out.ask(f)
	}
}
