package thread

import (
	"context"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/turn"
)

// run is the running turn of a thread. Guarded by Thread.mu, but for ctx.
type run struct {
	t    *Thread
	turn protocol.Turn
	spec *turn.Spec
	conf protocol.Config

	ctx   context.Context
	stop  context.CancelCauseFunc
	limit context.CancelFunc
	grace *time.Timer // set while interrupting: ends the turn without its agent

	entry        storage.TurnEntry
	began        bool                     // the agent was handed the input
	takes        bool                     // the items that waited become its own; see take.go
	later        waiting                  // items that were appended meanwhile, and wait on
	changed      map[string]protocol.Item // waiting items that were changed meanwhile
	interrupting bool
	by           *protocol.By            // who interrupted
	queue        protocol.InterruptQueue // what the interrupt said of the queue

	items   []*openItem // in the order in which they began, completed ones too
	plan    *openItem
	asks    []*ask                // open ones, in the order in which they began
	offered map[string]*boundTool // tools of this turn, by name
	usage   protocol.Usage
	used    bool
	steered chan struct{} // has one element while steers may be waiting
	wake    chan struct{} // gets an element when clients have room; see keepPace
	room    chan struct{} // closed when there is room for more effects; nil: the agent does not wait for that
	said    int           // bytes told to subscribers since the last look at how they keep up
	saver   *time.Timer   // the next checkpoint
}

// header is that of a live notification about the turn.
func (r *run) header(itemID string) protocol.Header {
	return protocol.Header{ThreadID: r.t.id, TurnID: r.turn.ID, ItemID: itemID, TraceID: r.turn.TraceID, At: protocol.Now()}
}

// startTurn makes a turn, which the queue says is the running one, run: it emits
// turn/started, and when that is kept the agent gets its input. queue is set where the
// turn leaves the waiting ones.
func (x *change) startTurn(tn protocol.Turn, queue *protocol.QueueState, entry storage.TurnEntry) {
	t := x.t
	tn.Status, tn.Position, tn.StartedAt = protocol.TurnRunning, 0, x.at
	tn.Attempt++
	r := &run{t: t, turn: tn, spec: t.m.agents[tn.Agent], steered: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
	h := x.next(tn.ID, "", tn.TraceID)
	entry.ID, entry.Started = tn.ID, h.Seq
	if entry.Accepted == 0 {
		entry.Accepted = h.Seq
		t.st.Turns++
	}
	r.entry = entry
	ctx, stop := context.WithCancelCause(context.Background())
	r.stop = stop
	r.conf, _ = protocol.ParseConfig(tn.Config) // it was checked when the turn was accepted
	r.ctx, r.limit = turn.Limit(ctx, r.conf)
	t.run = r
	x.row = true
	x.turnEntry(entry)
	emit(x, protocol.EventTurnStarted, protocol.TurnEvent{Header: h, Turn: tn, Queue: queue})
	x.out = append(x.out, effect{kind: call, fn: func(err error) {
		if err == nil {
			r.begin()
		}
	}})
}

// begin hands the input over: what waited and the user's message become items of the turn,
// and when they are kept the agent is called. It runs as an effect, with t.mu held.
func (r *run) begin() {
	t := r.t
	if t.run != r {
		return
	}
	if out, ended := turn.Ended(r.ctx); ended {
		t.finish(r, out)
		return
	}
	if t.st.Pending.Items == 0 {
		r.handOver(t.begin())
		return
	}
	r.takes, r.changed = true, map[string]protocol.Item{}
	v := t.viewWith(nil)
	if !t.m.spawn(func() { r.take(v) }) {
		t.finish(r, turn.Outcome{Status: protocol.TurnCancelled, Reason: protocol.CancelShutdown})
	}
}

// handOver makes the user's message an item of the turn, and calls the agent when all of the
// change is kept.
func (r *run) handOver(x *change) {
	t := r.t
	r.began, r.takes, r.changed = true, false, nil
	r.offered = t.offer(r)
	t.st.Handed = r.turn.ID
	x.row = true
	for _, m := range r.turn.Input {
		it := messageItem(m, protocol.DeliveryInput)
		it.Sender = r.turn.Sender
		x.addItem(r, it)
	}
	x.commit(func(err error) {
		if err == nil && t.run == r && !t.m.spawn(r.call) {
			t.finish(r, turn.Outcome{Status: protocol.TurnCancelled, Reason: protocol.CancelShutdown})
		}
	})
}

// messageItem makes the item of one message of an input.
func messageItem(m protocol.Message, how protocol.Delivery) protocol.Item {
	switch m.Role {
	case protocol.RoleDeveloper:
		return protocol.Item{Type: protocol.ItemDeveloperMessage, Text: protocol.PartsText(m.Parts), Visibility: "hidden"}
	case protocol.RoleAssistant:
		return protocol.Item{Type: protocol.ItemAgentMessage, Text: protocol.PartsText(m.Parts)}
	default:
		content, _ := protocol.Marshal(m.Parts)
		return protocol.Item{Type: protocol.ItemUserMessage, Content: content, Delivery: how}
	}
}

// call runs the agent. It is the turn's goroutine, owned by Manager.running.
func (r *run) call() {
	t := r.t
	unwatch := context.AfterFunc(r.ctx, r.armGrace)
	defer unwatch()
	if r.spec == nil {
		t.end(r, turn.Outcome{Status: protocol.TurnFailed, Error: &protocol.TurnError{
			Code: protocol.TurnErrUnavailable, Message: "the agent " + r.turn.Agent + " is not configured any more",
		}})
		return
	}
	out := turn.Run(r.ctx, r.spec.Agent, turn.Input{Turn: r.turn, Config: r.conf, Tools: r.tools(), History: r.history}, r)
	if out.Stack != nil {
		t.m.count("agents.panics")
		t.m.log.Error().Str("thread", t.id).Str("turn", r.turn.ID).Str("agent", r.turn.Agent).
			Bytes("stack", out.Stack).Msg("an agent panicked; its turn failed, the daemon goes on")
	}
	t.end(r, out)
}

// end ends the turn as its agent did, unless its context has ended meanwhile: an interrupt
// that was acknowledged counts, also where the agent had just returned.
func (t *Thread) end(r *run, out turn.Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.run != r {
		return
	}
	if cut, ended := turn.Ended(r.ctx); ended {
		out = cut
	}
	t.finish(r, out)
}

// armGrace gives an agent whose context has ended some time to return, then ends the turn
// without it; what it says later is dropped.
func (r *run) armGrace() {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.run != r {
		return
	}
	r.grace = time.AfterFunc(t.m.limits.InterruptGrace, func() {
		if out, ended := turn.Ended(r.ctx); ended {
			t.end(r, out)
		}
	})
}

// shutdown cancels the running turn because the daemon stops.
func (t *Thread) shutdown() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.run != nil {
		t.interruptRun(protocol.CancelShutdown, nil, "")
	}
}

// leaveAgent ends a turn that was cancelled and whose agent has not returned.
func (t *Thread) leaveAgent() {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.run
	if r == nil {
		return
	}
	if out, ended := turn.Ended(r.ctx); ended {
		t.m.log.Warn().Str("thread", t.id).Str("turn", r.turn.ID).Str("agent", r.turn.Agent).
			Msg("an agent did not return when its turn was cancelled; the turn ends without it")
		t.finish(r, out)
	}
}

// interruptRun asks the agent to stop. The turn ends when it returns, or after the grace
// time. t.mu is held.
func (t *Thread) interruptRun(reason protocol.CancelReason, by *protocol.By, queue protocol.InterruptQueue) {
	r := t.run
	if r.interrupting {
		return
	}
	was := t.runtime()
	r.interrupting, r.by, r.queue = true, by, queue
	r.stop(turn.Cancelled{Reason: reason})
	t.tellRuntime(was, nil)
	t.flush()
}
