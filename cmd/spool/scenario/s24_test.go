package scenario_test

import (
	"sync"
	"testing"
)

func TestS24_TwoApproversRace(t *testing.T) {
	d := startDaemon(t)
	c1, c2 := d.Dial("ws", able("approvals")), d.Dial("unix", able("approvals"))
	watch := d.Dial("stdio")
	thr := c1.StartThread(nil)
	for _, c := range []*client{c2, watch} {
		c.Call("thread/subscribe", p{"threadId": thr})
	}
	won := map[string]int{}
	late := 0
	for range max(*repeats/8, 10) {
		turn, item := c1.Approval(thr, "/approve command rm build")
		clients, answers := []*client{c1, c2}, []string{"accept", "decline"}
		var requests []*message
		for _, c := range clients {
			requests = append(requests, c.Await("item/approval/request", p{"turnId": turn}))
		}

		var both sync.WaitGroup
		for i, c := range clients {
			both.Go(func() { c.Reply(requests[i], p{"decision": answers[i]}) })
		}
		both.Wait()

		resolved := watch.Await("item/approval/resolved", p{"turnId": turn})
		decision := resolved.Body().Str("decision")
		won[decision]++
		winner := 0
		if decision == "decline" {
			winner = 1
		}
		if !resolved.Body().fits(p{"item.decision": answers[winner], "by.connectionId": clients[winner].ID, "item.approvalId": item.Str("approvalId")}) {
			t.Fatalf("resolved as %s", resolved.raw)
		}
		text := map[string]string{"accept": "accepted", "decline": "declined"}[decision]
		if end := watch.End(thr, turn); !end.fits(p{"status": "completed", "text": text}) {
			t.Fatalf("decided was %q, the turn ended as %s", decision, end)
		}
		for _, c := range clients {
			if m := c.Await("item/approval/resolved", p{"turnId": turn}); string(m.raw) != string(resolved.raw) {
				t.Fatalf("%s was told %s, another %s", c.name, m.raw, resolved.raw)
			}
			e := c.Refused("approval/respond", p{"approvalId": item.Str("approvalId"), "decision": "accept"})
			e.Want(t, -31118, "AlreadyResolved")
			if e.At("decision").Str("") != decision {
				t.Fatalf("the refusal says %v, the decision is %q", e, decision)
			}
		}
		if n := len(watch.Seen("item/approval/resolved", p{"turnId": turn})); n != 1 {
			t.Fatalf("resolved %d times", n)
		}
		late++
	}
	watch.Counted("answers.late", late)
	t.Logf("decided: %v", won)
}

// The one who is not asked any more is told so, and their answer is ignored.
func TestS24_TheOtherIsTooLate(t *testing.T) {
	d := startDaemon(t)
	c1, c2 := d.Dial("ws", able("approvals")), d.Dial("unix", able("approvals"))
	thr := c1.StartThread(nil)
	c2.Call("thread/subscribe", p{"threadId": thr})
	turn, item := c1.Approval(thr, "/approve command rm build")
	first, second := c1.Await("item/approval/request", p{"turnId": turn}), c2.Await("item/approval/request", p{"turnId": turn})
	c1.Reply(first, p{"decision": "decline", "note": "not on a Friday"})
	c2.Withdrawn(second)
	c2.Await("item/approval/resolved", p{"turnId": turn, "decision": "decline", "by.connectionId": c1.ID, "item.metadata.note": "not on a Friday"})
	c2.Reply(second, p{"decision": "accept"})
	c2.Counted("answers.late", 1)
	c2.Refused("approval/respond", p{"approvalId": item.Str("approvalId"), "decision": "accept"}).Want(t, -31118, "AlreadyResolved")
	if end := c1.End(thr, turn); end.Str("text") != "declined" {
		t.Errorf("the turn ended as %s", end)
	}
	c1.Never("$/cancelRequest", nil)
}

// The same race by the method: one is answered, the others are refused.
func TestS24_ByTheMethod(t *testing.T) {
	d := startDaemon(t)
	var clients []*client
	for _, transport := range []string{"unix", "ws", "unix", "ws"} {
		clients = append(clients, d.Dial(transport))
	}
	thr := clients[0].StartThread(nil)
	for range max(*repeats/10, 10) {
		turn, item := clients[0].Approval(thr, "/approve command rm build")
		var answers []*answer
		for i, c := range clients {
			answers = append(answers, c.Go("approval/respond", p{"approvalId": item.Str("approvalId"), "decision": []string{"accept", "decline"}[i%2]}))
		}
		decided := []string{}
		for _, a := range answers {
			if r, err := a.Wait(); err == nil {
				decided = append(decided, r.Str("item.decision"))
			} else {
				a.Refused().Want(t, -31118, "AlreadyResolved")
			}
		}
		end := clients[0].End(thr, turn)
		if len(decided) != 1 || (end.Str("text") == "accepted") != (decided[0] == "accept") {
			t.Fatalf("decided %v, the turn ended as %s", decided, end)
		}
	}
}
