package thread_test

import (
	"encoding/json"
	"errors"
	"flag"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
)

// TestNoEventIsLongerThanAMessage has clients and agents say as much as they like, in
// characters that are written with one byte and with six. What is accepted makes no event
// that a client could not take.
func TestNoEventIsLongerThanAMessage(t *testing.T) {
	if checks := flag.Lookup("rapid.checks").Value; checks.String() == usualChecks {
		_ = checks.Set("8") // so much text takes long
		defer func() { _ = checks.Set(usualChecks) }()
	}
	checkInBubble(t, playLargest)
}

const largestMessage, largestItem = 256 << 10, 64 << 10

// largest is one play.
type largest struct {
	*world
	id    string
	peer  *peer
	held  *held
	turns int
}

func playLargest(rt *rapid.T) {
	w := newWorld(rt, limits(thread.Limits{MaxItemBytes: largestItem, MaxMessageBytes: largestMessage}))
	defer w.close()
	s := &largest{world: w, id: w.start(protocol.ThreadOptions{}), peer: w.connect("ann")}
	w.subscribe(s.peer, s.id, 0)
	rt.Repeat(map[string]func(*rapid.T){
		"":        func(rt *rapid.T) { s.look(rt) },
		"run":     s.playRun,
		"steer":   s.playSteer,
		"say":     s.playSay,
		"say on":  s.playSay,
		"add":     s.playAdd,
		"end":     s.playEnd,
		"append":  s.playAppend,
		"replace": s.playReplace,
		"update":  s.playUpdate,
	})
}

// much is a text that most often is written with nearly all that an item may have, and
// sometimes with more.
func much(rt *rapid.T) string {
	char := rapid.SampledFrom([]string{"a", `"`, "\x01", "€"}).Draw(rt, "char")
	percent := rapid.SampledFrom([]int{96, 96, 96, 45, 45, 11, 1, 0, 120}).Draw(rt, "percent")
	return strings.Repeat(char, largestItem/100*percent/(protocol.StringSize(char)-len(`""`)))
}

func object(rt *rapid.T) protocol.Object {
	raw, _ := protocol.Marshal(much(rt))
	return protocol.Object{rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "key"): raw}
}

func (s *largest) playRun(rt *rapid.T) {
	if s.held != nil {
		rt.Skip("it is busy")
	}
	p := s.input(rt)
	if rapid.IntRange(0, 3).Draw(rt, "config") == 0 {
		raw, _ := protocol.Marshal(object(rt))
		p.Config = protocol.Object{"extra": raw}
	}
	if res, err := try(s.m.TurnRun, by("ann"), p); err == nil {
		s.held = s.with(res.Turn.ID)
		s.turns++
	}
}

// input is one of some messages.
func (s *largest) input(rt *rapid.T) protocol.TurnRunParams {
	p := input(s.id, "", "")
	p.Input = nil
	for range rapid.IntRange(1, 6).Draw(rt, "messages") {
		p.Input = append(p.Input, protocol.TextInput(much(rt) + "!")[0])
	}
	if rapid.IntRange(0, 3).Draw(rt, "sender") == 0 {
		p.Sender = &protocol.Sender{Name: much(rt)}
	}
	return p
}

// playSteer gives the agent more, which it takes sometimes; what it does not take becomes a turn.
func (s *largest) playSteer(rt *rapid.T) {
	if s.held == nil {
		rt.Skip("nothing runs")
	}
	p := s.input(rt)
	p.IfBusy = protocol.BusySteer
	_, _ = try(s.m.TurnRun, by("ann"), p)
	if rapid.Bool().Draw(rt, "taken") {
		s.held.step(func(out turn.Emitter) { out.Steered() })
		s.over()
	}
	synctest.Wait()
}

func (s *largest) playSay(rt *rapid.T) {
	if s.held == nil {
		rt.Skip("nothing runs")
	}
	text, more := much(rt), ""
	var meta protocol.Object
	switch rapid.IntRange(0, 9).Draw(rt, "more") {
	case 0:
		more = much(rt)
	case 1:
		meta = object(rt)
	}
	typ := rapid.SampledFrom([]protocol.ItemType{protocol.ItemAgentMessage, protocol.ItemReasoning, protocol.ItemCommandExecution}).Draw(rt, "type")
	n := rapid.IntRange(1, 6).Draw(rt, "n")
	s.held.step(func(out turn.Emitter) {
		for range n {
			it := out.Begin(protocol.Item{Type: typ, Metadata: meta})
			it.Append(text)
			it.Append(more)
			it.Complete(nil)
		}
	})
	s.over()
}

func (s *largest) playAdd(rt *rapid.T) {
	if s.held == nil {
		rt.Skip("nothing runs")
	}
	text, meta := much(rt), object(rt)
	raw, _ := protocol.Marshal(text)
	s.held.step(func(out turn.Emitter) {
		switch rapid.IntRange(0, 4).Draw(rt, "what") {
		case 0:
			out.Plan([]protocol.PlanEntry{{Text: text}})
		case 1:
			out.Event("news", text)
		case 2:
			out.Add(protocol.Item{Type: protocol.ItemNotice, Kind: "x", Text: text, Extra: meta})
		case 3:
			out.Add(protocol.Item{Type: protocol.ItemReasoning, Citations: json.RawMessage(text), Text: text})
		case 4:
			it := out.Begin(protocol.Item{Type: protocol.ItemState, Kind: "x", State: json.RawMessage(`{}`)})
			it.Patch(append(append([]byte(`{"a":`), raw...), '}'))
			it.Patch(append(append([]byte(`{"b":`), raw...), '}'))
			it.Complete(func(final *protocol.Item) { final.Metadata = meta })
		}
	})
	s.over()
}

func (s *largest) playEnd(rt *rapid.T) {
	if s.held == nil {
		rt.Skip("nothing runs")
	}
	text, object := strings.Repeat("a", rapid.SampledFrom([]int{10, 5000}).Draw(rt, "text")), object(rt)
	s.held.finish(func() error {
		switch rapid.IntRange(0, 2).Draw(rt, "end") {
		case 0:
			return nil
		case 1:
			return errors.New(text)
		default:
			details, _ := protocol.Marshal(object)
			return &turn.Error{Message: text, Details: details}
		}
	})
	s.over()
}

// over notes the end of a turn, of which some fail as they say too much. Behind it comes what
// was steered and not taken.
func (s *largest) over() {
	synctest.Wait()
	select {
	case <-s.held.over:
	default:
		return
	}
	s.held = nil
	_, _ = try(s.m.QueueResume, by("ann"), protocol.QueueParams{ThreadID: s.id})
	synctest.Wait()
	if next := do(s.t, s.m.Read, ann, protocol.ThreadReadParams{ThreadID: s.id}).Thread.Runtime.ActiveTurnID; next != "" {
		s.held = s.with(next)
		s.turns++
	}
}

func (s *largest) many(rt *rapid.T) []protocol.NewItem {
	items := make([]protocol.NewItem, 0, 9)
	for range rapid.IntRange(1, 9).Draw(rt, "items") {
		raw, _ := protocol.Marshal(map[string]string{"type": "agentMessage", "text": much(rt)})
		items = append(items, raw)
	}
	return items
}

func (s *largest) playAppend(rt *rapid.T) {
	p := protocol.ThreadItemsAppendParams{ThreadID: s.id, Items: s.many(rt)}
	if rapid.Bool().Draw(rt, "steer") {
		p.Deliver = protocol.DeliverSteer
	}
	_, _ = try(s.m.ItemsAppend, by("ann"), p)
	if s.held != nil {
		s.held.step(func(out turn.Emitter) {
			for taken := true; taken; {
				_, taken = out.Steered()
			}
		})
	}
	synctest.Wait()
}

func (s *largest) head() uint64 {
	return do(s.t, s.m.Read, ann, protocol.ThreadReadParams{ThreadID: s.id}).Thread.HeadSeq
}

func (s *largest) playReplace(rt *rapid.T) {
	p := protocol.ThreadItemsReplaceParams{ThreadID: s.id, Items: s.many(rt), ExpectedSeq: s.head()}
	_, _ = try(s.m.ItemsReplace, by("ann"), p)
	synctest.Wait()
}

func (s *largest) playUpdate(rt *rapid.T) {
	patch, _ := protocol.Marshal(object(rt))
	if rapid.Bool().Draw(rt, "config") {
		patch = append(append([]byte(`{"extra":`), patch...), '}')
		_, _ = try(s.m.ConfigUpdate, by("ann"), protocol.ThreadConfigUpdateParams{ThreadID: s.id, Config: patch})
	} else {
		_, _ = try(s.m.MetadataUpdate, by("ann"), protocol.ThreadMetadataUpdateParams{ThreadID: s.id, Metadata: patch})
	}
	synctest.Wait()
}

// walk goes through a list, asking for as many at a time as it may, and returns the ids.
func (s *largest) walk(rt *rapid.T, what string, list func(protocol.ThreadTurnsListParams) (any, []string, string), order protocol.ListOrder) []string {
	var ids []string
	p := protocol.ThreadTurnsListParams{ThreadID: s.id, Order: order, Paging: protocol.Paging{Limit: 200}}
	for {
		page, more, next := list(p)
		f, err := protocol.EncodeResult(protocol.RawID(`"an id"`), page)
		if err != nil || len(f) > largestMessage {
			rt.Fatalf("a page of %s: %v, %d bytes", what, err, len(f))
		}
		ids = append(ids, more...)
		if next == "" {
			return ids
		}
		if len(more) == 0 {
			rt.Fatalf("a page of %s is empty, and not the last", what)
		}
		p.Cursor = next
	}
}

// lists checks that each page fits into a message, and that all together have everything once.
func (s *largest) lists(rt *rapid.T) {
	ids := func(page []json.RawMessage) (ids []string) {
		for _, raw := range page {
			ids = append(ids, string(protocol.Member(raw, "id")))
		}
		return ids
	}
	items := func(p protocol.ThreadTurnsListParams) (any, []string, string) {
		r := do(rt, s.m.ItemsList, ann, p)
		return r, ids(r.Data), r.NextCursor
	}
	turns := func(p protocol.ThreadTurnsListParams) (any, []string, string) {
		r := do(rt, s.m.TurnsList, ann, p)
		return r, ids(r.Data), r.NextCursor
	}
	for what, list := range map[string]func(protocol.ThreadTurnsListParams) (any, []string, string){"items": items, "turns": turns} {
		all, back := s.walk(rt, what, list, protocol.OrderAsc), s.walk(rt, what, list, protocol.OrderDesc)
		slices.Reverse(back)
		one := func(p protocol.ThreadTurnsListParams) (any, []string, string) { p.Limit = 1; return list(p) }
		same(rt, what+" from both ends", all, back)
		same(rt, what+" one by one", all, s.walk(rt, what, one, protocol.OrderAsc))
	}
}

// look checks what the client got, that it can read everything, and that the thread can be given
// away.
func (s *largest) look(rt *rapid.T) {
	if rapid.IntRange(0, 3).Draw(rt, "lists") == 0 {
		s.lists(rt)
	}
	for _, f := range s.peer.take(rt) {
		if len(f) > largestMessage {
			rt.Fatalf("an event has %d bytes: %.200s", len(f), f)
		}
	}
	var fork protocol.ThreadForkParams
	fork.ThreadID = s.id
	if s.turns == 0 || s.turns%4 != 0 {
		return
	}
	s.turns++
	forked := do(rt, s.m.Fork, by("ann"), fork).Thread.ID
	for _, raw := range s.export(forked) {
		if len(raw) > largestMessage {
			rt.Fatalf("an event of the fork has %d bytes: %.200s", len(raw), raw)
		}
	}
}
