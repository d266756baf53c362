package thread_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// An interrupt that was answered counts, also where the daemon dies before the turn is over:
// before its agent was called, when the turn would run again, and after that.
func TestCrashAfterAnInterrupt(t *testing.T) {
	for name, handed := range map[string]bool{"before the agent is called": false, "while the agent runs": true} {
		t.Run(name, func(t *testing.T) {
			var answered atomic.Bool // from then on nothing is kept
			inWorld(t, func(w *world) {
				id := w.start(protocol.ThreadOptions{})
				if handed {
					w.held(id, "go").hardens()
					w.run(id, "next", protocol.BusyEnqueue)
				} else {
					w.gate.shut()
					_ = send(w.m.TurnRun, ann, input(id, "go", protocol.BusyReject))
				}
				var stop protocol.TurnInterruptResult
				w.m.TurnInterrupt(ann, protocol.TurnInterruptParams{ThreadID: id, Queue: protocol.InterruptClear}, func(r protocol.TurnInterruptResult, err error) {
					if err != nil || r.Outcome != protocol.Interrupting {
						t.Errorf("%+v %v", r, err)
					}
					stop = r
					answered.Store(true)
				})
				for !answered.Load() {
					w.gate.pass()
				}
				w.crash()
				answered.Store(false)
				w.open()
				synctest.Wait()
				turns := w.turns(id, 5)
				for _, tn := range turns {
					reason := protocol.CancelQueueCleared
					if tn.ID == stop.TurnID {
						reason = protocol.CancelUser
					}
					if tn.Status != protocol.TurnCancelled || tn.CancelReason != reason || tn.Attempt > 1 {
						t.Errorf("after the crash there is %+v", tn)
					}
				}
				if handed != (len(turns) == 2) {
					t.Errorf("after the crash there are %d turns", len(turns))
				}
			}, gated, func(w *world) {
				pass := w.hooks.BeforeCommit
				w.hooks.BeforeCommit = func(b *storage.Batch) error {
					if err := pass(b); err != nil || answered.Load() {
						return errCrash
					}
					return nil
				}
			})
		})
	}
}
