package scenario_test

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// story is what the driver knows of one thread, from its first event on: it grows with
// every look at the thread, and the thread is compared with it.
type story struct {
	t      testing.TB
	id     string
	book   *book  // the events; the journal from the latest reset on
	model  *model // what they build up
	age    int    // looks at rest
	resets int    // since the last proof

	wasReset bool

	births    map[string]map[string]bool // token → the turns and items that were made of it
	known     map[string]bool            // turns and items there ever were
	revisions map[string]int             // of items that clients changed
	resolved  map[string]bool            // approvals and questions
	held      map[string]string          // item in progress → the most text that a client held of it
	owed      []*message                 // answers of requests whose proof is still to come
	deleted   bool
}

func newStory(t testing.TB, id string) *story {
	return &story{
		t: t, id: id, book: &book{id: id, frames: map[uint64][]byte{}, open: map[string]string{}}, model: newModel(t, id),
		births: map[string]map[string]bool{}, known: map[string]bool{}, revisions: map[string]int{},
		resolved: map[string]bool{}, held: map[string]string{},
	}
}

// token marks an input, so that what becomes of it can be found.
var token = regexp.MustCompile(`tok[0-9]+x`)

// add takes the next durable event.
func (s *story) add(e *message) {
	s.t.Helper()
	if e.method == "thread/reset" {
		s.book.journal = nil
		s.resets++
	}
	s.book.journal = append(s.book.journal, e)
	s.book.frames[e.Seq] = e.raw
	s.model.apply(e)
	body := e.Body()
	switch e.method {
	case "turn/queued", "turn/started":
		s.born(e.TurnID, body.At("turn.input"))
	case "turn/failed":
		if body.Str("turn.error.code") == "ServerRestarted" && body.Int("turn.attempt") < 1 {
			s.t.Errorf("I2: thread %s: a turn that was never told to run is lost: %s", s.id, e.raw)
		}
	case "thread/queue/updated":
		for _, tn := range body.List("updated") {
			s.born(tn.Str("id"), tn.At("input"))
		}
	case "item/started", "item/completed":
		s.item(e, body.At("item"))
	case "item/approval/resolved", "item/question/resolved":
		if s.resolved[e.ItemID] {
			s.t.Errorf("I2: thread %s: %s is resolved twice: %s", s.id, e.ItemID, e.raw)
		}
		s.resolved[e.ItemID] = true
		s.known[e.ItemID] = true
	case "thread/items/changed":
		for _, ch := range body.List("changes") {
			it := ch.At("item")
			s.revisions[it.Str("id")] = it.Int("revision")
			s.born(it.Str("id"), it.At("content"))
		}
	case "thread/updated", "thread/started":
		s.born(s.id, body.At("thread.title"))
	}
}

func (s *story) item(e *message, it value) {
	id := it.Str("id")
	if it.Str("type") == "userMessage" && it.Str("delivery") == "steer" {
		s.born(id, it.At("content"))
	}
	s.known[id] = true
	if e.method != "item/completed" {
		return
	}
	held, ok := s.held[id]
	delete(s.held, id)
	text := itemText(it)
	if t := it.Str("type"); !ok || t != "agentMessage" && t != "reasoning" {
		return
	}
	switch {
	case strings.HasPrefix(text, held):
	case it.Str("status") == "interrupted" && strings.HasPrefix(held, text):
	default:
		s.t.Errorf("I3: thread %s: a client held %q of item %s, which ends as %q (%s)", s.id, held, id, text, it.Str("status"))
	}
}

// born notes what was made of an input, which must be one thing.
func (s *story) born(id string, input value) {
	s.known[id] = true
	for _, tok := range token.FindAllString(input.String(), -1) {
		ids := s.births[tok]
		if ids == nil {
			ids = map[string]bool{}
			s.births[tok] = ids
		}
		ids[id] = true
		if len(ids) > 1 {
			s.t.Errorf("I2: thread %s: the input %s was taken twice: %v", s.id, tok, ids)
		}
	}
}

// holds notes the text that a client held when its connection ended.
func (s *story) holds(st *stream) {
	for item, text := range st.text {
		if !st.blind[item] && len(text) > len(s.held[item]) && !st.done[item] {
			s.held[item] = string(text)
		}
	}
}

// look takes what is new of a thread and, if it is at rest, compares it with what was
// built up. It returns false where the thread moves.
func (s *story) look(c *client) (rest bool) {
	s.t.Helper()
	read, err := c.Do("thread/read", p{"threadId": s.id, "includeTurns": true})
	if we, ok := errors.AsType[*wireError](err); ok && we.Code == -32010 {
		s.deleted, s.book.deleted = true, true
		return true
	} else if err != nil {
		s.t.Fatalf("thread/read of %s: %v", s.id, err)
	}
	b := s.book
	b.read, b.queue = read, c.Call("turn/queue/list", p{"threadId": s.id})
	b.snapshot = c.Call("thread/subscribe", p{"threadId": s.id})
	c.Call("thread/unsubscribe", p{"threadId": s.id})
	if !s.follow(c) {
		return false
	}
	again := c.Call("thread/read", p{"threadId": s.id, "includeTurns": true})
	if again.String() != read.String() || s.model.seq != uint64(read.Int("thread.headSeq")) {
		return false
	}
	b.head = s.model.seq
	s.model.settled()
	s.model.at = nil
	s.model.checkQueue(b)
	s.model.checkTurns(b)
	s.model.checkHeader(b)
	s.age++
	return true
}

// follow subscribes after the last known event and takes what comes up to the head.
func (s *story) follow(c *client) bool {
	s.t.Helper()
	mark := c.Mark()
	r := c.Call("thread/subscribe", p{"threadId": s.id, "afterSeq": s.model.seq})
	head := uint64(r.Int("headSeq"))
	if head > s.model.seq {
		if _, err := c.find(mark, func(m *message) bool { return m.ThreadID == s.id && m.Seq >= head }); err != nil {
			s.t.Fatalf("the replay of %s after %d does not reach %d: %v", s.id, s.model.seq, head, err)
		}
	}
	clear(s.book.open)
	still := true
	for item := range openItems(s.book.read) {
		if _, err := c.find(mark, func(m *message) bool {
			return m.ItemID == item && (m.method == "item/updated" || m.method == "item/completed" || strings.HasSuffix(m.method, "/resolved"))
		}); err != nil {
			s.t.Fatalf("item %s of %s, which is in progress, is not told: %v", item, s.id, err)
		}
	}
	c.Call("thread/unsubscribe", p{"threadId": s.id})
	for _, m := range c.messages()[mark:] {
		switch {
		case m.ThreadID != s.id || m.out:
		case m.Seq > s.model.seq:
			s.add(m)
		case m.method == "item/updated":
			s.book.open[m.ItemID] = itemText(m.Body().At("item"))
		case strings.HasSuffix(strings.ToLower(m.method), "delta"):
			still = false
		}
	}
	return still
}

// deep reads the thread in every way there is, and checks its journal from the start.
func (s *story) deep(d *daemon) {
	s.t.Helper()
	b := d.readBook(s.id)
	b.checkJournal(s.t)
	for seq, frame := range b.frames {
		if known := s.book.frames[seq]; seq <= s.model.seq && !bytes.Equal(known, frame) {
			s.t.Errorf("I3: seq %d of %s was\n%s\nand is\n%s", seq, s.id, known, frame)
		}
	}
}

// settle looks for the proof of each answer that a client got. Answers about a turn that
// still runs may be proved later.
func (s *story) settle() (proved int) {
	s.t.Helper()
	var later []*message
	for _, m := range s.owed {
		switch missing, wait := s.missing(m); {
		case wait:
			later = append(later, m)
		case missing != "":
			s.t.Errorf("I2: thread %s: a client was answered, and %s:\n%.600s\n%.600s", s.id, missing, m.to.raw, m.raw)
		default:
			proved++
		}
	}
	s.owed = later
	return proved
}

// missing says what there is not of what an answer promised.
func (s *story) missing(m *message) (missing string, wait bool) {
	params, r := parse(m.to.params), m.Body()
	switch m.to.method {
	case "turn/run", "turn/start", "turn/enqueue", "turn/steer":
		return s.missingTurn(m, params, r)
	case "turn/interrupt":
		id := r.Str("turnId")
		if o := r.Str("outcome"); (o == "interrupting" || o == "removedFromQueue") && !slices.Contains(s.model.ended, id) && s.model.turns[id].v != nil {
			return "turn " + id + " is not over", false
		}
	case "turn/queue/remove", "turn/queue/reorder", "turn/queue/update", "turn/queue/clear", "turn/queue/pause", "turn/queue/resume":
		if r.Int("revision") > s.model.revision {
			return "the queue has an older revision", false
		}
	case "thread/items/append":
		for _, it := range r.List("items") {
			if !s.known[it.Str("id")] {
				if params.Str("deliver") == "steer" && s.model.running != "" {
					return "", true // the agent has not taken it yet
				}
				return "item " + it.Str("id") + " is not there", false
			}
		}
	case "thread/items/update":
		if s.revisions[r.Str("item.id")] < r.Int("item.revision") {
			return "the item has an older revision", false
		}
	case "thread/reset":
		if r.Int("generation") > s.model.header.Int("generation") {
			return "the thread has an older generation", false
		}
	case "approval/respond", "question/respond":
		if id := r.Str("item.id"); !s.resolved[id] {
			return "item " + id + " is not resolved", false
		}
	case "thread/delete":
		if !s.deleted {
			return "the thread is there", false
		}
	}
	if h := uint64(r.Int("thread.headSeq")); h > s.model.seq {
		return "the journal ends before", false
	}
	return "", false
}

func (s *story) missingTurn(m *message, params, r value) (missing string, wait bool) {
	tok := token.FindString(params.At("input").String())
	id := r.Str("turn.id")
	switch {
	case r.Str("disposition") != "steered" && !s.known[id]:
		return "turn " + id + " is not there", false
	case tok != "" && len(s.births[tok]) == 0 && s.model.running == id:
		return "", true // the agent has not taken it yet
	case tok != "" && len(s.births[tok]) == 0:
		return "its input is not there", false
	case m.to.method == "turn/queue/update":
		return "", false
	default:
		return "", false
	}
}
