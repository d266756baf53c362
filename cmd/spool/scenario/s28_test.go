package scenario_test

import (
	"slices"
	"testing"
)

// scoped is a tool that modes name.
func scoped(name string) p {
	tl := tool(name)
	tl["scope"] = "mode"
	return tl
}

// booths are the modes of the scenario.
var booths = p{"modes": []p{{"id": "home", "name": "Home"}, {"id": "mail", "instructions": "You send mail.", "tools": []string{"b"}}}}

func TestS28_ToolsAtRunTimeAndModes(t *testing.T) {
	d := startDaemon(t)
	c, watch := d.Dial("ws", able("tools")), d.Dial("unix")
	thr := c.StartThread(p{"config": booths, "mode": "home", "tools": []p{tool("g"), scoped("b")}})
	watch.Call("thread/subscribe", p{"threadId": thr})
	r := watch.Call("tool/list", p{"threadId": thr})
	if !slices.Equal(r.Each("data", "name"), []string{"b", "g"}) || !slices.Equal(r.Each("data", "scope"), []string{"mode", "global"}) {
		t.Errorf("tool/list gives %s", r)
	}

	// In home the turn is offered g only; what is registered meanwhile comes with the next.
	turn := watch.Run(thr, "/tools\n/hold\n/tools\n/tool b {}\n/tool n {}")
	watch.Await("item/completed", p{"turnId": turn, "item.type": "agentMessage"})
	generation := c.Register(thr, tool("g"), scoped("b"), tool("n"))
	if generation != r.Int("bindingGeneration")+1 {
		t.Errorf("the binding is %d behind %d", generation, r.Int("bindingGeneration"))
	}
	watch.Release(thr, turn)
	if said := watch.Said(thr, turn); !slices.Equal(said, []string{
		"g", "g", "ToolNotAllowed: tool b is not offered in mode home", "ToolNotAllowed: tool n is not offered in mode home",
	}) {
		t.Errorf("in home the turn said %q", said)
	}
	for _, name := range []string{"b", "n"} {
		m := watch.Await("item/completed", p{"turnId": turn, "item.tool": name})
		if !m.Body().fits(p{"item.type": "toolCall", "item.status": "failed", "item.executor": "client", "item.error.code": "ToolNotAllowed", "item.turnId": turn}) {
			t.Errorf("the call of %s ends as %s", name, m.raw)
		}
	}
	c.Never("item/tool/call", nil)
	if next := watch.Run(thr, "/tools"); !slices.Equal(watch.Said(thr, next), []string{"g n"}) {
		t.Errorf("the next turn is offered %q", watch.Said(thr, next))
	}

	// In mail all three work.
	set := watch.Call("thread/mode/set", p{"threadId": thr, "mode": "mail"})
	if set.Str("thread.mode") != "mail" {
		t.Errorf("mode/set answers %s", set)
	}
	c.Await("thread/updated", p{"threadId": thr, "changed": []string{"mode"}, "thread.mode": "mail"})
	turn = watch.Run(thr, "/tools\n/tool g {}\n/tool b {}\n/tool n {}")
	for _, name := range []string{"g", "b", "n"} {
		c.Reply(c.Await("item/tool/call", p{"turnId": turn, "tool": name}), said("did "+name))
	}
	if got := watch.Said(thr, turn); !slices.Equal(got, []string{"b g n", "did g", "did b", "did n"}) {
		t.Errorf("in mail the turn said %q", got)
	}
	if tn := watch.End(thr, turn); tn.Str("mode") != "mail" {
		t.Errorf("the turn is %s", tn)
	}

	// The mode of one turn, and none at all.
	one := watch.Call("turn/run", p{"threadId": thr, "input": "/tools", "mode": "home"})
	if got := watch.Said(thr, one.Str("turn.id")); !slices.Equal(got, []string{"g n"}) || one.Str("turn.mode") != "home" || watch.Sync(thr).Str("thread.mode") != "mail" {
		t.Errorf("a turn in home said %q and was accepted as %s", got, one)
	}
	watch.Call("thread/mode/set", p{"threadId": thr, "mode": ""})
	none := watch.Run(thr, "/tools\n/tool b")
	if got := watch.Said(thr, none); !slices.Equal(got, []string{"g n", "ToolNotAllowed: tool b was not offered to this turn"}) {
		t.Errorf("without a mode the turn said %q", got)
	}

	// A handler that fails or panics is a failed call; the turn goes on.
	for _, answer := range []p{
		{"success": false, "error": p{"code": "HandlerPanicked", "message": "boom"}}, {"success": false, "error": p{"code": "HandlerPanicked", "message": "boom"}, "content": []p{}},
	} {
		turn := watch.Run(thr, "/tool g\n/say on")
		c.Reply(c.Await("item/tool/call", p{"turnId": turn}), answer)
		if got := watch.Said(thr, turn); !slices.Equal(got, []string{"HandlerPanicked: boom", "on"}) {
			t.Errorf("the turn said %q", got)
		}
	}

	// Taken back, and gone for good: by name, by namespace, all.
	c.Register(thr, tool("g"), scoped("b"), tool("n"), p{"name": "send", "namespace": "mail", "description": "", "inputSchema": p{}})
	gone := c.Call("tool/unregister", p{"threadId": thr, "tools": []string{"n"}})
	if got := watch.Run(thr, "/tools\n/tool n"); !slices.Equal(watch.Said(thr, got), []string{"g mail/send", "ToolUnavailable: no client offers the tool n"}) {
		t.Errorf("after %s the turn said %q", gone, watch.Said(thr, got))
	}
	turn = watch.Run(thr, `/tool mail/send {"to":"ann"}`)
	call := c.Await("item/tool/call", p{"turnId": turn})
	if !call.Body().fits(p{"tool": "send", "namespace": "mail", "arguments": p{"to": "ann"}}) {
		t.Errorf("the call is %s", call.raw)
	}
	c.Reply(call, said("sent"))
	watch.End(thr, turn)
	c.Call("tool/unregister", p{"threadId": thr})
	if got := watch.Run(thr, "/tools"); !slices.Equal(watch.Said(thr, got), []string{"no tools"}) {
		t.Errorf("after all were taken back the turn said %q", watch.Said(thr, got))
	}
}

func TestS28_Refusals(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix", able("tools"))
	thr := c.StartThread(p{"config": booths, "mode": "home", "tools": []p{tool("g")}})
	before := c.ReadAll(thr)
	generation := c.Call("tool/list", p{"threadId": thr}).Int("bindingGeneration")
	for _, bad := range []struct {
		method string
		params p
		code   int
		name   string
		field  string
	}{
		{"thread/mode/set", p{"threadId": thr, "mode": "attic"}, -31113, "InvalidConfig", "mode"},
		{"turn/run", p{"threadId": thr, "input": "x", "mode": "attic"}, -31113, "InvalidConfig", "mode"},
		{"thread/start", p{"mode": "home"}, -31113, "InvalidConfig", "mode"},
		{"thread/config/update", p{"threadId": thr, "config": p{"modes": nil}}, -31113, "InvalidConfig", "mode"},
		{"tool/register", p{"threadId": thr, "tools": []p{tool("x"), tool("x")}}, -32602, "InvalidParams", "tools[1].name"},
		{"tool/register", p{"threadId": thr, "tools": []p{{"name": "x", "description": "", "inputSchema": p{"type": "smell"}}}}, -32602, "InvalidParams", "tools[0].inputSchema"},
		{"tool/register", p{"threadId": thr, "tools": []p{{"name": "x", "description": "", "inputSchema": p{}, "scope": "moon"}}}, -32602, "InvalidParams", "tools[0].scope"},
		{"tool/register", p{"threadId": thr, "tools": []p{tool("x")}, "expectedGeneration": generation + 1}, -31119, "StaleBinding", ""},
		{"tool/unregister", p{"threadId": thr, "expectedGeneration": generation - 1}, -31119, "StaleBinding", ""},
	} {
		we := c.Refused(bad.method, bad.params)
		we.Want(t, bad.code, bad.name)
		if we.At("field").Str("") != bad.field {
			t.Errorf("%s %v is refused with %v; want the field %q", bad.method, bad.params, we, bad.field)
		}
		if bad.code == -31119 && we.At("bindingGeneration").Int("") != generation {
			t.Errorf("%s is refused with %v; the binding is %d", bad.method, we, generation)
		}
	}
	if after := c.ReadAll(thr); after.String() != before.String() {
		t.Errorf("the refusals left a trace:\n%s\n%s", before, after)
	}
	if r := c.Call("tool/list", p{"threadId": thr}); r.Int("bindingGeneration") != generation || !slices.Equal(r.Each("data", "name"), []string{"g"}) {
		t.Errorf("afterwards tool/list gives %s", r)
	}
}

// Tools that a connection offers without naming a thread are those of all its threads,
// now and later.
func TestS28_ToolsOfAllThreads(t *testing.T) {
	d := startDaemon(t)
	c, other := d.Dial("ws", able("tools")), d.Dial("ws", able("tools"))
	early, foreign := c.StartThread(nil), other.StartThread(nil)
	c.Call("tool/register", p{"tools": []p{tool("everywhere")}})
	late := c.StartThread(nil)
	for _, thr := range []string{early, late} {
		turn := c.Run(thr, "/tool everywhere")
		c.Reply(c.Await("item/tool/call", p{"turnId": turn}), said("here"))
		if got := c.Said(thr, turn); !slices.Equal(got, []string{"here"}) {
			t.Errorf("the turn said %q", got)
		}
	}
	if turn := other.Run(foreign, "/tools"); !slices.Equal(other.Said(foreign, turn), []string{"no tools"}) {
		t.Errorf("another connection's thread is offered %q", other.Said(foreign, turn))
	}
	c.Call("tool/unregister", p{"tools": []string{"everywhere"}})
	for _, thr := range []string{early, late, c.StartThread(nil)} {
		if turn := c.Run(thr, "/tools"); !slices.Equal(c.Said(thr, turn), []string{"no tools"}) {
			t.Errorf("after it was taken back the turn is offered %q", c.Said(thr, turn))
		}
	}
}
