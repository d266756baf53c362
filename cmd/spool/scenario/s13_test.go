package scenario_test

import (
	"testing"
)

// interruptAtOnce sends an interrupt from each client at the same time and returns how
// often there was each outcome.
func interruptAtOnce(clients []*client, params p) map[string]int {
	var answers []*answer
	for _, c := range clients {
		answers = append(answers, c.Go("turn/interrupt", params))
	}
	outcomes := map[string]int{}
	for _, a := range answers {
		outcomes[a.Result().Str("outcome")]++
	}
	return outcomes
}

func TestS13_InterruptIsIdempotent(t *testing.T) {
	d := startDaemon(t, config("[limits]\ninterrupt_grace = \"3s\"\ndrain_timeout = \"100ms\""), leaves(1))
	clients := []*client{d.Dial("unix"), d.Dial("ws"), d.Dial("stdio")}
	c := clients[0]
	thr := c.StartThread(nil)

	t.Run("idle", func(t *testing.T) {
		if o := interruptAtOnce(clients, p{"threadId": thr}); o["noActiveTurn"] != 3 {
			t.Errorf("outcomes %v", o)
		}
	})
	t.Run("running", func(t *testing.T) {
		a := c.Hold(thr, "/say A")
		o := interruptAtOnce(clients, p{"threadId": thr})
		if o["interrupting"] != 1 || o["alreadyInterrupting"]+o["noActiveTurn"] != 2 {
			t.Errorf("outcomes %v", o)
		}
		onceCancelled(t, c, thr, a)
	})
	t.Run("interrupting", func(t *testing.T) {
		stuck := c.Run(thr, "/say Working.\n/stuck")
		c.Await("item/completed", p{"turnId": stuck, "item.type": "agentMessage"})
		if r := c.Call("turn/interrupt", p{"threadId": thr}); r.Str("outcome") != "interrupting" || r.Str("turnId") != stuck {
			t.Errorf("the first answer is %s", r)
		}
		if o := interruptAtOnce(clients, p{"threadId": thr}); o["alreadyInterrupting"] != 3 {
			t.Errorf("outcomes %v", o)
		}
		c.Await("thread/runtimeChanged", p{"turnId": stuck, "runtime.interrupting": true})
		onceCancelled(t, c, thr, stuck)
	})
	t.Run("finished", func(t *testing.T) {
		done := c.Run(thr, "/say done")
		c.End(thr, done)
		if o := interruptAtOnce(clients, p{"threadId": thr}); o["noActiveTurn"] != 3 {
			t.Errorf("outcomes %v", o)
		}
		if o := interruptAtOnce(clients, p{"threadId": thr, "turnId": done}); o["alreadyTerminal"] != 3 {
			t.Errorf("outcomes with its id %v", o)
		}
		we := c.Refused("turn/interrupt", p{"threadId": thr, "turnId": done, "strict": true})
		we.Want(t, -32014, "TurnNotRunning")
		if we.At("status").Str("") != "completed" {
			t.Errorf("the data of the strict refusal is %v", we.Data)
		}
	})
	t.Run("unknown id", func(t *testing.T) {
		for _, id := range []string{"trn_01JZZZZZZZZZZZZZZZZZZZZZZZ", "trn_x", thr} {
			c.Refused("turn/interrupt", p{"threadId": thr, "turnId": id}).Want(t, -32013, "TurnNotFound")
		}
	})
	t.Run("strict without a turn", func(t *testing.T) {
		if r := c.Call("turn/interrupt", p{"threadId": thr, "strict": true}); r.Str("outcome") != "noActiveTurn" {
			t.Errorf("the answer is %s", r)
		}
	})
}

// onceCancelled requires one turn/cancelled of a turn by the user.
func onceCancelled(t *testing.T, c *client, thr, turn string) {
	t.Helper()
	c.Await("turn/cancelled", p{"turnId": turn, "turn.cancelReason": "user"})
	c.Sync(thr)
	if n := len(c.Seen("turn/cancelled", p{"turnId": turn})); n != 1 {
		t.Errorf("turn/cancelled came %d times", n)
	}
}
