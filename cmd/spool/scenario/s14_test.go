package scenario_test

import (
	"math/rand/v2"
	"testing"
)

func TestS14_ALateInterruptNeverHitsTheNextTurn(t *testing.T) {
	d := startDaemon(t)
	c1, c2 := d.Dial("unix"), d.Dial("ws")
	thr := c1.StartThread(nil)
	a := c1.Hold(thr, "/say A")
	b := c1.Enqueue(thr, "/hold\n/say B")
	c1.Release(thr, a)
	ended := c1.Await("turn/completed", p{"turnId": a})
	started := c1.Await("turn/started", p{"turnId": b})
	if started.Seq != ended.Seq+1 {
		t.Errorf("A ends with seq %d and B starts with %d; want one commit", ended.Seq, started.Seq)
	}

	late := c2.Call("turn/interrupt", p{"threadId": thr, "turnId": a})
	if late.String() != of(p{"outcome": "alreadyTerminal", "turnId": a}).String() {
		t.Errorf("the stop for A answers %s", late)
	}
	c1.Release(thr, b)
	c1.Await("turn/completed", p{"turnId": b, "turn.text": "B"})

	hit := c1.Hold(thr, "/say hit")
	if r := c2.Call("turn/interrupt", p{"threadId": thr}); r.Str("outcome") != "interrupting" || r.Str("turnId") != hit {
		t.Errorf("without an id the answer is %s; want the name of the turn it hit, %s", r, hit)
	}
	c1.Await("turn/cancelled", p{"turnId": hit})
}

// The stop for A comes at a random moment around its end and the start of B.
func TestS14_RandomMoments(t *testing.T) {
	d := startDaemon(t, fault("delay:turn/completed+turn/started:2ms"))
	c1, c2 := d.Dial("unix"), d.Dial("ws")
	thr := c1.StartThread(p{"queuePolicy": p{"onCancelled": "continue"}})
	outcomes := map[string]int{}
	for i := range *repeats {
		a := c1.Hold(thr, "/say A")
		b := c1.Enqueue(thr, "/hold\n/say B")
		release := c1.Go("turn/steer", p{"threadId": thr, "expectedTurnId": a, "input": "release", "ifEnded": "reject"})
		if i%2 == 0 {
			c1.Await("turn/started", p{"turnId": b})
		} else {
			c2.Pass(rand.IntN(10))
		}
		r := c2.Call("turn/interrupt", p{"threadId": thr, "turnId": a})
		if _, err := release.Wait(); err != nil && r.Str("outcome") != "interrupting" {
			t.Fatalf("the release: %v", err)
		}

		outcome := r.Str("outcome")
		outcomes[outcome]++
		want := map[string]string{"alreadyTerminal": "completed", "interrupting": "cancelled"}[outcome]
		if end := c1.End(thr, a); end.Str("status") != want || r.Str("turnId") != a {
			t.Fatalf("the stop answers %s, and A ended as %s", r, end)
		}
		if i%2 == 0 && outcome != "alreadyTerminal" {
			t.Fatalf("B had started, and the stop for A answers %s", r)
		}
		c1.Await("item/completed", p{"turnId": b, "item.type": "userMessage"})
		c1.Release(thr, b)
		if end := c1.End(thr, b); end.Str("status") != "completed" || end.Str("text") != "B" {
			t.Fatalf("the stop for A answered %s, and B ended as %s", r, end)
		}
	}
	t.Logf("outcomes: %v", outcomes)
}
