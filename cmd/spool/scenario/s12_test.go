package scenario_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

func TestS12_InterruptOfAQueuedTurn(t *testing.T) {
	d := startDaemon(t)
	c1, c2 := d.Dial("unix"), d.Dial("ws")
	thr := c1.StartThread(nil)
	a := c1.Hold(thr, "/say A")
	b := c1.Enqueue(thr, "/say B")
	behind := c1.Enqueue(thr, "/say behind")
	wait := c1.Go("turn/wait", p{"threadId": thr, "turnId": b})

	r := c2.Call("turn/interrupt", p{"threadId": thr, "turnId": b})

	if r.String() != of(p{"outcome": "removedFromQueue", "turnId": b}).String() {
		t.Errorf("the answer is %s", r)
	}
	end := c1.Await("turn/cancelled", p{"turnId": b})
	if !end.Body().fits(p{"turn.status": "cancelled", "turn.cancelReason": "user", "turn.cancelledBy.connectionId": c2.ID, "queue.length": 1, "queue.paused": false}) {
		t.Errorf("the end of B is %s", end.raw)
	}
	if tn := wait.Result(); !tn.fits(p{"turn.id": b, "turn.status": "cancelled", "turn.cancelReason": "user"}) {
		t.Errorf("turn/wait of B says %s", tn)
	}
	c1.Never("turn/started", p{"turnId": b})
	if now := c1.Sync(thr); !now.fits(p{"activeTurn.id": a, "activeTurn.status": "running", "thread.runtime.queuePaused": false, "thread.runtime.interrupting": false}) {
		t.Errorf("after the interrupt of B the thread is %s", now.At("thread"))
	}
	c1.Release(thr, a)
	c1.Await("turn/completed", p{"turnId": a, "turn.text": "A"})
	c1.Await("turn/completed", p{"turnId": behind, "turn.text": "behind"})
	c1.Never("thread/queue/updated", nil)
	c1.Never("turn/started", p{"turnId": b})
}

func TestS12_ARunThatWaitsReturns(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	thr := c.StartThread(nil)
	a := c.Hold(thr, "/say A")
	runner, _ := d.sdk(nil)
	returned := make(chan error, 1)
	go func() {
		ctx, cancel := withTimeout()
		defer cancel()
		_, err := runner.Threads().Get(thr).Run(ctx, sdk.Text("/say B"), &sdk.RunOptions{IfBusy: protocol.BusyEnqueue})
		returned <- err
	}()
	b := c.Await("turn/queued", nil).TurnID

	if r := c.Call("turn/interrupt", p{"threadId": thr, "turnId": b}); r.Str("outcome") != "removedFromQueue" {
		t.Errorf("the outcome is %s", r)
	}

	err := <-returned
	cancelled, ok := errors.AsType[*sdk.TurnCancelledError](err)
	if !ok || cancelled.TurnID != b || cancelled.Reason != protocol.CancelUser || errors.Is(err, context.Canceled) {
		t.Errorf("the run returned %v (%#v); want a TurnCancelledError of %s", err, err, b)
	}
	c.Release(thr, a)
	c.End(thr, a)
}

// The interrupt of B races with its start, by the end of A. The commit of that is slow, so
// that interrupts fall into it too. How long the start takes is up to the machine: the moments
// of the interrupts follow it, and are tried until each has won.
func TestS12_RaceWithTheStart(t *testing.T) {
	d := startDaemon(t, fault("delay:turn/completed+turn/started:3ms"))
	c1, c2 := d.Dial("unix"), d.Dial("ws")
	thr := c1.StartThread(nil)
	outcomes := map[string]int{}
	span, until := 12, time.Now().Add(patience)
	for i := 0; i < *repeats/2 || len(outcomes) < 2 && time.Now().Before(until); i++ {
		a := c1.Hold(thr, "")
		b := c1.Enqueue(thr, "/hold")
		last := c1.Enqueue(thr, "/say last")

		release := c1.Go("turn/steer", p{"threadId": thr, "expectedTurnId": a, "input": "release", "ifEnded": "reject"})
		c2.Pass(rand.IntN(span))
		r := c2.Call("turn/interrupt", p{"threadId": thr, "turnId": b})
		if _, err := release.Wait(); err != nil && r.Str("outcome") != "interrupting" {
			t.Fatalf("the release: %v", err)
		}

		outcome := r.Str("outcome")
		outcomes[outcome]++
		end := c1.End(thr, b)
		if !end.fits(p{"status": "cancelled", "cancelReason": "user"}) {
			t.Fatalf("%s: B ended as %s", outcome, end)
		}
		c1.Sync(thr)
		started := len(c1.Seen("turn/started", p{"turnId": b}))
		switch {
		case outcome == "removedFromQueue" && started == 0: // goes on by itself
			span += span/4 + 1
		case outcome == "interrupting" && started == 1:
			span -= span / 4
			c1.Await("thread/queue/updated", p{"paused": true, "pauseReason": "turnCancelled", "turnIds": []string{last}})
			c1.Call("turn/queue/resume", p{"threadId": thr})
		default:
			t.Fatalf("the outcome is %q, and B was started %d times", outcome, started)
		}
		if tn := c1.End(thr, last); tn.Str("text") != "last" {
			t.Fatalf("the turn behind B ended as %s", tn)
		}
	}
	t.Logf("outcomes: %v", outcomes)
	if len(outcomes) < 2 {
		t.Errorf("the race was always won by the same: %v", outcomes)
	}
}
