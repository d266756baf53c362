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

// outlet is what a thread has to let out, in order. There is one while something waits for
// that or a turn runs.
type outlet struct {
	effects  []effect
	backlog  int // about what they take in memory, in bytes
	flushing bool
}

// toTell are the effects that have not left. t.mu is held.
func (t *Thread) toTell() []effect {
	if t.out == nil {
		return nil
	}
	return t.out.effects
}

// cost is about what the effect takes in memory.
func (e *effect) cost() int { return len(e.frame) + 256 }

// add puts an effect behind all others. t.mu is held.
func (t *Thread) add(e effect) {
	if t.out == nil {
		t.out = &outlet{}
	}
	t.out.effects = append(t.out.effects, e)
	t.out.backlog += e.cost()
}

// tell adds an effect that waits for nothing but its turn. t.mu is held.
func (t *Thread) tell(e effect) {
	t.add(e)
	t.flush()
}

// flush lets out what may leave: everything up to the first effect whose commit is not
// done. t.mu is held. An effect may add others; they leave in the same loop.
func (t *Thread) flush() {
	o := t.out
	if o == nil || o.flushing {
		return
	}
	o.flushing = true
	n := 0
	for ; n < len(o.effects); n++ {
		e := o.effects[n]
		if e.ticket != nil && !e.ticket.done {
			break
		}
		o.effects[n] = effect{}
		o.backlog -= e.cost()
		t.let(e)
	}
	o.effects = append(o.effects[:0], o.effects[n:]...)
	o.flushing = false
	if len(o.effects) == 0 && cap(o.effects) > 1024 {
		o.effects = nil
	}
	switch r := t.run; {
	case r == nil && len(o.effects) == 0:
		t.out = nil
	case r != nil && r.room != nil && o.backlog <= maxBacklog:
		close(r.room)
		r.room = nil
	}
}

// settle waits until the thread has told all it has to say, or ctx ends.
func (t *Thread) settle(ctx context.Context) {
	for {
		t.mu.Lock()
		if len(t.toTell()) == 0 {
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
	if t.run != nil {
		t.run.said += len(e.frame)
	}
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

// tellRuntime adds thread/runtimeChanged where the runtime is not what it was.
func (t *Thread) tellRuntime(was protocol.Runtime, tk *ticket) {
	r := t.runtime()
	if r.Busy == was.Busy && r.ActiveTurnID == was.ActiveTurnID && r.Interrupting == was.Interrupting &&
		r.QueueLength == was.QueueLength && r.QueueRevision == was.QueueRevision && r.QueuePaused == was.QueuePaused &&
		r.PauseReason == was.PauseReason && r.PendingItems == was.PendingItems && slices.Equal(r.WaitingOn, was.WaitingOn) {
		return
	}
	live(t, tk, tellState, protocol.EventRuntimeChanged, protocol.RuntimeChangedEvent{
		Header:  protocol.Header{ThreadID: t.id, TurnID: r.ActiveTurnID, At: protocol.Now()},
		Runtime: r,
	})
}
