package scenario_test

import (
	"slices"
	"testing"
	"time"
)

// s06Parked interrupts a held turn with two turns behind it and returns the ids.
func s06Parked(t *testing.T, c *client, policy p, queue string) (thr, held string, q []string) {
	t.Helper()
	options := p{}
	if policy != nil {
		options["queuePolicy"] = policy
	}
	thr = c.StartThread(options)
	held = c.Hold(thr, "/say A")
	q = []string{c.Enqueue(thr, "one"), c.Enqueue(thr, "two")}
	params := p{"threadId": thr}
	if queue != "" {
		params["queue"] = queue
	}
	r := c.Call("turn/interrupt", params)
	if r.Str("outcome") != "interrupting" || r.Str("turnId") != held {
		t.Fatalf("turn/interrupt answers %s", r)
	}
	return thr, held, q
}

func TestS06_QueueAfterAnInterrupt(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	thr, held, q := s06Parked(t, c, nil, "keep")

	end := c.Await("turn/cancelled", p{"turnId": held, "turn.cancelReason": "user", "turn.cancelledBy.connectionId": c.ID})
	parked := c.Await("thread/queue/updated", p{"threadId": thr})
	if parked.Seq != end.Seq+1 || !parked.Body().fits(p{"revision": 3, "paused": true, "pauseReason": "turnCancelled", "turnIds": q}) {
		t.Errorf("behind seq %d comes %s", end.Seq, parked.raw)
	}
	runtime := p{
		"thread.runtime.busy": false, "thread.runtime.queuePaused": true, "thread.runtime.pauseReason": "turnCancelled",
		"thread.runtime.queueLength": 2, "thread.runtime.queueRevision": 3,
	}
	if r := c.Sync(thr); !r.fits(runtime) {
		t.Errorf("the runtime is %s", r.At("thread.runtime"))
	}
	c.Await("thread/runtimeChanged", p{"threadId": thr, "runtime.queuePaused": true})
	c.Never("turn/started", p{"turnId": q[0]})

	// The pause survives.
	d.Check()
	d.Restart()
	c = d.Dial("ws")
	c.Call("thread/subscribe", p{"threadId": thr, "afterSeq": parked.Seq})
	if r := c.Sync(thr); !r.fits(runtime) {
		t.Errorf("after a restart the runtime is %s", r.At("thread.runtime"))
	}
	c.Never("turn/started", nil)

	r := c.Call("turn/queue/resume", p{"threadId": thr})
	resumed := c.Await("thread/queue/updated", nil)
	started := c.Await("turn/started", p{"turnId": q[0]})
	if r.Int("revision") != 4 || !resumed.Body().fits(p{"revision": 4, "paused": false, "turnIds": q}) || resumed.Body().Has("pauseReason") {
		t.Errorf("resume answers %s and says %s", r, resumed.raw)
	}
	if started.Seq != resumed.Seq+1 || !started.Body().fits(p{"queue.revision": 5, "queue.length": 1, "queue.paused": false, "turn.attempt": 1}) {
		t.Errorf("behind seq %d comes %s", resumed.Seq, started.raw)
	}
	if tn := c.End(thr, q[1]); tn.Str("status") != "completed" {
		t.Errorf("the last queued turn ended as %s", tn)
	}
	// Resuming what is not paused changes nothing.
	head := c.Sync(thr).Int("thread.headSeq")
	if r := c.Call("turn/queue/resume", p{"threadId": thr}); r.Int("revision") != 6 || c.Sync(thr).Int("thread.headSeq") != head {
		t.Errorf("a second resume answers %s", r)
	}
}

func TestS06_Continue(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	check := func(thr, held string, q []string) {
		t.Helper()
		end, start := c.Await("turn/cancelled", p{"turnId": held}), c.Await("turn/started", p{"turnId": q[0]})
		if start.Seq != end.Seq+1 {
			t.Errorf("the end has seq %d, the start %d", end.Seq, start.Seq)
		}
		c.End(thr, q[1])
		c.Never("thread/queue/updated", p{"threadId": thr})
	}
	t.Run("as the interrupt says", func(*testing.T) { check(s06Parked(t, c, nil, "continue")) })
	t.Run("as the policy says", func(*testing.T) { check(s06Parked(t, c, p{"onCancelled": "continue"}, "keep")) })
	t.Run("as the policy says by default", func(*testing.T) { check(s06Parked(t, c, p{"onCancelled": "continue"}, "")) })
}

func TestS06_Clear(t *testing.T) {
	d := startDaemon(t)
	c, other := d.Dial("unix"), d.Dial("ws")
	for until := time.Now().Add(patience); !s06Clear(t, c, other); {
		if time.Now().After(until) {
			t.Fatal("nobody waits for a turn before it is cleared")
		}
	}
}

// s06Clear clears a queue for whose turns somebody waits. It returns false where a request to
// wait, which has no order among others, was only looked at when the turn was gone.
func s06Clear(t *testing.T, c, other *client) bool {
	t.Helper()
	thr := c.StartThread(nil)
	held := c.Hold(thr, "/say A")
	run := other.Go("turn/run", p{"threadId": thr, "input": "one", "ifBusy": "enqueue", "wait": true})
	one := other.Await("turn/queued", p{"threadId": thr}).TurnID
	two := c.Enqueue(thr, "two")
	waits := []*answer{c.Go("turn/wait", p{"threadId": thr, "turnId": one}), c.Go("turn/wait", p{"threadId": thr, "turnId": two})}
	c.Pass(5)

	c.Call("turn/interrupt", p{"threadId": thr, "queue": "clear"})
	run.Refused().Want(t, -31114, "QueueCleared")
	inTime := true
	for _, w := range waits {
		if r, err := w.Wait(); err != nil {
			w.Refused().Want(t, -31114, "QueueCleared")
		} else if inTime = false; !r.fits(p{"turn.status": "cancelled", "turn.cancelReason": "queueCleared"}) {
			t.Errorf("turn/wait answers %s", r)
		}
	}
	for _, id := range []string{one, two} {
		c.Await("turn/cancelled", p{"turnId": id, "turn.cancelReason": "queueCleared", "queue.length": 0})
		c.Never("turn/started", p{"turnId": id})
	}
	c.Await("turn/cancelled", p{"turnId": held, "turn.cancelReason": "user"})
	if rt := c.Sync(thr).At("thread.runtime"); rt.Bool("queuePaused") || rt.Int("queueLength") != 0 {
		t.Errorf("the runtime is %s", rt)
	}
	if tn := c.End(thr, c.Run(thr, "and on")); tn.Str("status") != "completed" {
		t.Errorf("the thread does not go on: %s", tn)
	}
	return inTime
}

func TestS06_RunWhileParked(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("stdio")
	thr, _, q := s06Parked(t, c, nil, "keep")
	c.Await("thread/queue/updated", p{"threadId": thr, "paused": true})

	// turn/run and turn/enqueue on the idle thread run at once.
	for _, method := range []string{"turn/run", "turn/enqueue"} {
		r := c.Call(method, p{"threadId": thr, "input": "now"})
		if r.Str("disposition") != "started" {
			t.Errorf("%s answers %s", method, r)
		}
		c.End(thr, r.Str("turn.id"))
		list := c.Call("turn/queue/list", p{"threadId": thr})
		if !list.Bool("paused") || list.Str("pauseReason") != "turnCancelled" || !slices.Equal(list.Each("turns", "id"), q) {
			t.Errorf("afterwards the queue is %s", list)
		}
	}
	// With a turn running, enqueue appends behind the parked ones.
	held := c.Hold(thr, "/say B")
	r := c.Call("turn/enqueue", p{"threadId": thr, "input": "three"})
	if r.Str("disposition") != "queued" || r.Int("turn.position") != 3 {
		t.Errorf("turn/enqueue answers %s", r)
	}
	c.Release(thr, held)
	c.End(thr, held)
	list := c.Call("turn/queue/list", p{"threadId": thr})
	if want := append(q, r.Str("turn.id")); !slices.Equal(list.Each("turns", "id"), want) || !list.Bool("paused") {
		t.Errorf("the queue is %s; want %v", list, want)
	}
	c.Call("turn/queue/resume", p{"threadId": thr})
	c.End(thr, r.Str("turn.id"))
}

// A run that waits is cleared in the moment in which it is accepted: it hears of that, too.
func TestS06_ClearedAtOnce(t *testing.T) {
	d := startDaemon(t, fault("delay:turn/queued:20ms"))
	c := d.Dial("unix")
	thr := c.StartThread(nil)
	held := c.Hold(thr, "/say A")
	for revision := 1; revision <= 40; revision += 2 {
		run := c.Go("turn/run", p{"threadId": thr, "input": "one", "ifBusy": "enqueue", "wait": true})
		cleared := c.Go("turn/queue/clear", p{"threadId": thr, "expectedRevision": revision})
		cleared.Result()
		run.Refused().Want(t, -31114, "QueueCleared")
	}
	c.Release(thr, held)
	c.End(thr, held)
}
