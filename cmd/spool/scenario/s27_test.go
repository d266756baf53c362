package scenario_test

import "testing"

func TestS27_ToolClientIsGoneForGood(t *testing.T) {
	d := startDaemon(t)
	watch := d.Dial("unix", named("watch"))
	thr := watch.StartThread(p{"config": p{"toolReconnectMs": 300}})
	c1 := d.Dial("ws", named("c1"), able("tools"), instance("web-1"))
	old := c1.Register(thr, weather)
	turn, first := watch.Calling(thr, "/tool weather-api {\"city\":\"NYC\"}\n/hold\n/tool weather-api {\"city\":\"LA\"}", c1)
	c1.Drop()

	failed := watch.Await("item/completed", p{"turnId": turn, "item.type": "toolCall"})
	if !failed.Body().fits(p{
		"item.status": "failed", "item.callId": first.Body().Str("callId"), "item.executor": "client",
		"item.error": p{"code": "ToolUnavailable", "message": "the client that offers weather-api is gone"},
	}) || failed.Body().Has("item.result") {
		t.Errorf("the call fails as %s", failed.raw)
	}
	watch.Await("item/completed", p{"turnId": turn, "item.type": "agentMessage", "item.text": "ToolUnavailable: the client that offers weather-api is gone"})

	// A take-over that fails changes nothing.
	c2 := d.Dial("unix", named("c2"), able("tools"), instance("web-2"))
	before := c2.Call("tool/list", p{"threadId": thr})
	bad := p{"name": "weather-api", "description": "x", "inputSchema": p{"type": 7}}
	e := c2.Refused("tool/register", p{"threadId": thr, "tools": []p{bad}})
	e.Want(t, -32602, "InvalidParams")
	if e.At("field").Str("") != "tools[0].inputSchema" {
		t.Errorf("the refusal says %v", e)
	}
	if after := c2.Call("tool/list", p{"threadId": thr}); after.String() != before.String() {
		t.Errorf("a refused tool/register made %s of %s", after, before)
	}
	generation := c2.Register(thr, weather)
	if generation <= old {
		t.Errorf("the generation is %d behind %d", generation, old)
	}

	// c1 wakes up, and says what it has.
	again := d.Dial("ws", named("c1'"), able("tools"), instance("web-1"))
	again.Call("thread/subscribe", p{"threadId": thr})
	again.SendRaw(`{"jsonrpc":"2.0","id":` + first.id + `,"result":` + of(said("72 F")).String() + `}`)
	again.Counted("unknownResponses", 1)
	e = again.Refused("tool/register", p{"threadId": thr, "expectedGeneration": old, "tools": []p{}})
	e.Want(t, -31119, "StaleBinding")
	if e.At("bindingGeneration").Int("") != generation {
		t.Errorf("the refusal says %v; want generation %d", e, generation)
	}

	watch.Release(thr, turn)
	second := c2.Await("item/tool/call", p{"turnId": turn})
	if !second.Body().fits(p{"arguments": p{"city": "LA"}, "attempt": 1, "bindingGeneration": generation}) {
		t.Errorf("the second call is %s", second.raw)
	}
	c2.Reply(second, said("90 F"))
	if got := watch.Said(thr, turn); len(got) != 2 || got[1] != "90 F" {
		t.Errorf("the turn said %q", got)
	}
	again.Never("item/tool/call", nil)
	if n := len(watch.Seen("item/completed", p{"turnId": turn, "item.callId": first.Body().Str("callId")})); n != 1 {
		t.Errorf("the first call was completed %d times", n)
	}
}

// Another client takes the tools over while the first still carries a call out: the call
// moves with them, and the first is told; what it answers then is ignored and counted.
func TestS27_TakeOverOfALiveClient(t *testing.T) {
	d := startDaemon(t)
	watch := d.Dial("unix", named("watch"))
	thr := watch.StartThread(nil)
	c1, c2 := d.Dial("ws", named("c1"), able("tools")), d.Dial("ws", named("c2"), able("tools"))
	c1.Register(thr, weather)
	turn, first := watch.Calling(thr, `/tool weather-api {"city":"NYC"}`, c1)
	r := c2.Call("tool/register", p{"threadId": thr, "tools": []p{weather}})
	if !r.fits(p{"pendingCalls": []string{first.Body().Str("callId")}}) {
		t.Errorf("tool/register answers %s", r)
	}
	second := c2.Await("item/tool/call", p{"callId": first.Body().Str("callId"), "attempt": 2})
	c1.Withdrawn(first)
	c1.Reply(first, said("old"))
	c1.Counted("answers.late", 1)
	c2.Reply(second, said("new"))
	if end := watch.End(thr, turn); end.Str("text") != "new" {
		t.Errorf("the turn ended as %s", end)
	}
}

// A call that is not wanted any more: the client hears of it, and its answer is late.
func TestS27_Interrupted(t *testing.T) {
	d := startDaemon(t)
	watch := d.Dial("unix", named("watch"))
	thr := watch.StartThread(nil)
	c1 := d.Dial("ws", named("c1"), able("tools"))
	c1.Register(thr, weather)
	turn, request := watch.Calling(thr, `/tool weather-api {"city":"NYC"}`, c1)
	watch.Call("turn/interrupt", p{"threadId": thr, "turnId": turn})
	watch.Await("turn/cancelled", p{"turnId": turn})
	c1.Withdrawn(request)
	c1.Await("item/tool/cancel", p{"turnId": turn, "callId": request.Body().Str("callId")})
	c1.Reply(request, said("72 F"))
	c1.Counted("answers.late", 1)
	if m := watch.Await("item/completed", p{"turnId": turn, "item.type": "toolCall"}); m.Body().Str("item.status") != "cancelled" {
		t.Errorf("the call ended as %s", m.raw)
	}
}
