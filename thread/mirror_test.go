package thread_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/spoolhq/spool/protocol"
)

// mirror is a client that builds a thread from its events and from nothing else. It checks
// what every client may rely on: seq without holes, offsets, one running turn, one last
// terminal event a turn, a queue revision that grows by one.
type mirror struct {
	t      tb
	id     string
	first  uint64            // seq of the first event it was given
	seq    uint64            // of the newest
	bytes  map[uint64]string // events as they came
	exact  bool              // it gets all deltas: a gap in the text is a fault
	before string            // method of the durable event before
	header protocol.Thread

	turns   map[string]*protocol.Turn
	order   []string // as they were accepted
	ran     []string // as they started
	over    map[string]bool
	running string

	items   map[string][]*protocol.Item // by turn, in order
	loose   []*protocol.Item            // put in place of all others, without a turn
	pending []*protocol.Item
	texts   map[string]bool // items in progress whose text is known

	queue    []string
	revision uint64
	paused   bool
	reason   protocol.PauseReason
	kept     bool // turns that a reset has kept are told again
	told     int  // snapshots and deltas that counted
}

// newMirror begins behind seq after.
func newMirror(t tb, id string, after uint64) *mirror {
	m := &mirror{t: t, id: id, seq: after, bytes: map[uint64]string{}, exact: true}
	m.forget()
	return m
}

func (m *mirror) forget() {
	m.turns, m.order, m.ran, m.over, m.running = map[string]*protocol.Turn{}, nil, nil, map[string]bool{}, ""
	m.items, m.loose, m.pending, m.texts = map[string][]*protocol.Item{}, nil, nil, map[string]bool{}
	m.queue = nil
}

// event is what any notification may hold.
type event struct {
	protocol.Header
	Thread         *protocol.Thread      `json:"thread"`
	Turn           *protocol.Turn        `json:"turn"`
	Item           *protocol.Item        `json:"item"`
	Queue          *protocol.QueueState  `json:"queue"`
	Revision       uint64                `json:"revision"`
	Paused         bool                  `json:"paused"`
	PauseReason    protocol.PauseReason  `json:"pauseReason"`
	TurnIDs        []string              `json:"turnIds"`
	Updated        []protocol.Turn       `json:"updated"`
	RemovedTurnIDs []string              `json:"removedTurnIds"`
	Changes        []protocol.ItemChange `json:"changes"`
	Replaced       bool                  `json:"replaced"`
	Entries        []protocol.PlanEntry  `json:"entries"`
	Offset         int                   `json:"offset"`
	Delta          string                `json:"delta"`
	Patch          json.RawMessage       `json:"patch"`
	ThroughSeq     uint64                `json:"throughSeq"`
}

func parse(t tb, f protocol.Frame) (string, event) {
	t.Helper()
	env := protocol.ParseFrame(f)
	var e event
	if err := json.Unmarshal(env.Params, &e); err != nil {
		t.Fatalf("%s: %v", f, err)
	}
	return env.Method, e
}

// apply takes what a client has read.
func (m *mirror) apply(frames []protocol.Frame) {
	m.t.Helper()
	for _, f := range frames {
		if f.Method() == "" {
			continue // a mark
		}
		method, e := parse(m.t, f)
		if e.ThreadID != m.id {
			continue
		}
		if e.Seq == 0 {
			m.live(method, e)
			continue
		}
		if e.Seq != m.seq+1 && (method != protocol.EventThreadReset.Name || e.Seq <= m.seq) {
			m.t.Fatalf("seq %d (%s) follows seq %d", e.Seq, method, m.seq)
		}
		m.seq = e.Seq
		if m.first == 0 {
			m.first = e.Seq
		}
		m.bytes[e.Seq] = string(f)
		m.durable(method, e)
		m.before = method
		m.kept = method == protocol.EventThreadReset.Name || m.kept && method == protocol.EventTurnQueued.Name
	}
}

func (m *mirror) durable(method string, e event) {
	m.t.Helper()
	if m.over[e.TurnID] && method != protocol.EventItemsChanged.Name {
		m.t.Fatalf("seq %d: %s after the end of its turn %s", e.Seq, method, e.TurnID)
	}
	switch method {
	case protocol.EventThreadStarted.Name, protocol.EventThreadReset.Name:
		m.forget()
		r := e.Thread.Runtime
		m.revision, m.paused, m.reason = r.QueueRevision, r.QueuePaused, r.PauseReason
	case protocol.EventThreadRolledBack.Name:
		for _, id := range e.RemovedTurnIDs {
			m.removed(id)
		}
	case protocol.EventQueueUpdated.Name:
		m.revised(e.Revision, m.before == protocol.EventTurnCancelled.Name)
		m.queue, m.paused, m.reason = e.TurnIDs, e.Paused, e.PauseReason
		for _, tn := range e.Updated {
			m.turns[tn.ID] = &tn
		}
	case protocol.EventTurnQueued.Name, protocol.EventTurnStarted.Name,
		protocol.EventTurnCompleted.Name, protocol.EventTurnFailed.Name, protocol.EventTurnCancelled.Name:
		m.turn(method, e)
	case protocol.EventItemStarted.Name, protocol.EventItemCompleted.Name:
		m.item(method, e)
	case protocol.EventItemsChanged.Name:
		m.changed(e)
	case protocol.EventPlanUpdated.Name:
		m.find(e.ItemID).Entries = e.Entries
	}
	if e.Thread != nil {
		m.header = *e.Thread
	}
}

// revised takes a new revision of the queue; same allows that it is the old one.
func (m *mirror) revised(to uint64, same bool) {
	m.t.Helper()
	if to != m.revision+1 && (!same || to != m.revision) {
		m.t.Fatalf("seq %d: revision %d of the queue follows %d", m.seq, to, m.revision)
	}
	m.revision = to
}

func (m *mirror) removed(id string) {
	if !m.over[id] {
		m.t.Fatalf("seq %d: turn %s was rolled back, which has not ended", m.seq, id)
	}
	is := func(other string) bool { return other == id }
	m.order, m.ran = slices.DeleteFunc(m.order, is), slices.DeleteFunc(m.ran, is)
	delete(m.turns, id)
	delete(m.items, id)
}

func (m *mirror) turn(method string, e event) {
	m.t.Helper()
	id := e.TurnID
	old := m.turns[id]
	if old == nil {
		m.order = append(m.order, id)
	}
	waited := slices.Contains(m.queue, id)
	if e.Queue != nil {
		m.revised(e.Queue.Revision, m.kept || method == m.before && method == protocol.EventTurnCancelled.Name)
		if e.Queue.Paused != m.paused {
			m.t.Fatalf("seq %d: the queue is said to be paused: %t", e.Seq, e.Queue.Paused)
		}
	}
	m.queue = slices.DeleteFunc(slices.Clone(m.queue), func(q string) bool { return q == id })
	tn := *e.Turn
	m.turns[id] = &tn
	switch {
	case method == protocol.EventTurnQueued.Name:
		m.queue = slices.Insert(m.queue, tn.Position-1, id)
		return
	case method == protocol.EventTurnStarted.Name:
		if again := m.running == id && tn.Attempt == old.Attempt+1; m.running != "" && !again || tn.Attempt < 1 {
			m.t.Fatalf("seq %d: turn %s starts (attempt %d) while %s runs", e.Seq, id, tn.Attempt, m.running)
		}
		if m.running != id {
			m.ran = append(m.ran, id)
		}
		m.running = id
		return
	case m.running == id:
		m.running = ""
		for _, it := range m.items[id] {
			if it.Status == protocol.ItemInProgress {
				m.t.Fatalf("seq %d: the turn ended, its item %s has not", e.Seq, it.ID)
			}
		}
	case !waited || tn.Status != protocol.TurnCancelled:
		m.t.Fatalf("seq %d: %s of turn %s, which neither ran nor waited", e.Seq, method, id)
	}
	m.over[id] = true
}

func (m *mirror) item(method string, e event) {
	m.t.Helper()
	if e.TurnID != m.running || e.Item.TurnID != e.TurnID || e.Item.ID != e.ItemID {
		m.t.Fatalf("seq %d: an item of turn %s while %q runs", e.Seq, e.TurnID, m.running)
	}
	old := m.find(e.ItemID)
	if (old != nil) != (method == protocol.EventItemCompleted.Name && old != nil) || old != nil && old.Status != protocol.ItemInProgress {
		m.t.Fatalf("seq %d: %s of item %s, which is %v", e.Seq, method, e.ItemID, old)
	}
	if open := e.Item.Status == protocol.ItemInProgress; open != (method == protocol.EventItemStarted.Name) {
		m.t.Fatalf("seq %d: %s of an item that is %s", e.Seq, method, e.Item.Status)
	}
	if old != nil {
		*old = *e.Item
		delete(m.texts, e.ItemID)
		return
	}
	m.items[e.TurnID] = append(m.items[e.TurnID], e.Item)
	m.texts[e.ItemID] = true
}

func (m *mirror) changed(e event) {
	if e.Replaced {
		m.items, m.loose, m.pending = map[string][]*protocol.Item{}, nil, nil
		for _, c := range e.Changes {
			if c.Item.TurnID == "" {
				m.loose = append(m.loose, &c.Item)
			} else {
				m.items[c.Item.TurnID] = append(m.items[c.Item.TurnID], &c.Item)
			}
		}
		return
	}
	for _, c := range e.Changes {
		old := m.find(c.ItemID)
		switch {
		case (old == nil) != (c.Op == "append"):
			m.t.Fatalf("seq %d: %s of item %s, which is %v", e.Seq, c.Op, c.ItemID, old)
		case old != nil && old.TurnID == c.Item.TurnID:
			*old = c.Item
		case c.Item.TurnID == "":
			m.pending = append(m.pending, &c.Item)
		default: // a pending item joins its turn, or one is steered into it
			m.pending = slices.DeleteFunc(m.pending, func(it *protocol.Item) bool { return it.ID == c.ItemID })
			m.items[c.Item.TurnID] = append(m.items[c.Item.TurnID], &c.Item)
		}
	}
}

// find returns an item, nil if it is unknown.
func (m *mirror) find(id string) *protocol.Item {
	lists := [][]*protocol.Item{m.loose, m.pending}
	for _, items := range m.items {
		lists = append(lists, items)
	}
	for _, items := range lists {
		for _, it := range items {
			if it.ID == id {
				return it
			}
		}
	}
	return nil
}

// text is the growing part of an item.
func text(it *protocol.Item) *string {
	if it.Type == protocol.ItemCommandExecution {
		return &it.Output
	}
	return &it.Text
}

func (m *mirror) live(method string, e event) {
	m.t.Helper()
	if method == protocol.EventSubscriptionLagged.Name {
		clear(m.texts) // until the snapshots
		return
	}
	it := m.find(e.ItemID)
	switch method {
	case protocol.EventItemUpdated.Name:
		if it == nil || it.Status != protocol.ItemInProgress {
			m.t.Fatalf("a snapshot of item %s, which is %v", e.ItemID, it)
		}
		*it = *e.Item
		m.texts[e.ItemID] = true
		m.told++
	case protocol.EventStateDelta.Name:
		if it != nil && m.texts[it.ID] {
			it.State, _ = protocol.MergePatch(it.State, e.Patch)
		}
	case protocol.EventAgentMessageDelta.Name, protocol.EventReasoningDelta.Name, protocol.EventCommandOutputDelta.Name:
		if it == nil || it.Status != protocol.ItemInProgress {
			m.t.Fatalf("a delta of item %s, which is %v", e.ItemID, it)
		}
		held := text(it)
		switch {
		case m.texts[it.ID] && e.Offset == len(*held):
			*held += e.Delta
			m.told++
		case m.exact:
			m.t.Fatalf("a delta of item %s begins at %d, the client holds %d bytes (%t)", it.ID, e.Offset, len(*held), m.texts[it.ID])
		}
	}
}

// seed takes the snapshot of an answer.
func (m *mirror) seed(s protocol.ThreadSnapshot) {
	m.seq = s.HeadSeq
	if tn := s.ActiveTurn; tn != nil {
		m.running = tn.ID
		m.turns[tn.ID] = tn
		for _, it := range tn.Items {
			m.items[tn.ID] = append(m.items[tn.ID], &it)
			m.texts[it.ID] = it.Status == protocol.ItemInProgress
		}
	}
}

// expectedTurns are the turns as reads must give them.
func (m *mirror) expectedTurns() []protocol.Turn {
	all := make([]protocol.Turn, 0, len(m.order))
	for _, id := range slices.Sorted(slices.Values(m.order)) {
		tn := *m.turns[id]
		switch tn.Position = slices.Index(m.queue, id) + 1; {
		case tn.Position > 0 && tn.Status != protocol.TurnQueued, tn.Position == 0 && tn.Status == protocol.TurnQueued:
			m.t.Fatalf("turn %s is %s and has place %d in the queue", id, tn.Status, tn.Position)
		case tn.Status == protocol.TurnRunning:
			var texts []string
			for _, it := range m.items[id] {
				if it.Type == protocol.ItemAgentMessage && it.Status != protocol.ItemInProgress && it.Text != "" {
					texts = append(texts, it.Text)
				}
			}
			tn.Text = strings.Join(texts, "\n\n")
		}
		all = append(all, tn)
	}
	return all
}

// expectedItems are the items as thread/items/list must give them.
func (m *mirror) expectedItems() []protocol.Item {
	all := []protocol.Item{}
	add := func(items []*protocol.Item) {
		for _, it := range items {
			all = append(all, *it)
		}
	}
	add(m.loose)
	for _, id := range slices.Sorted(slices.Values(m.order)) {
		add(m.items[id])
	}
	add(m.pending)
	return all
}

// expectedHistory is what the agent of the running turn is told.
func (m *mirror) expectedHistory() []protocol.Item {
	all := []protocol.Item{}
	add := func(items []*protocol.Item) {
		for _, it := range items {
			all = append(all, *it)
		}
	}
	add(m.loose)
	for _, id := range m.ran {
		if id != m.running {
			add(m.items[id])
		}
	}
	add(m.items[m.running])
	return all
}

// agrees checks that what the client built is what reads give.
func (m *mirror) agrees(w *world) {
	m.t.Helper()
	same(m.t, "turns/list", m.expectedTurns(), w.turns(m.id, 3))
	same(m.t, "items/list", m.expectedItems(), w.items(m.id, 4))
	q := w.queue(m.id)
	ids := []string{}
	for _, tn := range q.Turns {
		ids = append(ids, tn.ID)
	}
	same(m.t, "queue/list", append([]string{}, m.queue...), ids)
	if q.Revision != m.revision || q.Paused != m.paused || q.PauseReason != m.reason {
		m.t.Fatalf("queue/list: revision %d paused %t %s; the client has %d %t %s", q.Revision, q.Paused, q.PauseReason, m.revision, m.paused, m.reason)
	}
	r := w.read(m.id)
	h := r.Thread
	if h.HeadSeq != m.seq {
		m.t.Fatalf("thread/read has headSeq %d, the client has seq %d", h.HeadSeq, m.seq)
	}
	if h.Runtime.ActiveTurnID != m.running || h.Runtime.QueueLength != len(m.queue) || h.Runtime.PendingItems != len(m.pending) {
		m.t.Fatalf("thread/read: runtime %+v; the client has %q running, %d queued, %d pending", h.Runtime, m.running, len(m.queue), len(m.pending))
	}
	still := func(t protocol.Thread) protocol.Thread {
		t.Runtime, t.HeadSeq, t.Usage, t.Preview, t.UpdatedAt, t.LastActiveAt = protocol.Runtime{}, 0, protocol.Usage{}, "", 0, 0
		return t
	}
	same(m.t, "thread/read", still(m.header), still(h))
	m.agreesOnTurns(*r.Turns)
}

func (m *mirror) agreesOnTurns(turns []protocol.Turn) {
	m.t.Helper()
	want := map[string]protocol.Turn{}
	for _, tn := range m.expectedTurns() {
		for _, it := range m.items[tn.ID] {
			tn.Items = append(tn.Items, *it)
		}
		want[tn.ID] = tn
	}
	if len(turns) != len(want) {
		m.t.Fatalf("thread/read has %d turns, the client %d", len(turns), len(want))
	}
	for _, tn := range turns {
		same(m.t, "thread/read, turn "+tn.ID, want[tn.ID], tn)
	}
}

// same compares values as they are written.
func same(t tb, what string, want, got any) {
	t.Helper()
	a, _ := protocol.Marshal(want)
	b, _ := protocol.Marshal(got)
	if bytes.Equal(a, b) {
		return
	}
	var x, y any
	_ = json.Unmarshal(a, &x)
	_ = json.Unmarshal(b, &y)
	if diff := cmp.Diff(x, y); diff != "" {
		t.Fatalf("%s is not what the events say (-events +read):\n%s", what, diff)
	}
}

// sameBytes checks that each event came as the same bytes to both.
func sameBytes(t tb, a, b *mirror) {
	t.Helper()
	for seq, frame := range a.bytes {
		if other, ok := b.bytes[seq]; ok && other != frame {
			t.Fatalf("seq %d came in two forms:\n%s\n%s", seq, frame, other)
		}
	}
}
