package thread_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spoolhq/spool/protocol"
)

func TestWalkOfATurn(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		id := do(t, w.m.Start, from(p), protocol.ThreadStartParams{}).Thread.ID
		tn := do(t, w.m.TurnRun, from(p), input(id, "hi", "")).Turn
		h := w.with(tn.ID)
		h.say("Hello")
		h.done(completes)
		frames := p.take(t)
		want := []string{
			"answer", "thread/started", "thread/presence/changed",
			"answer", "turn/started", "item/completed",
			"item/started", "item/agentMessage/delta", "item/completed",
			"turn/completed",
		}
		if diff := cmp.Diff(want, slices.DeleteFunc(methods(frames), func(m string) bool { return m == "thread/runtimeChanged" })); diff != "" {
			t.Error(diff)
		}
		m := newMirror(t, id, 0)
		m.apply(frames)
		m.agrees(w)
		if got := w.turn(id, tn.ID); got.Text != "Hello" || got.Status != protocol.TurnCompleted {
			t.Errorf("%+v", got)
		}
		again := newMirror(t, id, 0)
		q := w.connect("ann")
		w.subscribe(q, id, 0)
		again.apply(q.take(t))
		again.agrees(w)
		sameBytes(t, m, again)
	})
}
