package thread_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/mem"
	"github.com/spoolhq/spool/thread"
)

// everything is what Verify can compare with a journal.
var everything = thread.Beside{Turns: true, Edits: true, Checkpoints: true}

// kept is all that a store has of a thread.
type kept struct {
	id      string
	events  []string
	row     storage.Row
	turns   []storage.TurnEntry
	edits   map[string]uint64
	pieces  []storage.Checkpoint
	seqless bool // events keep the seq that they say
}

// keptOf reads all that a store has of a thread.
func keptOf(t tb, s storage.Store, id string) *kept {
	t.Helper()
	ctx := context.Background()
	k := &kept{id: id}
	events, err := s.Events(ctx, id, 0, 0, 1<<30)
	must(t, err)
	for _, e := range events {
		k.events = append(k.events, string(e.Frame))
	}
	k.row, err = s.Thread(ctx, id)
	must(t, err)
	k.turns, err = s.Turns(ctx, id, storage.TurnQuery{Limit: storage.MaxScan})
	must(t, err)
	k.edits, err = s.Edits(ctx, id)
	must(t, err)
	k.pieces, err = s.Checkpoints(ctx, id)
	must(t, err)
	return k
}

func must(t tb, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

var seqMember = regexp.MustCompile(`"seq":\d+`)

// verify checks the thread in a store of its own, where its events are numbered anew.
func (k *kept) verify(t tb) thread.Verified {
	t.Helper()
	s := mem.New()
	b := &storage.Batch{Thread: k.id, Create: true, Row: &k.row, Turns: k.turns, Checkpoints: k.pieces}
	for i, frame := range k.events {
		if at := seqMember.FindStringIndex(frame); at != nil && !k.seqless {
			frame = fmt.Sprintf(`%s"seq":%d%s`, frame[:at[0]], i+1, frame[at[1]:])
		}
		b.Events = append(b.Events, storage.Event{Seq: uint64(i + 1), Frame: []byte(frame)})
	}
	for item, seq := range k.edits {
		b.Edits = append(b.Edits, storage.Edit{Item: item, Seq: seq})
	}
	done := make(chan error, 1)
	s.Commit(b, func(err error) { done <- err })
	must(t, <-done)
	v, err := thread.Verify(context.Background(), s, k.row, everything)
	must(t, err)
	return v
}

// find returns the place of the nth event that holds all texts.
func (k *kept) find(n int, texts ...string) int {
	for i, e := range k.events {
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(e, text) }) {
			if n--; n < 0 {
				return i
			}
		}
	}
	panic(fmt.Sprintf("no event has %v", texts))
}

func (k *kept) remove(i int)               { k.events = slices.Delete(k.events, i, i+1) }
func (k *kept) repeat(i int)               { k.events = slices.Insert(k.events, i+1, k.events[i]) }
func (k *kept) replace(i int, a, b string) { k.events[i] = strings.ReplaceAll(k.events[i], a, b) }
func (k *kept) inRow(a, b string)          { k.row.Data = []byte(strings.Replace(string(k.row.Data), a, b, 1)) }

// TestVerify checks a thread with a bit of everything, at rest, while a turn runs with open
// items and others wait, and after it has ended.
func TestVerify(t *testing.T) {
	inWorld(t, func(w *world) {
		clean := func(id, when string) {
			t.Helper()
			k := keptOf(t, w.mem, id)
			v := k.verify(t)
			for _, p := range v.Problems {
				t.Errorf("%s: %s: %s", when, p.Kind, p)
			}
			if !slices.Equal(v.Turns, k.turns) || len(v.Edits) != len(k.edits) {
				t.Errorf("%s: turns %v and edits %v, stored are %v and %v", when, v.Turns, v.Edits, k.turns, k.edits)
			}
		}
		id := w.story()
		clean(id, "at rest")
		h := w.held(id, "three")
		h.say("Three")
		w.run(id, "waits", protocol.BusyEnqueue)
		w.run(id, "waits, too", protocol.BusyEnqueue)
		clean(id, "while a turn runs")
		h.done(completes)
		do(w.t, w.m.End, ann, protocol.ThreadChangeParams{ThreadID: id, IfBusy: protocol.BusyThreadInterrupt})
		clean(id, "ended")
	})
}

// TestVerifyFinds breaks a thread in one place at a time.
func TestVerifyFinds(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.story()
		whole := keptOf(t, w.mem, id)
		other := protocol.NewID(protocol.PrefixThread)
		item := protocol.NewID(protocol.PrefixItem)
		for name, c := range map[string]struct {
			spoil func(k *kept)
			kind  storage.ProblemKind
			text  string
		}{
			"a second end":              {func(k *kept) { k.repeat(k.find(0, `"turn/completed"`)) }, storage.ProblemJournal, "comes after its end (event "},
			"no end":                    {func(k *kept) { k.remove(k.find(0, `"turn/completed"`)) }, storage.ProblemJournal, "starts while turn "},
			"no start":                  {func(k *kept) { k.remove(k.find(0, `"turn/started"`)) }, storage.ProblemJournal, "which does not run"},
			"an item that does not end": {func(k *kept) { k.remove(k.find(0, `"item/completed"`, `"type":"plan"`)) }, storage.ProblemJournal, "is not completed"},
			"an item that ends twice":   {func(k *kept) { k.repeat(k.find(0, `"item/completed"`, `"type":"plan"`)) }, storage.ProblemJournal, "is completed a second time"},
			"an item that begins twice": {func(k *kept) { k.repeat(k.find(0, `"item/started"`, `"type":"plan"`)) }, storage.ProblemJournal, "begins a second time"},
			"a plan that did not begin": {func(k *kept) { k.remove(k.find(0, `"item/started"`, `"type":"plan"`)) }, storage.ProblemJournal, "which is not open"},
			"an item behind the end": {func(k *kept) {
				i := k.find(0, `"item/completed"`)
				k.events = slices.Insert(k.events, k.find(0, `"turn/completed"`)+1, k.events[i])
			}, storage.ProblemJournal, "comes after its end"},
			"a turn that was not queued":  {func(k *kept) { k.remove(k.find(0, `"turn/queued"`)) }, storage.ProblemJournal, "which neither runs nor waits"},
			"a turn that is queued twice": {func(k *kept) { k.repeat(k.find(0, `"turn/queued"`)) }, storage.ProblemJournal, "but it was accepted before"},
			"a revision that jumps":       {func(k *kept) { k.replace(k.find(0, `"turn/cancelled"`), `"revision":2`, `"revision":9`) }, storage.ProblemJournal, "the revision of the queue is 9 after 1"},
			"a queue of another length":   {func(k *kept) { k.replace(k.find(0, `"turn/queued"`), `"length":1`, `"length":3`) }, storage.ProblemJournal, "revision 1 said 3"},
			"another thread's event":      {func(k *kept) { k.replace(k.find(0, `"item/completed"`), `"threadId":"`+id, `"threadId":"`+other) }, storage.ProblemJournal, "is about thread \"" + other},
			"another seq":                 {func(k *kept) { k.seqless = true; k.replace(3, `"seq":4`, `"seq":7`) }, storage.ProblemJournal, "says that it is event 7"},
			"no JSON":                     {func(k *kept) { k.events[3] = "hello" }, storage.ProblemJournal, "is not one line of JSON"},
			"nothing durable":             {func(k *kept) { k.replace(k.find(0, `"item/completed"`), `"item/completed"`, `"item/updated"`) }, storage.ProblemJournal, "is not a durable notification (method \"item/updated\")"},
			"no beginning":                {func(k *kept) { k.remove(0) }, storage.ProblemJournal, "cannot be the first event"},
			"two beginnings":              {func(k *kept) { k.repeat(0) }, storage.ProblemJournal, "begins the thread a second time"},
			"title":                       {func(k *kept) { k.inRow(`"title":"story"`, `"title":"other"`) }, storage.ProblemRow, `title: the row says "other", the journal "story"`},
			"usage":                       {func(k *kept) { k.inRow(`"inputTokens":5`, `"inputTokens":6`) }, storage.ProblemRow, "usage: the row says"},
			"running":                     {func(k *kept) { k.inRow(`"queue":{`, `"queue":{"running":"`+k.turns[0].ID+`",`) }, storage.ProblemRow, "running turn: the row says"},
			"stopped": {func(k *kept) {
				k.inRow(`"queue":{`, `"stopped":{"turnId":"`+k.turns[0].ID+`","reason":"user"},"queue":{`)
			}, storage.ProblemRow, "is to be interrupted, but does not run"},
			"columns":        {func(k *kept) { k.row.Updated++ }, storage.ProblemRow, "what lists show is not what the row says"},
			"unreadable row": {func(k *kept) { k.row.Data = []byte("?") }, storage.ProblemRow, "its row cannot be read"},
			"a missing turn": {func(k *kept) { k.turns = k.turns[1:] }, storage.ProblemIndex, "the index of turns lacks turn " + whole.turns[0].ID},
			"an extra turn": {func(k *kept) {
				k.turns = append(k.turns, storage.TurnEntry{ID: "trn_" + ulid.Make().String(), Accepted: 3})
			}, storage.ProblemIndex, "the journal does not"},
			"another turn":   {func(k *kept) { k.turns[1].Ended++ }, storage.ProblemIndex, "the index of turns says of turn " + whole.turns[1].ID},
			"a missing edit": {func(k *kept) { k.edits = nil }, storage.ProblemIndex, "the index of edits lacks item"},
			"an extra edit":  {func(k *kept) { k.edits[item] = 3 }, storage.ProblemIndex, "has the newest state of item " + item},
			"a checkpoint": {func(k *kept) {
				k.pieces = []storage.Checkpoint{{Item: item, Data: []byte(`{"itemId":"` + item + `","offset":0}`)}}
			}, storage.ProblemLeftover, "which is not open"},
			"an unreadable checkpoint": {func(k *kept) { k.pieces = []storage.Checkpoint{{Item: item, Data: []byte("?")}} }, storage.ProblemRecord, "cannot be read"},
		} {
			k := keptOf(t, w.mem, id)
			c.spoil(k)
			v := k.verify(t)
			if !slices.ContainsFunc(v.Problems, func(p storage.Problem) bool {
				return p.Kind == c.kind && p.Thread == id && (p.Seq > 0) == (c.kind == storage.ProblemJournal) && strings.Contains(p.Text, c.text)
			}) {
				t.Errorf("%s is not told of: %v", name, v.Problems)
			}
		}
	})
}

// TestVerifyEnded finds what comes after the end of a thread.
func TestVerifyEnded(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.story()
		do(w.t, w.m.End, ann, protocol.ThreadChangeParams{ThreadID: id})
		k := keptOf(t, w.mem, id)
		update, err := json.Marshal(protocol.ItemsChangedEvent{Header: protocol.Header{ThreadID: id, Seq: 1}, Changes: []protocol.ItemChange{}})
		must(t, err)
		k.events = append(k.events, `{"jsonrpc":"2.0","method":"thread/items/changed","params":`+string(update)+`}`)
		if v := k.verify(t); len(v.Problems) != 1 || !strings.Contains(v.Problems[0].Text, "after the end of the thread") {
			t.Errorf("the problems are %v", v.Problems)
		}
	})
}
