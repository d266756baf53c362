package scenario_test

import (
	"slices"
	"testing"
	"time"
)

// waits are the two things for which a turn waits for a person.
var waits = []struct {
	name, script, request, requested, resolved string // of the turn, and what is told
	idName, respond                            string
	answer                                     p // that the agent would take
	over                                       p // what the item is after an interrupt
}{
	{
		"approval", "/approve command rm build", "item/approval/request", "item/approval/requested", "item/approval/resolved",
		"approvalId", "approval/respond",
		p{"decision": "accept"},
		p{"type": "approval", "status": "cancelled", "decision": "cancelled", "operation": "rm build", "kind": "command"},
	},
	{
		"question", "/ask Where to? | staging | production", "item/question/request", "item/question/requested", "item/question/resolved",
		"requestId", "question/respond",
		p{"answers": p{"q1": p{"answers": []string{"staging"}}}},
		p{"type": "question", "status": "cancelled", "outcome": "cancelled", "answers": nil},
	},
}

func TestS15_InterruptWhileItWaitsForAPerson(t *testing.T) {
	for _, w := range waits {
		t.Run(w.name, func(t *testing.T) {
			d := startDaemon(t)
			c1, c2 := d.Dial("unix", able("approvals", "questions")), d.Dial("ws", able("approvals", "questions"))
			cannot, observer := d.Dial("stdio"), d.Dial("ws", able("approvals", "questions"))
			thr := c1.StartThread(nil)
			c2.Call("thread/subscribe", p{"threadId": thr})
			cannot.Call("thread/subscribe", p{"threadId": thr})
			observer.Call("thread/subscribe", p{"threadId": thr, "role": "observer"})
			all := []*client{c1, c2, cannot, observer}

			turn := c1.Run(thr, w.script+"\n/say never")
			r1, r2 := c1.Await(w.request, p{"turnId": turn}), c2.Await(w.request, p{"turnId": turn})
			id, itemID := r1.Body().Str(w.idName), r1.Body().Str("itemId")
			if id == "" || r2.Body().String() != r1.Body().String() {
				t.Errorf("c1 is asked %s and c2 %s", r1.raw, r2.raw)
			}
			for _, c := range all {
				c.Await(w.requested, p{"turnId": turn, "itemId": itemID, "item." + w.idName: id, "item.status": "inProgress"})
				c.Await("thread/runtimeChanged", p{"threadId": thr, "runtime.waitingOn": []string{w.name}})
			}
			if now := c2.Sync(thr); !now.fits(p{"thread.runtime.waitingOn": []string{w.name}, "thread.runtime.busy": true, "pending.0.id": itemID}) {
				t.Errorf("while it waits the thread is %s", now)
			}
			if list := c2.Call(w.name+"/list", p{"threadId": thr}); len(list.List("data")) != 1 || list.Str("data.0.item."+w.idName) != id || list.Str("data.0.threadId") != thr {
				t.Errorf("%s/list gives %s", w.name, list)
			}
			d.Check()

			if r := c2.Call("turn/interrupt", p{"threadId": thr}); !r.fits(p{"outcome": "interrupting", "turnId": turn}) {
				t.Errorf("the interrupt answers %s", r)
			}

			for _, c := range all {
				end := c.terminal(t, turn, "turn/cancelled")
				resolved := c.Await(w.resolved, p{"itemId": itemID})
				if resolved.n > end.n || resolved.Seq > end.Seq || !resolved.Body().At("item").fits(w.over) || !resolved.Body().fits(p{"by.connectionId": c2.ID, "item.by.connectionId": c2.ID}) {
					t.Errorf("%s: it is resolved by %s, the turn ended with seq %d", c.name, resolved.raw, end.Seq)
				}
				if w.name == "approval" && resolved.Body().Str("decision") != "cancelled" {
					t.Errorf("%s: it is resolved by %s", c.name, resolved.raw)
				}
				if !end.Body().fits(p{"turn.cancelReason": "user", "turn.text": nil}) {
					t.Errorf("%s: the turn ended as %s", c.name, end.raw)
				}
			}
			c1.Withdrawn(r1)
			c2.Withdrawn(r2)
			for _, c := range []*client{cannot, observer} {
				c.Never(w.request, nil)
				c.Never("$/cancelRequest", nil)
			}
			kept := c1.ReadAll(thr)
			if !kept.fits(p{"thread.runtime.waitingOn": []any{}, "thread.runtime.busy": false, "pending": []any{}}) {
				t.Errorf("afterwards the thread is %s", kept)
			}
			if got := types(c1.Items(thr, turn)); !slices.Equal(got, []string{"userMessage completed", w.name + " cancelled", "notice completed"}) {
				t.Errorf("the items are %v", got)
			}
			if list := c1.Call(w.name+"/list", p{}); len(list.List("data")) != 0 {
				t.Errorf("%s/list gives %s", w.name, list)
			}

			// Whoever answers now is too late, in either way.
			params := p{w.idName: id}
			for k, v := range w.answer {
				params[k] = v
			}
			late := c2.Refused(w.respond, params)
			late.Want(t, -31118, "AlreadyResolved")
			if late.At("decision").Str("") != "cancelled" {
				t.Errorf("the late answer is refused with %v", late)
			}
			c1.Reply(r1, w.answer)
			c2.Reply(r2, w.answer)
			c1.Counted("answers.late", 2)
			if now := c1.ReadAll(thr); now.String() != kept.String() {
				t.Errorf("the late answers changed the thread from\n%s\nto\n%s", kept, now)
			}

			// The queue is as it always is after an interrupt, and the next one can be answered.
			next := c1.Run(thr, w.script)
			c2.Reply(c2.Await(w.request, p{"turnId": next}), w.answer)
			c1.Withdrawn(c1.Await(w.request, p{"turnId": next}))
			if end := c1.End(thr, next); end.Str("text") != map[string]string{"approval": "accepted", "question": "staging"}[w.name] {
				t.Errorf("the next turn ended as %s", end)
			}

			// After a restart it is still known how it ended: not open.
			d.Restart()
			c := d.Dial("unix")
			if we := c.Refused(w.respond, params); we.Code != -31118 && we.Code != -31115 {
				t.Errorf("after a restart the late answer is refused with %v", we)
			}
		})
	}
}

// The answer races with the interrupt: one wins, and everybody is told the same.
func TestS15_AnswerAndInterruptRace(t *testing.T) {
	d := startDaemon(t)
	c1, c2 := d.Dial("unix", able("approvals", "questions")), d.Dial("ws", able("approvals", "questions"))
	thr := c1.StartThread(nil)
	c2.Call("thread/subscribe", p{"threadId": thr})
	outcomes := map[string]int{}
	for i := range *repeats / 2 {
		w := waits[i%2]
		turn := c1.Run(thr, w.script+"\n/hold")
		request := c1.Await(w.request, p{"turnId": turn})
		params := p{w.idName: request.Body().Str(w.idName)}
		for k, v := range w.answer {
			params[k] = v
		}
		var answer, stop *answer
		if i%4 < 2 {
			answer, stop = c1.Go(w.respond, params), c2.Go("turn/interrupt", p{"threadId": thr})
		} else {
			stop, answer = c2.Go("turn/interrupt", p{"threadId": thr}), c1.Go(w.respond, params)
		}
		stop.Result()
		r, err := answer.Wait()
		if end := c1.End(thr, turn); !end.fits(p{"status": "cancelled", "cancelReason": "user"}) {
			t.Fatalf("the turn ended as %s", end)
		}
		how := "answered"
		if err != nil {
			answer.Refused().Want(t, -31118, "AlreadyResolved")
			how = "cancelled"
		} else if r.Str("item.status") != "completed" {
			t.Fatalf("the answer is answered with %s", r)
		}
		resolved := c2.Await(w.resolved, p{"turnId": turn})
		if (resolved.Body().Str("item.status") == "completed") != (how == "answered") {
			t.Fatalf("it was %s, and is told as %s", how, resolved.raw)
		}
		outcomes[how]++
	}
	t.Logf("they were %v", outcomes)
}

// Nothing that waits outlives its turn, however that ends.
func TestS15_OtherEnds(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("ws", able("approvals", "questions"))
	for _, w := range waits {
		for how, end := range map[string]func(thr string){
			"replaced": func(thr string) {
				c.Call("turn/run", p{"threadId": thr, "input": "other", "ifBusy": "interrupt"})
			},
			"threadEnded": func(thr string) { c.Call("thread/end", p{"threadId": thr, "ifBusy": "interrupt"}) },
			"user":        func(thr string) { c.Call("thread/archive", p{"threadId": thr, "ifBusy": "interrupt"}) },
		} {
			thr := c.StartThread(nil)
			turn := c.Run(thr, w.script)
			request := c.Await(w.request, p{"turnId": turn})
			end(thr)
			if m := c.Await("turn/cancelled", p{"turnId": turn}); m.Body().Str("turn.cancelReason") != how {
				t.Errorf("%s: the turn ended as %s", how, m.raw)
			}
			c.Await(w.resolved, p{"turnId": turn, "item.status": "cancelled"})
			c.Withdrawn(request)
		}
		for limit := 300 * time.Millisecond; !timeIsOver(c, w.script, w.request, w.resolved, limit); limit *= 2 {
			if limit > patience {
				t.Fatalf("in %s the turn does not come to ask", limit)
			}
		}
	}
}

// timeIsOver runs a turn that asks and has so much time, and sees it end. It returns false
// where the time was over before the agent could ask.
func timeIsOver(c *client, script, asks, resolved string, limit time.Duration) bool {
	c.t.Helper()
	thr := c.StartThread(nil)
	turn := c.Call("turn/run", p{"threadId": thr, "input": script, "config": p{"maxTurnMs": limit.Milliseconds()}}).Str("turn.id")
	c.Await("turn/failed", p{"turnId": turn, "turn.error.code": "TurnTimeout"})
	requests := c.Seen(asks, p{"turnId": turn})
	if len(requests) == 0 {
		return false
	}
	c.Await(resolved, p{"turnId": turn, "item.status": "cancelled"})
	c.Withdrawn(requests[0])
	return true
}
