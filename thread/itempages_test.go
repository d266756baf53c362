package thread_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage/faulty"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
)

func (w *world) itemsIn(order protocol.ListOrder, id string, size int) []protocol.Item {
	w.t.Helper()
	return pages[protocol.Item](w.t, w.m.ItemsList, id, size, order)
}

// Pages of a turn of many items hold each item once, and read what they hold.
func TestPagesOfALongTurn(t *testing.T) {
	reads := 0
	inWorld(t, func(w *world) {
		const n, size = 300, 7
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		want := []string{"go"}
		h.step(func(out turn.Emitter) {
			late := out.Begin(protocol.Item{Type: protocol.ItemAgentMessage}) // completed behind all others
			for i := range n {
				out.Begin(protocol.Item{Type: protocol.ItemAgentMessage, Text: fmt.Sprint(i)}).Complete(nil)
			}
			late.Append("late")
			late.Complete(nil)
		})
		want = append(want, "late")
		for i := range n {
			want = append(want, fmt.Sprint(i))
		}
		back := slices.Clone(want)
		slices.Reverse(back)
		same(t, "running", want, texts(w.itemsIn(protocol.OrderAsc, id, size)))
		same(t, "running, newest first", back, texts(w.itemsIn(protocol.OrderDesc, id, size)))
		h.done(completes)
		edited := w.items(id, 200)[50]
		w.update(id, edited, `{"text":"edited"}`)
		want[50], back[len(back)-51] = "edited", "edited"
		for range 2 {
			reads = 0
			same(t, "ended", want, texts(w.itemsIn(protocol.OrderAsc, id, size)))
			same(t, "ended, newest first", back, texts(w.itemsIn(protocol.OrderDesc, id, size)))
			if most := 2*(n+2) + 20; reads > most {
				t.Errorf("%d reads of events for %d items, want at most %d", reads, 2*(n+2), most)
			}
			w.reopen()
		}
	}, hooked(faulty.Hooks{BeforeRead: func(method string) error {
		if method == "Events" {
			reads++
		}
		return nil
	}}))
}

// Newest first, what comes meanwhile moves nothing.
func TestPagesOfAGrowingTurn(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		for i := range 5 {
			h.say(fmt.Sprint(i))
		}
		p := protocol.ThreadItemsListParams{ThreadID: id, Order: protocol.OrderDesc, Paging: protocol.Paging{Limit: 2}}
		first := do(t, w.m.ItemsList, ann, p)
		h.say("new")
		p.Cursor, p.Limit = first.NextCursor, 200
		rest := do(t, w.m.ItemsList, ann, p)
		same(t, "items", []string{"4", "3", "2", "1", "0", "go"}, texts(decode[protocol.Item](t, append(first.Data, rest.Data...))))
	})
}

// A page of threads fits into a message, too, also where it has threads of both kinds.
func TestPagesOfLargeThreads(t *testing.T) {
	inWorld(t, func(w *world) {
		want := map[string]bool{}
		large, _ := protocol.Marshal(strings.Repeat("x", largestMessage/8-100))
		for i := range 10 {
			o := protocol.ThreadOptions{Metadata: protocol.Object{"a": large}}
			if i < 4 { // all of which one page can hold
				o.Lifetime = &protocol.Lifetime{Mode: protocol.LifetimeEphemeral}
			}
			want[w.start(o)] = true
		}
		var p protocol.ThreadListParams
		for {
			page := do(t, w.m.List, ann, p)
			f, err := protocol.EncodeResult(protocol.RawID("1"), page)
			if err != nil || len(f) > largestMessage || len(page.Data) == 0 {
				t.Fatalf("a page of %d threads has %d bytes: %v", len(page.Data), len(f), err)
			}
			for _, th := range page.Data {
				if !want[th.ID] {
					t.Errorf("%s is listed twice", th.ID)
				}
				delete(want, th.ID)
			}
			if p.Cursor = page.NextCursor; p.Cursor == "" {
				break
			}
		}
		if len(want) > 0 {
			t.Errorf("%d threads are not listed", len(want))
		}
	}, limits(thread.Limits{MaxItemBytes: largestItem, MaxMessageBytes: largestMessage}))
}
