package thread

import (
	"context"
	"slices"

	"github.com/spoolhq/spool/protocol"
)

// ticket stands for one commit. Guarded by Thread.mu.
type ticket struct {
	done bool
	err  error
}

type effectKind uint8

const (
	call        effectKind = 1 // fn: a reply, a subscription that joins, a turn that begins
	tellDurable effectKind = 2 // a frame with a seq
	tellLive    effectKind = 3 // a frame without
	tellDelta   effectKind = 4 // a piece of text
	tellState   effectKind = 5 // news of which the latest counts, for everyone who may read
	tellLast    effectKind = 6 // the last thing said about the thread
)

// effect is something a thread has to let out, in order.
type effect struct {
	kind     effectKind
	list     bool    // also to those who are not subscribed
	ticket   *ticket // the commit it waits for; nil: none
	seq      uint64
	method   string
	frame    protocol.Frame
	delta    delta
	presence *protocol.PresenceChangedEvent
	fn       func(error)
}

// cost is about what the effect takes in memory.
func (e *effect) cost() int { return len(e.frame) + 256 }

// add puts an effect behind all others. t.mu is held.
func (t *Thread) add(e effect) {
	t.effects = append(t.effects, e)
	t.backlog += e.cost()
}

// tell adds an effect that waits for nothing but its turn. t.mu is held.
func (t *Thread) tell(e effect) {
	t.add(e)
	t.flush()
}

// flush lets out what may leave: everything up to the first effect whose commit is not
// done. t.mu is held. An effect may add others; they leave in the same loop.
func (t *Thread) flush() {
	if t.flushing {
		return
	}
	t.flushing = true
	n := 0
	for ; n < len(t.effects); n++ {
		e := t.effects[n]
		if e.ticket != nil && !e.ticket.done {
			break
		}
		t.effects[n] = effect{}
		t.backlog -= e.cost()
		t.let(e)
	}
	t.effects = append(t.effects[:0], t.effects[n:]...)
	if len(t.effects) == 0 && cap(t.effects) > 1024 {
		t.effects = nil
	}
	if t.room != nil && t.backlog <= maxBacklog {
		close(t.room)
		t.room = nil
	}
	t.flushing = false
}

// settle waits until the thread has told all it has to say, or ctx ends.
func (t *Thread) settle(ctx context.Context) {
	for {
		t.mu.Lock()
		if len(t.effects) == 0 {
			t.mu.Unlock()
			return
		}
		told := make(chan struct{})
		t.tell(effect{kind: call, fn: func(error) { close(told) }})
		t.mu.Unlock()
		select {
		case <-told:
		case <-ctx.Done():
			return
		}
	}
}

// let lets one effect out.
func (t *Thread) let(e effect) {
	var err error
	if e.ticket != nil {
		err = e.ticket.err
	}
	t.lost = t.lost || err != nil
	if e.kind == call {
		e.fn(err)
		return
	}
	if t.lost {
		return // it was not kept, or belongs to what was not kept, so it did not happen
	}
	t.said += len(e.frame)
	switch e.kind {
	case tellDurable:
		t.flushed = e.seq
		for _, s := range t.subs {
			s.durable(e)
		}
	case tellLive:
		for _, s := range t.subs {
			s.live(e)
		}
	case tellDelta:
		for _, s := range t.subs {
			s.delta(e)
		}
	default: // for lists only
	}
	if e.list || e.kind == tellState || e.kind == tellLast {
		t.tellList(e)
	}
}

// tellList gives a frame to the connections that may read the thread and, where it is an
// event of the subscription, are not subscribed to it.
func (t *Thread) tellList(e effect) {
	class := ClassState
	if e.kind == tellLast {
		class = ClassLast
	}
	for _, ps := range t.m.peers.all() {
		if e.kind == tellDurable && t.subOf(ps.peer) != nil {
			continue
		}
		if t.st.role(ps.peer.Caller().User) == "" || !ps.peer.Wants(e.method) {
			continue
		}
		key := t.id
		if e.kind == tellDurable {
			key += " " + e.method
		}
		ps.peer.Offer(e.frame, class, key)
	}
}

// live adds a notification that is not kept.
func live[P any](t *Thread, tk *ticket, kind effectKind, n protocol.Notification[P], payload P) {
	frame, err := protocol.Encode(n, payload)
	if err != nil {
		t.m.log.Error().Err(err).Str("method", n.Name).Msg("a notification could not be encoded")
		return
	}
	t.add(effect{kind: kind, ticket: tk, frame: frame, method: n.Name, list: n.List})
}

// tellRuntime adds thread/runtimeChanged where the runtime is not what was last told.
func (t *Thread) tellRuntime(tk *ticket) {
	r := t.runtime()
	l := t.lastRuntime
	if r.Busy == l.Busy && r.ActiveTurnID == l.ActiveTurnID && r.Interrupting == l.Interrupting &&
		r.QueueLength == l.QueueLength && r.QueueRevision == l.QueueRevision && r.QueuePaused == l.QueuePaused &&
		r.PauseReason == l.PauseReason && r.PendingItems == l.PendingItems && slices.Equal(r.WaitingOn, l.WaitingOn) {
		return
	}
	t.lastRuntime = r
	live(t, tk, tellState, protocol.EventRuntimeChanged, protocol.RuntimeChangedEvent{
		Header:  protocol.Header{ThreadID: t.id, TurnID: r.ActiveTurnID, At: protocol.Now()},
		Runtime: r,
	})
}
