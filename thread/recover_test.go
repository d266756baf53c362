package thread_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
)

// TestCrashAtEveryCommit plays the life of two turns, kills the daemon before each of its
// commits in turn, and looks what a new one makes of it.
func TestCrashAtEveryCommit(t *testing.T) {
	for n := 1; ; n++ {
		whole := false
		t.Run(fmt.Sprint("before commit ", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { whole = crashBefore(t, n) })
		})
		if whole || t.Failed() {
			if n < 15 {
				t.Errorf("the life of two turns has %d commits", n-1)
			}
			return
		}
	}
}

// life is what one play of TestCrashAtEveryCommit had been answered when the crash came.
type life struct {
	*world
	id     string
	acked  map[string]bool // inputs, whether they were accepted
	turns  map[string]bool // ids that were answered
	over   map[string]bool // turns whose end was told
	saved  string          // text that must have been kept, if its turn was lost
	peer   *peer
	thread bool
}

// crashBefore reports whether the whole life was shorter than n commits.
func crashBefore(t *testing.T, n int) bool {
	commits := 0
	l := &life{acked: map[string]bool{}, turns: map[string]bool{}, over: map[string]bool{}}
	l.world = newWorld(t, func(w *world) {
		w.hooks.BeforeCommit = func(*storage.Batch) error {
			if commits++; commits >= n {
				return errCrash
			}
			return nil
		}
	})
	defer func() { l.close() }()
	l.id = protocol.NewID(protocol.PrefixThread)
	l.play()
	whole := commits < n
	l.remember()
	l.hooks.BeforeCommit = nil
	l.reopen()
	l.look()
	return whole
}

// play goes on until something fails.
func (l *life) play() {
	l.peer = l.connect("ann")
	_, err := try(l.m.Start, from(l.peer), protocol.ThreadStartParams{ThreadOptions: protocol.ThreadOptions{ThreadID: l.id}})
	synctest.Wait()
	if l.thread = err == nil; !l.thread {
		return
	}
	a := l.give("A", "")
	b := l.give("B", protocol.BusyEnqueue)
	h := l.agent.of(a)
	if h == nil {
		return
	}
	it := h.begin(protocol.ItemAgentMessage)
	h.speak(it, "Hello ")
	before := len(l.export(l.id))
	<-time.After(time.Second)
	synctest.Wait()
	if len(l.export(l.id)) == before && l.m.AcceptingTurns() {
		l.saved = "Hello "
	}
	h.speak(it, "there")
	l.give("taken", protocol.BusySteer)
	h.step(func(out turn.Emitter) { out.Steered() })
	l.give("untaken", protocol.BusySteer)
	_, _ = try(l.m.ItemsAppend, ann, protocol.ThreadItemsAppendParams{ThreadID: l.id, Items: []json.RawMessage{json.RawMessage(developer("note"))}, Deliver: protocol.DeliverSteer})
	synctest.Wait()
	h.step(func(turn.Emitter) { it.Complete(nil) })
	h.done(completes)
	for range 2 {
		id := l.read(l.id).Thread.Runtime.ActiveTurnID
		if h = l.agent.of(id); h == nil {
			return
		}
		h.say("and " + h.in.Turn.Input.Text())
		h.done(completes)
	}
	_ = b
}

func developer(text string) string { return fmt.Sprintf(`{"type":"developerMessage","text":%q}`, text) }

func (l *life) give(text string, busy protocol.IfBusy) string {
	r, err := try(l.m.TurnRun, ann, input(l.id, text, busy))
	synctest.Wait()
	if l.acked[text] = err == nil; err == nil {
		l.turns[r.Turn.ID] = true
	}
	return r.Turn.ID
}

// remember notes whose end the client has heard of.
func (l *life) remember() {
	for _, f := range l.peer.take(l.t) {
		if f.Method() == "turn/completed" {
			_, e := parse(l.t, f)
			l.over[e.TurnID] = true
		}
	}
}

// look checks what the new daemon has made of it.
func (l *life) look() {
	t := l.t
	if !l.thread {
		if _, err := try(l.m.Read, ann, protocol.ThreadReadParams{ThreadID: l.id}); err != nil {
			return // it was never answered, so it need not be there
		}
	}
	m := newMirror(t, l.id, 0)
	p := l.connect("ann")
	l.subscribe(p, l.id, 0)
	m.apply(p.take(t))
	m.agrees(l.world)
	places := map[string]int{}
	for _, tn := range l.turnsOf() {
		places[tn.Input.Text()]++
		for _, it := range tn.Items {
			if it.Delivery == protocol.DeliverySteer {
				var parts []protocol.Part
				_ = json.Unmarshal(it.Content, &parts)
				places[protocol.PartsText(parts)]++
			}
		}
	}
	for text, acked := range l.acked {
		if n := places[text]; n > 1 || acked && n != 1 {
			t.Errorf("input %q (accepted: %t) is in %d places", text, acked, n)
		}
	}
	for id := range l.turns {
		if m.turns[id] == nil {
			t.Errorf("turn %s was answered and is gone", id)
		}
	}
	l.lost(m)
	for id := range l.over {
		if m.turns[id].Status != protocol.TurnCompleted {
			t.Errorf("turn %s was told to be completed and is %s", id, m.turns[id].Status)
		}
	}
}

func (l *life) turnsOf() []protocol.Turn { return *l.read(l.id).Turns }

// lost checks the turn that the crash cut off, if there is one.
func (l *life) lost(m *mirror) {
	t := l.t
	q := l.queue(l.id)
	lost := false
	for _, tn := range l.turnsOf() {
		switch {
		case tn.Status == protocol.TurnFailed:
			lost = true
			if tn.Error.Code != protocol.TurnErrRestarted || !tn.Error.Retryable || tn.Input.Text() == "A" && !strings.HasPrefix(tn.Text, l.saved) {
				t.Errorf("%+v %+v", tn, tn.Error)
			}
			last := tn.Items[len(tn.Items)-1]
			if last.Kind != "restarted" {
				t.Errorf("the last item is %+v", last)
			}
		case tn.Status == protocol.TurnRunning && tn.Attempt > 2:
			t.Errorf("%+v", tn)
		}
	}
	if paused := lost && len(q.Turns) > 0; q.Paused != paused || paused && q.PauseReason != protocol.PauseServerRestarted {
		t.Errorf("lost a turn: %t, and %d wait: paused %t %s", lost, len(q.Turns), q.Paused, q.PauseReason)
	}
	if m.running == "" && !q.Paused && len(q.Turns) > 0 {
		t.Errorf("%d turns wait on an idle thread", len(q.Turns))
	}
}

// Looking again after a crash that left nothing running changes nothing.
func TestRecoveryTwice(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		bound := w.start(protocol.ThreadOptions{Lifetime: &protocol.Lifetime{Mode: protocol.LifetimeConnection, GraceMs: 60_000}})
		h := w.held(id, "go")
		it := h.begin(protocol.ItemAgentMessage)
		h.speak(it, "Hello")
		w.run(id, "next", protocol.BusyEnqueue)
		w.reopen()
		once, read := w.export(id), w.read(id)
		if other := w.export(bound); len(other) != 1 {
			t.Errorf("%s", other)
		}
		for range 2 {
			w.reopen()
			same(t, "export", once, w.export(id))
			same(t, "read", read, w.read(id))
		}
		if !read.Thread.Runtime.QueuePaused || read.Thread.Runtime.PauseReason != protocol.PauseServerRestarted {
			t.Errorf("%+v", read.Thread.Runtime)
		}
		do(t, w.m.QueueResume, ann, protocol.QueueParams{ThreadID: id})
		w.with(w.read(id).Thread.Runtime.ActiveTurnID).done(completes)
	})
}

// A second crash finds the queue paused by the first: it says so once.
func TestCrashWithAPausedQueue(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		w.held(id, "go")
		w.run(id, "next", protocol.BusyEnqueue)
		w.reopen()
		rev := w.queue(id).Revision
		w.held(id, "at once")
		w.reopen()
		if q := w.queue(id); q.Revision != rev || !q.Paused || q.PauseReason != protocol.PauseServerRestarted {
			t.Errorf("revision %d, was %d: %+v", q.Revision, rev, q)
		}
		p := w.connect("ann")
		w.subscribe(p, id, 0)
		m := newMirror(t, id, 0)
		m.apply(p.take(t))
		m.agrees(w)
	})
}

// What was said is kept at the latest after 500 ms or 64 KiB.
func TestCheckpoints(t *testing.T) {
	long := strings.Repeat("漢", 30_000) // 90 000 bytes
	tests := []struct {
		name string
		say  func(h *held, it turn.Item)
		want string
	}{
		{"nothing", func(*held, turn.Item) {}, ""},
		{"too young", func(h *held, it turn.Item) {
			h.speak(it, "new")
			<-time.After(499 * time.Millisecond)
		}, ""},
		{"500 ms old", func(h *held, it turn.Item) {
			h.speak(it, "old ")
			<-time.After(400 * time.Millisecond)
			h.speak(it, "newer ")
			<-time.After(100 * time.Millisecond)
			synctest.Wait()
			h.speak(it, "lost")
		}, "old newer "},
		{"64 KiB", func(h *held, it turn.Item) {
			h.speak(it, long)
			h.speak(it, "lost")
		}, long},
		{"many pieces", func(h *held, it turn.Item) {
			for range 5 {
				h.speak(it, long)
				h.speak(it, "é")
				<-time.After(time.Second)
			}
			h.speak(it, "lost")
		}, strings.Repeat(long+"é", 5)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				id := w.start(protocol.ThreadOptions{})
				h := w.held(id, "go")
				it := h.begin(protocol.ItemAgentMessage)
				tt.say(h, it)
				turnID := h.in.Turn.ID
				w.reopen()
				tn := w.turn(id, turnID)
				if tn.Status != protocol.TurnFailed || tn.Text != tt.want {
					t.Errorf("%s, %d bytes; want %d", tn.Status, len(tn.Text), len(tt.want))
				}
				i := slices.IndexFunc(tn.Items, func(it protocol.Item) bool { return it.Type == protocol.ItemAgentMessage })
				if got := tn.Items[i]; got.Status != protocol.ItemInterrupted || got.Text != tt.want {
					t.Errorf("%+v", got)
				}
				if left, err := w.mem.Checkpoints(context.Background(), id); err != nil || len(left) != 0 {
					t.Errorf("%d checkpoints are left, %v", len(left), err)
				}
			}, limits(thread.Limits{IdleUnload: time.Hour}))
		})
	}
}

// Checkpoints of an item that is over are not kept.
func TestCheckpointsAreRemoved(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		it := h.begin(protocol.ItemAgentMessage)
		for range 3 {
			h.speak(it, strings.Repeat("x", 70_000))
		}
		if kept, _ := w.mem.Checkpoints(context.Background(), id); len(kept) != 3 {
			t.Errorf("%d checkpoints", len(kept))
		}
		h.step(func(turn.Emitter) { it.Complete(nil) })
		synctest.Wait()
		if kept, _ := w.mem.Checkpoints(context.Background(), id); len(kept) != 0 {
			t.Errorf("%d checkpoints are left", len(kept))
		}
	})
}

// A plan is told with every change, so nothing of it is lost; the state of an agent as any
// other item is at most 500 ms old.
func TestPlanAndStateAfterCrash(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		st := h.begin(protocol.ItemState)
		plan := func(steps ...string) {
			h.step(func(out turn.Emitter) {
				entries := []protocol.PlanEntry{}
				for _, s := range steps {
					entries = append(entries, protocol.PlanEntry{Text: s, Status: "pending"})
				}
				out.Plan(entries)
				clear(entries) // they were the agent's
			})
			synctest.Wait()
		}
		patch := func(p string) {
			h.step(func(turn.Emitter) { st.Patch(json.RawMessage(p)) })
			synctest.Wait()
		}
		plan("one")
		patch(`{"step":"one","old":1}`)
		<-time.After(time.Second)
		plan("one", "two")
		patch(`{"step":"two","old":null}`)
		<-time.After(time.Second)
		plan("three")
		patch(`{"step":"lost"}`)
		turnID := h.in.Turn.ID
		if r := w.read(id); len(r.ActiveTurn.Items[2].Entries) != 1 || r.ActiveTurn.Items[2].Entries[0].Text != "three" {
			t.Errorf("%+v", r.ActiveTurn.Items[2])
		}
		w.reopen()
		for _, it := range w.turn(id, turnID).Items {
			switch it.Type {
			case protocol.ItemPlan:
				if len(it.Entries) != 1 || it.Entries[0].Text != "three" {
					t.Errorf("the plan is %+v", it.Entries)
				}
			case protocol.ItemState:
				if string(it.State) != `{"step":"two"}` {
					t.Errorf("the state is %s", it.State)
				}
			}
		}
	})
}

// What was asked for the end of the turn is done when the crash has ended it.
func TestDeferredSurvivesCrash(t *testing.T) {
	inWorld(t, func(w *world) {
		later := func(id string) protocol.ThreadChangeParams {
			return protocol.ThreadChangeParams{ThreadID: id, IfBusy: protocol.BusyThreadAfterTurn, Reason: "done"}
		}
		ids := make([]string, 5)
		for i := range ids {
			ids[i] = w.start(protocol.ThreadOptions{})
			w.held(ids[i], "go")
			w.run(ids[i], "next", protocol.BusyEnqueue)
		}
		do(t, w.m.Pause, ann, later(ids[0]))
		do(t, w.m.Archive, ann, later(ids[1]))
		do(t, w.m.End, ann, later(ids[2]))
		do(t, w.m.Delete, ann, later(ids[3]))
		do(t, w.m.Reset, ann, protocol.ThreadResetParams{ThreadID: ids[4], IfBusy: protocol.BusyThreadAfterTurn})
		w.reopen()
		for i, want := range []protocol.ThreadStatus{protocol.StatusPaused, protocol.StatusArchived, protocol.StatusEnded} {
			r := w.read(ids[i])
			if r.Thread.Status != want || r.Thread.Runtime.Busy {
				t.Errorf("%s: %+v", want, r.Thread)
			}
			if waits := r.Thread.Runtime.QueueLength; waits != 1 && want != protocol.StatusEnded {
				t.Errorf("%s: %d turns wait", want, waits)
			}
		}
		if h := w.read(ids[2]).Thread; h.EndReason != "done" || h.Runtime.QueueLength != 0 {
			t.Errorf("%+v", h)
		}
		refused(t, protocol.CodeThreadNotFound, w.m.Read, ann, protocol.ThreadReadParams{ThreadID: ids[3]})
		if r := w.read(ids[4]); r.Thread.Generation != 2 || len(*r.Turns) != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// A thread that belongs to a connection gets its grace time anew at a start; the same
// instance may come back within it.
func TestConnectionThreadsAfterCrash(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		p.who.InstanceID = "editor-1"
		begin := func(l protocol.Lifetime) string {
			return do(t, w.m.Start, from(p), protocol.ThreadStartParams{ThreadOptions: protocol.ThreadOptions{Lifetime: &l}}).Thread.ID
		}
		bound := begin(protocol.Lifetime{Mode: protocol.LifetimeConnection, GraceMs: 2000})
		ended := begin(protocol.Lifetime{OnDisconnect: protocol.DisconnectEnd, GraceMs: 2000})
		resumed := begin(protocol.Lifetime{Mode: protocol.LifetimeConnection, GraceMs: 2000})
		durable := begin(protocol.Lifetime{OnDisconnect: protocol.DisconnectInterrupt, GraceMs: 2000})
		back := begin(protocol.Lifetime{Mode: protocol.LifetimeConnection, GraceMs: 4000})
		w.reopen()
		<-time.After(1999 * time.Millisecond)
		do(t, w.m.Resume, from(w.connect("ann")), protocol.ThreadResumeParams{ThreadID: resumed})
		<-time.After(time.Second)
		synctest.Wait()
		w.attach(&peer{who: thread.Caller{User: "bo", ConnectionID: "con_b", InstanceID: "editor-1"}})
		w.attach(&peer{who: thread.Caller{User: "ann", ConnectionID: "con_x", InstanceID: "editor-1"}})
		<-time.After(time.Hour)
		synctest.Wait()
		for id, want := range map[string]protocol.ThreadStatus{
			bound: protocol.StatusEnded, ended: protocol.StatusEnded, resumed: protocol.StatusActive,
			durable: protocol.StatusActive, back: protocol.StatusActive,
		} {
			if h := w.read(id).Thread; h.Status != want || want == protocol.StatusEnded && h.EndReason != "connectionClosed" {
				t.Errorf("%+v: %s %s, want %s", h.Lifetime, h.Status, h.EndReason, want)
			}
		}
	})
}

// An agent that is not configured any more fails its turns; the thread stays readable.
func TestAgentIsGone(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{Agent: "other"})
		w.held(id, "go").done(completes)
		w.run(id, "hold", "")
		w.run(id, "next", protocol.BusyEnqueue)
		w.without = "other"
		w.reopen()
		refused(t, protocol.CodeAgentUnavailable, w.m.TurnRun, ann, input(id, "hi", protocol.BusyEnqueue))
		do(t, w.m.QueueResume, ann, protocol.QueueParams{ThreadID: id})
		turns := w.turns(id, 10)
		if e := turns[2].Error; turns[2].Status != protocol.TurnFailed || e.Code != protocol.TurnErrUnavailable {
			t.Errorf("%+v", turns[2])
		}
	})
}
