package thread

import (
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// Import stores a journal, as Export gave it, under its own id and owned by the caller.
// What ran or waited in it when it was exported does not start: such a turn is ended as
// after a crash, and the queue is paused. A journal that contradicts itself is refused.
func (m *Manager) Import(c Call, p protocol.ThreadImportParams, r Reply[protocol.ThreadResult]) {
	once(m, c, "", p.IdempotencyKey, r, func(k *storage.KeyResult, r Reply[protocol.ThreadResult]) {
		res, x, err := m.imported(c, p)
		if err != nil {
			r(res, err)
			return
		}
		defer x.t.mu.Unlock()
		x.keep(k, res)
		x.commit(func(err error) { r(res, err) })
	})
}

// imported makes the thread in memory, locked, with everything in one change.
func (m *Manager) imported(c Call, p protocol.ThreadImportParams) (protocol.ThreadResult, *change, error) {
	var none protocol.ThreadResult
	if err := m.refuseNew(); err != nil {
		return none, nil, err
	}
	j := newJournal()
	for i, raw := range p.Events {
		if err := j.add(raw); err != nil {
			return none, nil, protocol.InvalidParams("events["+itoa(i)+"]", err.Error())
		}
	}
	if len(j.events) == 0 {
		return none, nil, protocol.InvalidParams("events", "must begin with thread/started or thread/reset")
	}
	for _, id := range append([]string{j.running}, j.queue...) {
		if tn := j.turns[id]; m.checkTurn(&tn) != nil {
			return none, nil, protocol.InvalidParams("events", "have turn "+id+", which is larger than a turn may be")
		}
	}
	if _, whole := j.waits.waiting(); !whole {
		return none, nil, protocol.InvalidParams("events", "give some items of a thread/items/changed to a turn and leave others of it waiting")
	}
	if m.agents[j.header.Agent] == nil {
		return none, nil, protocol.Errorf(protocol.CodeAgentNotFound, "the journal's thread uses the agent %s, which is not configured here", quote(j.header.Agent))
	}
	if err := m.mustBeUnused(c.Context, j.header.ID); err != nil {
		return none, nil, err
	}
	j.header.Owner = c.Caller.User
	t, err := m.adopt(j.header.ThreadHeader)
	if err != nil {
		return none, nil, err
	}
	x := t.begin()
	x.batch.Create, x.row = true, true
	x.own(c.Caller)
	j.into(x)
	return protocol.ThreadResult{Thread: t.header()}, x, nil
}

// into puts the state into a new thread's first change.
func (j *journal) into(x *change) {
	t := x.t
	h := &t.st.Thread
	h.Usage, h.UpdatedAt, h.LastActiveAt = j.usage, j.at, j.at
	t.preview(j.first)
	x.batch.Events = j.events
	head := j.header.HeadSeq
	x.out = append(x.out, effect{kind: call, fn: func(err error) {
		if err == nil {
			t.flushed = head
		}
	}})
	if first := j.events[0].Seq; first > 1 {
		x.batch.EraseBefore = first // the journal begins with thread/reset
	}
	t.st.Base = j.base
	t.st.Pending, _ = j.waits.waiting()
	t.st.Turns = len(j.entries)
	for item, seq := range j.edits {
		if protocol.ValidID(protocol.PrefixItem, item) {
			x.batch.Edits = append(x.batch.Edits, storage.Edit{Item: item, Seq: seq})
			t.st.LastEdit = max(t.st.LastEdit, seq)
		}
	}
	for _, id := range j.order {
		x.turnEntry(j.entries[id])
	}
	q := &t.st.Queue
	q.Waiting, q.Revision, q.Paused, q.Reason = j.queue, j.revision, j.paused, j.reason
	for _, id := range j.queue {
		tn := j.turns[id]
		t.hold(&tn, j.entries[id])
	}
	if len(j.order) > 0 {
		t.st.LastID = slices.Max(j.order)
		protocol.RaiseIDs(t.st.LastID)
	}
	if j.running != "" {
		x.loseImported(j)
	}
	if len(q.Waiting) > 0 && !q.Paused {
		q.Pause(protocol.PauseUser)
		x.queueUpdated(nil)
	}
}

// loseImported ends a turn that ran when its journal was exported.
func (x *change) loseImported(j *journal) {
	tn, entry := j.turns[j.running], j.entries[j.running]
	r := &run{t: x.t, turn: tn, entry: entry}
	for _, it := range j.itemsOf(x.t, tn.ID) {
		o := &openItem{r: r, item: it, closed: it.Status != protocol.ItemInProgress}
		o.buf = append([]byte(it.Text), it.Output...)
		r.items = append(r.items, o)
	}
	for _, it := range r.items {
		if !it.closed {
			x.abandonItem(it)
		}
	}
	tn.Status, tn.CompletedAt, tn.Text = protocol.TurnFailed, x.at, r.text()
	tn.Error = &protocol.TurnError{Code: protocol.TurnErrRestarted, Message: "the turn was running when its thread was exported", Retryable: true}
	x.terminal(tn, entry, nil)
}

// itemsOf returns the items of a turn. Each event was read before, so none fails.
func (j *journal) itemsOf(t *Thread, turnID string) []protocol.Item {
	o := newOutline(turnID)
	for _, ev := range j.events {
		_ = o.add(ev.Seq, protocol.ParseFrame(ev.Frame))
	}
	first := j.events[0].Seq
	stored, _ := t.itemsAt(o.places, anyBytes, func(seq uint64) (protocol.Envelope, error) {
		return protocol.ParseFrame(j.events[seq-first].Frame), nil
	})
	items, _ := decoded[protocol.Item](t, stored)
	return items
}
