// Package agenttest is for the tests of agents. [Run] tries whether an agent keeps the
// promises that [turn.Agent] demands; each kind of agent calls it in its tests. A [Recorder]
// takes what an agent says and remembers it in order, without a thread, a store or a client.
package agenttest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// Recorder is an Emitter that remembers. The zero value is ready to use, by any number of
// goroutines.
type Recorder struct {
	mu     sync.Mutex
	log    []string
	items  []*item
	usage  protocol.Usage
	plan   []protocol.PlanEntry
	queue  []protocol.Item // steered, not taken
	steerC chan struct{}   // closed when one is steered; nil while nobody waits
	ended  bool
	late   []string // what was said after the end
	onText func(text string)

	onApprove func(turn.Approval) bool
	onAsk     func([]protocol.Question) map[string]protocol.Answer
	onCall    func(turn.ToolCall) protocol.ToolCallResult
	hold      func(ctx context.Context) error // runs before whatever waits; its error is the result
}

var _ turn.Emitter = (*Recorder)(nil)

// Run runs one turn as a thread would: what the agent leaves open is closed, and what it
// says later is dropped.
func (r *Recorder) Run(ctx context.Context, a turn.Agent, in turn.Input) turn.Outcome {
	o := turn.Run(ctx, a, in, r)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	status := map[protocol.TurnStatus]protocol.ItemStatus{
		protocol.TurnCompleted: protocol.ItemCompleted,
		protocol.TurnCancelled: protocol.ItemInterrupted,
		protocol.TurnFailed:    protocol.ItemFailed,
	}[o.Status]
	for _, it := range r.items {
		if it.Status == protocol.ItemInProgress {
			it.Item = it.now()
			it.Status = status
			r.say("closed %s %s", it.Type, status)
		}
	}
	return o
}

// OnText calls f, on the agent's goroutine, after each text that is added to an item. Set
// it before the turn runs.
func (r *Recorder) OnText(f func(text string)) { r.onText = f }

// Send steers a text into the running turn.
func (r *Recorder) Send(text string) {
	content, _ := json.Marshal([]protocol.Part{{Type: "text", Text: text}}) // parts are always JSON
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = append(r.queue, protocol.Item{
		ID: protocol.NewID(protocol.PrefixItem), Type: protocol.ItemUserMessage, Status: protocol.ItemCompleted,
		Delivery: protocol.DeliverySteer, Content: content,
	})
	if r.steerC != nil {
		close(r.steerC)
		r.steerC = nil
	}
}

// Log returns what happened, a line for each call.
func (r *Recorder) Log() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.log)
}

// Late returns what was said after the end of the turn, and dropped.
func (r *Recorder) Late() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.late)
}

// over reports whether the turn is at its end, and notes what is said nevertheless; r.mu is
// held.
func (r *Recorder) over(what string) bool {
	if r.ended {
		r.late = append(r.late, what)
	}
	return r.ended
}

// wait is called before whatever waits for somebody.
func (r *Recorder) wait(ctx context.Context, what string) error {
	r.mu.Lock()
	r.over(what)
	r.mu.Unlock()
	if r.hold != nil {
		return r.hold(ctx)
	}
	return nil
}

// all returns copies of all items.
func (r *Recorder) all() []item {
	r.mu.Lock()
	defer r.mu.Unlock()
	items := make([]item, len(r.items))
	for i, it := range r.items {
		items[i] = *it
		items[i].Item = it.now()
	}
	return items
}

// Items returns all items as they are now, in the order of their beginning.
func (r *Recorder) Items() []protocol.Item {
	r.mu.Lock()
	defer r.mu.Unlock()
	items := make([]protocol.Item, len(r.items))
	for i, it := range r.items {
		items[i] = it.now()
	}
	return items
}

// Text returns the agent's messages, joined by blank lines as in Turn.Text.
func (r *Recorder) Text() string {
	var texts []string
	for _, it := range r.Items() {
		if it.Type == protocol.ItemAgentMessage {
			texts = append(texts, it.Text)
		}
	}
	return strings.Join(texts, "\n\n")
}

// Total returns the tokens that were reported, added up.
func (r *Recorder) Total() protocol.Usage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.usage
}

// Entries returns the plan.
func (r *Recorder) Entries() []protocol.PlanEntry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.plan
}

// say writes a line of the log; r.mu is held.
func (r *Recorder) say(format string, args ...any) {
	r.log = append(r.log, fmt.Sprintf(format, args...))
}

// Begin implements [turn.Emitter].
func (r *Recorder) Begin(init protocol.Item) turn.Item {
	r.mu.Lock()
	defer r.mu.Unlock()
	it := &item{r: r, Item: init, begun: true, streamed: []byte(init.Text + init.Output)}
	it.Item.ID, it.Status = protocol.NewID(protocol.PrefixItem), protocol.ItemInProgress
	if r.over("begin " + string(init.Type)) {
		it.Status = protocol.ItemCancelled
		return it
	}
	r.items = append(r.items, it)
	r.say("begin %s", init.Type)
	return it
}

// Add implements [turn.Emitter].
func (r *Recorder) Add(init protocol.Item) protocol.Item {
	r.mu.Lock()
	defer r.mu.Unlock()
	init.ID = protocol.NewID(protocol.PrefixItem)
	if init.Status == "" {
		init.Status = protocol.ItemCompleted
	}
	if !r.over("add " + string(init.Type)) {
		r.items = append(r.items, &item{r: r, Item: init})
		r.say("add %s %s", init.Type, init.Status)
	}
	return init
}

// Steer implements [turn.Emitter].
func (r *Recorder) Steer(ctx context.Context) (protocol.Item, error) {
	if err := r.wait(ctx, "steer"); err != nil {
		return protocol.Item{}, err
	}
	for {
		if it, ok := r.Steered(); ok {
			return it, nil
		}
		r.mu.Lock()
		if r.steerC == nil {
			r.steerC = make(chan struct{})
		}
		c, waiting := r.steerC, len(r.queue) == 0
		r.mu.Unlock()
		if !waiting {
			continue
		}
		select {
		case <-c:
		case <-ctx.Done():
			return protocol.Item{}, ctx.Err()
		}
	}
}

// Steered implements [turn.Emitter].
func (r *Recorder) Steered() (protocol.Item, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over("steered") || len(r.queue) == 0 {
		return protocol.Item{}, false
	}
	it := r.queue[0]
	r.queue = r.queue[1:]
	r.items = append(r.items, &item{r: r, Item: it})
	r.say("steered %s", it.Content)
	return it, true
}

// Usage implements [turn.Emitter].
func (r *Recorder) Usage(u protocol.Usage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over("usage") {
		r.usage.Add(u)
		r.say("usage %d %d", u.InputTokens, u.OutputTokens)
	}
}

// Plan implements [turn.Emitter].
func (r *Recorder) Plan(entries []protocol.PlanEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over("plan") {
		r.plan = slices.Clone(entries)
		r.say("plan %d", len(entries))
	}
}

// Event implements [turn.Emitter].
func (r *Recorder) Event(kind, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over("event") {
		r.say("event %s %s", kind, text)
	}
}
