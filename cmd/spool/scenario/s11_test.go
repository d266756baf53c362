package scenario_test

import (
	"slices"
	"testing"
	"time"
)

// working runs the turn whose tool c1 carries out, up to the call.
func working(t *testing.T, c1, c2 *client) (thr, turn string, call *message) {
	t.Helper()
	thr = c1.StartThread(nil)
	c2.Call("thread/subscribe", p{"threadId": thr})
	generation := c1.Register(thr, tool("data-processor"))
	turn = c1.Run(thr, "/say Working.\n/tool data-processor {\"n\":5}\n/say never")
	call = c1.Await("item/tool/call", p{"turnId": turn})
	if !call.Body().fits(p{"threadId": thr, "tool": "data-processor", "arguments": p{"n": 5}, "attempt": 1, "bindingGeneration": generation}) {
		t.Errorf("the call is %s", call.raw)
	}
	return thr, turn, call
}

func TestS11_InterruptDuringAClientTool(t *testing.T) {
	// An agent that does not stop by itself would be given more time than the test has.
	d := startDaemon(t, config("[limits]\ninterrupt_grace = \"1h\""))
	c1, c2 := d.Dial("ws", able("tools")), d.Dial("unix")
	thr, turn, call := working(t, c1, c2)
	itemID, callID := call.Body().Str("itemId"), call.Body().Str("callId")

	if r := c2.Call("turn/interrupt", p{"threadId": thr}); !r.fits(p{"outcome": "interrupting", "turnId": turn}) {
		t.Errorf("the interrupt answers %s", r)
	}
	end := c2.Await("turn/cancelled", p{"turnId": turn})

	// The client that carries it out is told, and its request is withdrawn.
	stop := c1.Await("item/tool/cancel", p{"callId": callID})
	if !stop.Body().fits(p{"threadId": thr, "turnId": turn, "itemId": itemID, "reason": "interrupted"}) {
		t.Errorf("it is told to stop by %s", stop.raw)
	}
	c1.Withdrawn(call)
	c2.Never("item/tool/cancel", nil)
	c2.Never("$/cancelRequest", nil)
	for _, c := range []*client{c1, c2} {
		tool := c.Await("item/completed", p{"itemId": itemID})
		notice := c.Await("item/completed", p{"turnId": turn, "item.type": "notice"})
		end := c.terminal(t, turn, "turn/cancelled")
		if !tool.Body().fits(p{"item.status": "cancelled", "item.tool": "data-processor", "item.callId": callID, "item.executor": "client", "item.result": nil, "item.error": nil}) {
			t.Errorf("%s: the call ends as %s", c.name, tool.raw)
		}
		if !notice.Body().fits(p{"item.status": "completed", "item.kind": "interrupted", "item.text": "Operation interrupted by user"}) {
			t.Errorf("%s: the notice is %s", c.name, notice.raw)
		}
		if !end.Body().fits(p{"turn.cancelReason": "user", "turn.text": "Working.", "turn.cancelledBy.connectionId": c2.ID}) {
			t.Errorf("%s: the turn ends as %s", c.name, end.raw)
		}
		if tool.Seq+1 != notice.Seq || notice.Seq+1 != end.Seq {
			t.Errorf("%s: the call, the notice and the turn end with seq %d, %d, %d", c.name, tool.Seq, notice.Seq, end.Seq)
		}
	}
	if got := types(c2.Items(thr, turn)); !slices.Equal(got, []string{"userMessage completed", "agentMessage completed", "toolCall cancelled", "notice completed"}) {
		t.Errorf("the items are %v", got)
	}
	kept := c2.ReadAll(thr)

	// The late answer is ignored and counted.
	c1.Reply(call, said("120"))
	c2.Counted("answers.late", 1)
	if now := c2.ReadAll(thr); now.String() != kept.String() {
		t.Errorf("the late answer changed the thread from\n%s\nto\n%s", kept, now)
	}
	// The client is asked the next time.
	next := c2.Run(thr, "/tool data-processor {\"n\":6}")
	c1.Reply(c1.Await("item/tool/call", p{"turnId": next}), said("720"))
	if said := c2.Said(thr, next); !slices.Equal(said, []string{"720"}) {
		t.Errorf("the next turn said %q", said)
	}
	if end.Seq == 0 {
		t.Error("the end has no seq")
	}
}

// The client that carries the tool out interrupts by itself: it is answered before it is
// told what comes of it, also where the commits before are slow.
func TestS11_TheToolClientInterrupts(t *testing.T) {
	d := startDaemon(t, fault("delay:thread/items/changed:200ms"))
	for _, transport := range []string{"unix", "ws", "stdio"} {
		c1 := d.Dial(transport, able("tools"))
		thr, turn, call := working(t, c1, d.Dial("unix"))
		appended := c1.Go("thread/items/append", p{"threadId": thr, "input": "waits"})
		interrupted := c1.Go("turn/interrupt", p{"threadId": thr})
		appended.Result()
		interrupted.Result()
		stop := c1.Await("item/tool/cancel", p{"callId": call.Body().Str("callId")})
		end := c1.Await("turn/cancelled", p{"turnId": turn})
		if a := interrupted.m.n; a > stop.n || a > end.n || a > c1.Withdrawn(call).n {
			t.Errorf("%s: the answer is message %d, item/tool/cancel %d, the withdrawal %d, the end %d", transport, a, stop.n, c1.Withdrawn(call).n, end.n)
		}
	}
}

// Its answer races with the interrupt: the call ends in one way, and so does the turn.
func TestS11_AnswerAndInterruptRace(t *testing.T) {
	d := startDaemon(t)
	c1, c2 := d.Dial("unix", able("tools")), d.Dial("ws")
	thr := c1.StartThread(p{"tools": []p{tool("lookup")}})
	c2.Call("thread/subscribe", p{"threadId": thr})
	outcomes := map[string]int{}
	for i := range *repeats / 2 {
		turn := c2.Run(thr, "/tool lookup\n/hold")
		call := c1.Await("item/tool/call", p{"turnId": turn})
		if i%2 == 0 {
			c1.Reply(call, said("done"))
			c2.Go("turn/interrupt", p{"threadId": thr}).Result()
		} else {
			stop := c2.Go("turn/interrupt", p{"threadId": thr})
			c1.Reply(call, said("done"))
			stop.Result()
		}
		if end := c2.End(thr, turn); !end.fits(p{"status": "cancelled", "cancelReason": "user"}) {
			t.Fatalf("the turn ended as %s", end)
		}
		items := c2.Items(thr, turn)
		it := items[1]
		if it.Str("type") != "toolCall" || (it.Str("status") == "completed") != it.Has("result") || it.Has("result") != (it.Str("result.content.0.text") == "done") {
			t.Fatalf("the call ended as %s", it)
		}
		outcomes[it.Str("status")]++
	}
	t.Logf("the calls were %v", outcomes)
}

func TestS11_TextStreamedSoFarStays(t *testing.T) {
	d := startDaemon(t)
	c1, c2 := d.Dial("ws"), d.Dial("unix")
	thr := c1.StartThread(nil)
	c2.Call("thread/subscribe", p{"threadId": thr})
	turn := c1.Run(thr, "/deltas 100000 10 5ms") // much longer than it is let
	c2.Await("item/agentMessage/delta", p{"turnId": turn, "offset": 50})

	c2.Call("turn/interrupt", p{"threadId": thr})

	for _, c := range []*client{c1, c2} {
		end := c.terminal(t, turn, "turn/cancelled")
		text := ""
		for _, m := range c.deltas(turn) {
			text += m.Delta
		}
		it := c.Await("item/completed", p{"turnId": turn, "item.type": "agentMessage"})
		if len(text) < 60 || len(text) >= 1_000_000 || !it.Body().fits(p{"item.status": "interrupted", "item.text": text}) || end.Body().Str("turn.text") != text {
			t.Errorf("%s: %d bytes were streamed, the item is %.300s, the turn %.300s", c.name, len(text), it.raw, end.raw)
		}
		c.Await("item/completed", p{"turnId": turn, "item.type": "notice", "item.kind": "interrupted"})
	}
	if got := types(c1.Items(thr, turn)); !slices.Equal(got, []string{"userMessage completed", "agentMessage interrupted", "notice completed"}) {
		t.Errorf("the items are %v", got)
	}
}

// An agent that ignores the interrupt: the turn ends without it, after the grace time.
func TestS11_StuckAgent(t *testing.T) {
	const grace = 1500 * time.Millisecond
	d := startDaemon(t, config("[limits]\ninterrupt_grace = \"1500ms\"\ndrain_timeout = \"100ms\""), leaves(1))
	c1, c2 := d.Dial("ws"), d.Dial("unix")
	thr := c1.StartThread(p{"queuePolicy": p{"onCancelled": "continue"}})
	c2.Call("thread/subscribe", p{"threadId": thr})
	turn := c1.Run(thr, "/say Working.\n/stuck\n/say never")
	c1.Await("item/completed", p{"turnId": turn, "item.type": "agentMessage"})
	next := c1.Enqueue(thr, "/say next")

	began := time.Now()
	first, second := c2.Go("turn/interrupt", p{"threadId": thr}), c2.Go("turn/interrupt", p{"threadId": thr})
	if r := first.Result(); r.Str("outcome") != "interrupting" {
		t.Errorf("the interrupt answers %s", r)
	}
	if r := second.Result(); r.Str("outcome") != "alreadyInterrupting" {
		t.Errorf("another one answers %s", r)
	}
	c2.Await("thread/runtimeChanged", p{"threadId": thr, "runtime.interrupting": true, "runtime.busy": true})
	for _, c := range []*client{c1, c2} {
		end := c.terminal(t, turn, "turn/cancelled")
		if !end.Body().fits(p{"turn.cancelReason": "user", "turn.text": "Working."}) {
			t.Errorf("%s: the turn ends as %s", c.name, end.raw)
		}
	}
	if took := time.Since(began); took < grace {
		t.Errorf("the turn ended after %s; the agent has %s", took, grace)
	}
	if got := types(c1.Items(thr, turn)); !slices.Equal(got, []string{"userMessage completed", "agentMessage completed", "notice completed"}) {
		t.Errorf("the items are %v", got)
	}
	c1.Await("turn/completed", p{"turnId": next, "turn.text": "next"})
}
