package thread

import (
	"cmp"
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// Rollback removes the newest ended turns of an idle thread from its history. The journal
// keeps their events, so that a replay stays exact.
func (m *Manager) Rollback(c Call, p protocol.ThreadRollbackParams, r Reply[protocol.ThreadResult]) {
	if p.Turns < 1 {
		r(protocol.ThreadResult{}, protocol.InvalidParams("turns", "must be at least 1"))
		return
	}
	find := func() (newestTurns, error) { return m.newestTurns(c, p.ThreadID, p.Turns) }
	mutateFound(m, c, p.ThreadID, p.IdempotencyKey, r, find, func(t *Thread, x *change, newest newestTurns) (protocol.ThreadResult, error) {
		var none protocol.ThreadResult
		if err := t.mustNotBeEnded(); err != nil {
			return none, err
		}
		if t.run != nil {
			return none, t.inProgress()
		}
		if now := t.st.Thread.HeadSeq; now != newest.head {
			e := protocol.Errorf(protocol.CodeConflict, "the thread has changed meanwhile; look again")
			e.Data.HeadSeq = &now
			return none, e
		}
		if len(newest.ids) < p.Turns {
			return none, protocol.InvalidParams("turns", "is more than the "+itoa(len(newest.ids))+" turns that the thread has")
		}
		h := x.next("", "", "")
		emit(x, protocol.EventThreadRolledBack, protocol.ThreadRolledBackEvent{Header: h, RemovedTurnIDs: newest.ids})
		x.batch.DropTurns = newest.ids
		t.st.Turns -= len(newest.ids)
		t.st.LastEdit = h.Seq
		x.touchActive()
		return protocol.ThreadResult{Thread: t.header()}, nil
	})
}

// newestTurns are the ids of the turns that ran last, newest first.
type newestTurns struct {
	ids  []string
	head uint64 // of the thread when this was true
}

func (m *Manager) newestTurns(c Call, id string, n int) (newestTurns, error) {
	var none newestTurns
	t, err := m.lock(c.Context, id, c.Caller.User)
	if err != nil {
		return none, err
	}
	v := t.view()
	t.mu.Unlock()
	if err := v.wait(c.Context); err != nil {
		return none, m.storageErrorOf(err)
	}
	entries, err := v.ran(c.Context, 0)
	if err != nil {
		return none, m.storageErrorOf(err)
	}
	slices.Reverse(entries)
	entries = entries[:min(n, len(entries))]
	ids := make([]string, 0, len(entries))
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	return newestTurns{ids, v.head}, nil
}

// Fork begins a thread with the history of another: its ended turns up to upToTurnId, in
// the order in which they ran, under new ids, and what was appended to it and waits.
func (m *Manager) Fork(c Call, p protocol.ThreadForkParams, r Reply[protocol.ThreadResult]) {
	r = claiming(m, c, r, func(res protocol.ThreadResult) (claim, bool) {
		return claim{thread: res.Thread.ID, follow: wants(p.Subscribe), own: true, tools: p.Tools}, res.Replayed
	})
	once(m, c, p.ThreadID, p.IdempotencyKey, r, func(k *storage.KeyResult, r Reply[protocol.ThreadResult]) {
		src, err := m.forkSource(c, p)
		if err != nil {
			r(protocol.ThreadResult{}, m.storageErrorOf(err))
			return
		}
		t, err := m.create(c, forkOptions(p, src.header), &protocol.ForkedFrom{ThreadID: p.ThreadID, TurnID: p.UpToTurnID})
		if err != nil {
			r(protocol.ThreadResult{}, err)
			return
		}
		defer t.mu.Unlock()
		x := t.begin()
		x.started(c, wants(p.Subscribe))
		x.copyHistory(src)
		x.bindNamed(c, p.Tools)
		res := protocol.ThreadResult{Thread: t.header()}
		x.keep(k, res)
		x.commit(func(err error) { r(res, err) })
	})
}

// forkHistory is what a fork takes over.
type forkHistory struct {
	header  protocol.Thread
	loose   []protocol.Item // that belong to no turn
	turns   []protocol.Turn // with items
	pending []protocol.Item
}

func (m *Manager) forkSource(c Call, p protocol.ThreadForkParams) (forkHistory, error) {
	t, err := m.lock(c.Context, p.ThreadID, c.Caller.User)
	if err != nil {
		return forkHistory{}, err
	}
	src := forkHistory{header: t.header()}
	v := t.view()
	t.mu.Unlock()
	if err := v.wait(c.Context); err != nil {
		return src, err
	}
	entries, err := v.ran(c.Context, 0)
	if err != nil {
		return src, err
	}
	if p.UpToTurnID == "" {
		if src.pending, err = v.waitingItems(c.Context); err != nil {
			return src, err
		}
	} else {
		i := slices.IndexFunc(entries, func(e storage.TurnEntry) bool { return e.ID == p.UpToTurnID })
		if i < 0 {
			return src, protocol.Errorf(protocol.CodeTurnNotFound, "the thread has no turn %s that has run and ended", quote(p.UpToTurnID))
		}
		entries = entries[:i+1]
	}
	loose, err := v.loose(c.Context)
	if err != nil {
		return src, err
	}
	if src.loose, err = decoded[protocol.Item](t, loose); err != nil {
		return src, err
	}
	if m.checkItems("", src.loose) != nil { // each was changed since by a request of its own
		return src, protocol.InvalidParams("threadId", "is a thread whose items without a turn are too large for one event; copy it with thread/export and thread/import")
	}
	for _, e := range entries {
		tn, err := v.turn(c.Context, e, true)
		if err != nil {
			return src, err
		}
		src.turns = append(src.turns, tn)
	}
	return src, nil
}

// forkOptions takes from the source what the request does not say.
func forkOptions(p protocol.ThreadForkParams, from protocol.Thread) protocol.ThreadOptions {
	o := protocol.ThreadOptions{
		Agent: cmp.Or(p.Agent, from.Agent), Identity: p.Identity, Config: p.Config, Mode: cmp.Or(p.Mode, from.Mode),
		Title: cmp.Or(p.Title, from.Title), Metadata: p.Metadata, Lifetime: p.Lifetime, QueuePolicy: p.QueuePolicy,
		Tools: p.Tools, ThreadID: p.NewThreadID,
	}
	if o.Config == nil {
		o.Config = from.Config
	}
	if o.Metadata == nil {
		o.Metadata = from.Metadata
	}
	if o.QueuePolicy == nil {
		o.QueuePolicy = &from.QueuePolicy
	}
	return o
}

// copyHistory tells the history of another thread as that of this one.
func (x *change) copyHistory(src forkHistory) {
	t := x.t
	t.st.Thread.Preview = src.header.Preview
	if len(src.loose) > 0 {
		t.st.Base = x.changed("replace", "", renewed(src.loose, ""), true)
	}
	for _, tn := range src.turns {
		x.copyTurn(tn)
	}
	if len(src.pending) > 0 {
		x.pend(renewed(src.pending, ""))
	}
}

func (x *change) copyTurn(tn protocol.Turn) {
	t := x.t
	items := tn.Items
	tn.ID, tn.ThreadID, tn.Items = t.newTurnID(), t.id, nil
	begun := tn
	begun.Status, begun.CompletedAt, begun.Text, begun.Usage, begun.Error, begun.CancelReason, begun.CancelledBy = protocol.TurnRunning, 0, "", nil, nil, "", nil
	h := x.next(tn.ID, "", tn.TraceID)
	emit(x, protocol.EventTurnStarted, protocol.TurnEvent{Header: h, Turn: begun})
	for _, it := range renewed(items, tn.ID) {
		emit(x, protocol.EventItemCompleted, protocol.ItemEvent{Header: x.next(tn.ID, it.ID, tn.TraceID), Item: it})
	}
	if tn.Usage != nil {
		t.st.Thread.Usage.Add(*tn.Usage)
	}
	t.st.Turns++
	x.terminal(tn, storage.TurnEntry{ID: tn.ID, Accepted: h.Seq, Started: h.Seq}, nil)
}

// renewed returns copies of items under new ids.
func renewed(items []protocol.Item, turnID string) []protocol.Item {
	out := slices.Clone(items)
	for i := range out {
		out[i].ID, out[i].TurnID = protocol.NewID(protocol.PrefixItem), turnID
	}
	return out
}
