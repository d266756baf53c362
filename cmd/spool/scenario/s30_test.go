package scenario_test

import (
	"maps"
	"slices"
	"testing"
)

// repo is the identity of an editor's conversation about a folder.
func repo(context string) p {
	return p{"channel": "ide", "user": "local", "context": context}
}

// getOrCreate calls thread/getOrCreate for an identity, with further options.
func (c *client) getOrCreate(identity p, more p) value {
	c.t.Helper()
	params := p{"identity": identity}
	maps.Copy(params, more)
	return c.Call("thread/getOrCreate", params)
}

func TestS30_GetOrCreateReusesOneIdentity(t *testing.T) {
	d := startDaemon(t)
	var clients []*client
	for i := range 9 {
		clients = append(clients, d.Dial([]string{"unix", "ws", "stdio"}[i%3]))
	}
	c := clients[0]

	// 50 calls at once.
	var answers []*answer
	for i := range 50 {
		answers = append(answers, clients[i%len(clients)].Go("thread/getOrCreate", p{"identity": repo("repo-x")}))
	}
	thr, created := "", 0
	for _, a := range answers {
		r := a.Result()
		if thr == "" {
			thr = r.Str("thread.id")
		}
		if r.Str("thread.id") != thr || r.Bool("created") == r.Bool("resumed") {
			t.Errorf("the answer is %s; want thread %s", r, thr)
		}
		if r.Bool("created") {
			created++
		}
	}
	if created != 1 {
		t.Errorf("%d of 50 calls created a thread", created)
	}
	if all := c.list("thread/list", p{"identity": repo("repo-x")}); len(all) != 1 {
		t.Errorf("there are %d threads of the identity", len(all))
	}

	// Paused: resumed.
	c.Call("thread/pause", p{"threadId": thr})
	r := c.getOrCreate(repo("repo-x"), nil)
	if !r.fits(p{"thread.id": thr, "thread.status": "active", "created": false, "resumed": true}) {
		t.Errorf("of a paused thread the answer is %s", r)
	}
	clients[1].Await("thread/statusChanged", p{"threadId": thr, "previous": "paused", "thread.status": "active"})

	// Also after a crash.
	d.Restart()
	c = d.Dial("ws")
	if r := c.getOrCreate(repo("repo-x"), nil); !r.fits(p{"thread.id": thr, "created": false, "resumed": true}) {
		t.Errorf("after a restart the answer is %s", r)
	}

	// Archived: a new one, and from now on that.
	c.Call("thread/archive", p{"threadId": thr})
	r = c.getOrCreate(repo("repo-x"), nil)
	second := r.Str("thread.id")
	if second == thr || !r.fits(p{"created": true, "resumed": false}) {
		t.Errorf("of an archived thread the answer is %s", r)
	}
	if r := c.getOrCreate(repo("repo-x"), nil); r.Str("thread.id") != second {
		t.Errorf("the archived thread was reused: %s", r)
	}

	// Another context, channel, user or agent: another thread.
	seen := []string{thr, second}
	for _, other := range []p{
		{"identity": repo("repo-y")},
		{"identity": p{"channel": "web", "user": "local", "context": "repo-x"}},
		{"identity": p{"channel": "ide", "user": "somebody", "context": "repo-x"}},
		{"identity": p{"channel": "ide", "context": "repo-x"}},
		{"identity": p{"channel": "ide", "user": "local"}},
	} {
		r := c.Call("thread/getOrCreate", other)
		if !r.Bool("created") || slices.Contains(seen, r.Str("thread.id")) {
			t.Errorf("%v gets %s", other, r)
		}
		seen = append(seen, r.Str("thread.id"))
		if again := c.Call("thread/getOrCreate", other); again.Bool("created") || again.Str("thread.id") != r.Str("thread.id") {
			t.Errorf("%v gets %s the second time", other, again)
		}
	}

	// Deleted or ended: a new one.
	c.Call("thread/delete", p{"threadId": second})
	r = c.getOrCreate(repo("repo-x"), nil)
	third := r.Str("thread.id")
	if !r.Bool("created") || slices.Contains(seen, third) {
		t.Errorf("of a deleted thread the answer is %s", r)
	}
	c.Call("thread/end", p{"threadId": third})
	if r := c.getOrCreate(repo("repo-x"), nil); !r.Bool("created") || r.Str("thread.id") == third {
		t.Errorf("of an ended thread the answer is %s", r)
	}
}

func TestS30_OtherAgentIsAnotherThread(t *testing.T) {
	d := startDaemon(t, config("[agents.support]\nkind = \"script\"\n[agents.finance]\nkind = \"script\""))
	c := d.Dial("unix")
	support := c.getOrCreate(repo("x"), p{"agent": "support"})
	finance := c.getOrCreate(repo("x"), p{"agent": "finance"})
	if !finance.Bool("created") || finance.Str("thread.id") == support.Str("thread.id") {
		t.Errorf("support has %s and finance %s", support, finance)
	}
	for agent, r := range map[string]value{"support": support, "finance": finance} {
		if again := c.getOrCreate(repo("x"), p{"agent": agent}); again.Bool("created") || again.Str("thread.id") != r.Str("thread.id") {
			t.Errorf("%s gets %s", agent, again)
		}
	}
}

// The tools of a request are bound on the daemon whatever becomes of the thread.
func TestS30_ToolsRebindOnReuse(t *testing.T) {
	d := startDaemon(t)
	identity := repo("repo-x")
	watch := d.Dial("unix", named("watch"))
	// call runs the tool and requires that this client is asked, and no other.
	call := func(thr string, who *client) {
		t.Helper()
		turn := watch.Run(thr, `/tool lookup {"q":1}`)
		request := who.Await("item/tool/call", p{"turnId": turn})
		who.Reply(request, said("from "+who.name))
		if end := watch.End(thr, turn); end.Str("text") != "from "+who.name {
			t.Errorf("the turn ended as %s; want the result of %s", end, who.name)
		}
		for _, c := range d.clients {
			if c != who {
				c.Never("item/tool/call", p{"turnId": turn})
			}
		}
	}
	offers := func(more ...string) p {
		tools := []p{tool("lookup")}
		for _, name := range more {
			tools = append(tools, tool(name))
		}
		return p{"tools": tools}
	}

	maker := d.Dial("ws", able("tools"))
	r := maker.getOrCreate(identity, offers())
	thr := r.Str("thread.id")
	watch.Call("thread/subscribe", p{"threadId": thr})
	call(thr, maker)

	active := d.Dial("unix", able("tools"))
	if r := active.getOrCreate(identity, offers("more")); r.Bool("created") || r.Str("thread.id") != thr {
		t.Fatalf("the second client gets %s", r)
	}
	call(thr, active)
	if names := watch.Call("tool/list", p{"threadId": thr}).Each("data", "name"); !slices.Equal(names, []string{"lookup", "more"}) {
		t.Errorf("the thread has the tools %v", names)
	}

	watch.Call("thread/pause", p{"threadId": thr})
	paused := d.Dial("stdio", able("tools"))
	if r := paused.getOrCreate(identity, offers()); r.Bool("created") || r.Str("thread.status") != "active" {
		t.Fatalf("of the paused thread it gets %s", r)
	}
	call(thr, paused)

	// Without tools nothing changes hands; an empty list takes one's own back.
	maker.getOrCreate(identity, nil)
	call(thr, paused)
	maker.getOrCreate(identity, p{"tools": []p{}})
	call(thr, paused)
	paused.getOrCreate(identity, p{"tools": []p{}})
	if end := watch.End(thr, watch.Run(thr, "/tool lookup")); end.Str("text") != "ToolUnavailable: no client offers the tool lookup" {
		t.Errorf("after it was taken back, a call ends as %s", end)
	}

	// While a call waits for a client that is gone, the next one that comes gets it.
	active.getOrCreate(identity, offers())
	turn := watch.Run(thr, `/tool lookup {"q":2}`)
	first := active.Await("item/tool/call", p{"turnId": turn})
	active.Drop()
	second := maker
	second.getOrCreate(identity, offers())
	again := second.Await("item/tool/call", p{"turnId": turn})
	if !again.Body().fits(p{"callId": first.Body().Str("callId"), "attempt": 2, "arguments": p{"q": 2}}) {
		t.Errorf("first it was asked %s, then %s", first.raw, again.raw)
	}
	second.Reply(again, said("done"))
	if end := watch.End(thr, turn); end.Str("text") != "done" {
		t.Errorf("the turn ended as %s", end)
	}

	// A new thread gets them, too.
	watch.Call("thread/archive", p{"threadId": thr})
	next := second.getOrCreate(identity, offers()).Str("thread.id")
	watch.Call("thread/subscribe", p{"threadId": next})
	call(next, second)
}

func TestS30_Refusals(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix", able("tools"))
	r := c.getOrCreate(repo("x"), p{"tools": []p{tool("lookup")}, "lifetime": p{"mode": "durable", "graceMs": 5}})
	thr := r.Str("thread.id")
	before := c.ReadAll(thr)
	generation := c.Call("tool/list", p{"threadId": thr}).Int("bindingGeneration")
	for _, refused := range []struct {
		params p
		code   int
		name   string
		field  string
	}{
		{p{}, -32602, "InvalidParams", "identity"},
		{p{"identity": p{"user": "local"}}, -32602, "InvalidParams", "identity.channel"},
		{p{"identity": repo("x"), "lifetime": p{"mode": "connection"}}, -31113, "InvalidConfig", "lifetime"},
		{p{"identity": repo("x"), "config": p{"temprature": 1}}, -31113, "InvalidConfig", "temprature"},
		{p{"identity": repo("x"), "agent": "nobody"}, -31122, "AgentNotFound", ""},
		{p{"identity": repo("x"), "tools": []p{tool("other"), {"name": "bad", "description": "", "inputSchema": p{"type": 1}}}}, -32602, "InvalidParams", "tools[1].inputSchema"},
		{p{"identity": repo("x"), "colour": "red"}, -32602, "InvalidParams", "colour"},
	} {
		we := c.Refused("thread/getOrCreate", refused.params)
		we.Want(t, refused.code, refused.name)
		if we.At("field").Str("") != refused.field {
			t.Errorf("%v is refused with %v; want the field %q", refused.params, we, refused.field)
		}
	}
	// Somebody who cannot carry tools out cannot take them over.
	cannot := d.Dial("ws")
	for method, params := range map[string]p{
		"thread/getOrCreate": {"identity": repo("x"), "tools": []p{tool("lookup")}},
		"thread/resume":      {"threadId": thr, "tools": []p{tool("lookup")}},
		"thread/start":       {"tools": []p{tool("lookup")}},
		"thread/fork":        {"threadId": thr, "tools": []p{tool("lookup")}},
		"tool/register":      {"threadId": thr, "tools": []p{tool("lookup")}},
	} {
		cannot.Refused(method, params).Want(t, -31111, "Forbidden")
	}
	if after := c.ReadAll(thr); after.String() != before.String() {
		t.Errorf("the refusals left a trace:\n%s\n%s", before, after)
	}
	if now := c.Call("tool/list", p{"threadId": thr}).Int("bindingGeneration"); now != generation {
		t.Errorf("the refusals changed the binding from %d to %d", generation, now)
	}
	if r := c.getOrCreate(repo("x"), p{"lifetime": p{"mode": "durable", "graceMs": 5}}); r.Str("thread.id") != thr {
		t.Errorf("with the same lifetime it gets %s", r)
	}
}

// The thread is deleted or archived just when others ask for it: nobody gets one that is
// gone, and two never make one each.
func TestS30_RaceWithTheEnd(t *testing.T) {
	d := startDaemon(t)
	clients := []*client{d.Dial("unix"), d.Dial("ws"), d.Dial("stdio")}
	for i := range *repeats / 4 {
		old := clients[0].getOrCreate(repo("race"), nil).Str("thread.id")
		method := []string{"thread/delete", "thread/archive"}[i%2]
		away := clients[i%3].Go(method, p{"threadId": old})
		var answers []*answer
		for j := range 6 {
			answers = append(answers, clients[j%3].Go("thread/getOrCreate", p{"identity": repo("race")}))
		}
		away.Result()
		made := map[string]int{}
		for _, a := range answers {
			if r := a.Result(); r.Str("thread.id") != old {
				made[r.Str("thread.id")]++
				if r.Bool("created") {
					made["created"]++
				}
			} else if r.Bool("created") {
				t.Fatalf("the old thread was made again: %s", r)
			}
		}
		if len(made) > 2 || len(made) == 2 && made["created"] != 1 {
			t.Fatalf("after %s there are %v", method, made)
		}
		if now := clients[0].getOrCreate(repo("race"), nil).Str("thread.id"); now == old || len(made) == 2 && made[now] == 0 {
			t.Fatalf("after %s it gets %s, those before %v", method, now, made)
		}
		if i%10 == 9 {
			d.Check()
		}
	}
}
