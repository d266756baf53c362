package thread_test

import (
	"testing"
	"testing/synctest"

	"github.com/spoolhq/spool/protocol"
)

// A client that was cut off before it was answered asks again over a new connection. It gets
// all that the first connection would have got.
func TestRepeatOnANewConnection(t *testing.T) {
	inWorld(t, func(w *world) {
		lost := w.connect("ann")
		start := protocol.ThreadStartParams{}
		start.IdempotencyKey = "start"
		id := do(t, w.m.Start, from(lost), start).Thread.ID
		w.m.Detach(lost)

		p := w.connect("ann")
		if r := do(t, w.m.Start, from(p), start); !r.Replayed || r.Thread.ID != id {
			t.Fatalf("%+v", r)
		}
		if w.m.Owned(p.Caller().ConnectionID) != 1 {
			t.Error("the thread does not belong to the new connection")
		}
		seen := newMirror(t, id, 0)
		seen.apply(p.take(t))
		seen.agrees(w)
		w.held(id, "go").done(completes)
		seen.apply(p.take(t))
		seen.agrees(w)

		fork := protocol.ThreadForkParams{ThreadID: id}
		fork.IdempotencyKey = "fork"
		forked := do(t, w.m.Fork, from(lost), fork).Thread.ID
		q := w.connect("ann")
		do(t, w.m.Fork, from(q), fork)
		copied := newMirror(t, forked, 0)
		copied.apply(q.take(t))
		copied.agrees(w)
	})
}

// A turn that was accepted for a connection that is gone is told from its beginning to the
// one that repeats the request, while it runs and when it is over.
func TestRepeatOfATurn(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		w.held(id, "before").done(completes)
		before := w.read(id).Thread.HeadSeq
		run := keyed(id, "go", "run")
		h := w.with(do(t, w.m.TurnRun, ann, run).Turn.ID)
		h.say("Well, ")

		p := w.connect("ann")
		for range 2 { // the second finds it subscribed
			if r := do(t, w.m.TurnRun, from(p), run); !r.Replayed || r.Turn.ID != h.in.Turn.ID {
				t.Fatalf("%+v", r)
			}
		}
		m := newMirror(t, id, before)
		m.apply(p.take(t))
		h.say("done")
		h.done(completes)
		m.apply(p.take(t))
		if head := w.read(id).Thread.HeadSeq; m.seq != head {
			t.Errorf("the client stands at %d of %d", m.seq, head)
		}

		late := w.connect("ann")
		do(t, w.m.TurnRun, from(late), run)
		m = newMirror(t, id, before)
		m.apply(late.take(t))
		if head := w.read(id).Thread.HeadSeq; m.seq != head {
			t.Errorf("the late client stands at %d of %d", m.seq, head)
		}
	})
}

// What the repeat asks about may be gone: then it is answered, and told what comes.
func TestRepeatOfATurnThatIsGone(t *testing.T) {
	inWorld(t, func(w *world) {
		start := protocol.ThreadStartParams{}
		start.IdempotencyKey = "start"
		id := do(t, w.m.Start, ann, start).Thread.ID
		run := keyed(id, "go", "run")
		w.with(do(t, w.m.TurnRun, ann, run).Turn.ID).done(completes)
		back := protocol.ThreadRollbackParams{ThreadID: id, Turns: 1}
		back.IdempotencyKey = "back"
		do(t, w.m.Rollback, ann, back)

		p := w.connect("ann")
		if r := do(t, w.m.TurnRun, from(p), run); !r.Replayed {
			t.Errorf("%+v", r)
		}
		head := w.read(id).Thread.HeadSeq
		do(t, w.m.Rename, ann, protocol.ThreadRenameParams{ThreadID: id, Title: "new"})
		m := newMirror(t, id, head)
		m.apply(p.take(t))
		if m.seq != head+1 {
			t.Errorf("the client stands at %d, want %d", m.seq, head+1)
		}

		do(t, w.m.Delete, ann, protocol.ThreadChangeParams{ThreadID: id})
		if r := do(t, w.m.Start, from(w.connect("ann")), start); !r.Replayed || r.Thread.ID != id {
			t.Errorf("%+v", r)
		}
	})
}

// A repeat must not take away the replay that an earlier request of the same connection asked
// for.
func TestRepeatKeepsTheReplay(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		run := keyed(id, "go", "run")
		w.with(do(t, w.m.TurnRun, ann, run).Turn.ID).done(completes)
		p := w.connect("ann")
		w.gate.shut()
		renamed := send(w.m.Rename, ann, protocol.ThreadRenameParams{ThreadID: id, Title: "new"})
		zero := uint64(0)
		subscribed := send(w.m.Subscribe, from(p), protocol.ThreadSubscribeParams{ThreadID: id, AfterSeq: &zero})
		ran := send(w.m.TurnRun, from(p), run)
		synctest.Wait()
		w.gate.lift()
		<-renamed
		<-subscribed
		<-ran
		m := newMirror(t, id, 0)
		m.apply(p.take(t))
		m.agrees(w)
	}, gated)
}
