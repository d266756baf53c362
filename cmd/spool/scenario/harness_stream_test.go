package scenario_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// streams checks what one client was told, in the order in which it came: I3, I4 and I5.
type streams struct {
	t        testing.TB
	c        *client
	books    map[string]*book
	threads  map[string]*stream
	optedOut []string
}

// stream is what one client was told of one thread.
type stream struct {
	active bool
	waits  bool              // a turn/run{wait:true} is under way, which subscribes
	next   uint64            // seq that comes next; 0: any
	limit  uint64            // where next is 0: the most it may be
	text   map[string][]byte // of items in progress
	blind  map[string]bool   // items whose text is not known
	done   map[string]bool   // items that were completed
	over   map[string]bool   // turns that were ended
	live   map[string]bool   // turns that were not
	gone   bool              // deleted
}

func newStreams(t testing.TB, c *client, books map[string]*book) *streams {
	return &streams{
		t: t, c: c, books: books, threads: map[string]*stream{},
		optedOut: of(c.hello).Strs("capabilities.optOutNotificationMethods"),
	}
}

// maxMessage is limits.max_message_bytes, which no test changes.
const maxMessage = 16 << 20

func (s *streams) check() {
	s.t.Helper()
	for _, m := range s.c.messages() {
		if !m.out && len(m.raw) > maxMessage {
			s.fail(nil, "I3", "a message has %d bytes: %.300s", len(m.raw), m.raw)
		}
		switch {
		case m.out:
			s.request(m)
		case m.method == "" && m.to != nil && m.err == nil:
			s.cause(m)
			s.response(m)
		case m.id == "" && m.ThreadID != "":
			s.notification(m)
		}
	}
	for id, st := range s.threads {
		b := s.books[id]
		if !s.c.open() || !st.active || b == nil || b.deleted || len(s.optedOut) > 0 {
			continue
		}
		if st.next != 0 && st.next <= b.head {
			s.fail(nil, "I3", "the stream of %s ends before seq %d; its head is %d", id, st.next, b.head)
		}
		for item, text := range openItems(b.read) {
			held, ok := st.text[item]
			if grown := b.moves && bytes.HasPrefix(held, []byte(text)); ok && !st.blind[item] && s.streaming() && string(held) != text && !grown {
				s.fail(nil, "I6", "of item %s it holds %d bytes, thread/read has %d", item, len(held), len(text))
			}
		}
	}
}

func (s *streams) streaming() bool {
	v := of(s.c.hello).At("capabilities.streaming")
	return v.v == nil || v.v == true
}

func (s *streams) fail(m *message, invariant, format string, a ...any) {
	s.t.Helper()
	s.t.Errorf(invariant+": "+s.c.name+": "+format, a...)
	if m != nil {
		s.t.Logf("at message %d: %.600s", m.n, m.raw)
	}
}

func (s *streams) of(id string) *stream {
	st := s.threads[id]
	if st == nil {
		st = &stream{}
		st.forget()
		s.threads[id] = st
	}
	return st
}

// forget drops what the client holds, as a new snapshot or replay follows.
func (st *stream) forget() {
	st.text, st.blind, st.done = map[string][]byte{}, map[string]bool{}, map[string]bool{}
	st.over, st.live = map[string]bool{}, map[string]bool{}
}

// request notes a request that subscribes before it is answered.
func (s *streams) request(m *message) {
	if strings.HasPrefix(m.method, "turn/") && parse(m.raw).Bool("params.wait") {
		s.of(m.ThreadID).waits = true
	}
}

// response follows what a request did to subscriptions.
func (s *streams) response(m *message) {
	params, result := parse(m.to.params), m.Body()
	subscribe := !params.Has("subscribe") || params.Bool("subscribe")
	switch m.to.method {
	case "thread/subscribe", "thread/resume":
		if m.to.method == "thread/resume" && !subscribe {
			return
		}
		st := s.of(params.Str("threadId"))
		st.forget()
		st.active = true
		switch {
		case params.Has("afterSeq"):
			st.next = uint64(params.Int("afterSeq")) + 1
		case m.to.method == "thread/subscribe":
			st.next = uint64(result.Int("headSeq")) + 1
			st.snapshot(result)
		default: // what the resume itself changed comes, too
			st.next, st.limit = 0, uint64(result.Int("headSeq"))+1
			st.snapshot(result)
		}
	case "thread/start", "thread/fork", "thread/getOrCreate":
		if st := s.of(result.Str("thread.id")); subscribe && !st.active {
			st.active, st.next, st.limit = true, 0, uint64(result.Int("thread.headSeq"))+1
		}
	case "turn/run", "turn/start", "turn/enqueue", "turn/steer":
		if st := s.of(params.Str("threadId")); !st.active {
			st.active, st.next, st.limit = true, 0, 0
		}
	case "thread/unsubscribe":
		s.of(params.Str("threadId")).active = false
	}
}

func (st *stream) snapshot(result value) {
	for _, it := range result.List("activeTurn.items") {
		st.see(it)
	}
}

// see puts an item as it is now in place of what was held.
func (st *stream) see(it value) {
	id := it.Str("id")
	if it.Str("status") != "inProgress" {
		st.done[id] = true
		delete(st.text, id)
		return
	}
	st.text[id] = []byte(itemText(it))
	st.blind[id] = it.Str("type") == "toolCall" && !it.Has("arguments")
}

// listLevel names the notifications that go to everybody who may read the thread.
var listLevel = []string{
	"thread/started", "thread/updated", "thread/statusChanged", "thread/ended", "thread/deleted", "thread/runtimeChanged",
}

var terminalEvents = []string{"turn/completed", "turn/failed", "turn/cancelled"}

func (s *streams) notification(m *message) {
	st := s.of(m.ThreadID)
	if st.gone {
		s.fail(m, "I2", "something is said about %s after thread/deleted", m.ThreadID)
	}
	if b := s.books[m.ThreadID]; b != nil && m.Seq > 0 {
		b.note(s.t, s.c.name, m)
	}
	if slices.Contains(s.optedOut, m.method) {
		s.fail(m, "I3", "it opted out of %s", m.method)
	}
	if st.waits && !st.active && !slices.Contains(listLevel, m.method) {
		st.active, st.next, st.limit = true, 0, 0
	}
	if !st.active {
		if !slices.Contains(listLevel, m.method) && m.method != "thread/subscription/closed" && !s.carriesOut(m) {
			s.fail(m, "I3", "it is not subscribed to %s", m.ThreadID)
		}
		st.gone = m.method == "thread/deleted"
		return
	}
	if m.Seq > 0 {
		s.durable(st, m)
	}
	if st.over[m.TurnID] && m.method != "thread/items/changed" && m.method != "thread/runtimeChanged" {
		s.fail(m, "I2", "something is said about turn %s after its end", m.TurnID)
	}
	s.apply(st, m)
}

// carriesOut tells whether a message takes back a call that the client was asked to carry
// out, which it is told whether it is subscribed or not.
func (s *streams) carriesOut(m *message) bool {
	return m.method == "item/tool/cancel" && len(s.c.Seen("item/tool/call", p{"callId": m.Body().Str("callId")})) > 0
}

// durable checks that nothing is missing and nothing comes twice.
func (s *streams) durable(st *stream, m *message) {
	switch {
	case st.next == 0 && st.limit > 0 && m.Seq > st.limit:
		s.fail(m, "I3", "the first event has seq %d, the answer said %d", m.Seq, st.limit-1)
	case st.next == 0 || m.Seq == st.next:
	case m.Seq > st.next && (m.method == "thread/reset" || len(s.optedOut) > 0):
	default:
		s.fail(m, "I3", "seq %d comes where %d must", m.Seq, st.next)
	}
	st.next = m.Seq + 1
}

// apply builds up what the client holds.
func (s *streams) apply(st *stream, m *message) {
	switch m.method {
	case "item/agentMessage/delta", "item/reasoning/delta", "item/toolCall/argumentsDelta", "item/commandExecution/outputDelta":
		s.delta(st, m)
	case "item/started", "item/updated":
		if st.done[m.ItemID] {
			s.fail(m, "I4", "%s comes after item/completed", m.method)
		}
		st.see(m.Body().At("item"))
	case "item/completed":
		if st.done[m.ItemID] {
			s.fail(m, "I4", "item/completed comes twice")
		}
		st.see(m.Body().At("item"))
	case "turn/queued", "turn/started":
		st.live[m.TurnID] = true
	case "turn/completed", "turn/failed", "turn/cancelled":
		st.over[m.TurnID] = true
		delete(st.live, m.TurnID)
	case "thread/reset":
		st.forget()
	case "thread/subscription/closed":
		st.active = false
	case "thread/deleted":
		st.gone = true
		for turn := range st.live {
			s.fail(m, "I2", "the end of turn %s was never told", turn)
		}
	}
}

func (s *streams) delta(st *stream, m *message) {
	held, ok := st.text[m.ItemID]
	switch {
	case !s.streaming():
		s.fail(m, "I3", "it asked for no deltas")
	case !ok:
		s.fail(m, "I4", "a delta of an item that is not in progress")
		return
	case st.blind[m.ItemID]:
		st.blind[m.ItemID] = false
		held = make([]byte, m.Offset)
	case m.Offset != len(held):
		s.fail(m, "I3", "a delta has offset %d where the text has %d bytes", m.Offset, len(held))
	}
	st.text[m.ItemID] = append(held, m.Delta...)
}

// awaitHeads waits until a client that reads has got all events of its subscriptions.
func (c *client) awaitHeads(books map[string]*book) {
	c.t.Helper()
	c.mu.Lock()
	skip := c.ended != nil || c.paused() != nil || len(of(c.hello).Strs("capabilities.optOutNotificationMethods")) > 0
	c.mu.Unlock()
	if skip {
		return
	}
	s := newStreams(c.t, c, nil)
	for _, m := range c.messages() {
		switch {
		case m.out:
		case m.method == "" && m.to != nil && m.err == nil:
			s.response(m)
		case m.method == "thread/subscription/closed":
			s.of(m.ThreadID).active = false
		}
	}
	for id, st := range s.threads {
		b := books[id]
		if b == nil || b.deleted || !st.active {
			continue
		}
		if _, err := c.find(0, func(m *message) bool {
			return m.ThreadID == id && m.Seq >= b.head || m.to != nil && uint64(m.Body().Int("headSeq")) >= b.head && parse(m.to.params).Str("threadId") == id
		}); err != nil {
			c.t.Fatalf("I3: %s does not get seq %d of %s: %v", c.name, b.head, id, err)
		}
	}
}

// cause checks I5 for one response: nothing that the request caused came before it.
func (s *streams) cause(m *message) {
	params, result := parse(m.to.params), m.Body()
	if result.Bool("replayed") {
		return
	}
	before := func(what string, caused func(*message) bool) {
		for _, e := range s.c.messages()[:m.n] {
			if !e.out && e.method != "" && caused(e) {
				s.fail(e, "I5", "%s comes before the answer (message %d) of the request %.200s", what, m.n, m.to.raw)
			}
		}
	}
	thread := params.Str("threadId")
	switch m.to.method {
	case "turn/run", "turn/start", "turn/enqueue", "turn/steer":
		turn := result.Str("turn.id")
		if result.Str("disposition") != "steered" && !params.Bool("wait") {
			before("an event of the turn", func(e *message) bool { return e.TurnID == turn })
		}
	case "thread/start", "thread/fork":
		before("an event of the thread", func(e *message) bool { return e.ThreadID == result.Str("thread.id") })
	case "turn/interrupt":
		turn := result.Str("turnId")
		if o := result.Str("outcome"); o == "interrupting" || o == "removedFromQueue" {
			before("the end of the turn", func(e *message) bool {
				return e.TurnID == turn && slices.Contains(terminalEvents, e.method)
			})
		}
	case "turn/queue/update", "turn/queue/remove", "turn/queue/reorder":
		revision := result.Int("revision")
		before("the change of the queue", func(e *message) bool {
			return e.ThreadID == thread && e.Seq > 0 && (e.Body().Int("revision") == revision || e.Body().Int("queue.revision") == revision)
		})
	case "thread/reset", "thread/delete", "thread/end":
		if !result.Bool("alreadyEnded") {
			event := map[string]string{"thread/reset": "thread/reset", "thread/delete": "thread/deleted", "thread/end": "thread/ended"}[m.to.method]
			before(event, func(e *message) bool {
				return e.ThreadID == thread && e.method == event && (event != "thread/reset" || e.Body().Int("generation") == result.Int("generation"))
			})
		}
	}
}
