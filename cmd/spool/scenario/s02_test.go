package scenario_test

import (
	"math/rand/v2"
	"testing"
)

// s02Enqueue enqueues and requires what holds in every order: the turn starts, from the
// queue or at once, and nothing waits on the idle thread then. It returns the disposition.
func s02Enqueue(t *testing.T, c *client, thr string, a *answer) string {
	t.Helper()
	r := a.Result()
	how := r.Str("disposition")
	if s := r.Str("turn.status"); how == "started" && s != "running" || how == "queued" && s != "queued" {
		t.Errorf("%s with status %s", how, s)
	}
	if tn := c.End(thr, r.Str("turn.id")); tn.Str("status") != "completed" || tn.Str("text") != "next" {
		t.Errorf("the enqueued turn ended as %s", tn)
	}
	rt := c.Sync(thr).At("thread.runtime")
	if rt.Bool("busy") || rt.Int("queueLength") != 0 {
		t.Errorf("afterwards the runtime is %s", rt)
	}
	return how
}

// s02Order tries an order until it comes about; what it takes is enforced by a fault point,
// so that is the first time unless the machine is very slow.
func s02Order(t *testing.T, want string, try func() string) {
	t.Helper()
	for range 10 {
		if try() == want {
			return
		}
	}
	t.Errorf("the enqueued turn was never %s", want)
}

func TestS02_EnqueueExactlyWhenTheTurnEnds(t *testing.T) {
	t.Run("the end is decided first", func(t *testing.T) {
		d := startDaemon(t, fault("delay:turn/completed:250ms"))
		c := d.Dial("unix")
		thr := c.StartThread(nil)
		s02Order(t, "started", func() string {
			held := c.Hold(thr, "/say A")
			c.Release(thr, held)
			c.Await("item/completed", p{"turnId": held, "item.type": "agentMessage"})
			// The agent has returned; the commit of turn/completed is held up.
			a := c.Go("turn/enqueue", p{"threadId": thr, "input": "next"})
			how := s02Enqueue(t, c, thr, a)
			end, start := c.Await("turn/completed", p{"turnId": held}), c.Await("turn/started", p{"turnId": a.m.Body().Str("turn.id")})
			if how == "started" && (start.Seq != end.Seq+1 || start.Body().Has("queue")) {
				t.Errorf("the end has seq %d; the start is %s", end.Seq, start.raw)
			}
			return how
		})
	})
	t.Run("the input is accepted first", func(t *testing.T) {
		d := startDaemon(t, fault("delay:turn/queued:250ms"))
		c, other := d.Dial("unix"), d.Dial("ws")
		thr := c.StartThread(nil)
		s02Order(t, "queued", func() string {
			held := c.Hold(thr, "/say A")
			a := c.Go("turn/enqueue", p{"threadId": thr, "input": "next"})
			poll(other, "that the input is taken", func() bool { return other.Call("server/stats", nil).Int("queuedTurns") == 1 })
			release := other.Go("turn/steer", p{"threadId": thr, "expectedTurnId": held, "input": "release"})
			how := s02Enqueue(t, c, thr, a)
			release.Result()
			end, start := c.Await("turn/completed", p{"turnId": held}), c.Await("turn/started", p{"turnId": a.m.Body().Str("turn.id")})
			if how == "queued" && (start.Seq != end.Seq+1 || start.Body().Int("queue.length") != 0) {
				t.Errorf("the end has seq %d; the start is %s", end.Seq, start.raw)
			}
			return how
		})
	})
	t.Run("any order", s02Random)
}

// s02Random lets turns end in every way while an input arrives.
func s02Random(t *testing.T) {
	d := startDaemon(t)
	runner, c := d.Dial("unix"), d.Dial("ws")
	thr := runner.StartThread(nil)
	c.Call("thread/subscribe", p{"threadId": thr})
	random := rand.New(rand.NewPCG(2, uint64(*repeats)))
	seen := map[string]int{}
	for range *repeats {
		kind := []string{"completed", "failed", "cancelled"}[random.IntN(3)]
		id := runner.Run(thr, map[string]string{"completed": "/say A", "failed": "/say A\n/fail boom", "cancelled": "/say A\n/sleep 20s"}[kind])
		trigger := []string{"turn/started", "item/started", "item/completed"}[random.IntN(3)]
		where := p{"turnId": id}
		if trigger == "item/completed" {
			where["item.type"] = "agentMessage"
		}
		c.Await(trigger, where)
		if kind == "cancelled" {
			runner.Go("turn/interrupt", p{"threadId": thr, "turnId": id})
		}
		method, params := "turn/enqueue", p{"threadId": thr, "input": "next"}
		if random.IntN(2) == 0 {
			method, params["ifBusy"] = "turn/run", "enqueue"
		}
		r := c.Call(method, params)
		next, how := r.Str("turn.id"), r.Str("disposition")
		seen[kind+" "+how]++
		if end := runner.End(thr, id); end.Str("status") != kind {
			t.Fatalf("the turn ended as %s; want %s", end, kind)
		}
		if how == "queued" && kind != "completed" {
			// The queue waits, and says so.
			rt := runner.Sync(thr).At("thread.runtime")
			if !rt.Bool("queuePaused") || rt.Str("pauseReason") == "" || rt.Int("queueLength") != 1 {
				t.Fatalf("the next turn waits behind one that %s, and the runtime is %s", kind, rt)
			}
			runner.Call("turn/queue/resume", p{"threadId": thr})
		}
		if tn := c.End(thr, next); tn.Str("status") != "completed" {
			t.Fatalf("the next turn ended as %s", tn)
		}
		if rt := c.Sync(thr).At("thread.runtime"); rt.Bool("busy") || rt.Int("queueLength") != 0 {
			t.Fatalf("afterwards the runtime is %s", rt)
		}
	}
	t.Logf("orders that came about: %v", seen)
}
