package thread

import (
	"github.com/spoolhq/spool/protocol"
)

// Resume takes a thread up again: a paused one becomes active, it belongs to the caller's
// connection from now on, and the caller is subscribed.
func (m *Manager) Resume(c Call, p protocol.ThreadResumeParams, r Reply[protocol.ThreadSnapshot]) {
	r = claiming(m, c, r, func(res protocol.ThreadSnapshot) (claim, bool) {
		g := claim{thread: p.ThreadID, follow: wants(p.Subscribe), after: res.HeadSeq, own: true, tools: p.Tools}
		if p.AfterSeq != nil {
			g.after = *p.AfterSeq
		}
		return g, res.Replayed
	})
	mutate(m, c, p.ThreadID, p.IdempotencyKey, r, func(t *Thread, x *change) (protocol.ThreadSnapshot, error) {
		if s := t.st.Thread.Status; s == protocol.StatusArchived || s == protocol.StatusEnded {
			return protocol.ThreadSnapshot{}, t.mustBeActive()
		}
		if _, err := c.offers(p.Tools); err != nil {
			return protocol.ThreadSnapshot{}, err
		}
		if err := t.checkAfter(p.AfterSeq); err != nil {
			return protocol.ThreadSnapshot{}, err
		}
		res := t.snapshot()
		if err := m.checkSnapshot(&res); err != nil {
			return protocol.ThreadSnapshot{}, err
		}
		x.takenUp(c, false)
		x.bindNamed(c, p.Tools)
		if wants(p.Subscribe) && c.Peer != nil {
			x.follow(t.newSub(c.Peer, "", nil), p.AfterSeq)
		}
		res.Thread = t.header() // res.HeadSeq stays: what the caller is told begins behind it
		x.startNext()
		return res, nil
	})
}

// Subscribe sends the events of a thread to the caller: those after afterSeq, then live; or
// from now on, with what is in progress in the answer.
func (m *Manager) Subscribe(c Call, p protocol.ThreadSubscribeParams, r Reply[protocol.ThreadSnapshot]) {
	t, err := m.lock(c.Context, p.ThreadID, c.Caller.User)
	if err != nil {
		r(protocol.ThreadSnapshot{}, err)
		return
	}
	defer t.mu.Unlock()
	if err := t.checkAfter(p.AfterSeq); err != nil {
		r(protocol.ThreadSnapshot{}, err)
		return
	}
	role := p.Role
	if t.st.role(c.Caller.User) == protocol.RoleObserver {
		role = protocol.RoleObserver
	}
	if co := p.Coalesce; co != nil && (co.MaxBytes < 0 || co.MaxDelayMs < 0) {
		r(protocol.ThreadSnapshot{}, protocol.InvalidParams("coalesce", "must not be negative"))
		return
	}
	res := t.snapshot()
	if p.AfterSeq != nil {
		res.ActiveTurn = nil // the replay and the snapshots behind it say the same
	}
	if err := m.checkSnapshot(&res); err != nil {
		r(protocol.ThreadSnapshot{}, err)
		return
	}
	x := t.begin()
	if c.Peer != nil {
		x.follow(t.newSub(c.Peer, role, p.Coalesce), p.AfterSeq)
	}
	x.commit(func(err error) { r(res, err) })
}

// follow puts a subscription into force right behind the reply of this change. Without a
// replay the reply holds the snapshot, so nothing but what comes later is sent.
func (x *change) follow(s *Subscription, after *uint64) {
	x.out = append([]effect{{kind: call, fn: func(err error) {
		if err == nil {
			s.activate(after, nil)
		}
	}}}, x.out...)
}

func (t *Thread) checkAfter(after *uint64) error {
	head := t.st.Thread.HeadSeq
	if after == nil || *after <= head {
		return nil
	}
	e := protocol.InvalidParams("afterSeq", "is beyond the head of the thread")
	e.Data.HeadSeq = &head
	return e
}

// snapshot is the thread with what is in progress. t.mu is held.
func (t *Thread) snapshot() protocol.ThreadSnapshot {
	return protocol.ThreadSnapshot{
		Thread: t.header(), HeadSeq: t.st.Thread.HeadSeq, ActiveTurn: t.activeTurn(), Pending: t.openItems(),
	}
}

// cutOff returns the turn that ran when the store failed, "" where there is none. It has no
// end that is kept, and nobody can give it one before the next start. t.mu is held.
func (t *Thread) cutOff() string {
	if t.run != nil || !t.m.failed.Load() {
		return ""
	}
	return t.st.Queue.Running
}

// activeTurn is the running turn with its items as they are now, nil for none.
func (t *Thread) activeTurn() *protocol.Turn {
	if t.run == nil {
		return nil
	}
	return t.activeWith(0, len(t.run.items))
}

// activeWith returns the running turn with some of its items.
func (t *Thread) activeWith(from, to int) *protocol.Turn {
	if t.run == nil {
		return nil
	}
	tn := t.run.turn
	tn.Text = t.run.text()
	tn.Items = t.run.itemsNow(from, to)
	return &tn
}

// itemsNow returns some items of the turn as they are now.
func (r *run) itemsNow(from, to int) []protocol.Item {
	items := make([]protocol.Item, 0, to-from)
	for _, it := range r.items[from:to] {
		items = append(items, it.snapshot())
	}
	return items
}

// Unsubscribe ends the caller's subscription.
func (m *Manager) Unsubscribe(c Call, p protocol.ThreadParams, r Reply[protocol.ThreadUnsubscribeResult]) {
	t, err := m.lock(c.Context, p.ThreadID, c.Caller.User)
	if err != nil {
		r(protocol.ThreadUnsubscribeResult{}, err)
		return
	}
	defer t.mu.Unlock()
	t.tell(effect{kind: call, fn: func(error) {
		r(protocol.ThreadUnsubscribeResult{Subscribed: t.subOf(c.Peer) != nil}, nil)
		t.unsubscribe(c.Peer)
	}})
}

// PresenceList returns who is subscribed.
func (m *Manager) PresenceList(c Call, p protocol.ThreadParams, r Reply[protocol.PresenceListResult]) {
	t, err := m.lock(c.Context, p.ThreadID, c.Caller.User)
	if err != nil {
		r(protocol.PresenceListResult{}, err)
		return
	}
	defer t.mu.Unlock()
	res := protocol.PresenceListResult{Data: []protocol.Presence{}}
	for _, s := range t.subs {
		res.Data = append(res.Data, s.presence())
	}
	r(res, nil)
}
