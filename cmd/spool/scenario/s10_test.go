package scenario_test

import (
	"slices"
	"testing"
)

func s10Steer(thr, turn, input string, more p) p {
	params := p{"threadId": thr, "expectedTurnId": turn, "input": input}
	for k, v := range more {
		params[k] = v
	}
	return params
}

func TestS10_SteeringARunningTurn(t *testing.T) {
	d := startDaemon(t)
	c1, c2 := d.Dial("unix"), d.Dial("ws")
	thr := c1.StartThread(nil)
	c2.Call("thread/subscribe", p{"threadId": thr})
	turn := c1.Hold(thr, "/say done")

	a := c1.Go("turn/steer", s10Steer(thr, turn, "use metric units", p{"ifEnded": "enqueueFirst"}))
	if r := a.Result(); !r.fits(p{"disposition": "steered", "turn.id": turn, "turn.status": "running"}) {
		t.Errorf("turn/steer answers %s", r)
	}
	for _, c := range []*client{c1, c2} {
		m := c.Await("item/completed", p{"turnId": turn, "item.type": "userMessage", "item.delivery": "steer"})
		if !m.Body().fits(p{"item.status": "completed", "item.content": []p{{"type": "text", "text": "use metric units"}}}) {
			t.Errorf("the message is delivered as %s", m.raw)
		}
		if c == c1 && m.n < a.m.n {
			t.Error("the message comes before the answer")
		}
	}
	d.Check() // in the middle of the turn

	// turn/run with ifBusy steer does the same.
	if r := c2.Call("turn/run", p{"threadId": thr, "input": "release", "ifBusy": "steer"}); !r.fits(p{"disposition": "steered", "turn.id": turn}) {
		t.Errorf("turn/run answers %s", r)
	}
	if end := c1.End(thr, turn); end.Str("text") != "done" {
		t.Errorf("the turn ended as %s", end)
	}
	if n := len(c2.Seen("turn/started", nil)); n != 1 {
		t.Errorf("%d turns ran", n)
	}
	r := c2.Call("turn/run", p{"threadId": thr, "input": "idle", "ifBusy": "steer"})
	if r.Str("disposition") != "started" {
		t.Errorf("on the idle thread turn/run answers %s", r)
	}
	c2.End(thr, r.Str("turn.id"))
}

func TestS10_TooLate(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	thr := c.StartThread(nil)
	first := c.Run(thr, "/say A")
	c.End(thr, first)

	// On the idle thread it starts at once.
	r := c.Call("turn/steer", s10Steer(thr, first, "/hold", p{"ifEnded": "enqueueFirst"}))
	busy := r.Str("turn.id")
	if !r.fits(p{"disposition": "started", "turn.status": "running"}) || busy == first {
		t.Errorf("on the idle thread turn/steer answers %s", r)
	}
	// Behind a running turn it is the head of the queue.
	old := c.Enqueue(thr, "old")
	r = c.Call("turn/steer", s10Steer(thr, first, "and in German", nil))
	late := r.Str("turn.id")
	if !r.fits(p{"disposition": "queued", "turn.status": "queued", "turn.position": 1}) {
		t.Errorf("behind a running turn turn/steer answers %s", r)
	}
	if got := c.Call("turn/queue/list", p{"threadId": thr}).Each("turns", "id"); !slices.Equal(got, []string{late, old}) {
		t.Errorf("the queue is %v; want %v", got, []string{late, old})
	}

	// What is refused stores nothing.
	before := c.ReadAll(thr)
	e := c.Refused("turn/steer", s10Steer(thr, first, "x", p{"ifEnded": "reject"}))
	e.Want(t, -32014, "TurnNotRunning")
	if e.At("status").Str("") != "completed" {
		t.Errorf("a turn that has ended: %v", e.Data)
	}
	for _, ifEnded := range []string{"enqueueFirst", "reject"} {
		e = c.Refused("turn/steer", s10Steer(thr, old, "x", p{"ifEnded": ifEnded}))
		e.Want(t, -32014, "TurnNotRunning")
		if e.At("status").Str("") != "queued" {
			t.Errorf("a turn that waits: %v", e.Data)
		}
		c.Refused("turn/steer", s10Steer(thr, "trn_01ARZ3NDEKTSV4RRFFQ69G5FAV", "x", p{"ifEnded": ifEnded})).Want(t, -32013, "TurnNotFound")
	}
	if after := c.ReadAll(thr); after.String() != before.String() {
		t.Errorf("the refusals left a trace:\n%s\n%s", before, after)
	}
	c.Release(thr, busy)
	c.End(thr, old)
	if l, o := c.Await("turn/started", p{"turnId": late}), c.Await("turn/started", p{"turnId": old}); l.Seq > o.Seq {
		t.Error("the late message did not run first")
	}
}

// What the turn does not take before it ends becomes the next turn, in every way it ends.
func TestS10_NotTaken(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("ws", able("tools"))
	for _, how := range []string{"completed", "failed", "cancelled", "crash"} {
		t.Run(how, func(t *testing.T) {
			thr := c.StartThread(nil)
			c.Register(thr, tool("work"))
			run := c.Run(thr, map[string]string{
				"completed": "/tool work", "failed": "/tool work\n/fail boom", "cancelled": "/say A\n/tool work", "crash": "/say A\n/tool work",
			}[how])
			call := c.Await("item/tool/call", p{"turnId": run}) // while it waits for that it takes nothing
			old := c.Enqueue(thr, "old")
			for _, in := range []string{"one", "two"} {
				if r := c.Call("turn/steer", s10Steer(thr, run, in, nil)); r.Str("disposition") != "steered" {
					t.Fatalf("turn/steer answers %s", r)
				}
			}
			switch how {
			case "completed", "failed":
				c.Reply(call, said("A"))
			case "cancelled":
				c.Call("turn/interrupt", p{"threadId": thr})
			case "crash":
				d.Restart()
				c = d.Dial("ws")
				c.Call("thread/subscribe", p{"threadId": thr, "afterSeq": 0})
			}
			c.End(thr, run)
			if how != "completed" {
				list := c.Call("turn/queue/list", p{"threadId": thr})
				if got := list.Each("turns", "input.0.text"); !slices.Equal(got, []string{"one", "two", "old"}) || !list.Bool("paused") {
					t.Errorf("the queue is %s", list)
				}
				c.Call("turn/queue/resume", p{"threadId": thr})
			}
			c.End(thr, old)
			var texts []string
			for _, tn := range c.ReadAll(thr).List("turns") {
				texts = append(texts, tn.Str("text"))
			}
			slices.Sort(texts)
			if !slices.Equal(texts, []string{"A", "old", "one", "two"}) {
				t.Errorf("the turns said %q", texts)
			}
			starts := s10Starts(c, thr)
			if !slices.Equal(starts[1:], []string{"one", "two", "old"}) {
				t.Errorf("the turns started in the order %q", starts)
			}
		})
	}
}

// s10Starts returns the inputs of the turns of a thread in the order of their starts.
func s10Starts(c *client, thr string) []string {
	var inputs []string
	for _, m := range c.Seen("turn/started", p{"threadId": thr}) {
		inputs = append(inputs, m.Body().Str("turn.input.0.text"))
	}
	return inputs
}

// A message is sent just when the turn ends: it is in one place, whatever the order.
func TestS10_JustWhenTheTurnEnds(t *testing.T) {
	d := startDaemon(t)
	c1, c2 := d.Dial("unix"), d.Dial("ws")
	thr := c1.StartThread(nil)
	c2.Call("thread/subscribe", p{"threadId": thr})
	seen := map[string]int{}
	for i := range max(20, *repeats/4) {
		turn := c1.Hold(thr, "/say done")
		old := c1.Enqueue(thr, "/say old")
		release := c1.Go("turn/steer", s10Steer(thr, turn, "release", nil))
		if i%2 == 1 {
			c2.Await("item/completed", p{"turnId": turn, "item.type": "agentMessage"})
		}
		r := c2.Call("turn/steer", s10Steer(thr, turn, "and in German", nil))
		release.Result()
		c1.End(thr, turn)
		c1.End(thr, old)
		how, places := r.Str("disposition"), 0
		for _, m := range c2.Seen("item/completed", p{"item.type": "userMessage", "item.content.0.text": "and in German"}) {
			if m.TurnID == turn {
				how += ", taken"
			}
			places++
		}
		// It ran before the old turn, or waits nowhere: then it was started behind it.
		rt := c2.Sync(thr).At("thread.runtime")
		if rt.Bool("busy") {
			c2.End(thr, rt.Str("activeTurnId"))
		}
		if rt := c2.Sync(thr).At("thread.runtime"); rt.Bool("busy") || rt.Int("queueLength") != 0 {
			t.Fatalf("afterwards the runtime is %s", rt)
		}
		if places = len(c2.Seen("item/completed", p{"item.type": "userMessage", "item.content.0.text": "and in German"})); places != i+1 {
			t.Fatalf("after %d messages there are %d", i+1, places)
		}
		seen[how]++
	}
	t.Logf("what happened: %v", seen)
}
