package scenario_test

import "testing"

func TestS03_AQueuedRunReturnsItsOwnText(t *testing.T) {
	d := startDaemon(t)
	c1, c2, c3 := d.Dial("unix"), d.Dial("ws"), d.Dial("stdio")
	thr := c1.StartThread(nil)
	a := c1.Hold(thr, "/say A")
	run := c2.Go("turn/run", p{"threadId": thr, "input": "/say B", "ifBusy": "enqueue", "wait": true})
	b := c2.Await("turn/queued", nil).TurnID
	cc := c3.Enqueue(thr, "/say C")
	wait := c3.Go("turn/wait", p{"threadId": thr, "turnId": b, "timeoutMs": 60000})
	late := c1.Call("turn/wait", p{"threadId": thr, "turnId": b, "timeoutMs": 1})
	if !late.Bool("timedOut") || late.Str("turn.status") != "queued" || late.Int("turn.position") != 1 {
		t.Errorf("the wait that timed out answers %s", late)
	}

	c1.Release(thr, a)
	for name, answer := range map[string]*answer{"turn/run": run, "turn/wait": wait} {
		r := answer.Result()
		if r.Str("turn.id") != b || r.Str("turn.status") != "completed" || r.Str("turn.text") != "B" || r.Bool("timedOut") {
			t.Errorf("%s answers %s; want turn %s", name, r, b)
		}
	}
	if tn := c1.End(thr, cc); tn.Str("text") != "C" {
		t.Errorf("the third turn ended as %s", tn)
	}
	if r := c1.Call("turn/wait", p{"threadId": thr, "turnId": b}); r.Str("turn.text") != "B" {
		t.Errorf("a wait for a turn that is over answers %s", r)
	}
	c1.Refused("turn/wait", p{"threadId": thr, "turnId": "trn_01ARZ3NDEKTSV4RRFFQ69G5FAV"}).Want(t, -32013, "TurnNotFound")
	// A's and C's ends did not answer the run: its answer comes between the ends of B and C.
	end := c2.Await("turn/completed", p{"turnId": b})
	if run.m.n < end.n {
		t.Errorf("the answer (message %d) comes before the end of the turn (%d)", run.m.n, end.n)
	}
}

func TestS03_TheConnectionDropsWhileItWaits(t *testing.T) {
	for _, transport := range []string{"unix", "ws", "stdio"} {
		t.Run(transport, func(t *testing.T) {
			d := startDaemon(t)
			c1, c2 := d.Dial("unix"), d.Dial(transport)
			thr := c1.StartThread(nil)
			a := c1.Hold(thr, "/say A")
			c2.Go("turn/run", p{"threadId": thr, "input": "/say B", "ifBusy": "enqueue", "wait": true})
			b := c2.Await("turn/queued", nil).TurnID
			c2.Drop()

			again := d.Dial(transport)
			wait := again.Go("turn/wait", p{"threadId": thr, "turnId": b})
			again.Call("server/ping", nil)
			c1.Release(thr, a)
			if r := wait.Result(); r.Str("turn.id") != b || r.Str("turn.text") != "B" {
				t.Errorf("turn/wait answers %s", r)
			}
		})
	}
}
