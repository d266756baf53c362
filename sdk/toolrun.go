package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// toolRun is one call of a tool. It outlives the connection it came on: the daemon asks
// for it again on the next one, and gets the result of this run. Guarded by Client.mu.
type toolRun struct {
	callID string
	ctx    context.Context
	cancel context.CancelCauseFunc
	open   []asked     // those who wait for the result; none while there is no connection
	alone  *time.Timer // ends the run if nobody asks for it on a new connection
}

func (r *toolRun) waits(id []byte) bool {
	for _, a := range r.open {
		if bytes.Equal(a.id, id) {
			return true
		}
	}
	return false
}

// toolResults keeps the newest results, for a daemon that did not get them. Guarded by
// Client.mu.
type toolResults struct {
	of    map[string]json.RawMessage // by callId
	order []string                   // of of, oldest first
	bytes int
}

// Bounds of toolResults. One result that is larger than all of it is not kept.
const (
	keptResults     = 256
	keptResultBytes = 8 << 20
)

func (t *toolResults) put(callID string, result json.RawMessage) {
	if t.of[callID] != nil || len(result) > keptResultBytes {
		return
	}
	t.of[callID] = result
	t.order = append(t.order, callID)
	t.bytes += len(result)
	for t.bytes > keptResultBytes || len(t.order) > keptResults {
		t.bytes -= len(t.of[t.order[0]])
		delete(t.of, t.order[0])
		t.order = t.order[1:]
	}
}

// receiveCall runs the tool that the daemon calls, or gives the result of the run that an
// earlier attempt began.
func (c *Client) receiveCall(a asked, e protocol.Envelope) error {
	var call protocol.ToolCallParams
	if err := json.Unmarshal(e.Params, &call); err != nil {
		return protocol.Errorf(protocol.CodeInvalidParams, "the params of %s make no sense: %v", e.Method, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if result := c.results.of[call.CallID]; result != nil {
		c.pushResult(a, result)
		return nil
	}
	if r := c.runs[call.CallID]; r != nil && r.ctx.Err() == nil {
		r.open = append(r.open, a)
		r.found()
		return nil
	}
	r := &toolRun{callID: call.CallID, open: []asked{a}}
	r.ctx, r.cancel = context.WithCancelCause(c.ctx)
	handle := c.handlerOf(call)
	if !c.work(&c.tools, func() { c.runTool(r, call, handle) }) {
		r.cancel(nil)
		return tooMuch(e.Method)
	}
	c.runs[call.CallID] = r
	return nil
}

// runTool carries a call out and answers it.
func (c *Client) runTool(r *toolRun, call protocol.ToolCallParams, handle toolHandler) {
	result, err := guarded(r.ctx, c, "the tool "+toolKey(call.Namespace, call.Tool), call, handle)
	if err != nil {
		result = toolFailure(protocol.ToolErrFailed, err.Error())
	}
	raw, err := protocol.Marshal(result)
	if err != nil {
		raw, _ = protocol.Marshal(toolFailure(protocol.ToolErrFailed, "the result cannot be written as JSON: "+err.Error()))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.ctx.Err() == nil {
		c.results.put(r.callID, raw)
	}
	r.cancel(nil)
	r.found()
	if c.runs[r.callID] == r {
		delete(c.runs, r.callID)
	}
	for _, a := range r.open {
		c.pushResult(a, raw)
	}
}

// pushResult answers a call, unless its connection is lost. mu is held.
func (c *Client) pushResult(a asked, result json.RawMessage) {
	if c.link != a.link {
		return
	}
	if most := a.link.limit; most > 0 && int64(len(result)+len(a.id)+resultFrame) > most {
		result, _ = protocol.Marshal(toolFailure(protocol.ToolErrFailed,
			fmt.Sprintf("the result has %d bytes, the daemon takes messages of %d", len(result), most)))
	}
	if frame, err := protocol.EncodeResult(a.id, result); err == nil {
		c.push(message{frame: frame})
	}
}

// resultFrame is more than what stands around a result in its message.
const resultFrame = 64

// cancelCall ends the context of a tool that the daemon does not wait for any more.
func (c *Client) cancelCall(e protocol.Envelope) {
	var p protocol.ToolCancelEvent
	if json.Unmarshal(e.Params, &p) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.runs[p.CallID]; r != nil {
		r.cancel(fmt.Errorf("%w: %s", errWithdrawn, p.Reason))
	}
}

// awaitRepeats gives the daemon some time to ask on a new connection for the runs that it
// began on the old one. mu is held.
func (c *Client) awaitRepeats() {
	for _, r := range c.runs {
		r.found()
		r.alone = time.AfterFunc(repeatTimeout, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.link != nil && len(r.open) == 0 {
				r.cancel(errWithdrawn)
			}
		})
	}
}

// found says that somebody waits for the run, or nobody will any more.
func (r *toolRun) found() {
	if r.alone != nil {
		r.alone.Stop()
		r.alone = nil
	}
}

func toolFailure(code, text string) protocol.ToolCallResult {
	return protocol.ToolCallResult{Error: &protocol.ItemFailure{Code: code, Message: text}}
}
