package thread

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// toolCall is what an ask of kind tool has beside the others. Guarded by Thread.mu.
type toolCall struct {
	key     string // of the tool
	owner   Peer   // to whom it was sent last; nil: to nobody, or that client is gone
	attempt int
	began   time.Time
	gone    *time.Timer // fails the call when the client stays away
}

// Call has a client carry a tool out; see turn.Emitter.
func (r *run) Call(ctx context.Context, c turn.ToolCall) (protocol.ToolCallResult, error) {
	t := r.t
	t.mu.Lock()
	if err := r.mayAsk(written(c.Tool, 1) + written(c.Namespace, 1) + len(validJSON(c.Arguments))); err != nil {
		t.mu.Unlock()
		return protocol.ToolCallResult{}, err
	}
	if len(bytes.TrimSpace(c.Arguments)) == 0 {
		c.Arguments = json.RawMessage("{}")
	}
	item := protocol.Item{
		Type: protocol.ItemToolCall, Tool: c.Tool, Namespace: c.Namespace, CallID: protocol.NewID(protocol.PrefixCall),
		Executor: protocol.ExecutorClient, Arguments: c.Arguments,
	}
	if failure := r.refuseCall(c); failure != nil {
		x := t.begin()
		item.Status, item.Error = protocol.ItemFailed, failure
		x.addItem(r, item)
		x.commit(nil)
		t.mu.Unlock()
		return protocol.ToolCallResult{Error: failure}, nil
	}
	a := r.beginCall(c, item)
	t.mu.Unlock()
	if err := r.await(ctx, a, func(x *change) { x.cancelCall(a) }); err != nil {
		return protocol.ToolCallResult{}, err
	}
	return a.result, nil
}

// refuseCall says why a call may not be made, nil if it may. No client hears of one that
// may not. t.mu is held.
func (r *run) refuseCall(c turn.ToolCall) *protocol.ItemFailure {
	key := toolKey(c.Namespace, c.Tool)
	if r.t.tools[key] == nil {
		return &protocol.ItemFailure{Code: protocol.ToolErrUnavailable, Message: "no client offers the tool " + key}
	}
	b := r.offered[key]
	if b == nil {
		text := "tool " + key + " was not offered to this turn"
		if r.turn.Mode != "" {
			text = "tool " + key + " is not offered in mode " + r.turn.Mode
		}
		return &protocol.ItemFailure{Code: protocol.ToolErrNotAllowed, Message: text}
	}
	if args := bytes.TrimSpace(c.Arguments); args[0] != '{' {
		return &protocol.ItemFailure{Code: protocol.ToolErrInvalidArguments, Message: "the arguments of " + key + " must be an object"}
	}
	if field, problem := b.schema.Check(c.Arguments); problem != "" {
		return &protocol.ItemFailure{Code: protocol.ToolErrInvalidArguments, Message: "the arguments of " + key + " do not fit its inputSchema: " + cmp.Or(field, "the whole") + " " + problem}
	}
	return nil
}

// beginCall begins the item of a call, and when that is kept the client is asked. t.mu is
// held.
func (r *run) beginCall(c turn.ToolCall, item protocol.Item) *ask {
	t := r.t
	x := t.begin()
	item = r.prepare(item, x.at)
	item.Status = protocol.ItemInProgress
	a := &ask{
		id: item.CallID, kind: askTool, method: protocol.MethodToolCall.Name, it: &openItem{r: r, item: item},
		call: &toolCall{key: toolKey(c.Namespace, c.Tool), began: time.Now()},
	}
	a.params = func() any {
		it := a.it.item
		return protocol.ToolCallParams{
			AskContext: protocol.AskContext{ThreadID: t.id, TurnID: it.TurnID, ItemID: it.ID}, CallID: it.CallID,
			Tool: it.Tool, Namespace: it.Namespace, Arguments: it.Arguments, Attempt: a.call.attempt, BindingGeneration: t.st.Binding,
		}
	}
	a.take = func(p Peer, raw json.RawMessage, err error) { t.callAnswered(a, raw, err) }
	r.items = append(r.items, a.it)
	emit(x, protocol.EventItemStarted, protocol.ItemEvent{Header: x.next(r.turn.ID, item.ID, r.turn.TraceID), Item: item})
	x.openAsk(r, a)
	x.commit(nil)
	return a
}

// sendCall sends a call to the client that offers its tool now, with the next attempt. With
// none there it waits for one. t.mu is held.
func (t *Thread) sendCall(a *ask) {
	b := t.tools[a.call.key]
	if !a.told || a.over {
		return
	}
	if b == nil || b.peer == nil {
		t.orphanCall(a)
		return
	}
	p := b.peer
	if a.call.owner == p && a.sent[p] != nil {
		return
	}
	a.withdraw()
	if a.call.gone != nil {
		a.call.gone.Stop()
		a.call.gone = nil
	}
	a.call.owner = p
	a.call.attempt++
	one := &sending{}
	a.sent[p] = one
	one.withdraw = p.Request(a.method, a.params(), func(raw json.RawMessage, err error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if a.over || a.sent[p] != one {
			t.m.LateAnswer()
			return
		}
		a.take(p, raw, err)
	})
}

// orphanCall gives a call whose client is gone some time for it to come back. t.mu is held.
func (t *Thread) orphanCall(a *ask) {
	a.call.owner = nil
	a.withdraw()
	if a.call.gone != nil || a.over {
		return
	}
	r := a.it.r
	var gone *time.Timer
	gone = time.AfterFunc(r.reconnectTime(), func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.run != r || a.over || a.call.gone != gone || t.m.cannotKeep() != nil {
			return
		}
		x := t.begin()
		x.endCall(a, protocol.ToolCallResult{Error: &protocol.ItemFailure{
			Code: protocol.ToolErrUnavailable, Message: "the client that offers " + a.call.key + " is gone",
		}})
		x.commit(nil)
	})
	a.call.gone = gone
}

// callAnswered takes a client's response to a call.
func (t *Thread) callAnswered(a *ask, raw json.RawMessage, err error) {
	if t.m.cannotKeep() != nil {
		return
	}
	x := t.begin()
	x.touchActive()
	x.endCall(a, t.toolResult(raw, err))
	x.commit(nil)
}

// toolResult reads what a client made of a call. Whatever is wrong with it is a failure of
// the tool.
func (t *Thread) toolResult(raw json.RawMessage, err error) protocol.ToolCallResult {
	fail := func(text string) protocol.ToolCallResult {
		return protocol.ToolCallResult{Error: &protocol.ItemFailure{Code: protocol.ToolErrFailed, Message: text}}
	}
	if err != nil {
		return fail("the client answered with an error: " + err.Error())
	}
	if int64(len(raw)) > t.m.limits.MaxItemBytes {
		return fail("the result is larger than limits.maxItemBytes")
	}
	var res protocol.ToolCallResult
	if err := protocol.Decode(raw, &res); err != nil {
		return fail("the client's result is not valid: " + err.Error())
	}
	switch {
	case res.Success:
		res.Error = nil
	case res.Error == nil:
		return fail("the tool failed and gave no reason")
	case res.Error.Code == "":
		res.Error.Code = protocol.ToolErrFailed
	}
	return res
}

// endCall adds the end of a call.
func (x *change) endCall(a *ask, res protocol.ToolCallResult) {
	it := a.it
	a.result = res
	it.item.Status, it.item.Error = protocol.ItemCompleted, res.Error
	if res.Success {
		it.item.Result = &protocol.ToolResult{Content: append([]protocol.Part{}, res.Content...), Structured: res.Structured}
	} else {
		it.item.Status = protocol.ItemFailed
	}
	x.closeCall(a)
}

// cancelCall ends a call that is not wanted any more, and tells the client that carries it
// out.
func (x *change) cancelCall(a *ask) {
	t := x.t
	a.it.item.Status = protocol.ItemCancelled
	if p := a.call.owner; p != nil {
		h := a.it.r.header(a.it.item.ID)
		f, err := protocol.Encode(protocol.EventToolCancel, protocol.ToolCancelEvent{Header: h, CallID: a.id, Reason: "interrupted"})
		if err == nil && p.Wants(protocol.EventToolCancel.Name) {
			x.out = append(x.out, effect{kind: call, fn: func(error) { p.Offer(f, ClassState, t.id+" "+a.id) }})
		}
	}
	x.closeCall(a)
}

func (x *change) closeCall(a *ask) {
	it := a.it
	if a.call.gone != nil {
		a.call.gone.Stop()
	}
	it.item.DurationMs = time.Since(a.call.began).Milliseconds()
	x.settle(a, func() { x.completeItem(it) })
}
