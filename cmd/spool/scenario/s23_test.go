package scenario_test

import (
	"os/exec"
	"testing"
)

// spool runs a command of the command line against the daemon and returns its JSON.
func (d *daemon) spool(args ...string) value {
	d.t.Helper()
	cmd := exec.Command(binary, append(args, "--json")...)
	cmd.Env = d.env
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("spool %v: %v", args, err)
	}
	return parse(out)
}

// Approval runs an input that asks for an approval and returns the turn and the open item.
func (c *client) Approval(thread, input string) (turn string, item value) {
	c.t.Helper()
	turn = c.Run(thread, input)
	return turn, c.Await("item/approval/requested", p{"turnId": turn}).Body().At("item")
}

func TestS23_ApprovalWhileNobodyCanApprove(t *testing.T) {
	d := startDaemon(t)
	gone, watch := d.Dial("ws", able("approvals", "questions")), d.Dial("unix")
	thr := gone.StartThread(p{"config": p{"toolReconnectMs": 1}})
	watch.Call("thread/subscribe", p{"threadId": thr})
	turn := gone.Hold(thr, "/approve command rm build")
	gone.Close()
	watch.Release(thr, turn)

	item := watch.Await("item/approval/requested", p{"turnId": turn}).Body().At("item")
	if !item.fits(p{
		"status": "inProgress", "kind": "command", "operation": "rm build", "scopeKey": "command:rm",
		"decisions": []string{"accept", "acceptForThread", "acceptAlways", "decline", "cancel"},
	}) || item.Has("expiresAt") {
		t.Errorf("the approval is %s", item)
	}
	approval := item.Str("approvalId")
	now := watch.Sync(thr)
	if !now.fits(p{"activeTurn.id": turn, "activeTurn.status": "running", "thread.runtime.waitingOn": []string{"approval"}, "pending.0.approvalId": approval}) {
		t.Errorf("while nobody can approve the thread is %s", now)
	}
	watch.Await("thread/runtimeChanged", p{"threadId": thr, "runtime.waitingOn": []string{"approval"}})
	watch.Pass(50)
	watch.Never("item/approval/resolved", nil)
	watch.Never("item/approval/request", nil)
	for who, list := range map[string]value{"approval/list": d.Dial("ws").Call("approval/list", nil), "spool approvals list": d.spool("approvals", "list")} {
		if l := list.List("data"); len(l) != 1 || !l[0].fits(p{"threadId": thr, "item.approvalId": approval}) {
			t.Errorf("%s gives %s", who, list)
		}
	}

	c := d.Dial("ws", able("approvals"))
	r := c.Call("thread/resume", p{"threadId": thr})
	if !r.fits(p{"thread.status": "active", "thread.runtime.waitingOn": []string{"approval"}, "activeTurn.id": turn, "pending.0.approvalId": approval, "pending.0.id": item.Str("id")}) {
		t.Errorf("thread/resume answers %s", r)
	}
	request := c.Await("item/approval/request", nil)
	if !request.Body().fits(p{"threadId": thr, "turnId": turn, "itemId": item.Str("id"), "approvalId": approval, "kind": "command", "operation": "rm build", "scopeKey": "command:rm"}) {
		t.Errorf("the request is %s", request.raw)
	}
	c.Reply(request, p{"decision": "accept"})

	resolved := watch.Await("item/approval/resolved", p{"turnId": turn})
	if !resolved.Body().fits(p{"decision": "accept", "by.connectionId": c.ID, "by.user": "local", "item.status": "completed", "item.approvalId": approval, "item.decision": "accept"}) {
		t.Errorf("it is resolved as %s", resolved.raw)
	}
	if end := watch.End(thr, turn); !end.fits(p{"status": "completed", "text": "accepted"}) {
		t.Errorf("the turn ended as %s", end)
	}
	if l := watch.Call("approval/list", nil).List("data"); len(l) != 0 {
		t.Errorf("approval/list still has %v", l)
	}
	if n := len(c.Seen("item/approval/request", nil)); n != 1 {
		t.Errorf("the approval was asked for %d times", n)
	}
}

// The decision cancel declines and cancels the turn.
func TestS23_Cancel(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix", able("approvals"))
	thr := c.StartThread(nil)
	turn, item := c.Approval(thr, "/approve command rm build\n/say not reached")
	c.Reply(c.Await("item/approval/request", p{"turnId": turn}), p{"decision": "cancel"})
	end := c.Await("turn/cancelled", p{"turnId": turn})
	if !end.Body().fits(p{"turn.cancelReason": "user", "turn.cancelledBy.connectionId": c.ID}) || end.Body().Has("turn.text") {
		t.Errorf("the turn ended as %s", end.raw)
	}
	if m := c.Await("item/approval/resolved", p{"turnId": turn}); !m.Body().fits(p{"decision": "cancel", "item.id": item.Str("id"), "item.status": "declined"}) {
		t.Errorf("it is resolved as %s", m.raw)
	}
}

// What a thread says for the case that nobody is there.
func TestS23_NoApprover(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	for _, tt := range []struct{ noApprover, decision, end, text string }{
		{"decline", "decline", "completed", "declined"},
		{"cancel", "cancel", "cancelled", ""},
	} {
		thr := c.StartThread(p{"config": p{"noApprover": tt.noApprover}})
		turn := c.Run(thr, "/approve command rm build")
		m := c.Await("item/approval/resolved", p{"turnId": turn})
		if m.Body().Str("decision") != tt.decision || m.Body().Has("by") {
			t.Errorf("%s: %s", tt.noApprover, m.raw)
		}
		if end := c.End(thr, turn); end.Str("status") != tt.end || end.Str("text") != tt.text {
			t.Errorf("%s: the turn ended as %s", tt.noApprover, end)
		}
	}
}

// Approved from the command line, in a terminal of its own.
func TestS23_CommandLine(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	thr := c.StartThread(nil)
	turn, item := c.Approval(thr, "/approve command rm build")
	d.spool("approvals", "accept", item.Str("approvalId"))
	if end := c.End(thr, turn); end.Str("text") != "accepted" {
		t.Errorf("the turn ended as %s", end)
	}
}

// The daemon dies meanwhile: nothing was accepted, and the approval is over.
func TestS23_TheDaemonDies(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix", able("approvals"))
	thr := c.StartThread(nil)
	turn, item := c.Approval(thr, "/approve command rm build")
	c.Await("item/approval/request", p{"turnId": turn})
	d.Restart()
	c = d.Dial("unix", able("approvals"))
	c.Call("thread/resume", p{"threadId": thr, "afterSeq": 0})
	if m := c.Await("item/approval/resolved", p{"turnId": turn}); !m.Body().fits(p{"decision": "abandoned", "item.status": "interrupted"}) || m.Body().Has("by") {
		t.Errorf("it is resolved as %s", m.raw)
	}
	c.Refused("approval/respond", p{"approvalId": item.Str("approvalId"), "decision": "accept"}).Want(t, -31118, "AlreadyResolved")
	c.Await("turn/failed", p{"turnId": turn, "turn.error.code": "ServerRestarted"})
	c.Never("item/approval/request", nil)
}
