package scenario_test

import (
	"strconv"
	"testing"
)

// s07Failing holds a turn with three queued ones behind it, the first of which fails, and
// releases it.
func s07Failing(c *client, policy string) (thr string, q []string) {
	thr = c.StartThread(p{"queuePolicy": p{"onFailed": policy}})
	held := c.Hold(thr, "/say A")
	for _, in := range []string{"/say Hello\n/fail model refused", "two", "three"} {
		q = append(q, c.Enqueue(thr, in))
	}
	c.Release(thr, held)
	return thr, q
}

func s07Failed(t *testing.T, c *client, turn string) *message {
	t.Helper()
	end := c.Await("turn/failed", p{"turnId": turn})
	want := p{"code": "AgentError", "message": "model refused", "retryable": false}
	if !end.Body().fits(p{"turn.error": want, "turn.text": "Hello", "turn.status": "failed"}) {
		t.Errorf("the turn failed as %s", end.raw)
	}
	return end
}

func TestS07_AFailedTurnAndTheQueue(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	t.Run("continue", func(t *testing.T) {
		thr, q := s07Failing(c, "continue")
		end, start := s07Failed(t, c, q[0]), c.Await("turn/started", p{"turnId": q[1]})
		if start.Seq != end.Seq+1 || !start.Body().fits(p{"queue.length": 1, "queue.paused": false}) {
			t.Errorf("the failure has seq %d; then comes %s", end.Seq, start.raw)
		}
		if tn := c.End(thr, q[2]); tn.Str("status") != "completed" {
			t.Errorf("the last turn ended as %s", tn)
		}
		c.Never("thread/queue/updated", p{"threadId": thr})
	})
	t.Run("pause", func(t *testing.T) {
		thr, q := s07Failing(c, "pause")
		end, pause := s07Failed(t, c, q[0]), c.Await("thread/queue/updated", p{"threadId": thr})
		if pause.Seq != end.Seq+1 || !pause.Body().fits(p{"paused": true, "pauseReason": "turnFailed", "turnIds": q[1:]}) {
			t.Errorf("the failure has seq %d; then comes %s", end.Seq, pause.raw)
		}
		if rt := c.Sync(thr).At("thread.runtime"); rt.Bool("busy") || !rt.Bool("queuePaused") || rt.Str("pauseReason") != "turnFailed" {
			t.Errorf("the runtime is %s", rt)
		}
		c.Never("turn/started", p{"turnId": q[1]})
	})
	t.Run("clear", func(t *testing.T) {
		thr, q := s07Failing(c, "clear")
		s07Failed(t, c, q[0])
		for _, id := range q[1:] {
			c.Await("turn/cancelled", p{"turnId": id, "turn.cancelReason": "queueCleared"})
			c.Never("turn/started", p{"turnId": id})
		}
		if rt := c.Sync(thr).At("thread.runtime"); rt.Bool("queuePaused") || rt.Int("queueLength") != 0 {
			t.Errorf("the runtime is %s", rt)
		}
	})
}

// The failure and the start of the next turn are one commit: the process dies after a
// commit that holds both, and nothing else can have killed it.
func TestS07_OneCommit(t *testing.T) {
	d := startDaemon(t, fault("kill-after:turn/failed+turn/started"))
	c := d.Dial("unix")
	thr, q := s07Failing(c, "continue")
	d.AwaitDeath()
	d.SetFault("")
	d.Start()
	c = d.Dial("unix")
	c.Call("thread/subscribe", p{"threadId": thr, "afterSeq": 0})
	s07Failed(t, c, q[0])
	if tn := c.End(thr, q[1]); tn.Str("status") != "completed" || tn.Int("attempt") != 2 {
		t.Errorf("the turn that had started in that commit ended as %s", tn)
	}
	c.End(thr, q[2])
}

func TestS07_ABrokenAgentCannotBurnTheQueue(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("ws")
	thr := c.StartThread(p{"queuePolicy": p{"onFailed": "continue"}})
	held := c.Hold(thr, "/say A")
	var q []string
	add := func(n int, in string) {
		for i := range n {
			q = append(q, c.Enqueue(thr, in+strconv.Itoa(i)))
		}
	}
	add(9, "/fail no ")
	add(1, "success ") // counting begins anew
	add(12, "/fail again ")
	c.Release(thr, held)

	pause := c.Await("thread/queue/updated", p{"threadId": thr})
	if !pause.Body().fits(p{"paused": true, "pauseReason": "repeatedFailure", "turnIds": q[20:]}) {
		t.Errorf("after ten failures in a row comes %s", pause.raw)
	}
	if end := c.Await("turn/failed", p{"turnId": q[19]}); pause.Seq != end.Seq+1 {
		t.Errorf("the tenth failure has seq %d, the pause %d", end.Seq, pause.Seq)
	}
	c.Sync(thr)
	c.Never("turn/started", p{"turnId": q[20]})
	// Who looks into it lets it go on: two more fail, which is not ten in a row.
	c.Call("turn/queue/resume", p{"threadId": thr})
	c.End(thr, q[21])
	if rt := c.Sync(thr).At("thread.runtime"); rt.Bool("queuePaused") || rt.Int("queueLength") != 0 {
		t.Errorf("at the end the runtime is %s", rt)
	}
}
