package thread

import (
	"bytes"
	"encoding/json"
	"slices"
	"unicode/utf8"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// journal rebuilds the state of a thread from its events. They come from anywhere, so each
// must fit to those before it: what follows relies on that.
type journal struct {
	header  protocol.Thread
	events  []storage.Event
	at      protocol.Time // of the newest event
	entries map[string]storage.TurnEntry
	turns   map[string]protocol.Turn
	order   []string // turns in the order in which they were accepted
	running string
	first   protocol.Input // of the first turn
	edits   map[string]uint64
	waits   waitlist
	base    uint64
	usage   protocol.Usage

	queue    []string
	revision uint64
	paused   bool
	reason   protocol.PauseReason
}

func newJournal() journal {
	return journal{
		entries: map[string]storage.TurnEntry{}, turns: map[string]protocol.Turn{}, edits: map[string]uint64{},
	}
}

type importError string

func (e importError) Error() string { return string(e) }

// importedEvent is what an event of any method may hold.
type importedEvent struct {
	protocol.Header
	Thread         *protocol.Thread      `json:"thread"`
	Turn           *protocol.Turn        `json:"turn"`
	Queue          *protocol.QueueState  `json:"queue"`
	Revision       uint64                `json:"revision"`
	Paused         bool                  `json:"paused"`
	PauseReason    protocol.PauseReason  `json:"pauseReason"`
	TurnIDs        []string              `json:"turnIds"`
	Updated        []protocol.Turn       `json:"updated"`
	RemovedTurnIDs []string              `json:"removedTurnIds"`
	Changes        []protocol.ItemChange `json:"changes"`
	Replaced       bool                  `json:"replaced"`
	Item           *protocol.Item        `json:"item"`
	Entries        []protocol.PlanEntry  `json:"entries"`
}

// add takes the next event.
func (j *journal) add(raw json.RawMessage) error {
	if len(raw) == 0 || raw[0] != '{' {
		return importError("must be an object")
	}
	// It will be sent to clients as it is, some of which read line by line.
	if bytes.ContainsAny(raw, "\r\n") || !utf8.Valid(raw) {
		return importError("must be one line of UTF-8")
	}
	env := protocol.ParseFrame(raw)
	if !durable[env.Method] || protocol.Frame(raw).Method() != env.Method || len(env.ID)+len(env.Result)+len(env.Error) > 0 {
		return importError("is not a durable notification as thread/export gives it")
	}
	var e importedEvent
	if err := json.Unmarshal(env.Params, &e); err != nil {
		return importError("cannot be read: " + err.Error())
	}
	if err := checkStored(env, e); err != nil {
		return err
	}
	if err := j.checkPlace(env.Method, e); err != nil {
		return err
	}
	if e.Thread != nil {
		if err := checkHeader(*e.Thread); err != nil {
			return err
		}
		j.header = *e.Thread
	}
	j.events = append(j.events, storage.Event{Seq: e.Seq, Frame: append([]byte(nil), raw...)})
	j.header.HeadSeq, j.at = e.Seq, e.At
	return j.apply(env.Method, e)
}

// checkStored refuses turns and items that encoding/json finds in the event and a reader of the
// stored JSON does not, as it looks at the exact names, and turns with items, which readers add.
func checkStored(env protocol.Envelope, e importedEvent) error {
	turns := slices.Clone(e.Updated)
	if e.Turn != nil {
		turns = append(turns, *e.Turn)
	}
	for _, tn := range turns {
		if raw, err := turnIn(env, tn.ID); err != nil || textOf(raw, "id") != tn.ID || tn.Items != nil {
			return importError("holds a turn that is not written as the daemon writes it")
		}
	}
	if e.Item != nil && textOf(protocol.Member(env.Params, "item"), "id") != e.Item.ID {
		return importError("holds an item that is not written as the daemon writes it")
	}
	if env.Method != protocol.EventItemsChanged.Name {
		return nil
	}
	changes, err := changesIn(env)
	if err != nil {
		return importError("holds no changes")
	}
	for _, c := range changes {
		if c.ItemID == "" || textOf(c.Item, "id") != c.ItemID {
			return importError("changes an item that it does not hold")
		}
	}
	return nil
}

// maxSeq bounds what is believed of a seq, so that it can grow on and every client can
// count it.
const maxSeq = 1 << 52

func (j *journal) checkPlace(method string, e importedEvent) error {
	if e.Seq >= maxSeq {
		return importError("has a seq that is too large")
	}
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

// checkHeader refuses values that the rules of a thread do not know.
func checkHeader(h protocol.Thread) error {
	l, p := h.Lifetime, h.QueuePolicy
	switch {
	case !oneOf(string(h.Status), h.Status.Values()...):
		return importError("holds a thread of unknown status")
	case !oneOf(string(l.Mode), l.Mode.Values()...) || !oneOf(string(l.OnDisconnect), l.OnDisconnect.Values()...) || l.GraceMs < 0:
		return importError("holds a thread of unknown lifetime")
	case !oneOf(string(p.OnFailed), p.OnFailed.Values()...) || !oneOf(string(p.OnCancelled), p.OnCancelled.Values()...):
		return importError("holds a thread of unknown queuePolicy")
	}
	return nil
}

// apply does to the state what the event says.
func (j *journal) apply(method string, e importedEvent) error {
	switch method {
	case protocol.EventThreadStarted.Name, protocol.EventThreadReset.Name:
		return j.begin(method)
	case protocol.EventThreadRolledBack.Name:
		return j.rollBack(e)
	case protocol.EventQueueUpdated.Name:
		return j.applyQueue(e)
	case protocol.EventItemsChanged.Name:
		return j.applyItems(e)
	case protocol.EventItemStarted.Name, protocol.EventItemCompleted.Name, protocol.EventApprovalRequested.Name,
		protocol.EventApprovalResolved.Name, protocol.EventQuestionRequested.Name, protocol.EventQuestionResolved.Name:
		if e.Item == nil || e.Item.ID != e.ItemID {
			return importError("holds no item")
		}
	case protocol.EventTurnQueued.Name, protocol.EventTurnStarted.Name, protocol.EventTurnCompleted.Name,
		protocol.EventTurnFailed.Name, protocol.EventTurnCancelled.Name:
		return j.applyTurn(method, e)
	}
	return nil
}

// begin drops all there was.
func (j *journal) begin(method string) error {
	if method == protocol.EventThreadStarted.Name && len(j.events) > 1 {
		return importError("begins the thread a second time")
	}
	n, r := newJournal(), j.header.Runtime
	n.header, n.at, n.events = j.header, j.at, j.events[len(j.events)-1:]
	n.revision, n.paused, n.reason = r.QueueRevision, r.QueuePaused, r.PauseReason
	*j = n
	return nil
}

func (j *journal) rollBack(e importedEvent) error {
	for _, id := range e.RemovedTurnIDs {
		if j.entries[id].Ended == 0 {
			return importError("removes a turn that has not ended")
		}
		delete(j.entries, id)
		delete(j.turns, id)
		j.order = slices.DeleteFunc(j.order, func(o string) bool { return o == id })
	}
	return nil
}

func (j *journal) applyQueue(e importedEvent) error {
	a, b := slices.Sorted(slices.Values(e.TurnIDs)), slices.Sorted(slices.Values(j.queue))
	if !slices.Equal(a, b) {
		return importError("names other turns than those that wait")
	}
	j.queue, j.revision, j.paused, j.reason = e.TurnIDs, e.Revision, e.Paused, e.PauseReason
	for _, tn := range e.Updated {
		if !slices.Contains(j.queue, tn.ID) {
			return importError("changes a turn that does not wait")
		}
		entry := j.entries[tn.ID]
		entry.Input = e.Seq
		j.entries[tn.ID], j.turns[tn.ID] = entry, tn
	}
	return nil
}

// turnStatus is the state of the turn in an event.
var turnStatus = map[string]protocol.TurnStatus{
	protocol.EventTurnQueued.Name: protocol.TurnQueued, protocol.EventTurnStarted.Name: protocol.TurnRunning,
	protocol.EventTurnCompleted.Name: protocol.TurnCompleted, protocol.EventTurnFailed.Name: protocol.TurnFailed,
	protocol.EventTurnCancelled.Name: protocol.TurnCancelled,
}

func (j *journal) applyTurn(method string, e importedEvent) error {
	if err := j.checkTurn(method, e); err != nil {
		return err
	}
	id := e.TurnID
	entry, known := j.entries[id]
	if !known {
		entry.ID, entry.Accepted = id, e.Seq
		j.order = append(j.order, id)
		if j.first == nil {
			j.first = e.Turn.Input
		}
	}
	if e.Queue != nil {
		j.revision, j.paused = e.Queue.Revision, e.Queue.Paused
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
	return nil
}

// checkTurn refuses a step that the turn cannot take.
func (j *journal) checkTurn(method string, e importedEvent) error {
	if e.Turn == nil || e.Turn.ID != e.TurnID || !protocol.ValidID(protocol.PrefixTurn, e.TurnID) || e.Turn.Status != turnStatus[method] {
		return importError("holds no turn in this state")
	}
	entry, known := j.entries[e.TurnID]
	runs, waits := j.running == e.TurnID, slices.Contains(j.queue, e.TurnID)
	switch {
	case entry.Ended > 0:
		return importError("comes after the end of its turn")
	case method == protocol.EventTurnQueued.Name && known:
		return importError("queues a turn that is there already")
	case method == protocol.EventTurnStarted.Name && j.running != "" && !runs:
		return importError("starts a turn while another runs")
	case e.Turn.Status.Terminal() && !runs && (!waits || e.Turn.Status != protocol.TurnCancelled):
		return importError("ends a turn that does not run")
	}
	return nil
}

func (j *journal) applyItems(e importedEvent) error {
	if e.Replaced {
		j.base = e.Seq
		j.waits.clear(e.Seq)
		return nil
	}
	for i := range e.Changes {
		ch := &e.Changes[i]
		switch id := ch.ItemID; {
		case appends(ch.Op, ch.Item.TurnID) && !j.waits.add(e.Seq, &ch.Item):
			return importError("appends an item that waits already")
		case ch.Item.TurnID != "" && j.waits.has(id) && !j.waits.take(id):
			return importError("gives an item to a turn before older ones that wait")
		case ch.Op == "update":
			j.edits[id] = e.Seq
		}
	}
	return nil
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
