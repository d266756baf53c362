package thread_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// While the disk stalls an agent can say only so much; then it waits, and loses nothing.
func TestAgentWaitsForTheDisk(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		id := w.start(protocol.ThreadOptions{})
		w.subscribe(p, id, 0)
		p.take(t)
		h := w.held(id, "go")
		w.gate.shut()
		said := 0
		go h.step(func(out turn.Emitter) {
			for range 16 {
				it := out.Begin(protocol.Item{Type: protocol.ItemAgentMessage})
				it.Append(strings.Repeat("x", 1<<19))
				it.Complete(nil)
				said++
			}
		})
		synctest.Wait()
		if said == 0 || said > 8 {
			t.Errorf("%d halves of a MiB wait for a disk that stalls", said)
		}
		if a := now(t, send(w.m.TurnInterrupt, by("bo"), protocol.TurnInterruptParams{ThreadID: id})); protocol.AsError(a.err).Code != protocol.CodeThreadNotFound {
			t.Errorf("%v", a.err) // the thread's lock is free
		}
		w.gate.lift()
		if said != 16 {
			t.Errorf("%d halves of a MiB were said when the disk was back", said)
		}
		whole := 0
		for _, it := range w.turn(id, h.in.Turn.ID).Items {
			whole += len(it.Text)
		}
		if frames := p.take(t); whole != 16<<19 || len(frames) < 3*16 {
			t.Errorf("%d bytes are kept, %d frames told", whole, len(frames))
		}
	}, gated)
}

// An agent that waits for the disk can still be interrupted.
func TestInterruptOfAnAgentThatWaitsForTheDisk(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		w.gate.shut()
		go h.step(func(out turn.Emitter) {
			for h.ctx.Err() == nil {
				out.Add(protocol.Item{Type: protocol.ItemAgentMessage, Text: strings.Repeat("x", 1<<20)})
			}
		})
		synctest.Wait()
		stopped := send(w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id})
		synctest.Wait()
		<-h.over
		w.gate.lift()
		if a := now(t, stopped); a.result.Outcome != protocol.Interrupting {
			t.Errorf("%+v", a)
		}
		if tn := w.turn(id, h.in.Turn.ID); tn.Status != protocol.TurnCancelled {
			t.Errorf("%+v", tn.Status)
		}
	}, gated)
}
