package thread_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/faulty"
	"github.com/spoolhq/spool/thread"
)

// What is written and read of a thread does not grow with the items that wait.
func TestAppendCostsWhatIsAppended(t *testing.T) {
	last, reads := 0, 0
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		w.append(id, "", developer("0000"))
		first := last
		for i := range 1000 {
			w.append(id, "", developer(fmt.Sprintf("%04d", i)))
			if most := first + 50; last > most {
				t.Fatalf("a commit has %d bytes while %d items wait; the first had %d", last, i+1, first)
			}
		}
		reads = 0
		w.reopen()
		if n := w.read(id).Thread.Runtime.PendingItems; n != 1001 || reads > 0 {
			t.Errorf("%d items wait; %d reads of events to load their thread", n, reads)
		}
	}, hooked(faulty.Hooks{
		BeforeCommit: func(b *storage.Batch) error { last = b.Size(); return nil },
		BeforeRead: func(method string) error {
			if method == "Events" {
				reads++
			}
			return nil
		},
	}))
}

// Pages of the items that wait hold each once, whatever stands between them in the journal,
// and read what they hold.
func TestPagesOfWaitingItems(t *testing.T) {
	reads := 0
	inWorld(t, func(w *world) {
		const size = 7
		id := w.start(protocol.ThreadOptions{})
		w.append(id, "", developer("loose"))
		if err := w.replace(id, json.RawMessage(developer("loose"))); err != nil {
			t.Fatal(err)
		}
		loose := w.items(id, 1)[0]
		h := w.held(id, "go")
		want := []string{"loose edited", "go"}
		var waiting []string
		for i := range 300 {
			w.append(id, "", developer(fmt.Sprint(i)), developer(fmt.Sprint(i, " too")))
			waiting = append(waiting, fmt.Sprint(i), fmt.Sprint(i, " too"))
			h.say(fmt.Sprint("says ", i))
			want = append(want, fmt.Sprint("says ", i))
			if i == 150 {
				w.update(id, loose, `{"text":"loose edited"}`)
			}
		}
		want = append(want, waiting...)
		check := func(when string) {
			t.Helper()
			back := slices.Clone(want)
			slices.Reverse(back)
			same(t, when, want, texts(w.itemsIn(protocol.OrderAsc, id, size)))
			same(t, when+", newest first", back, texts(w.itemsIn(protocol.OrderDesc, id, size)))
		}
		check("while a turn runs")
		for _, i := range []int{2 + 300 + 60, 2 + 300 + 590} {
			w.update(id, w.items(id, 200)[i], `{"text":"edited"}`)
			want[i] = "edited"
		}
		w.append(id, "", developer("last"))
		want = append(want, "last")
		check("with more")
		h.done(completes)
		reads = 0
		check("while nothing runs")
		if most := 2*len(want) + 150; reads > most {
			t.Errorf("%d reads of events for %d items", reads, 2*len(want))
		}
		w.reopen()
		check("after a start")
		w.held(id, "takes them")
		want = append(want, "takes them")
		check("when a turn has them")
	}, hooked(faulty.Hooks{BeforeRead: func(method string) error {
		if method == "Events" {
			reads++
		}
		return nil
	}}))
}

// heavy gives items of 100 KB, with numbers.
func heavy(from, to int) (items []string) {
	for i := from; i < to; i++ {
		items = append(items, developer(fmt.Sprintf("%03d %s", i, strings.Repeat("x", 100_000))))
	}
	return items
}

// light names items by the beginning of what they say.
func light(items []protocol.Item) []string {
	said := texts(items)
	for i := range said {
		said[i] = said[i][:min(3, len(said[i]))]
	}
	return said
}

func numbers(from, to int) (list []string) {
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf("%03d", i))
	}
	return list
}

// verified looks whether what is stored of a thread is what its journal says.
func (w *world) verified(id string) {
	w.t.Helper()
	row, err := w.mem.Thread(ann.Context, id)
	must(w.t, err)
	v, err := thread.Verify(ann.Context, w.mem, row, everything)
	must(w.t, err)
	for _, p := range v.Problems {
		w.t.Errorf("%s: %s", p.Kind, p)
	}
}

// Many items are told a few at a time, when they are appended and when a turn takes
// them, and no commit holds them all.
func TestTurnTakesPages(t *testing.T) {
	largest, commit := 0, 0
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		w.append(id, "", heavy(0, 10)...)
		for _, it := range heavy(10, 40) {
			w.append(id, "", it)
		}
		commit = 0
		h := w.held(id, "go")
		if largest > 400_000 || commit > 400_000 {
			t.Errorf("an event has %d bytes, a commit of the turn %d", largest, commit)
		}
		history, err := h.history()
		must(t, err)
		same(t, "history", append(numbers(0, 40), "go"), light(history))
		w.append(id, "", developer("lat"))
		w.verified(id)
		h.done(completes)
		w.reopen()
		same(t, "items", append(numbers(0, 40), "go", "lat"), light(w.items(id, 50)))
		w.verified(id)
	}, hooked(faulty.Hooks{BeforeCommit: func(b *storage.Batch) error {
		for _, e := range b.Events {
			largest = max(largest, len(e.Frame))
		}
		commit = max(commit, b.Size())
		return nil
	}}))
}

// A turn that is interrupted while it takes what waits leaves the rest of it, and what came
// meanwhile, to the next one.
func TestInterruptWhileATurnTakes(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		w.append(id, "", heavy(0, 40)...)
		w.gate.shut()
		run := send(w.m.TurnRun, ann, input(id, "go", protocol.BusyReject))
		for range 4 {
			w.gate.pass()
		}
		if a := now(t, run); a.err != nil {
			t.Fatal(a.err)
		}
		late := send(w.m.ItemsAppend, ann, protocol.ThreadItemsAppendParams{ThreadID: id, Items: []json.RawMessage{json.RawMessage(developer("lat"))}})
		stop := send(w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id})
		w.gate.lift()
		if a, b := now(t, late), now(t, stop); a.err != nil || b.err != nil || b.result.Outcome != protocol.Interrupting {
			t.Fatalf("%v, %+v", a.err, b)
		}
		turns := w.turns(id, 5)
		took := w.turn(id, turns[0].ID).Items
		left := w.read(id).Thread.Runtime.PendingItems
		if len(turns) != 1 || turns[0].Status != protocol.TurnCancelled || len(took) < 3 || left < 3 || len(took)-1+left != 41 {
			t.Fatalf("%d turns, %s; it took %d items, %d wait", len(turns), turns[0].Status, len(took), left)
		}
		w.verified(id)
		w.reopen()
		h := w.held(id, "again")
		history, err := h.history()
		must(t, err)
		all := light(history)
		want := append(numbers(0, len(took)-1), "Ope") // the notice of the interrupt
		want = append(want, numbers(len(took)-1, 40)...)
		same(t, "history", append(want, "lat", "aga"), all)
		w.verified(id)
	}, gated)
}

// Whatever commit a crash comes behind, a turn that was accepted runs with all that waited, each
// item once and in its place; and so it does when the crash comes again.
func TestCrashWhileATurnTakes(t *testing.T) {
	for _, kept := range []int{0, 1, 3, 5} {
		left := 1000 // so many commits are kept
		inWorld(t, func(w *world) {
			id := w.start(protocol.ThreadOptions{})
			w.append(id, "", heavy(0, 12)...)
			left = kept
			_ = send(w.m.TurnRun, ann, input(id, "go", protocol.BusyReject))
			synctest.Wait()
			w.crash()
			left = 2
			w.open()
			synctest.Wait()
			w.crash()
			left = 1000
			w.open()
			synctest.Wait()
			w.verified(id)
			turns := w.turns(id, 5)
			if kept == 0 {
				if left := w.read(id).Thread.Runtime.PendingItems; len(turns) > 0 || left != 12 {
					t.Errorf("%d turns, %d items wait, after nothing was kept", len(turns), left)
				}
				return
			}
			what := fmt.Sprintf("items after %d commits", kept)
			history, err := w.with(turns[0].ID).history()
			must(t, err)
			same(t, what, append(numbers(0, 12), "go"), light(history))
			w.with(turns[0].ID).done(completes)
			same(t, what, append(numbers(0, 12), "go"), light(w.items(id, 50)))
			if tn := w.turn(id, turns[0].ID); tn.Status != protocol.TurnCompleted || tn.Attempt < 2 {
				t.Errorf("after %d commits: %s, attempt %d", kept, tn.Status, tn.Attempt)
			}
			w.verified(id)
			p := w.connect("ann")
			w.subscribe(p, id, 0)
			m := newMirror(t, id, 0)
			m.apply(p.take(t))
			m.agrees(w)
			w.reopen()
			same(t, what+" and a start", append(numbers(0, 12), "go"), light(w.items(id, 50)))
		}, hooked(faulty.Hooks{BeforeCommit: func(*storage.Batch) error {
			if left--; left < 0 {
				return errCrash
			}
			return nil
		}}))
	}
}

// What is done with the items that wait while a turn takes them is neither lost nor done
// twice: a change of one, one more, another turn that is to run them.
func TestItemsWhileATurnTakes(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		items := w.append(id, "", append(heavy(0, 80), `{"type":"userMessage","content":[{"type":"text","text":"usr"}]}`)...)
		w.gate.shut()
		run := send(w.m.TurnRun, ann, input(id, "go", protocol.BusyReject))
		w.gate.pass()
		w.gate.pass()
		if a := now(t, run); a.err != nil {
			t.Fatal(a.err)
		}
		changed := make(chan error)
		for _, it := range []protocol.Item{items[0], items[20], items[79]} {
			go func() {
				_, err := try(w.m.ItemsUpdate, ann, protocol.ThreadItemsUpdateParams{
					ThreadID: id, ItemID: it.ID, ExpectedRevision: 1, Patch: json.RawMessage(`{"text":"new"}`),
				})
				changed <- err
			}()
		}
		pending := protocol.TurnRunParams{TurnInput: protocol.TurnInput{ThreadID: id, RunPending: true}, IfBusy: protocol.BusyEnqueue}
		if a := now(t, send(w.m.TurnRun, ann, pending)); protocol.AsError(a.err).Code != protocol.CodeInvalidParams {
			t.Errorf("a turn for what another takes was answered %+v", a)
		}
		late := send(w.m.ItemsAppend, ann, protocol.ThreadItemsAppendParams{ThreadID: id, Input: protocol.TextInput("lat")})
		next := send(w.m.TurnRun, ann, pending)
		for range 80 {
			w.gate.pass()
		}
		w.gate.lift()
		for range 3 {
			must(t, <-changed)
		}
		if a, b := now(t, late), now(t, next); a.err != nil || b.err != nil {
			t.Fatal(a.err, b.err)
		}
		h := w.with(w.read(id).Thread.Runtime.ActiveTurnID)
		history, err := h.history()
		must(t, err)
		want := append(numbers(0, 80), "usr", "go")
		want[0], want[20], want[79] = "new", "new", "new"
		same(t, "history", want, light(history))
		w.verified(id)
		h.done(completes)
		same(t, "items", append(want, "lat"), light(w.items(id, 200)))
		w.verified(id)
	}, gated)
}

// Where the items that wait cannot be read the turn fails, and they wait on.
func TestUnreadableWaitingItems(t *testing.T) {
	broken := false
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		w.append(id, "", developer("one"), developer("two"))
		broken = true
		tn := w.run(id, "go", protocol.BusyReject)
		broken = false
		tn = w.turn(id, tn.ID)
		if tn.Status != protocol.TurnFailed || !strings.Contains(tn.Error.Message, "cannot be read") {
			t.Errorf("%+v", tn)
		}
		h := w.held(id, "again")
		history, err := h.history()
		must(t, err)
		same(t, "history", []string{"one", "two", "again"}, texts(history))
	}, hooked(faulty.Hooks{BeforeRead: func(method string) error {
		if broken && method == "Events" {
			return fmt.Errorf("%w: a test broke it", storage.ErrCorrupt)
		}
		return nil
	}}))
}

// An item that was found among those that wait is looked for again where a turn took it before
// it could be changed.
func TestChangeOfAnItemThatIsTaken(t *testing.T) {
	var take func()
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		it := w.append(id, "", developer("one"))[0]
		take = func() {
			take = nil
			w.held(id, "go").done(completes)
		}
		it = w.update(id, it, `{"text":"new"}`)
		if it.TurnID == "" {
			t.Errorf("%+v", it)
		}
		same(t, "items", []string{"new", "go"}, texts(w.items(id, 10)))
		w.verified(id)
	}, hooked(faulty.Hooks{BeforeRead: func(method string) error {
		if take != nil && method == "Events" {
			take()
		}
		return nil
	}}))
}

// A journal in which items wait that no turn would leave waiting is refused.
func TestImportOfWaitingItems(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		w.append(id, "", developer("a"), developer("b"))
		w.append(id, "", developer("c"))
		w.held(id, "go").done(completes)
		w.append(id, "", developer("d"))
		good := w.export(id)
		find := func(text string) int {
			return slices.IndexFunc(good, func(e json.RawMessage) bool { return strings.Contains(string(e), text) })
		}
		appended, taken := find(`"op":"append"`), find(`"op":"update"`)
		event := func(i int) (e protocol.ItemsChangedEvent) {
			must(t, json.Unmarshal(protocol.ParseFrame(protocol.Frame(good[i])).Params, &e))
			return e
		}
		with := func(i int, changes ...protocol.ItemChange) []json.RawMessage {
			e := event(i)
			e.Changes = changes
			f, err := protocol.Encode(protocol.EventItemsChanged, e)
			must(t, err)
			events := slices.Clone(good)
			events[i] = json.RawMessage(f)
			return events
		}
		a, took := event(appended).Changes, event(taken).Changes
		for text, events := range map[string][]json.RawMessage{
			"appends an item that waits already":           with(appended, a[0], a[0]),
			"changes an item that it does not hold":        with(appended, a[0], protocol.ItemChange{Op: "append", ItemID: a[0].ItemID, Item: a[1].Item}),
			"gives an item to a turn before older ones":    with(taken, took[1]),
			"give some items of a thread/items/changed to": with(taken, took[0]),
		} {
			other := newWorld(t)
			e := refused(t, protocol.CodeInvalidParams, other.m.Import, ann, protocol.ThreadImportParams{Events: events})
			if !strings.Contains(e.Error(), text) {
				t.Errorf("%q is not told: %v", text, e)
			}
			other.close()
		}
	})
}

// TestVerifyWaitingItems breaks what is said of them in one place at a time.
func TestVerifyWaitingItems(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		w.append(id, "", developer("a"))
		w.append(id, "", developer("b"))
		w.held(id, "go").done(completes)
		w.append(id, "", developer("c"))
		w.append(id, "", `{"type":"userMessage","content":[{"type":"text","text":"d"}]}`)
		w.verified(id)
		for name, c := range map[string]struct {
			spoil func(k *kept)
			text  string
		}{
			"fewer":         {func(k *kept) { k.inRow(`"items":2`, `"items":1`) }, "waiting items: the row says"},
			"nobody":        {func(k *kept) { k.inRow(`"users":1`, `"users":0`) }, "waiting items: the row says"},
			"taken before":  {func(k *kept) { k.inRow(`"first":`, `"first":1,"was":`) }, "waiting items: the row says"},
			"not the first": {func(k *kept) { k.remove(k.find(0, `"op":"update"`)) }, "waiting items: the row says"},
			"twice":         {func(k *kept) { k.repeat(k.find(3, `"op":"append"`)) }, "which waits already"},
			"out of order": {func(k *kept) {
				e := &k.events[k.find(0, `"op":"update"`)]
				from, to := strings.Index(*e, `{"op"`), strings.LastIndex(*e, `{"op"`)
				*e = (*e)[:from] + (*e)[to:]
			}, "before older ones that wait"},
		} {
			k := keptOf(t, w.mem, id)
			c.spoil(k)
			if v := k.verify(t); !slices.ContainsFunc(v.Problems, func(p storage.Problem) bool { return strings.Contains(p.Text, c.text) }) {
				t.Errorf("%s is not told of: %v", name, v.Problems)
			}
		}
	})
}

// A page of a turn that took many items, and of one that took them again after a crash, reads
// what it holds.
func TestPagesOfATurnThatTookMany(t *testing.T) {
	left, reads := 1000, 0
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		for i := range 4 {
			var items []string
			for j := range 500 {
				items = append(items, developer(fmt.Sprintf("%04d", 500*i+j)))
			}
			w.append(id, "", items...)
		}
		left = 3
		_ = send(w.m.TurnRun, ann, input(id, "go", protocol.BusyReject))
		synctest.Wait()
		w.crash()
		left = 1000
		w.open()
		synctest.Wait()
		w.with(w.turns(id, 1)[0].ID).done(completes)
		p := protocol.ThreadItemsListParams{ThreadID: id, Paging: protocol.Paging{Limit: 100}}
		for page := range 3 {
			reads = 0
			r := do(t, w.m.ItemsList, ann, p)
			p.Cursor = r.NextCursor
			first := fmt.Sprintf("%04d", 100*page)
			if items := decode[protocol.Item](t, r.Data); len(items) != 100 || items[0].Text != first || reads > 30 {
				t.Errorf("a page of %d items from %s on took %d reads of events", len(r.Data), first, reads)
			}
		}
	}, hooked(faulty.Hooks{
		BeforeCommit: func(*storage.Batch) error {
			if left--; left < 0 {
				return errCrash
			}
			return nil
		},
		BeforeRead: func(method string) error {
			if method == "Events" {
				reads++
			}
			return nil
		},
	}))
}
