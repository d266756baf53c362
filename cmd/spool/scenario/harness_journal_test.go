package scenario_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// model is what a client holds that applies the durable events of a thread in order.
type model struct {
	t     testing.TB
	id    string
	seq   uint64
	at    *message // the event that is applied
	turns map[string]value
	ended []string // in the order of their ends
	begun map[string]bool
	items map[string]value
	order []string // of the items, as they appeared

	running  string
	queue    []string
	revision int
	length   int // what the event with this revision said; -1: nothing
	retold   int // turns that a reset kept and that are told again
	paused   bool
	reason   string
	header   value
}

func newModel(t testing.TB, id string) *model {
	m := &model{t: t, id: id, length: -1}
	m.clear()
	return m
}

func (m *model) clear() {
	m.turns, m.begun, m.items = map[string]value{}, map[string]bool{}, map[string]value{}
	m.ended, m.order, m.queue, m.running = nil, nil, nil, ""
}

func (m *model) fail(invariant, format string, a ...any) {
	m.t.Helper()
	m.t.Errorf(invariant+": thread "+m.id+": "+format, a...)
	if m.at != nil {
		m.t.Logf("at %.600s", m.at.raw)
	}
}

// apply takes the next durable event.
func (m *model) apply(e *message) {
	m.t.Helper()
	m.at = e
	if e.Seq != m.seq+1 && e.method != "thread/reset" {
		m.fail("I3", "the journal has seq %d behind %d", e.Seq, m.seq)
	}
	m.seq = e.Seq
	body := e.Body()
	if e.TurnID != "" && slices.Contains(m.ended, e.TurnID) && e.method != "thread/items/changed" {
		m.fail("I2", "turn %s has an event behind its end", e.TurnID)
	}
	switch {
	case m.retold > 0 && (e.method != "turn/queued" || body.Int("queue.revision") != m.revision || body.Int("queue.length") != m.length):
		m.fail("I6", "behind a reset that keeps %d turns of revision %d comes this, with %d of them still to come", m.length, m.revision, m.retold)
		m.retold = 0
	case m.retold > 0:
		m.retold--
	case body.Has("queue"):
		m.revised(body.Int("queue.revision"), e.method == "turn/cancelled")
		m.length = body.Int("queue.length")
	}
	if body.Has("queue") && m.paused != body.Bool("queue.paused") {
		m.fail("I6", "paused is %v, and the event says %v", m.paused, !m.paused)
	}
	switch e.method {
	case "turn/queued":
		m.queued(e.TurnID, body)
	case "turn/started":
		m.started(e.TurnID, body)
	case "turn/completed", "turn/failed", "turn/cancelled":
		m.over(e.TurnID, body)
	case "thread/queue/updated":
		m.queueUpdated(body)
	case "item/started", "item/completed", "item/approval/requested", "item/approval/resolved", "item/question/requested", "item/question/resolved":
		m.put(body.At("item"))
	case "plan/updated":
		m.items[e.ItemID] = m.items[e.ItemID].With("entries", body.At("entries").v)
	case "thread/items/changed":
		m.changed(body)
	case "thread/rolledBack":
		m.rolledBack(body.Strs("removedTurnIds"))
	case "thread/reset":
		m.reset(body.At("thread"))
	case "thread/started", "thread/updated", "thread/statusChanged", "thread/ended":
		m.header = body.At("thread")
	default:
		m.fail("I3", "the durable event %s is not known", e.method)
	}
}

// revised checks that the revision grows by one; turns that are cleared share one.
func (m *model) revised(revision int, shared bool) {
	m.t.Helper()
	switch {
	case revision == m.revision && shared:
		return
	case revision != m.revision+1:
		m.fail("I6", "the revision of the queue is %d behind %d", revision, m.revision)
	}
	m.settled()
	m.revision = revision
}

// reset drops everything but the queue, whose turns are told again.
func (m *model) reset(header value) {
	m.clear()
	r := header.At("runtime")
	m.header, m.revision, m.paused, m.reason = header, r.Int("queueRevision"), r.Bool("queuePaused"), r.Str("pauseReason")
	m.length = r.Int("queueLength")
	m.retold = m.length
}

// settled compares the length of the queue with what was last said of it.
func (m *model) settled() {
	m.t.Helper()
	if m.length >= 0 && m.length != len(m.queue) {
		m.fail("I6", "the queue has %d turns, the event of revision %d said %d", len(m.queue), m.revision, m.length)
	}
	m.length = -1
}

func (m *model) queued(id string, body value) {
	m.t.Helper()
	at := body.Int("turn.position") - 1
	if at < 0 || at > len(m.queue) || slices.Contains(m.queue, id) || m.begun[id] {
		m.fail("I6", "turn %s cannot be queued at position %d of %v", id, at+1, m.queue)
		return
	}
	m.queue = slices.Insert(m.queue, at, id)
	m.turns[id] = body.At("turn")
}

func (m *model) started(id string, body value) {
	m.t.Helper()
	attempt := body.Int("turn.attempt")
	switch {
	case m.running != "" && m.running != id:
		m.fail("I1", "turn %s starts while %s runs", id, m.running)
	case m.running == id && attempt != m.turns[id].Int("attempt")+1, m.running == "" && attempt != 1:
		m.fail("I2", "turn %s starts with attempt %d", id, attempt)
	case body.Has("queue") && (len(m.queue) == 0 || m.queue[0] != id):
		m.fail("I6", "turn %s starts from the queue %v, and is not its first", id, m.queue)
	case !body.Has("queue") && slices.Contains(m.queue, id):
		m.fail("I6", "turn %s starts from the queue without saying so", id)
	}
	m.queue = without(m.queue, id)
	m.running, m.begun[id], m.turns[id] = id, true, body.At("turn")
}

func (m *model) over(id string, body value) {
	m.t.Helper()
	was := slices.Contains(m.queue, id)
	if id != m.running && !was {
		m.fail("I2", "turn %s ends and was neither running nor queued", id)
	}
	if body.Has("queue") != was {
		m.fail("I6", "turn %s ends: in the queue %v, the event says %v", id, was, body.Has("queue"))
	}
	if id == m.running {
		m.running = ""
		for _, it := range m.order {
			if m.items[it].Str("turnId") == id && m.items[it].Str("status") == "inProgress" {
				m.fail("I4", "turn %s ends with the open item %s", id, it)
			}
		}
	}
	m.queue = without(m.queue, id)
	m.ended = append(m.ended, id)
	m.turns[id] = body.At("turn")
}

func (m *model) queueUpdated(body value) {
	m.t.Helper()
	m.revised(body.Int("revision"), true)
	ids := body.Strs("turnIds")
	if !slices.Equal(slices.Sorted(slices.Values(ids)), slices.Sorted(slices.Values(m.queue))) {
		m.fail("I6", "the queue is %v, and the event says %v", m.queue, ids)
	}
	m.queue, m.paused, m.reason, m.length = ids, body.Bool("paused"), body.Str("pauseReason"), len(ids)
	for _, tn := range body.List("updated") {
		m.turns[tn.Str("id")] = tn
	}
}

func (m *model) put(item value) {
	id := item.Str("id")
	if _, ok := m.items[id]; !ok {
		m.order = append(m.order, id)
	}
	m.items[id] = item
}

func (m *model) changed(body value) {
	if body.Bool("replaced") {
		m.items, m.order = map[string]value{}, nil
	}
	for _, c := range body.List("changes") {
		m.put(c.At("item"))
	}
}

func (m *model) rolledBack(turns []string) {
	for _, id := range turns {
		delete(m.turns, id)
		m.ended = without(m.ended, id)
	}
	m.order = slices.DeleteFunc(m.order, func(it string) bool { return slices.Contains(turns, m.items[it].Str("turnId")) })
}

func without(list []string, s string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(e string) bool { return e == s })
}

// itemsOf returns the items of a turn in their order.
func (m *model) itemsOf(turn string) []value {
	var items []value
	for _, id := range m.order {
		if it := m.items[id]; it.Str("turnId") == turn {
			items = append(items, it)
		}
	}
	return items
}

// checkJournal checks I1, I2 and I6 over the journal. Of a deleted thread only what clients
// were told is left.
func (b *book) checkJournal(t testing.TB) {
	t.Helper()
	m := newModel(t, b.id)
	if b.deleted {
		for _, seq := range slices.Sorted(maps.Keys(b.frames)) {
			if seq != m.seq+1 {
				return // nobody was there from the beginning
			}
			m.apply(decoded(t, b.frames[seq]))
		}
		return
	}
	for _, e := range b.journal {
		m.apply(e)
	}
	m.settled()
	m.at = nil
	m.checkQueue(b)
	m.checkTurns(b)
	m.checkLists(b)
	m.checkHeader(b)
}

func decoded(t testing.TB, raw []byte) *message {
	t.Helper()
	e := parse(raw)
	h := e.At("params")
	return &message{
		raw: raw, method: e.Str("method"), params: []byte(h.String()),
		header: header{ThreadID: h.Str("threadId"), TurnID: h.Str("turnId"), ItemID: h.Str("itemId"), Seq: uint64(h.Int("seq"))},
	}
}

// same compares what was built up with what the daemon says.
func (m *model) same(what string, built, said any) {
	m.t.Helper()
	if a, b := of(plain(built)).String(), of(plain(said)).String(); a != b {
		m.fail("I6", "%s:\nbuilt up %s\nis read  %s", what, a, b)
	}
}

func plain(v any) any {
	switch v := v.(type) {
	case value:
		return v.v
	case []value:
		out := make([]any, len(v))
		for i := range v {
			out[i] = v[i].v
		}
		return out
	case []string:
		return append([]string{}, v...)
	default:
		return v
	}
}

func (m *model) checkQueue(b *book) {
	m.t.Helper()
	m.same("queue", m.queue, b.queue.Each("turns", "id"))
	m.same("revision", m.revision, b.queue.Int("revision"))
	m.same("paused", m.paused, b.queue.Bool("paused"))
	m.same("pauseReason", m.reason, b.queue.Str("pauseReason"))
	r := b.read.At("thread.runtime")
	m.same("runtime", []any{m.running != "", m.running, len(m.queue), m.revision, m.paused, m.reason},
		[]any{r.Bool("busy"), r.Str("activeTurnId"), r.Int("queueLength"), r.Int("queueRevision"), r.Bool("queuePaused"), r.Str("pauseReason")})
	if m.running == "" && len(m.queue) > 0 && !m.paused && b.read.Str("thread.status") == "active" {
		m.fail("I6", "an idle, unpaused thread has queued turns %v", m.queue)
	}
	for i, tn := range b.queue.List("turns") {
		id := tn.Str("id")
		m.same("queued turn "+id, m.turns[id].With("position", i+1), tn)
	}
}

func (m *model) checkTurns(b *book) {
	m.t.Helper()
	ended := slices.Sorted(slices.Values(m.ended))
	want := slices.Clone(ended)
	if m.running != "" {
		want = append(want, m.running)
	}
	m.same("turns", append(want, m.queue...), b.read.Each("turns", "id"))
	for _, tn := range b.read.List("turns") {
		id := tn.Str("id")
		switch {
		case id == m.running:
			m.same("running turn "+id, m.turns[id].Without("text"), tn.Without("text", "items"))
			m.same("items of the running turn "+id, closed(m.itemsOf(id)), closed(tn.List("items")))
		case slices.Contains(ended, id):
			m.same("turn "+id, m.turns[id], tn.Without("items"))
			m.same("items of turn "+id, m.itemsOf(id), tn.List("items"))
		}
	}
	m.same("active turn", b.read.At("activeTurn").v, b.snapshot.At("activeTurn").v)
	m.same("open items", openItems(b.read), b.open)
}

// closed replaces items in progress by their ids: their text is in deltas and checkpoints.
func closed(items []value) []value {
	out := slices.Clone(items)
	for i, it := range out {
		if it.Str("status") == "inProgress" {
			out[i] = of(p{"id": it.Str("id"), "type": it.Str("type")})
		}
	}
	return out
}

func (m *model) checkLists(b *book) {
	m.t.Helper()
	var ids []string
	for _, tn := range b.turns {
		ids = append(ids, tn.Str("id"))
	}
	m.same("thread/turns/list", slices.Sorted(maps.Keys(m.turns)), ids)
	built, listed := map[string]value{}, map[string]value{}
	for _, id := range m.order {
		built[id] = m.items[id]
	}
	for _, it := range b.items {
		listed[it.Str("id")] = it
	}
	if len(listed) != len(b.items) {
		m.fail("I6", "thread/items/list gives an item twice")
	}
	for id := range listed {
		if it := built[id]; it.v == nil || it.Str("status") != "inProgress" && it.String() != listed[id].String() {
			m.fail("I6", "thread/items/list gives\n%s\nbuilt up was\n%s", listed[id], it)
		}
	}
	for id := range built {
		if listed[id].v == nil {
			m.fail("I6", "thread/items/list lacks %s", built[id])
		}
	}
}

func (m *model) checkHeader(b *book) {
	m.t.Helper()
	m.same("fresh snapshot", b.read.At("thread").v, b.snapshot.At("thread").v)
	for _, name := range []string{"id", "agent", "status", "title", "owner", "identity", "createdAt", "lifetime", "queuePolicy", "mode", "config", "metadata", "forkedFrom", "generation", "endReason"} {
		m.same("thread."+name, m.header.At(name).v, b.read.At("thread."+name).v)
	}
	m.same("headSeq", m.seq, b.read.Int("thread.headSeq"))
}

// checkAcknowledged checks that every turn that a client was told of in an answer is there.
func (b *book) checkAcknowledged(t testing.TB, clients []*client) {
	t.Helper()
	if b.deleted {
		return
	}
	known := map[string]bool{}
	for _, e := range b.journal {
		if e.TurnID != "" {
			known[e.TurnID] = true
		}
		if e.method == "thread/reset" {
			return // what came before is gone
		}
	}
	for _, c := range clients {
		for _, m := range c.messages() {
			if m.to == nil || m.err != nil || !strings.HasPrefix(m.to.method, "turn/") || m.Body().Str("turn.threadId") != b.id {
				continue
			}
			if id := m.Body().Str("turn.id"); !known[id] {
				t.Errorf("I2: %s was told that turn %s is accepted, and the journal does not have it", c.name, id)
			}
		}
	}
}
