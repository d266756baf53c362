package scenario_test

import "testing"

// weather is the tool of these scenarios.
var weather = p{
	"name": "weather-api", "description": "Weather", "scope": "global",
	"inputSchema": p{"type": "object", "properties": p{"city": p{"type": "string"}}},
}

// Calling runs a turn that calls the weather and returns it with the request.
func (c *client) Calling(thread, input string, owner *client) (turn string, request *message) {
	c.t.Helper()
	turn = c.Run(thread, input)
	return turn, owner.Await("item/tool/call", p{"turnId": turn})
}

func TestS26_ToolClientComesBackInTime(t *testing.T) {
	for _, transport := range []string{"ws", "unix"} {
		t.Run(transport, func(t *testing.T) {
			d := startDaemon(t)
			watch := d.Dial("unix", named("watch"))
			thr := watch.StartThread(nil)
			c1 := d.Dial(transport, named("c1"), able("tools"), instance("web-1"))
			generation := c1.Register(thr, weather)
			turn, first := watch.Calling(thr, `/tool weather-api {"city":"NYC"}`, c1)
			if !first.Body().fits(p{"threadId": thr, "tool": "weather-api", "arguments": p{"city": "NYC"}, "attempt": 1, "bindingGeneration": generation}) {
				t.Errorf("the first request is %s", first.raw)
			}
			call := first.Body().Str("callId")
			c1.Drop()
			watch.Pass(100)
			if now := watch.Sync(thr); !now.fits(p{"activeTurn.id": turn, "thread.runtime.waitingOn": []string{"tool"}, "pending.0.callId": call}) {
				t.Errorf("when the client has gone the thread is %s", now)
			}
			watch.Never("item/completed", p{"turnId": turn, "item.type": "toolCall"})

			again := d.Dial(transport, named("c1'"), able("tools"), instance("web-1"))
			r := again.Call("tool/register", p{"threadId": thr, "tools": []p{weather}})
			if !r.fits(p{"pendingCalls": []string{call}, "bindingGeneration": generation + 1}) {
				t.Errorf("tool/register answers %s", r)
			}
			second := again.Await("item/tool/call", nil)
			if !second.Body().fits(p{
				"threadId": thr, "turnId": turn, "itemId": first.Body().Str("itemId"), "callId": call, "tool": "weather-api",
				"arguments": p{"city": "NYC"}, "attempt": 2, "bindingGeneration": generation + 1,
			}) {
				t.Errorf("the second request is %s", second.raw)
			}
			result := p{"success": true, "content": []p{{"type": "text", "text": "72 F"}}, "structured": p{"temperature": 72}}
			again.Reply(second, result)
			again.Reply(second, result) // once more
			if end := watch.End(thr, turn); !end.fits(p{"status": "completed", "text": "72 F"}) {
				t.Errorf("the turn ended as %s", end)
			}
			done := watch.Seen("item/completed", p{"turnId": turn, "item.type": "toolCall"})
			if len(done) != 1 || !done[0].Body().fits(p{"item.status": "completed", "item.callId": call, "item.executor": "client", "item.result.structured": p{"temperature": 72}}) {
				t.Errorf("the call was completed %d times: %v", len(done), done)
			}
			watch.Counted("unknownResponses", 1)
			again.Never("item/tool/cancel", nil)
		})
	}
}

// To be there again is enough: the tools are still its own.
func TestS26_SubscribesOnly(t *testing.T) {
	d := startDaemon(t)
	watch := d.Dial("unix", named("watch"))
	thr := watch.StartThread(nil)
	c1 := d.Dial("ws", named("c1"), able("tools"), instance("web-1"))
	c1.Register(thr, weather)
	turn, first := watch.Calling(thr, `/tool weather-api {"city":"NYC"}`, c1)
	c1.Drop()
	other := d.Dial("ws", named("other"), able("tools"), instance("web-2"))
	other.Call("thread/resume", p{"threadId": thr})
	again := d.Dial("ws", named("c1'"), able("tools"), instance("web-1"))
	r := again.Call("thread/resume", p{"threadId": thr})
	if !r.fits(p{"pending.0.callId": first.Body().Str("callId")}) {
		t.Errorf("thread/resume answers %s", r)
	}
	second := again.Await("item/tool/call", p{"callId": first.Body().Str("callId"), "attempt": 2})
	again.Reply(second, said("72 F"))
	if end := watch.End(thr, turn); end.Str("text") != "72 F" {
		t.Errorf("the turn ended as %s", end)
	}
	other.Never("item/tool/call", nil)
}

// It is back before the daemon has noticed that the old connection is dead.
func TestS26_BackBeforeTheLossIsNoticed(t *testing.T) {
	d := startDaemon(t)
	watch := d.Dial("unix", named("watch"))
	thr := watch.StartThread(nil)
	c1 := d.Dial("ws", named("c1"), able("tools"), instance("web-1"))
	c1.Register(thr, weather)
	turn, first := watch.Calling(thr, `/tool weather-api {"city":"NYC"}`, c1)
	again := d.Dial("ws", named("c1'"), able("tools"), instance("web-1"))
	again.Call("thread/subscribe", p{"threadId": thr})
	again.Never("item/tool/call", nil)
	c1.Drop()
	second := again.Await("item/tool/call", p{"callId": first.Body().Str("callId"), "attempt": 2})
	again.Reply(second, said("72 F"))
	if end := watch.End(thr, turn); end.Str("text") != "72 F" {
		t.Errorf("the turn ended as %s", end)
	}
}
