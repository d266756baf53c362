package thread

import (
	"encoding/json"
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// Import stores a journal, as Export gave it, under its own id and owned by the caller.
// What ran or waited in it when it was exported does not start: such a turn is ended as
// after a crash, and the queue is paused.
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
	j := journal{entries: map[string]storage.TurnEntry{}, turns: map[string]protocol.Turn{}}
	for i, raw := range p.Events {
		if err := j.add(raw); err != nil {
			return none, nil, protocol.InvalidParams("events["+itoa(i)+"]", err.Error())
		}
	}
	if j.header.ID == "" {
		return none, nil, protocol.InvalidParams("events", "must begin with thread/started or thread/reset")
	}
	if m.agents[j.header.Agent] == nil {
		return none, nil, protocol.Errorf(protocol.CodeAgentNotFound, "the journal's thread uses the agent %s, which is not configured here", quote(j.header.Agent))
	}
	if err := m.mustBeUnused(c.Context, j.header.ID); err != nil {
		return none, nil, err
	}
	j.header.Owner = c.Caller.User
	t, err := m.adopt(j.header)
	if err != nil {
		return none, nil, err
	}
	x := t.begin()
	x.batch.Create, x.row = true, true
	j.into(x)
	return protocol.ThreadResult{Thread: t.header()}, x, nil
}

// journal rebuilds the state of a thread from its events.
type journal struct {
	header  protocol.Thread
	events  []storage.Event
	entries map[string]storage.TurnEntry
	turns   map[string]protocol.Turn
	queue   []string
	order   []string // turns in the order in which they were accepted
	running string
	edits   map[string]uint64
	pending []pendingRef
	items   map[string]protocol.Item // pending ones
	base    uint64
	usage   protocol.Usage
}

type importError string

func (e importError) Error() string { return string(e) }

// importedEvent is what an event of any method may hold.
type importedEvent struct {
	protocol.Header
	Thread         *protocol.Thread      `json:"thread"`
	Turn           *protocol.Turn        `json:"turn"`
	TurnIDs        []string              `json:"turnIds"`
	Updated        []protocol.Turn       `json:"updated"`
	RemovedTurnIDs []string              `json:"removedTurnIds"`
	Changes        []protocol.ItemChange `json:"changes"`
	Replaced       bool                  `json:"replaced"`
}

// add takes the next event.
func (j *journal) add(raw json.RawMessage) error {
	if len(raw) == 0 || raw[0] != '{' {
		return importError("must be an object")
	}
	env := protocol.ParseFrame(raw)
	if !durable[env.Method] || len(env.ID) > 0 {
		return importError("is not a durable notification")
	}
	var e importedEvent
	if err := json.Unmarshal(env.Params, &e); err != nil {
		return importError("cannot be read: " + err.Error())
	}
	if err := j.checkPlace(env.Method, e); err != nil {
		return err
	}
	j.events = append(j.events, storage.Event{Seq: e.Seq, Frame: append([]byte(nil), raw...)})
	if e.Thread != nil {
		j.header = *e.Thread
	}
	j.header.HeadSeq = e.Seq
	return j.apply(env.Method, e)
}

func (j *journal) checkPlace(method string, e importedEvent) error {
	if len(j.events) == 0 {
		first := method == protocol.EventThreadStarted.Name && e.Seq == 1 || method == protocol.EventThreadReset.Name && e.Seq > 0
		if !first || e.Thread == nil || e.Thread.ID != e.ThreadID || !protocol.ValidID(protocol.PrefixThread, e.ThreadID) {
			return importError("must be thread/started with seq 1, or thread/reset")
		}
		return nil
	}
	if e.ThreadID != j.header.ID {
		return importError("belongs to another thread than the events before it")
	}
	if e.Seq != j.header.HeadSeq+1 {
		return importError("has a seq that does not follow the one before it")
	}
	if e.Thread != nil && e.Thread.ID != j.header.ID {
		return importError("holds the header of another thread")
	}
	return nil
}

// apply does to the state what the event says.
func (j *journal) apply(method string, e importedEvent) error {
	switch method {
	case protocol.EventThreadReset.Name:
		*j = journal{
			header: j.header, events: j.events[len(j.events)-1:],
			entries: map[string]storage.TurnEntry{}, turns: map[string]protocol.Turn{},
		}
	case protocol.EventThreadRolledBack.Name:
		for _, id := range e.RemovedTurnIDs {
			delete(j.entries, id)
			j.order = slices.DeleteFunc(j.order, func(o string) bool { return o == id })
		}
	case protocol.EventQueueUpdated.Name:
		j.queue = e.TurnIDs
		for _, tn := range e.Updated {
			if entry, ok := j.entries[tn.ID]; ok {
				entry.Input = e.Seq
				j.entries[tn.ID], j.turns[tn.ID] = entry, tn
			}
		}
	case protocol.EventItemsChanged.Name:
		j.applyItems(e)
	case protocol.EventTurnQueued.Name, protocol.EventTurnStarted.Name, protocol.EventTurnCompleted.Name,
		protocol.EventTurnFailed.Name, protocol.EventTurnCancelled.Name:
		if e.Turn == nil || e.Turn.ID != e.TurnID || !protocol.ValidID(protocol.PrefixTurn, e.TurnID) {
			return importError("holds no turn")
		}
		j.applyTurn(method, e)
	}
	return nil
}

func (j *journal) applyTurn(method string, e importedEvent) {
	id := e.TurnID
	entry, known := j.entries[id]
	entry.ID = id
	if !known {
		entry.Accepted = e.Seq
		j.order = append(j.order, id)
	}
	j.queue = slices.DeleteFunc(slices.Clone(j.queue), func(q string) bool { return q == id })
	switch method {
	case protocol.EventTurnQueued.Name:
		at := min(max(e.Turn.Position-1, 0), len(j.queue))
		j.queue = slices.Insert(j.queue, at, id)
	case protocol.EventTurnStarted.Name:
		entry.Started = e.Seq
		j.running = id
	default:
		entry.Ended = e.Seq
		if j.running == id {
			j.running = ""
		}
		if e.Turn.Usage != nil {
			j.usage.Add(*e.Turn.Usage)
		}
	}
	j.entries[id], j.turns[id] = entry, *e.Turn
}

func (j *journal) applyItems(e importedEvent) {
	if j.edits == nil {
		j.edits, j.items = map[string]uint64{}, map[string]protocol.Item{}
	}
	if e.Replaced {
		j.base, j.pending = e.Seq, nil
		clear(j.items)
		return
	}
	for _, ch := range e.Changes {
		pending := ch.Item.TurnID == ""
		j.pending = slices.DeleteFunc(j.pending, func(p pendingRef) bool { return p.ID == ch.ItemID })
		delete(j.items, ch.ItemID)
		if pending {
			j.pending = append(j.pending, pendingRef{ID: ch.ItemID, Seq: e.Seq})
			j.items[ch.ItemID] = ch.Item
		}
		if ch.Op == "update" {
			j.edits[ch.ItemID] = e.Seq
		}
	}
}

// into puts the state into a new thread's first change.
func (j *journal) into(x *change) {
	t := x.t
	h := &t.st.Thread
	h.Usage = j.usage
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
	t.st.Base, t.st.Pending = j.base, j.pending
	t.st.Turns = len(j.entries)
	for _, ref := range j.pending {
		t.pending = append(t.pending, j.items[ref.ID])
	}
	for item, seq := range j.edits {
		if protocol.ValidID(protocol.PrefixItem, item) {
			x.batch.Edits = append(x.batch.Edits, storage.Edit{Item: item, Seq: seq})
			t.st.LastEdit = max(t.st.LastEdit, seq)
		}
	}
	for _, id := range j.order {
		x.turnEntry(j.entries[id])
	}
	for _, id := range j.queue {
		if tn, ok := j.turns[id]; ok {
			t.queued[id], t.entries[id] = &tn, j.entries[id]
			t.st.Queue.Waiting = append(t.st.Queue.Waiting, id)
		}
	}
	if len(j.order) > 0 {
		t.st.LastID = slices.Max(j.order)
		protocol.RaiseIDs(t.st.LastID)
	}
	if j.running != "" {
		x.loseImported(j)
	}
	if len(t.st.Queue.Waiting) > 0 {
		t.st.Queue.Pause(protocol.PauseUser)
		x.queueUpdated(nil)
	}
}

// loseImported ends a turn that ran when its journal was exported.
func (x *change) loseImported(j *journal) {
	tn, entry := j.turns[j.running], j.entries[j.running]
	r := &run{t: x.t, turn: tn, entry: entry}
	f := folder{turn: tn.ID}
	for _, ev := range j.events {
		_ = f.add(ev.Frame) // each was read before
	}
	for _, it := range f.items {
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

// durable holds the methods of the journal.
var durable = func() map[string]bool {
	m := map[string]bool{}
	for _, n := range protocol.ServerNotifications() {
		if n.Durable {
			m[n.Name] = true
		}
	}
	return m
}()
