package scenario_test

import (
	"testing"
	"time"

	"github.com/spoolhq/spool/sdk"
)

func TestS25_ExpiryWithThoseWhoCannotApprove(t *testing.T) {
	d := startDaemon(t)
	c1 := d.Dial("ws", named("c1"), able("approvals"))
	c3 := d.Dial("unix", named("c3"), able("approvals"))
	_, handlerless := d.sdk(&sdk.Options{})
	thr, turn, item := "", "", value{}
	for limit := 1500 * time.Millisecond; turn == ""; limit *= 2 {
		if limit > patience {
			t.Fatalf("within %s nobody can look at the thread", limit)
		}
		thr, turn, item = s25Asked(t, d, c1, c3, limit)
	}
	c1.Await("item/approval/request", p{"turnId": turn, "approvalId": item.Str("approvalId")})
	if !item.Has("expiresAt") {
		t.Errorf("the approval is %s; want expiresAt", item)
	}

	resolved := c1.Await("item/approval/resolved", p{"turnId": turn})
	if !resolved.Body().fits(p{"decision": "timedOut", "item.decision": "timedOut", "item.status": "declined"}) || resolved.Body().Has("by") {
		t.Errorf("it expires as %s", resolved.raw)
	}
	end := c1.End(thr, turn)
	if said := c1.Said(thr, turn); end.Str("status") != "completed" || len(said) != 3 || said[1] != "declined" || said[2] != "and on" {
		t.Errorf("the turn ended as %s and said %.100q", end.Str("status"), said)
	}
	e := c1.Refused("approval/respond", p{"approvalId": item.Str("approvalId"), "decision": "accept"})
	e.Want(t, -32020, "ApprovalExpired")
	if e.At("decision").Str("") != "timedOut" {
		t.Errorf("the refusal says %v", e)
	}
	request := c1.Seen("item/approval/request", p{"turnId": turn})[0]
	c1.Withdrawn(request)
	c1.Reply(request, p{"decision": "accept"}) // as late as can be
	c1.Counted("answers.late", 1)
	c3.Never("item/approval/request", nil)
	if hello := handlerless.Sent("initialize"); len(hello) != 1 || hello[0].Bool("params.capabilities.approvals") || hello[0].Bool("params.capabilities.questions") || hello[0].Bool("params.capabilities.tools") {
		t.Errorf("a client without handlers declares %v", hello)
	}
	if n := len(c1.Seen("item/approval/resolved", p{"turnId": turn})); n != 1 {
		t.Errorf("resolved %d times", n)
	}
}

// s25Asked runs a turn up to an approval that has a time limit; c2, which cannot approve, breaks
// meanwhile. Nothing comes of that before the limit; where the machine is so slow that it may
// have been reached, no turn is returned.
func s25Asked(t *testing.T, d *daemon, c1, c3 *client, limit time.Duration) (thr, turn string, item value) {
	t.Helper()
	thr = c1.StartThread(p{"config": p{"approvalTimeoutMs": limit.Milliseconds()}})
	c2 := d.Dial("ws", named("c2"))
	c2.Call("thread/subscribe", p{"threadId": thr})
	c3.Call("thread/subscribe", p{"threadId": thr, "role": "observer"})

	c2.PauseReading()
	began := time.Now()
	turn, item = c1.Approval(thr, "/deltas 200 50\n/approve command rm build\n/say and on")
	c2.Drop() // while it is written to
	now := c1.Sync(thr)
	resolved := c1.Seen("item/approval/resolved", p{"turnId": turn})
	if time.Since(began) >= limit {
		return "", "", value{}
	}
	if !now.fits(p{"activeTurn.id": turn, "pending.0.approvalId": item.Str("approvalId")}) || len(resolved) > 0 {
		t.Errorf("when c2 broke the thread was %s", now)
	}
	c2.Never("item/approval/request", nil)
	return thr, turn, item
}

// What an observer, or a client that did not declare it, answers unasked counts for nothing;
// the one who was asked and breaks decides nothing.
func TestS25_NobodyDecidesByAccident(t *testing.T) {
	d := startDaemon(t)
	c1 := d.Dial("ws", named("c1"), able("approvals"))
	observer := d.Dial("unix", named("observer"), able("approvals"))
	breaks := d.Dial("ws", named("breaks"), able("approvals"))
	thr := c1.StartThread(nil)
	observer.Call("thread/subscribe", p{"threadId": thr, "role": "observer"})
	breaks.Call("thread/subscribe", p{"threadId": thr})
	turn, item := c1.Approval(thr, "/approve command rm build")
	request := c1.Await("item/approval/request", p{"turnId": turn})
	breaks.Await("item/approval/request", p{"turnId": turn})
	breaks.Drop()

	observer.SendRaw(`{"jsonrpc":"2.0","id":` + request.id + `,"result":{"decision":"accept"}}`)
	observer.Refused("approval/respond", p{"approvalId": item.Str("approvalId"), "decision": "accept"}).Want(t, -31111, "Forbidden")
	observer.Counted("unknownResponses", 1)
	c1.SendRaw(`{"jsonrpc":"2.0","id":"s999","result":{"decision":"accept"}}`)
	c1.Reply(request, p{"decision": "timedOut"}) // no decision
	c1.Counted("answers.invalid", 1)
	if now := c1.Sync(thr); !now.fits(p{"thread.runtime.waitingOn": []string{"approval"}, "pending.0.approvalId": item.Str("approvalId")}) {
		t.Errorf("the thread is %s", now)
	}
	c1.Never("item/approval/resolved", nil)
	c1.Call("approval/respond", p{"approvalId": item.Str("approvalId"), "decision": "decline"})
	if end := c1.End(thr, turn); end.Str("text") != "declined" {
		t.Errorf("the turn ended as %s", end)
	}
}
