package thread

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// Something that an agent waits for: an approval, a question or a tool call. Its item is
// durable from the start; its one resolution is durable before the agent hears of it. No
// answer ever comes from a lost connection, an observer, or a time-out that nobody set.
// Guarded by Thread.mu.
type ask struct {
	id     string // approvalId, requestId or callId
	kind   askKind
	it     *openItem
	method string     // of the request to clients
	params func() any // of it
	take   func(p Peer, result json.RawMessage, err error)
	sent   map[Peer]*sending // to whom it is open
	told   bool              // the event with which it began was told
	over   bool              // its resolution was decided
	expiry *time.Timer
	done   chan struct{} // closed when the resolution is kept

	// The resolution, to be read after done.
	decision string
	answers  map[string]protocol.Answer
	result   protocol.ToolCallResult

	call *toolCall // of a tool call
}

// sending is one request to one client.
type sending struct{ withdraw func() }

// withdraw takes an ask back from everybody.
func (a *ask) withdraw() {
	for _, one := range a.sent {
		one.withdraw()
	}
	clear(a.sent)
}

// mayAsk returns why nothing of this size can be asked now, nil if it can. t.mu is held.
func (r *run) mayAsk(size int) error {
	if r.t.run == r && r.ctx.Err() == nil && !r.tooLarge(int64(size)) {
		return nil
	}
	return context.Cause(r.ctx)
}

type askKind string

const (
	askApproval askKind = "approval"
	askQuestion askKind = "question"
	askTool     askKind = "tool"
)

// askRegistry finds the thread of an approval or a question by its id, and remembers how
// the newest were resolved. Its lock is a leaf.
type askRegistry struct {
	mu       sync.Mutex
	open     map[string]*Thread
	resolved map[string]askPast
	order    []string // of resolved, oldest first
}

// askPast is what is remembered of an approval or question that is over.
type askPast struct {
	thread   string // its id
	decision string
}

// pastAsks is how many resolved approvals and questions are remembered.
const pastAsks = 4096

func (r *askRegistry) add(id string, t *Thread) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open, r.resolved = map[string]*Thread{}, map[string]askPast{}
	}
	r.open[id] = t
}

func (r *askRegistry) resolve(id, decision string, t *Thread) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.resolved == nil {
		r.open, r.resolved = map[string]*Thread{}, map[string]askPast{}
	}
	delete(r.open, id)
	if len(r.order) >= pastAsks {
		delete(r.resolved, r.order[0])
		r.order = slices.Clone(r.order[1:])
	}
	r.resolved[id] = askPast{t.id, decision}
	r.order = append(r.order, id)
}

// drop forgets an ask that nobody will resolve.
func (r *askRegistry) drop(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, id)
}

// threadOf returns the id of the thread of an ask, "" if it is unknown.
func (r *askRegistry) threadOf(id string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.open[id]; t != nil {
		return t.id
	}
	return r.resolved[id].thread
}

// past says how an ask was resolved, if it was.
func (r *askRegistry) past(id string) (askPast, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.resolved[id]
	return p, ok
}

// threads returns the threads that wait for somebody.
func (r *askRegistry) threads() []*Thread {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*Thread
	for _, t := range r.open {
		if !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	return all
}

// openAsk puts an ask into force: when its beginning is kept it is sent to those who can
// answer. The change holds that beginning. t.mu is held.
func (x *change) openAsk(r *run, a *ask) {
	t := x.t
	a.sent, a.done = map[Peer]*sending{}, make(chan struct{})
	r.asks = append(r.asks, a)
	if a.kind != askTool {
		t.m.asks.add(a.id, t)
	}
	x.out = append(x.out, effect{kind: call, fn: func(err error) {
		if err == nil && !a.over {
			a.told = true
			t.send(a)
		}
	}})
}

// send delivers an ask to everyone who can answer and has not got it. t.mu is held.
func (t *Thread) send(a *ask) {
	if a.kind == askTool {
		t.sendCall(a)
		return
	}
	for _, s := range t.subs {
		t.sendTo(a, s)
	}
}

func (t *Thread) sendTo(a *ask, s *Subscription) {
	p := s.peer
	if !a.told || a.over || a.sent[p] != nil || s.role == protocol.RoleObserver || !p.Can(a.method) {
		return
	}
	one := &sending{}
	a.sent[p] = one
	one.withdraw = p.Request(a.method, a.params(), func(result json.RawMessage, err error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if a.over || a.sent[p] != one { // it was withdrawn, perhaps to be sent anew
			t.m.LateAnswer()
			return
		}
		delete(a.sent, p)
		a.take(p, result, err)
	})
}

// sendOpen delivers what is open to a subscription that begins. t.mu is held.
func (t *Thread) sendOpen(s *Subscription) {
	if t.run == nil {
		return
	}
	for _, a := range t.run.asks {
		if a.kind != askTool {
			t.sendTo(a, s)
		}
	}
}

// withdraw takes approvals and questions back from a connection that may not answer them
// any more. t.mu is held.
func (t *Thread) withdraw(p Peer) {
	if t.run == nil {
		return
	}
	for _, a := range t.run.asks {
		if one := a.sent[p]; one != nil && a.kind != askTool {
			delete(a.sent, p)
			one.withdraw()
		}
	}
}

// dropAsks forgets the open asks of a run whose thread is given up: nothing that is
// answered now could be kept. t.mu is held.
func (t *Thread) dropAsks(r *run) {
	for _, a := range r.asks {
		a.over = true
		a.withdraw()
		t.m.asks.drop(a.id)
	}
	r.asks = nil
}

// settle ends an ask: it is withdrawn everywhere, and when its resolution, which tell
// adds, is kept, the agent hears of it. t.mu is held.
func (x *change) settle(a *ask, tell func()) {
	t := x.t
	a.over = true
	if a.expiry != nil {
		a.expiry.Stop()
	}
	r := a.it.r
	r.asks = slices.DeleteFunc(r.asks, func(o *ask) bool { return o == a })
	if a.kind != askTool {
		t.m.asks.resolve(a.id, a.decision, t)
	}
	x.out = append(x.out, effect{kind: call, fn: func(error) { a.withdraw() }})
	tell()
	x.out = append(x.out, effect{kind: call, fn: func(error) { close(a.done) }})
}

// await waits for the resolution of an ask. Where ctx ends first the ask is ended by
// cancel, unless it is over. The error is that of ctx.
func (r *run) await(ctx context.Context, a *ask, cancel func(x *change)) error {
	select {
	case <-a.done:
	case <-ctx.Done():
	case <-r.ctx.Done():
	}
	t := r.t
	t.mu.Lock()
	if !a.over && t.run == r {
		x := t.begin()
		cancel(x)
		x.commit(nil)
	}
	t.mu.Unlock()
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	return context.Cause(ctx)
}

// waitingOn says what the running turn waits for, each kind once.
func (r *run) waitingOn() []string {
	on := []string{}
	for _, a := range r.asks {
		if !slices.Contains(on, string(a.kind)) {
			on = append(on, string(a.kind))
		}
	}
	slices.Sort(on)
	return on
}

// openItems returns the items of the open asks.
func (t *Thread) openItems() []protocol.Item {
	items := []protocol.Item{}
	if t.run == nil {
		return items
	}
	for _, a := range t.run.asks {
		items = append(items, a.it.snapshot())
	}
	return items
}

// capable reports whether somebody is subscribed who can answer requests of this method.
func (t *Thread) capable(method string) bool {
	return slices.ContainsFunc(t.subs, func(s *Subscription) bool {
		return s.role != protocol.RoleObserver && s.peer.Can(method)
	})
}

// settleAll ends what is still open when a turn ends, before its terminal event.
func (x *change) settleAll(r *run) {
	for _, a := range slices.Clone(r.asks) {
		switch a.kind {
		case askApproval:
			x.resolveApproval(a, "cancelled", r.by)
		case askQuestion:
			x.resolveQuestion(a, "cancelled", nil, r.by)
		case askTool:
			x.cancelCall(a)
		}
	}
}

// expire arms the expiry of an ask where the config sets one, and returns when it is.
func (r *run) expire(a *ask, resolve func(x *change)) protocol.Time {
	if r.conf.ApprovalTimeoutMs <= 0 {
		return 0
	}
	after := milliseconds(r.conf.ApprovalTimeoutMs)
	t := r.t
	a.expiry = time.AfterFunc(after, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.run != r || a.over || t.m.cannotKeep() != nil {
			return
		}
		x := t.begin()
		resolve(x)
		x.commit(nil)
	})
	return protocol.Time(time.Now().Add(after).UnixMilli())
}

// milliseconds is a time that a client set, however long.
func milliseconds(ms int64) time.Duration {
	return time.Duration(min(ms, int64(math.MaxInt64/time.Millisecond))) * time.Millisecond
}
