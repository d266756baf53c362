package thread_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
)

func TestS01ManyEnqueue(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		id := w.start(protocol.ThreadOptions{})
		w.subscribe(p, id, 0)
		h := w.held(id, "go")
		var all [10][]chan answer[protocol.TurnRunResult]
		for c := range all {
			for i := range 20 {
				got := make(chan answer[protocol.TurnRunResult], 1)
				all[c] = append(all[c], got)
				_ = i
			}
			go func() {
				for i, got := range all[c] {
					got <- <-send(w.m.TurnRun, ann, input(id, fmt.Sprintf("%d-%d", c, i), protocol.BusyEnqueue))
				}
			}()
		}
		synctest.Wait()
		places := map[int]bool{}
		for c := range all {
			last := 0
			for _, got := range all[c] {
				a := now(t, got)
				if a.err != nil || a.result.Turn.Position <= last {
					t.Fatalf("%+v %v after place %d", a.result, a.err, last)
				}
				last = a.result.Turn.Position
				places[last] = true
			}
		}
		if len(places) != 200 {
			t.Errorf("%d places", len(places))
		}
		order := w.queue(id).Turns
		m := newMirror(t, id, 0)
		m.apply(p.take(t))
		m.agrees(w)
		h.done(completes)
		for i, tn := range order {
			if got := do(t, w.m.TurnRead, ann, protocol.TurnReadParams{ThreadID: id, TurnID: tn.ID}).Turn; got.Status != protocol.TurnRunning {
				t.Fatalf("turn %d is not the next", i)
			}
			w.with(tn.ID).done(completes)
		}
		m.apply(p.take(t))
		m.agrees(w)
	})
}

// An input that comes just as the turn ends is either behind it in the queue and starts with
// its end, or starts at once.
func TestS02EnqueueAtTheEnd(t *testing.T) {
	for _, first := range []string{"end", "enqueue"} {
		inWorld(t, func(w *world) {
			id := w.start(protocol.ThreadOptions{})
			h := w.held(id, "go")
			w.gate.shut()
			var got chan answer[protocol.TurnRunResult]
			enqueue := func() { got = send(w.m.TurnEnqueue, ann, input(id, "next", "").TurnInput) }
			if first == "end" {
				h.finish(completes)
				enqueue()
			} else {
				enqueue()
				h.finish(completes)
			}
			w.gate.lift()
			a := now(t, got)
			if want := map[string]protocol.Disposition{"end": protocol.DispositionStarted, "enqueue": protocol.DispositionQueued}[first]; a.err != nil || a.result.Disposition != want {
				t.Errorf("%s first: %+v %v", first, a.result, a.err)
			}
			w.with(a.result.Turn.ID).done(completes)
			if r := w.read(id).Thread.Runtime; r.Busy || r.QueueLength > 0 {
				t.Errorf("%+v", r)
			}
		}, gated)
	}
}

func TestS04TwoEditors(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		for i := range 3 {
			w.run(id, fmt.Sprint(i), protocol.BusyEnqueue)
		}
		q := w.queue(id)
		id0, id1, id2 := q.Turns[0].ID, q.Turns[1].ID, q.Turns[2].ID
		if r := do(t, w.m.QueueReorder, ann, protocol.QueueReorderParams{ThreadID: id, Order: []string{id2, id0, id1}, ExpectedRevision: q.Revision}); r.Revision != q.Revision+1 {
			t.Errorf("%+v", r)
		}
		e := refused(t, protocol.CodeConflict, w.m.QueueUpdate, ann, protocol.QueueUpdateParams{ThreadID: id, TurnID: id1, Input: protocol.TextInput("new"), ExpectedRevision: q.Revision})
		if e.Data.Revision != q.Revision+1 || *e.Data.Paused || len(*e.Data.TurnIDs) != 3 || (*e.Data.TurnIDs)[0] != id2 {
			t.Errorf("%+v", e.Data)
		}
		h.done(completes)
		e = refused(t, protocol.CodeConflict, w.m.QueueRemove, ann, protocol.QueueRemoveParams{ThreadID: id, TurnID: id2, ExpectedRevision: q.Revision + 1})
		if e.Data.Turn == nil || e.Data.Turn.Status != protocol.TurnRunning || e.Data.Revision != q.Revision+2 {
			t.Errorf("%+v", e.Data)
		}
		w.with(id2).done(completes)
		e = refused(t, protocol.CodeConflict, w.m.QueueRemove, ann, protocol.QueueRemoveParams{ThreadID: id, TurnID: id2, ExpectedRevision: q.Revision + 3})
		if e.Data.Turn == nil || e.Data.Turn.Status != protocol.TurnCompleted {
			t.Errorf("%+v", e.Data)
		}
		refused(t, protocol.CodeTurnNotFound, w.m.QueueRemove, ann, protocol.QueueRemoveParams{ThreadID: id, TurnID: protocol.NewID(protocol.PrefixTurn)})
		refused(t, protocol.CodeInvalidParams, w.m.QueueUpdate, ann, protocol.QueueUpdateParams{ThreadID: id, TurnID: id1, ExpectedRevision: q.Revision + 3})
	})
}

func TestS05Busy(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		all := make([]chan answer[protocol.TurnRunResult], 50)
		for i := range all {
			all[i] = send(w.m.TurnStart, ann, input(id, fmt.Sprint(i), "").TurnInput)
		}
		started, active := 0, ""
		for _, got := range all {
			if a := now(t, got); a.err == nil {
				started++
				active = a.result.Turn.ID
			}
		}
		before := w.read(id)
		e := refused(t, protocol.CodeTurnInProgress, w.m.TurnStart, ann, input(id, "again", "").TurnInput)
		if started != 1 || e.Data.ActiveTurnID != active || *e.Data.QueueLength != 0 {
			t.Errorf("%d started; %+v", started, e.Data)
		}
		same(t, "after a refusal", before, w.read(id))
		w.with(active).done(completes)
	})
}

func TestQueueIsBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		w.held(id, "go")
		for range 2 {
			w.run(id, "next", protocol.BusyEnqueue)
		}
		before := w.read(id)
		for _, busy := range []protocol.IfBusy{protocol.BusyEnqueue, protocol.BusyInterrupt} {
			e := refused(t, protocol.CodeQueueFull, w.m.TurnRun, ann, input(id, "more", busy))
			if e.Data.Limit != 2 || *e.Data.QueueLength != 2 {
				t.Errorf("%+v", e.Data)
			}
		}
		same(t, "after a refusal", before, w.read(id))
	}, limits(thread.Limits{MaxQueued: 2}))
}

// What is steered and not taken is kept with the thread, so it is bounded, too.
func TestSteersAreBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		w.run(id, "1", protocol.BusySteer)
		large := make([]protocol.NewItem, 3) // of 15/16 of a message, and the first steer is there
		for i := range large {
			large[i], _ = protocol.Marshal(map[string]string{"type": "agentMessage", "text": strings.Repeat("x", largestItem-3000)})
		}
		var before protocol.ThreadReadResult
		full := func(err *protocol.Error) {
			t.Helper()
			if err.Data.Limit != 4 || *err.Data.QueueLength == 0 || err.Data.Hint == "" {
				t.Errorf("%+v", err.Data)
			}
			same(t, "after a refusal", before, w.read(id))
		}
		raw := [...]protocol.NewItem{protocol.NewItem(`{"type":"agentMessage","text":"two"}`)}
		appended := protocol.ThreadItemsAppendParams{ThreadID: id, Deliver: protocol.DeliverSteer}
		appended.Items = large[:3]
		do(t, w.m.ItemsAppend, ann, appended)
		before = w.read(id)
		appended.Items = raw[:]
		full(refused(t, protocol.CodeQueueFull, w.m.ItemsAppend, ann, appended))
		full(refused(t, protocol.CodeQueueFull, w.m.TurnRun, ann, input(id, "3", protocol.BusySteer)))
		late := protocol.TurnSteerParams{ThreadID: id, ExpectedTurnID: h.in.Turn.ID, Input: protocol.TextInput("3")}
		full(refused(t, protocol.CodeQueueFull, w.m.TurnSteer, ann, late))

		// The agent takes one, and there is room.
		h.step(func(out turn.Emitter) { out.Steered() })
		before = w.read(id)
		full(refused(t, protocol.CodeQueueFull, w.m.ItemsAppend, ann, protocol.ThreadItemsAppendParams{ThreadID: id, Deliver: protocol.DeliverSteer, Items: large[:1]}))
		do(t, w.m.ItemsAppend, ann, appended)

		// A steer that comes too late finds the queue full.
		h.done(completes)
		next := w.held(id, "next")
		for range 4 {
			w.run(id, "waits", protocol.BusyEnqueue)
		}
		before = w.read(id)
		if e := refused(t, protocol.CodeQueueFull, w.m.TurnSteer, ann, late); e.Data.Limit != 4 {
			t.Errorf("%+v", e.Data)
		}
		same(t, "after a refusal", before, w.read(id))
		late.ExpectedTurnID = next.in.Turn.ID
		do(t, w.m.TurnSteer, ann, late)
	}, limits(thread.Limits{MaxQueued: 4, MaxItemBytes: largestItem, MaxMessageBytes: largestMessage}))
}

func TestS06InterruptParksTheQueue(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		id := w.start(protocol.ThreadOptions{})
		w.subscribe(p, id, 0)
		w.held(id, "go")
		a, b := w.run(id, "a", protocol.BusyEnqueue), w.run(id, "b", protocol.BusyEnqueue)
		p.take(t)
		rev := w.queue(id).Revision
		do(t, w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id, Queue: protocol.InterruptKeep})
		frames := p.take(t)
		if got := only(t, frames, "thread/queue/updated"); len(got) != 1 || !got[0].Paused || got[0].PauseReason != protocol.PauseTurnCancelled || got[0].Revision != rev+1 {
			t.Errorf("%+v", got)
		}
		for range 2 {
			if r := w.read(id).Thread.Runtime; r.Busy || !r.QueuePaused || r.PauseReason != protocol.PauseTurnCancelled || r.QueueLength != 2 {
				t.Errorf("%+v", r)
			}
			w.reopen()
		}
		direct := w.held(id, "runs at once")
		direct.done(completes)
		if r := w.read(id).Thread.Runtime; r.Busy || !r.QueuePaused {
			t.Errorf("%+v", r)
		}
		if r := do(t, w.m.QueueResume, ann, protocol.QueueParams{ThreadID: id}); r.Revision != rev+2 {
			t.Errorf("%+v", r)
		}
		w.with(a.ID).done(completes)
		w.with(b.ID).done(completes)
	})
}

func TestS07Failures(t *testing.T) {
	inWorld(t, func(w *world) {
		pauses := w.start(protocol.ThreadOptions{})
		goes := w.start(protocol.ThreadOptions{QueuePolicy: &protocol.QueuePolicy{OnFailed: protocol.QueueContinue}})
		clears := w.start(protocol.ThreadOptions{QueuePolicy: &protocol.QueuePolicy{OnFailed: protocol.QueueClear}})
		for _, id := range []string{pauses, goes, clears} {
			h := w.held(id, "go")
			for range 12 {
				w.run(id, "next", protocol.BusyEnqueue)
			}
			h.done(fails)
			if tn := w.turn(id, h.in.Turn.ID); tn.Error.Code != protocol.TurnErrAgent || tn.Error.Message != "model refused" {
				t.Errorf("%+v", tn.Error)
			}
		}
		if q := w.queue(pauses); !q.Paused || q.PauseReason != protocol.PauseTurnFailed || len(q.Turns) != 12 {
			t.Errorf("%+v", q)
		}
		if q := w.queue(clears); q.Paused || len(q.Turns) != 0 {
			t.Errorf("%+v", q)
		}
		for n := 1; ; n++ {
			q := w.queue(goes)
			if q.Paused {
				if n != 10 || q.PauseReason != protocol.PauseRepeatedFailure {
					t.Errorf("%d failures, %s", n, q.PauseReason)
				}
				return
			}
			w.with(w.read(goes).Thread.Runtime.ActiveTurnID).done(fails)
		}
	})
}

func TestS10Steer(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		waits := w.run(id, "waits", protocol.BusyEnqueue)
		steer := func(turnID string, end protocol.IfEnded) protocol.TurnSteerParams {
			return protocol.TurnSteerParams{ThreadID: id, ExpectedTurnID: turnID, Input: protocol.TextInput("use metric units"), IfEnded: end, Sender: &protocol.Sender{Name: "Ann"}}
		}
		// Whoever waits for a steer gets it, with its sender.
		taken := make(chan protocol.Item, 1)
		go func() {
			it, _ := h.out.Steer(h.ctx)
			taken <- it
		}()
		synctest.Wait()
		if r := do(t, w.m.TurnSteer, ann, steer(h.in.Turn.ID, "")); r.Disposition != protocol.DispositionSteered || r.Turn.ID != h.in.Turn.ID {
			t.Errorf("%+v", r)
		}
		if it := <-taken; it.Delivery != protocol.DeliverySteer || it.TurnID != h.in.Turn.ID || it.Sender == nil || it.Sender.Name != "Ann" {
			t.Errorf("%+v", it)
		}
		e := refused(t, protocol.CodeTurnNotRunning, w.m.TurnSteer, ann, steer(waits.ID, ""))
		if e.Data.Status != "queued" {
			t.Errorf("%+v", e.Data)
		}
		refused(t, protocol.CodeTurnNotFound, w.m.TurnSteer, ann, steer(protocol.NewID(protocol.PrefixTurn), ""))
		// Two waiters, two steers.
		both := make(chan protocol.Item, 2)
		for range 2 {
			go func() {
				it, _ := h.out.Steer(h.ctx)
				both <- it
			}()
		}
		synctest.Wait()
		send(w.m.TurnSteer, ann, steer(h.in.Turn.ID, ""))
		send(w.m.TurnSteer, ann, steer(h.in.Turn.ID, ""))
		synctest.Wait()
		if a, b := <-both, <-both; a.ID == b.ID {
			t.Errorf("one steer was taken twice: %s", a.ID)
		}
		h.done(completes)
		refused(t, protocol.CodeTurnNotRunning, w.m.TurnSteer, ann, steer(h.in.Turn.ID, protocol.EndedReject))
		late := do(t, w.m.TurnSteer, ann, steer(h.in.Turn.ID, ""))
		if late.Disposition != protocol.DispositionQueued || late.Turn.Position != 1 {
			t.Errorf("%+v", late)
		}
		w.with(waits.ID).done(completes)
		w.with(late.Turn.ID).done(completes)
		if last := do(t, w.m.TurnSteer, ann, steer(h.in.Turn.ID, "")); last.Disposition != protocol.DispositionStarted {
			t.Errorf("%+v", last)
		}
	})
}

// A waiter for a steer is let go when the turn is interrupted, and takes nothing any more.
func TestSteerAndInterrupt(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{QueuePolicy: &protocol.QueuePolicy{OnCancelled: protocol.QueueContinue}})
		h := w.held(id, "go")
		h.hardens()
		do(t, w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id})
		w.run(id, "steered", protocol.BusySteer)
		if it, err := h.out.Steer(h.ctx); err == nil {
			t.Errorf("%+v", it)
		}
		h.done(completes)
		next := w.with(w.read(id).Thread.Runtime.ActiveTurnID)
		if next.in.Turn.Input.Text() != "steered" {
			t.Errorf("%+v", next.in.Turn)
		}
	})
}

func TestS12ToS14Interrupts(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		id := w.start(protocol.ThreadOptions{})
		w.subscribe(p, id, 0)
		stop := func(turnID string) protocol.TurnInterruptParams {
			return protocol.TurnInterruptParams{ThreadID: id, TurnID: turnID}
		}
		if r := do(t, w.m.TurnInterrupt, ann, stop("")); r.Outcome != protocol.NoActiveTurn {
			t.Errorf("%+v", r)
		}
		a := w.held(id, "a")
		b := w.run(id, "b", protocol.BusyEnqueue)
		c := w.run(id, "c", protocol.BusyEnqueue)
		if r := do(t, w.m.TurnInterrupt, ann, stop(b.ID)); r.Outcome != protocol.RemovedFromQueue || r.TurnID != b.ID {
			t.Errorf("%+v", r)
		}
		if tn := w.turn(id, b.ID); tn.Status != protocol.TurnCancelled || tn.CancelReason != protocol.CancelUser || tn.StartedAt != 0 {
			t.Errorf("%+v", tn)
		}
		if q := w.queue(id); q.Paused || len(q.Turns) != 1 {
			t.Errorf("%+v", q)
		}
		a.done(completes)
		if r := do(t, w.m.TurnInterrupt, ann, stop(a.in.Turn.ID)); r.Outcome != protocol.AlreadyTerminal {
			t.Errorf("%+v", r)
		}
		e := refused(t, protocol.CodeTurnNotRunning, w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id, TurnID: a.in.Turn.ID, Strict: true})
		if e.Data.Status != "completed" {
			t.Errorf("%+v", e.Data)
		}
		refused(t, protocol.CodeTurnNotFound, w.m.TurnInterrupt, ann, stop(protocol.NewID(protocol.PrefixTurn)))
		outcomes := map[protocol.InterruptOutcome]int{}
		w.with(c.ID).hardens()
		for range 3 {
			outcomes[do(t, w.m.TurnInterrupt, ann, stop("")).Outcome]++
		}
		if outcomes[protocol.Interrupting] != 1 || outcomes[protocol.AlreadyInterrupting] != 2 {
			t.Errorf("%v", outcomes)
		}
		w.with(c.ID).done(completes)
		if n := len(only(t, p.take(t), "turn/cancelled")); n != 2 {
			t.Errorf("%d turns were cancelled", n)
		}
	})
}

// An interrupt that comes between the start of a turn and its hand-over ends it.
func TestInterruptBeforeTheAgent(t *testing.T) {
	for commits := range 3 {
		inWorld(t, func(w *world) {
			p := w.connect("ann")
			id := w.start(protocol.ThreadOptions{})
			w.subscribe(p, id, 0)
			w.gate.shut()
			ran := send(w.m.TurnRun, ann, input(id, "go", ""))
			for range commits {
				w.gate.pass()
			}
			stopped := send(w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id})
			w.gate.lift()
			tn, r := now(t, ran).result.Turn, now(t, stopped)
			if r.err != nil || r.result.Outcome != protocol.Interrupting {
				t.Errorf("%+v", r)
			}
			if got := w.turn(id, tn.ID); got.Status != protocol.TurnCancelled || got.CancelReason != protocol.CancelUser {
				t.Errorf("after %d commits: %+v", commits, got)
			}
			m := newMirror(t, id, 0)
			m.apply(p.take(t))
			m.agrees(w)
		}, gated)
	}
}

// ifBusy:interrupt replaces the running turn and comes before the queue.
func TestReplace(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		w.run(id, "waits", protocol.BusyEnqueue)
		do(t, w.m.QueuePause, ann, protocol.QueueParams{ThreadID: id})
		w.run(id, "steered", protocol.BusySteer)
		r := do(t, w.m.TurnRun, ann, input(id, "instead", protocol.BusyInterrupt))
		if r.Disposition != protocol.DispositionQueued || r.Turn.Position != 1 {
			t.Errorf("%+v", r)
		}
		if tn := w.turn(id, h.in.Turn.ID); tn.CancelReason != protocol.CancelReplaced || tn.CancelledBy.User != "ann" {
			t.Errorf("%+v", tn)
		}
		w.with(r.Turn.ID).done(completes)
		q := w.queue(id)
		if len(q.Turns) != 2 || q.Turns[0].Input.Text() != "steered" || !q.Paused || q.PauseReason != protocol.PauseUser {
			t.Errorf("%+v", q)
		}
	})
}

func TestInputThatIsTooLarge(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		waits := w.run(id, "waits", protocol.BusyEnqueue)
		large := strings.Repeat("x", 1001)
		tooLarge := func(e *protocol.Error) {
			t.Helper()
			if e.Data.Field != "input" {
				t.Errorf("%+v", e)
			}
		}
		tooLarge(refused(t, protocol.CodeInvalidParams, w.m.TurnRun, ann, input(id, large, protocol.BusyEnqueue)))
		tooLarge(refused(t, protocol.CodeInvalidParams, w.m.TurnRun, ann, input(id, large, protocol.BusySteer)))
		tooLarge(refused(t, protocol.CodeInvalidParams, w.m.TurnSteer, ann, protocol.TurnSteerParams{ThreadID: id, ExpectedTurnID: h.in.Turn.ID, Input: protocol.TextInput(large)}))
		tooLarge(refused(t, protocol.CodeInvalidParams, w.m.QueueUpdate, ann, protocol.QueueUpdateParams{ThreadID: id, TurnID: waits.ID, Input: protocol.TextInput(large)}))
		if q := w.queue(id); len(q.Turns) != 1 || q.Turns[0].Input.Text() != "waits" {
			t.Errorf("%+v", q)
		}
	}, limits(thread.Limits{MaxItemBytes: 1000}))
}

// The preview is the start of what a user said first, in characters, not bytes.
func TestPreview(t *testing.T) {
	for said, want := range map[string]string{
		"Hello":                  "Hello",
		strings.Repeat("x", 120): strings.Repeat("x", 120),
		strings.Repeat("x", 121): strings.Repeat("x", 119) + "…",
		strings.Repeat("ü", 120): strings.Repeat("ü", 120),
		strings.Repeat("€", 900): strings.Repeat("€", 119) + "…",
	} {
		inWorld(t, func(w *world) {
			id := w.start(protocol.ThreadOptions{})
			w.held(id, said).done(completes)
			w.held(id, "later").done(completes)
			if got := w.read(id).Thread.Preview; got != want {
				t.Errorf("%.10q…: %q", said, got)
			}
		})
	}
}
