package thread_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing/synctest"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
)

// What a client may be asked.
const (
	approvals = "item/approval/request"
	questions = "item/question/request"
	calls     = "item/tool/call"
)

// responder is a connection that can be asked.
type responder struct {
	*peer
	can []string

	asked []*request // guarded by mu
}

// request is one of the daemon to a client.
type request struct {
	of     *responder
	method string
	params json.RawMessage
	answer func(json.RawMessage, error)
	seq    int // events of the stream that had been offered before

	id      string // approvalId, requestId or callId
	attempt int

	withdrawn bool // guarded by of.mu
	answered  bool
}

var _ thread.Peer = (*responder)(nil)

func (p *responder) Can(method string) bool { return slices.Contains(p.can, method) }

func (p *responder) Request(method string, params any, answer func(json.RawMessage, error)) func() {
	raw, err := protocol.Marshal(params)
	if err != nil {
		panic(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &request{of: p, method: method, params: raw, answer: answer, seq: len(p.queue) + len(p.got)}
	switch p := params.(type) {
	case protocol.ApprovalRequestParams:
		r.id = p.ApprovalID
	case protocol.QuestionRequestParams:
		r.id = p.RequestID
	case protocol.ToolCallParams:
		r.id, r.attempt = p.CallID, p.Attempt
	}
	if !p.dead {
		p.asked = append(p.asked, r)
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		r.withdrawn = true
	}
}

// String names it, for failures.
func (p *responder) String() string { return p.who.User + " " + p.who.ConnectionID }

// String names it, for failures.
func (r *request) String() string { return r.of.String() + ": " + r.method + " " + string(r.params) }

// open returns the requests of a method that wait for this client.
func (p *responder) open(method string) []*request {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	var open []*request
	for _, r := range p.asked {
		if r.method == method && !r.withdrawn && !r.answered && !p.dead {
			open = append(open, r)
		}
	}
	return open
}

// only returns the one request of a method that waits for this client.
func (p *responder) only(t tb, method string) *request {
	t.Helper()
	open := p.open(method)
	if len(open) != 1 {
		t.Fatalf("%s has %d open %s; want 1", p.who.ConnectionID, len(open), method)
	}
	return open[0]
}

// none fails where a request of a method waits for this client.
func (p *responder) none(t tb, method string) {
	t.Helper()
	if open := p.open(method); len(open) != 0 {
		t.Fatalf("%s has %d open %s; want none", p.who.ConnectionID, len(open), method)
	}
}

// get reads the params.
func get[P any](r *request) (p P) {
	if err := json.Unmarshal(r.params, &p); err != nil {
		panic(err)
	}
	return p
}

// reply answers, also where the request was withdrawn: the two may have crossed.
func (r *request) reply(result string) {
	r.of.mu.Lock()
	r.answered = true
	r.of.mu.Unlock()
	r.answer(json.RawMessage(result), nil)
	synctest.Wait()
}

// decide answers an approval.
func (r *request) decide(d protocol.Decision) { r.reply(fmt.Sprintf(`{"decision":%q}`, d)) }

// responder connects a client that can be asked the given methods.
func (w *world) responder(user, instance string, can ...string) *responder {
	w.conns++
	who := thread.Caller{User: user, ConnectionID: fmt.Sprintf("con_%d", w.conns), Client: "test", InstanceID: instance, Approve: true}
	p := &responder{peer: &peer{who: who}, can: can}
	w.peers = append(w.peers, p.peer)
	w.m.Attach(p)
	return p
}

// leave ends a connection.
func (w *world) leave(p *responder) {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	w.m.Detach(p)
	synctest.Wait()
}

// as is a call of a connection.
func as(p *responder) thread.Call {
	return thread.Call{Context: context.Background(), Caller: p.who, Peer: p}
}

// watch subscribes a connection to a thread.
func (w *world) watch(p *responder, id string, role protocol.Role) protocol.ThreadSnapshot {
	w.t.Helper()
	return do(w.t, w.m.Subscribe, as(p), protocol.ThreadSubscribeParams{ThreadID: id, Role: role})
}

// configured starts a thread with config keys.
func (w *world) configured(config string) string {
	w.t.Helper()
	var o protocol.Object
	if err := json.Unmarshal([]byte(config), &o); err != nil {
		w.t.Fatalf("%v", err)
	}
	return w.start(protocol.ThreadOptions{Config: o})
}

// heard is what an agent heard of what it asked.
type heard[T any] struct {
	got T
	err error
}

// ask lets the agent ask and go on.
func ask[T any](f func() (T, error)) chan heard[T] {
	c := make(chan heard[T], 1)
	go func() {
		got, err := f()
		c <- heard[T]{got, err}
	}()
	synctest.Wait()
	return c
}

// waits fails where the agent has heard something.
func waits[T any](t tb, c chan heard[T]) {
	t.Helper()
	synctest.Wait()
	select {
	case h := <-c:
		t.Fatalf("the agent heard %+v", h)
	default:
	}
}

// hears returns what the agent heard, which must be no error.
func hears[T any](t tb, c chan heard[T]) T {
	t.Helper()
	synctest.Wait()
	select {
	case h := <-c:
		if h.err != nil {
			t.Fatalf("the agent heard the error %v", h.err)
		}
		return h.got
	default:
		t.Fatalf("the agent has heard nothing")
		panic("unreachable")
	}
}

// stops fails where the agent did not hear that its turn is over.
func stops[T any](t tb, c chan heard[T]) {
	t.Helper()
	synctest.Wait()
	select {
	case h := <-c:
		if h.err == nil {
			t.Fatalf("the agent heard %+v; want the end of the turn", h.got)
		}
	default:
		t.Fatalf("the agent has heard nothing")
	}
}

// approve asks for permission.
func (h *held) approve(operation, scope string) chan heard[bool] {
	return ask(func() (bool, error) {
		return h.out.Approve(h.ctx, turn.Approval{Kind: "command", Operation: operation, ScopeKey: scope})
	})
}

// ask asks the user.
func (h *held) ask(q ...protocol.Question) chan heard[map[string]protocol.Answer] {
	return ask(func() (map[string]protocol.Answer, error) { return h.out.Ask(h.ctx, q) })
}

// call calls a tool.
func (h *held) call(tool, args string) chan heard[protocol.ToolCallResult] {
	return ask(func() (protocol.ToolCallResult, error) {
		return h.out.Call(h.ctx, turn.ToolCall{Tool: tool, Arguments: json.RawMessage(args)})
	})
}

// item returns the only item of a type of a turn.
func (w *world) item(id, turnID string, typ protocol.ItemType) protocol.Item {
	w.t.Helper()
	var found []protocol.Item
	for _, it := range w.turn(id, turnID).Items {
		if it.Type == typ {
			found = append(found, it)
		}
	}
	if len(found) != 1 {
		w.t.Fatalf("turn %s has %d items of type %s; want 1", turnID, len(found), typ)
	}
	return found[0]
}

// respond answers an approval by its id.
func (w *world) respond(id string, d protocol.Decision) protocol.ApprovalRespondParams {
	return protocol.ApprovalRespondParams{ApprovalID: id, Decision: d}
}

// resolutions counts the resolved events of each item among the journal's.
func (w *world) resolutions(id string) map[string]int {
	w.t.Helper()
	n := map[string]int{}
	countResolutions(w.t, w.export(id), n)
	return n
}

func countResolutions(t tb, events []json.RawMessage, n map[string]int) {
	t.Helper()
	for _, raw := range events {
		method, e := parse(t, protocol.Frame(raw))
		if e.Item == nil || !slices.Contains([]protocol.ItemType{protocol.ItemApproval, protocol.ItemQuestion, protocol.ItemToolCall}, e.Item.Type) {
			continue
		}
		switch method {
		case protocol.EventApprovalRequested.Name, protocol.EventQuestionRequested.Name, protocol.EventItemStarted.Name:
			n[e.ItemID] += 0
		case protocol.EventApprovalResolved.Name, protocol.EventQuestionResolved.Name, protocol.EventItemCompleted.Name:
			n[e.ItemID]++
		}
	}
}

// offered offers tools that take any object.
func offered(id string, names ...string) protocol.ToolRegisterParams {
	p := protocol.ToolRegisterParams{ThreadID: id, Tools: []protocol.Tool{}}
	for _, name := range names {
		p.Tools = append(p.Tools, protocol.Tool{Name: name, Description: name, InputSchema: json.RawMessage(`{"type":"object"}`)})
	}
	return p
}
