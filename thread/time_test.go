package thread_test

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/faulty"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
)

// hardens makes a run ignore its context.
func (h *held) hardens() { h.step(func(turn.Emitter) { h.stubborn = true }) }

// An agent that does not listen to its interrupt loses its turn after the grace time, and
// what it says later is dropped.
func TestInterruptGrace(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.connect("ann")
		w.subscribe(p, id, 0)
		h := w.held(id, "go")
		it := h.begin(protocol.ItemAgentMessage)
		h.speak(it, "Hello")
		next := w.run(id, "next", protocol.BusyEnqueue)
		h.hardens()
		if r := do(t, w.m.TurnInterrupt, from(p), protocol.TurnInterruptParams{ThreadID: id, Queue: protocol.InterruptContinue}); r.Outcome != protocol.Interrupting || r.TurnID != h.in.Turn.ID {
			t.Errorf("%+v", r)
		}
		if r := do(t, w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id}); r.Outcome != protocol.AlreadyInterrupting {
			t.Errorf("%+v", r)
		}
		h.speak(it, " there")
		<-time.After(4999 * time.Millisecond)
		synctest.Wait()
		if r := w.read(id).Thread.Runtime; !r.Busy || !r.Interrupting || r.ActiveTurnID != h.in.Turn.ID {
			t.Errorf("%+v", r)
		}
		<-time.After(time.Millisecond)
		synctest.Wait()
		tn := w.turn(id, h.in.Turn.ID)
		if tn.Status != protocol.TurnCancelled || tn.CancelReason != protocol.CancelUser || tn.Text != "Hello there" || tn.CancelledBy.ConnectionID != p.who.ConnectionID {
			t.Errorf("%+v", tn)
		}
		if n := len(tn.Items); tn.Items[n-2].Status != protocol.ItemInterrupted || tn.Items[n-1].Kind != "interrupted" {
			t.Errorf("%+v", tn.Items)
		}
		if r := w.read(id).Thread.Runtime; r.ActiveTurnID != next.ID || r.Interrupting {
			t.Errorf("%+v", r)
		}
		head := w.read(id).Thread.HeadSeq
		h.step(func(out turn.Emitter) {
			it.Append("late")
			it.Complete(nil)
			out.Begin(protocol.Item{Type: protocol.ItemAgentMessage}).Append("late")
			out.Add(protocol.Item{Type: protocol.ItemNotice})
			out.Plan([]protocol.PlanEntry{{Text: "late"}})
			out.Usage(protocol.Usage{InputTokens: 1})
			out.Event("late", "late")
			out.Begin(protocol.Item{Type: protocol.ItemState}).Patch(json.RawMessage(`{}`))
			if _, ok := out.Steered(); ok {
				t.Error("a turn that is over is steered")
			}
		})
		<-time.After(time.Second)
		synctest.Wait()
		if now := w.read(id).Thread; now.HeadSeq != head || now.Usage != (protocol.Usage{}) {
			t.Errorf("%+v", now)
		}
		h.done(completes)
		w.with(next.ID).done(completes)
		m := newMirror(t, id, 0)
		m.apply(p.take(t))
		m.agrees(w)
	})
}

func TestMaxTurnMs(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{Config: protocol.Object{"maxTurnMs": json.RawMessage("1000")}})
		quick, stubborn := w.held(id, "quick"), ""
		<-time.After(999 * time.Millisecond)
		quick.done(completes)
		h := w.held(id, "slow")
		<-time.After(time.Second)
		synctest.Wait()
		if tn := w.turn(id, h.in.Turn.ID); tn.Status != protocol.TurnFailed || tn.Error.Code != protocol.TurnErrTimeout || !tn.Error.Retryable {
			t.Errorf("%+v", tn)
		}
		s := w.held(id, "stubborn")
		stubborn = s.in.Turn.ID
		s.hardens()
		<-time.After(5999 * time.Millisecond)
		synctest.Wait()
		if tn := w.turn(id, stubborn); tn.Status != protocol.TurnRunning {
			t.Errorf("%+v", tn)
		}
		// It has failed; an interrupt that comes later does not make it cancelled.
		do(t, w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id})
		<-time.After(time.Millisecond)
		synctest.Wait()
		if tn := w.turn(id, stubborn); tn.Status != protocol.TurnFailed || tn.CancelledBy != nil || tn.CancelReason != "" {
			t.Errorf("%+v", tn)
		}
	})
}

// While a turn that was interrupted has not ended, everybody hears that it is to end.
func TestInterruptingIsTold(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		id := w.start(protocol.ThreadOptions{})
		w.held(id, "go").hardens()
		do(t, w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id})
		h := w.read(id).Thread
		if !h.Runtime.Interrupting {
			t.Errorf("%+v", h.Runtime)
		}
		p.knowsRuntime(t, h)
		<-time.After(6 * time.Second)
		synctest.Wait()
		if h = w.read(id).Thread; h.Runtime.Busy {
			t.Errorf("%+v", h.Runtime)
		}
		p.knowsRuntime(t, h)
	})
}

func TestTurnWait(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		b := w.run(id, "b", protocol.BusyEnqueue)
		wait := func(turnID string, ms int64) protocol.TurnWaitParams {
			return protocol.TurnWaitParams{ThreadID: id, TurnID: turnID, TimeoutMs: ms}
		}
		forever := send(w.m.TurnWait, ann, wait(b.ID, 0))
		late := send(w.m.TurnWait, ann, wait(b.ID, math.MaxInt64))
		soon := send(w.m.TurnWait, ann, wait(b.ID, 1000))
		ctx, cancel := context.WithCancel(context.Background())
		gone := send(w.m.TurnWait, thread.Call{Context: ctx, Caller: ann.Caller}, wait(b.ID, 0))
		<-time.After(time.Second)
		if a := now(t, soon); !a.result.TimedOut || a.result.Turn.Status != protocol.TurnQueued || a.result.Turn.Position != 1 {
			t.Errorf("%+v %v", a.result, a.err)
		}
		cancel()
		if a := now(t, gone); protocol.AsError(a.err).Code != protocol.CodeRequestCancelled {
			t.Errorf("%+v %v", a.result, a.err)
		}
		h.say("A")
		h.done(completes)
		running := send(w.m.TurnWait, ann, wait(b.ID, 10))
		<-time.After(10 * time.Millisecond)
		if a := now(t, running); !a.result.TimedOut || a.result.Turn.Status != protocol.TurnRunning {
			t.Errorf("%+v %v", a.result, a.err)
		}
		hb := w.with(b.ID)
		hb.say("B")
		hb.done(completes)
		for _, got := range []chan answer[protocol.TurnWaitResult]{forever, late, send(w.m.TurnWait, ann, wait(b.ID, 1))} {
			if a := now(t, got); a.err != nil || a.result.TimedOut || a.result.Turn.Text != "B" || a.result.Turn.Status != protocol.TurnCompleted {
				t.Errorf("%+v %v", a.result, a.err)
			}
		}
		refused(t, protocol.CodeTurnNotFound, w.m.TurnWait, ann, wait(protocol.NewID(protocol.PrefixTurn), 0))
		refused(t, protocol.CodeTurnNotFound, w.m.TurnWait, ann, wait("nonsense", 0))
		refused(t, protocol.CodeInvalidParams, w.m.TurnWait, ann, wait(b.ID, -1))
	})
}

// A run with wait is answered with the end of its own turn, whatever else ends.
func TestRunAndWait(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		a := w.held(id, "a")
		parked := 0
		c := ann
		c.Park = func() error { parked++; return nil }
		p := input(id, "b", protocol.BusyEnqueue)
		p.Wait = true
		b := send(w.m.TurnRun, c, p)
		p.Input = protocol.TextInput("c")
		cleared := send(w.m.TurnRun, c, p)
		synctest.Wait()
		q := w.queue(id)
		a.say("A")
		do(t, w.m.QueueReorder, ann, protocol.QueueReorderParams{ThreadID: id, Order: []string{q.Turns[1].ID, q.Turns[0].ID}, ExpectedRevision: q.Revision})
		do(t, w.m.QueueReorder, ann, protocol.QueueReorderParams{ThreadID: id, Order: []string{q.Turns[0].ID, q.Turns[1].ID}, ExpectedRevision: q.Revision + 1})
		a.done(completes)
		do(t, w.m.QueueClear, ann, protocol.QueueClearParams{ThreadID: id, ExpectedRevision: w.queue(id).Revision})
		if a := now(t, cleared); protocol.AsError(a.err).Code != protocol.CodeQueueCleared {
			t.Errorf("%+v %v", a.result, a.err)
		}
		hb := w.with(q.Turns[0].ID)
		hb.say("B")
		hb.done(completes)
		if a := now(t, b); a.err != nil || a.result.Turn.Text != "B" || a.result.Disposition != protocol.DispositionQueued || parked != 2 {
			t.Errorf("%+v %v, parked %d times", a.result, a.err, parked)
		}
		c.Park = func() error { return protocol.Errorf(protocol.CodeServerOverloaded, "too many wait") }
		refused(t, protocol.CodeServerOverloaded, w.m.TurnRun, c, p)
		if head := w.read(id).Thread; head.Runtime.Busy {
			t.Errorf("%+v", head.Runtime)
		}
	})
}

// Whoever gives an input and waits for its turn hears how it ended, also where nothing is left
// of it a moment later.
func TestRunAndWaitForWhatIsGone(t *testing.T) {
	for what, forget := range map[string]func(w *world, id string) error{
		"reset": func(w *world, id string) error {
			return failure(try(w.m.Reset, ann, protocol.ThreadResetParams{ThreadID: id, IfBusy: protocol.BusyThreadInterrupt}))
		},
		"delete": func(w *world, id string) error {
			return failure(try(w.m.Delete, ann, protocol.ThreadChangeParams{ThreadID: id, IfBusy: protocol.BusyThreadInterrupt}))
		},
	} {
		inWorld(t, func(w *world) {
			id := w.start(protocol.ThreadOptions{})
			w.gate.shut()
			p := input(id, "go", "")
			p.Wait = true
			waits := send(w.m.TurnRun, ann, p)
			synctest.Wait()
			gone := make(chan error, 1)
			go func() { gone <- forget(w, id) }()
			synctest.Wait()
			w.gate.lift()
			if err := <-gone; err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if a := now(t, waits); a.err != nil || a.result.Turn.Status != protocol.TurnCancelled {
				t.Errorf("%s: %+v %v", what, a.result.Turn, a.err)
			}
		}, gated)
	}
}

func TestUnload(t *testing.T) {
	inWorld(t, func(w *world) {
		ids := []string{
			w.start(protocol.ThreadOptions{Title: "durable"}),
			w.start(protocol.ThreadOptions{Title: "ephemeral", Lifetime: &protocol.Lifetime{Mode: protocol.LifetimeEphemeral}}),
		}
		for _, id := range ids {
			h := w.held(id, "one")
			h.say("One")
			h.step(func(out turn.Emitter) { out.Usage(protocol.Usage{InputTokens: 7}) })
			w.run(id, "two", protocol.BusyEnqueue)
			w.run(id, "three", protocol.BusyEnqueue)
			do(t, w.m.QueuePause, ann, protocol.QueueParams{ThreadID: id})
			h.done(completes)
			q := w.queue(id)
			do(t, w.m.QueueUpdate, ann, protocol.QueueUpdateParams{ThreadID: id, TurnID: q.Turns[1].ID, Input: protocol.TextInput("drei"), ExpectedRevision: q.Revision})
			items := w.append(id, "", developer("wait"), developer("and see"))
			w.update(id, items[0], `{"text":"waited"}`)
		}
		before := []protocol.ThreadReadResult{w.read(ids[0]), w.read(ids[1])}
		queues := []protocol.QueueListResult{w.queue(ids[0]), w.queue(ids[1])}
		waits := send(w.m.TurnWait, ann, protocol.TurnWaitParams{ThreadID: ids[0], TurnID: queues[0].Turns[0].ID, TimeoutMs: 1000_000})
		<-time.After(10 * time.Minute)
		synctest.Wait()
		if n := w.m.Stats().LoadedThreads; n != 1 {
			t.Errorf("%d threads in memory, somebody waits for one", n)
		}
		<-time.After(20 * time.Minute)
		if a := now(t, waits); !a.result.TimedOut {
			t.Errorf("%+v %v", a.result, a.err)
		}
		if n := w.m.Stats().LoadedThreads; n != 0 {
			t.Errorf("%d threads in memory", n)
		}
		for i, id := range ids {
			same(t, "read", before[i], w.read(id))
			same(t, "queue", queues[i], w.queue(id))
			same(t, "items", []string{"one", "One", "waited", "and see"}, texts(w.items(id, 3)))
			do(t, w.m.QueueResume, ann, protocol.QueueParams{ThreadID: id})
			h := w.with(queues[i].Turns[0].ID)
			history, _ := h.history()
			same(t, "history", []string{"one", "One", "waited", "and see", "two"}, texts(history))
			h.done(completes)
			if got := w.with(queues[i].Turns[1].ID).in.Turn.Input.Text(); got != "drei" {
				t.Errorf("%q", got)
			}
		}
	})
}

// A thread that is being loaded is nobody else's yet.
func TestStatsWhileLoading(t *testing.T) {
	var wait chan struct{}
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		w.reopen()
		wait = make(chan struct{})
		read := make(chan error, 1)
		go func() {
			_, err := try(w.m.Read, ann, protocol.ThreadReadParams{ThreadID: id})
			read <- err
		}()
		synctest.Wait()
		if n := w.m.Stats().LoadedThreads; n != 0 {
			t.Errorf("%d threads are loaded", n)
		}
		close(wait)
		if err := <-read; err != nil {
			t.Error(err)
		}
		if n := w.m.Stats().LoadedThreads; n != 1 {
			t.Errorf("%d threads are loaded", n)
		}
	}, hooked(faulty.Hooks{BeforeRead: func(method string) error {
		if method == "Thread" && wait != nil {
			<-wait
		}
		return nil
	}}))
}

// An ephemeral thread is as any other while the daemon runs, and gone with it.
func TestEphemeral(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		id := w.start(protocol.ThreadOptions{Lifetime: &protocol.Lifetime{Mode: protocol.LifetimeEphemeral}})
		w.subscribe(p, id, 0)
		h := w.held(id, "go")
		h.say("Hello")
		h.done(completes)
		m := newMirror(t, id, 0)
		m.apply(p.take(t))
		m.agrees(w)
		if _, err := w.mem.Thread(context.Background(), id); err == nil {
			t.Error("it is in the durable store")
		}
		l := do(t, w.m.List, ann, protocol.ThreadListParams{}).Data
		if len(l) != 1 || l[0].ID != id || l[0].HeadSeq != m.seq {
			t.Errorf("%+v", l)
		}
		w.reopen()
		refused(t, protocol.CodeThreadNotFound, w.m.Read, ann, protocol.ThreadReadParams{ThreadID: id})
	})
}

func TestLifetimes(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		p.who.InstanceID = "tab-1"
		begin := func(l protocol.Lifetime) (string, *held) {
			id := do(t, w.m.Start, from(p), protocol.ThreadStartParams{ThreadOptions: protocol.ThreadOptions{Lifetime: &l}}).Thread.ID
			return id, w.held(id, "go")
		}
		goes, _ := begin(protocol.Lifetime{OnDisconnect: protocol.DisconnectContinue})
		stops, _ := begin(protocol.Lifetime{OnDisconnect: protocol.DisconnectInterrupt, GraceMs: 2000})
		ends, _ := begin(protocol.Lifetime{Mode: protocol.LifetimeConnection, GraceMs: 2000})
		taken, _ := begin(protocol.Lifetime{Mode: protocol.LifetimeConnection, GraceMs: 2000})
		forever, _ := begin(protocol.Lifetime{Mode: protocol.LifetimeConnection, GraceMs: math.MaxInt64})
		now, _ := begin(protocol.Lifetime{OnDisconnect: protocol.DisconnectEnd})
		if n := w.m.Owned(p.who.ConnectionID); n != 6 {
			t.Errorf("%d threads belong to the connection", n)
		}
		state := func(id string) [2]string {
			r := w.read(id)
			last := (*r.Turns)[0]
			return [2]string{string(r.Thread.Status), string(last.Status) + string(last.CancelReason)}
		}
		check := func(when string, want map[string][2]string) {
			t.Helper()
			synctest.Wait()
			for id, s := range want {
				if got := state(id); got != s {
					t.Errorf("%s: %v of %+v, want %v", when, got, w.read(id).Thread.Lifetime, s)
				}
			}
		}
		running := [2]string{"active", "running"}
		w.m.Detach(p)
		<-time.After(1999 * time.Millisecond)
		check("within the grace time", map[string][2]string{
			goes: running, stops: running, ends: running, taken: running, forever: running,
			now: {"ended", "cancelledclientDisconnected"},
		})
		other := w.connect("ann")
		do(t, w.m.Resume, from(other), protocol.ThreadResumeParams{ThreadID: taken})
		<-time.After(time.Millisecond)
		check("after it", map[string][2]string{
			goes: running, stops: {"active", "cancelledclientDisconnected"},
			ends: {"ended", "cancelledclientDisconnected"}, taken: running, forever: running,
		})
		if h := w.read(ends).Thread; h.EndReason != "connectionClosed" {
			t.Errorf("%+v", h)
		}
		w.m.Detach(other)
		<-time.After(time.Second)
		again := &peer{who: thread.Caller{User: "ann", ConnectionID: "con_again", InstanceID: "tab-1"}}
		w.attach(again) // another instance than the one that resumed it
		<-time.After(time.Hour)
		check("in the end", map[string][2]string{taken: {"ended", "cancelledclientDisconnected"}, forever: running})
		if n := w.m.Owned("con_again"); n != 1 {
			t.Errorf("%d threads came back", n)
		}
	})
}

func TestShutdown(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		ids := make([]string, 3)
		runs := make([]*held, 3)
		for i := range ids {
			ids[i] = w.start(protocol.ThreadOptions{})
			w.subscribe(p, ids[i], 0)
			runs[i] = w.held(ids[i], "go")
			w.run(ids[i], "next", protocol.BusyEnqueue)
		}
		runs[2].hardens()
		stopped := make(chan error, 1)
		go func() { stopped <- w.m.Shutdown(context.Background(), 3*time.Second) }()
		<-time.After(time.Second)
		synctest.Wait()
		if w.m.AcceptingTurns() {
			t.Error("turns are still accepted")
		}
		e := refused(t, protocol.CodeServerOverloaded, w.m.TurnRun, ann, input(ids[0], "hi", protocol.BusyEnqueue))
		if e.Data.RetryAfterMs == 0 {
			t.Errorf("%+v", e)
		}
		refused(t, protocol.CodeServerOverloaded, w.m.Start, ann, protocol.ThreadStartParams{})
		runs[0].say("drained")
		runs[0].done(completes)
		<-time.After(2 * time.Second)
		synctest.Wait()
		if tn := w.turn(ids[1], runs[1].in.Turn.ID); tn.Status != protocol.TurnCancelled || tn.CancelReason != protocol.CancelShutdown || tn.CancelledBy != nil {
			t.Errorf("%+v", tn)
		}
		<-time.After(5 * time.Second)
		synctest.Wait()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if tn := w.turn(ids[2], runs[2].in.Turn.ID); tn.Status != protocol.TurnCancelled || tn.CancelReason != protocol.CancelShutdown {
			t.Errorf("%+v", tn)
		}
		frames := p.take(t)
		if done, cut := len(only(t, frames, "turn/completed")), len(only(t, frames, "turn/cancelled")); done != 1 || cut != 2 {
			t.Errorf("%d completed, %d cancelled", done, cut)
		}
		w.reopen()
		for _, id := range ids {
			r := w.read(id).Thread.Runtime
			if !r.Busy || r.QueueLength != 0 || r.QueuePaused {
				t.Errorf("the queue of %s does not go on: %+v", id, r)
			}
			w.with(r.ActiveTurnID).done(completes)
		}
	})
}

// Shutdown returns when all is kept and told, also on a slow disk.
func TestShutdownOnASlowDisk(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		id := w.start(protocol.ThreadOptions{})
		w.subscribe(p, id, 0)
		h := w.held(id, "go")
		w.gate.shut()
		began := send(w.m.TurnRun, ann, input(w.other(), "just accepted", ""))
		stopped := make(chan error, 1)
		go func() { stopped <- w.m.Shutdown(context.Background(), 0) }()
		synctest.Wait()
		<-h.over
		select {
		case <-stopped:
			t.Error("stopped before the end of a turn was kept")
		default:
		}
		w.gate.lift()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if !slices.Contains(methods(p.take(t)), "turn/cancelled") {
			t.Error("the end of the turn was not told")
		}
		if a := <-began; a.err != nil || w.turn(a.result.Turn.ThreadID, a.result.Turn.ID).CancelReason != protocol.CancelShutdown {
			t.Errorf("%+v %v", a.result, a.err)
		}
	}, gated)
}

// other starts a thread while commits pass.
func (w *world) other() string {
	w.gate.lift()
	id := w.start(protocol.ThreadOptions{})
	w.gate.shut()
	return id
}

// Keys are forgotten when their time has passed.
func TestKeysArePruned(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, l := range []protocol.LifetimeMode{protocol.LifetimeDurable, protocol.LifetimeEphemeral} {
			id := w.start(protocol.ThreadOptions{Lifetime: &protocol.Lifetime{Mode: l}})
			p := protocol.ThreadRenameParams{ThreadID: id, Title: "new"}
			p.IdempotencyKey = "k"
			do(t, w.m.Rename, ann, p)
			<-time.After(24 * time.Hour)
			if r := do(t, w.m.Rename, ann, p); !r.Replayed {
				t.Errorf("%s: a key is forgotten within a day", l)
			}
			<-time.After(26 * time.Hour)
			synctest.Wait()
			var s storage.Store = w.mem
			if l == protocol.LifetimeEphemeral {
				s = w.eph
			}
			if _, err := s.Key(context.Background(), "ann", id, "k"); err == nil {
				t.Errorf("%s: a key is kept forever", l)
			}
		}
	})
}
