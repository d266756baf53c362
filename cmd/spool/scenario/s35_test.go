package scenario_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
)

// Errors in a config name the field and change nothing.
func TestS35_ConfigErrors(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	thr := c.StartThread(p{"config": p{"temperature": 0.5, "instructions": "Be brief."}})
	before := c.ReadAll(thr)
	for _, bad := range []struct {
		config  p
		field   string
		message string
	}{
		{p{"temperature": 1.5}, "temperature", "temperature must be between 0 and 1"},
		{p{"temperature": -0.1}, "temperature", ""},
		{p{"temprature": 0.5}, "temprature", ""},
		{p{"history": p{"maxTurn": 1}}, "history.maxTurn", ""},
		{p{"maxTurnMs": -1}, "maxTurnMs", ""},
		{p{"historyPolicy": "forget"}, "historyPolicy", ""},
		{p{"modes": []p{{"id": "a"}, {"id": "a"}}}, "modes[1].id", ""},
		{p{"temperature": "hot"}, "temperature", ""},
	} {
		for method, params := range map[string]p{
			"thread/config/update": {"threadId": thr},
			"turn/run":             {"threadId": thr, "input": "hi"},
			"thread/start":         {},
			"thread/fork":          {"threadId": thr},
		} {
			params["config"] = bad.config
			we := c.Refused(method, params)
			we.Want(t, -31113, "InvalidConfig")
			if we.At("field").Str("") != bad.field || bad.message != "" && we.Message != bad.message {
				t.Errorf("%s of %v is refused with %v; want the field %s", method, bad.config, we, bad.field)
			}
		}
	}
	if after := c.ReadAll(thr); after.String() != before.String() {
		t.Errorf("the refusals left a trace:\n%s\n%s", before, after)
	}
	if n := len(c.list("thread/list", p{})); n != 1 {
		t.Errorf("there are %d threads", n)
	}

	// What is right applies to the next turn, and to that only.
	held := c.Hold(thr, "")
	r := c.Call("thread/config/update", p{"threadId": thr, "config": p{"temperature": 1, "instructions": nil, "extra": p{"k": []any{1, nil}}}})
	config := p{"temperature": 1, "extra": p{"k": []any{1, nil}}}
	if got := r.At("thread.config").String(); got != of(config).String() {
		t.Errorf("the config is %s", got)
	}
	c.Await("thread/updated", p{"threadId": thr, "thread.config": config, "changed": []string{"config"}})
	c.Release(thr, held)
	if end := c.End(thr, held); end.At("config").String() != of(p{"temperature": 0.5, "instructions": "Be brief."}).String() {
		t.Errorf("the running turn has the config %s", end.At("config"))
	}
	next := c.End(thr, c.Call("turn/run", p{"threadId": thr, "input": "hi", "config": p{"temperature": 0}}).Str("turn.id"))
	if next.At("config").String() != of(p{"temperature": 0, "extra": p{"k": []any{1, nil}}}).String() {
		t.Errorf("the next turn has the config %s", next.At("config"))
	}
}

// state applies what a client is told of the state item of a turn, as a client would, and
// returns the item's id and what it holds at each step.
func (c *client) state(turn string) (id string, steps []string) {
	c.t.Helper()
	var held map[string]any
	done := false
	for _, m := range c.about(turn) {
		switch {
		case m.Body().Str("item.type") == "state":
			id = m.ItemID
			held, _ = of(m.Body().At("item.state").v).v.(map[string]any)
			done = m.method == "item/completed"
		case m.method == "item/state/delta" && (m.ItemID != id || done):
			c.t.Errorf("%s: a patch of a state that is not in progress: %s", c.name, m.raw)
		case m.method == "item/state/delta":
			maps.Copy(held, m.Body().At("patch").v.(map[string]any))
		default:
			continue
		}
		steps = append(steps, m.method+" "+value{held}.String())
	}
	if !done {
		c.t.Errorf("%s: the state of %s is never completed", c.name, turn)
	}
	return id, steps
}

func TestS35_State(t *testing.T) {
	d := startDaemon(t)
	c, deaf := d.Dial("unix"), d.Dial("ws", hello(p{"capabilities": p{"streaming": false}}))
	thr := c.StartThread(nil)
	deaf.Call("thread/subscribe", p{"threadId": thr})

	turn := c.Run(thr, "/say Looking\n/state {\"step\":\"classify\"}\n/state {\"step\":\"answer\",\"n\":1}")
	end := c.End(thr, turn)
	if !end.fits(p{"status": "completed", "text": "Looking"}) {
		t.Errorf("the turn ended as %s", end)
	}
	id, steps := c.state(turn)
	want := []string{
		`item/started {}`, `item/state/delta {"step":"classify"}`, `item/state/delta {"n":1,"step":"answer"}`,
		`item/completed {"n":1,"step":"answer"}`,
	}
	if !slices.Equal(steps, want) {
		t.Errorf("the state went %q", steps)
	}
	deaf.Await("item/completed", p{"itemId": id, "item.state": p{"step": "answer", "n": 1}})

	// It is completed however the turn ends, with what it holds.
	for _, how := range []struct{ script, turn, item string }{
		{"/fail boom", "failed", "failed"},
		{"/panic", "failed", "failed"},
		{"/hold", "cancelled", "interrupted"},
	} {
		turn := c.Run(thr, "/state {\"step\":\"a\"}\n"+how.script)
		if how.turn == "cancelled" {
			late := d.Dial("ws")
			c.Await("item/state/delta", p{"turnId": turn})
			snapshot := late.Call("thread/subscribe", p{"threadId": thr})
			if items := snapshot.List("activeTurn.items"); len(items) != 2 || items[1].At("state").String() != `{"step":"a"}` {
				t.Errorf("who comes late is told %s", snapshot.At("activeTurn"))
			}
			replayed := d.Dial("ws")
			replayed.Call("thread/subscribe", p{"threadId": thr, "afterSeq": 0})
			replayed.Await("item/updated", p{"turnId": turn, "item.state": p{"step": "a"}})
			c.Call("turn/interrupt", p{"threadId": thr})
		}
		c.Await("item/completed", p{"turnId": turn, "item.type": "state", "item.status": how.item, "item.state": p{"step": "a"}})
		if end := c.End(thr, turn); end.Str("status") != how.turn {
			t.Errorf("%s: the turn ended as %s", how.script, end)
		}
		if _, steps := c.state(turn); !slices.Equal(steps[1:2], []string{`item/state/delta {"step":"a"}`}) {
			t.Errorf("%s: the state went %q", how.script, steps)
		}
	}
}

// reset resets a thread and requires that everybody is told, from the same seq on.
func reset(t *testing.T, clients []*client, params p) (at *message, answer value) {
	t.Helper()
	thr := params["threadId"].(string)
	var marks []int
	for _, c := range clients {
		marks = append(marks, c.Mark())
	}
	answer = clients[0].Call("thread/reset", params)
	for i, c := range clients {
		m := c.AwaitFrom(marks[i], "thread/reset", p{"threadId": thr, "generation": answer.Int("generation")})
		if at == nil {
			at = m
		}
		if m.Seq != at.Seq {
			t.Errorf("%s is told of the reset with seq %d, %s with %d", c.name, m.Seq, clients[0].name, at.Seq)
		}
	}
	return at, answer
}

// empty requires that nothing of before a reset is left.
func (c *client) empty(thr string, gone ...string) {
	c.t.Helper()
	read := c.ReadAll(thr)
	if len(read.List("turns")) > 0 || !read.fits(p{"thread.preview": nil, "thread.usage": p{"inputTokens": 0, "outputTokens": 0}}) || read.Int("thread.runtime.pendingItems") != 0 {
		c.t.Errorf("%s: after the reset the thread is %s", c.name, read)
	}
	if turns, items := c.list("thread/turns/list", p{"threadId": thr}), c.list("thread/items/list", p{"threadId": thr}); len(turns)+len(items) > 0 {
		c.t.Errorf("%s: after the reset the lists give %v %v", c.name, turns, items)
	}
	for _, turn := range gone {
		c.Refused("turn/read", p{"threadId": thr, "turnId": turn}).Want(c.t, -32013, "TurnNotFound")
		c.Refused("turn/wait", p{"threadId": thr, "turnId": turn}).Want(c.t, -32013, "TurnNotFound")
	}
}

func TestS35_ResetIdle(t *testing.T) {
	d := startDaemon(t)
	clients := []*client{d.Dial("unix"), d.Dial("ws"), d.Dial("stdio")}
	c := clients[0]
	thr := c.StartThread(p{
		"config": p{"temperature": 0.3}, "metadata": p{"k": "v"}, "title": "Mine",
		"identity": p{"channel": "web", "user": "ann", "context": "x"}, "queuePolicy": p{"onFailed": "continue"},
	})
	for _, other := range clients[1:] {
		other.Call("thread/subscribe", p{"threadId": thr})
	}
	var gone []string
	for i := range 6 {
		gone = append(gone, c.Run(thr, fmt.Sprintf("/say %d\n/usage 1 2", i)))
		c.End(thr, gone[i])
	}
	item := c.Call("thread/items/append", p{"threadId": thr, "input": "waits"}).Str("items.0.id")
	before := c.ReadAll(thr).At("thread")

	at, answer := reset(t, clients, p{"threadId": thr, "idempotencyKey": "r1"})
	if !answer.fits(p{"generation": 2, "removedTurns": 6}) || at.Seq != uint64(before.Int("headSeq"))+1 {
		t.Errorf("reset answers %s and is seq %d behind %d", answer, at.Seq, before.Int("headSeq"))
	}
	after := c.ReadAll(thr).At("thread")
	for _, kept := range []string{"id", "owner", "agent", "title", "config", "metadata", "identity", "createdAt", "lifetime", "queuePolicy", "status"} {
		if before.At(kept).String() != after.At(kept).String() {
			t.Errorf("the reset changed %s from %s to %s", kept, before.At(kept), after.At(kept))
		}
	}
	for _, other := range clients {
		other.empty(thr, gone...)
	}
	c.Refused("thread/items/update", p{"threadId": thr, "itemId": item, "expectedRevision": 1, "patch": p{"metadata": p{}}}).Want(t, -31115, "ItemNotFound")
	c.Refused("turn/run", p{"threadId": thr, "input": []any{}, "runPending": true}).Want(t, -32602, "InvalidParams")

	// The same request again is the same reset.
	again := c.Call("thread/reset", p{"threadId": thr, "idempotencyKey": "r1"})
	if !again.fits(p{"generation": 2, "removedTurns": 6, "replayed": true}) || c.Sync(thr).Int("thread.headSeq") != int(at.Seq) {
		t.Errorf("again it answers %s", again)
	}
	// The agent knows nothing of before.
	if lines := c.History(thr, nil); len(lines) > 0 {
		t.Errorf("the agent was told %q", lines)
	}
	// Nor does a fork.
	fork := c.Call("thread/fork", p{"threadId": thr}).Str("thread.id")
	if turns := c.ReadAll(fork).List("turns"); len(turns) != 1 || turns[0].Str("input.0.text") != "/history" {
		t.Errorf("the fork has the turns %v", turns)
	}
	d.Check()

	// All this survives.
	d.Restart()
	c = d.Dial("ws")
	c.Call("thread/subscribe", p{"threadId": thr, "afterSeq": 3})
	c.Await("turn/completed", p{"threadId": thr})
	first := c.Seen("thread/reset", p{"threadId": thr, "generation": 2})
	if len(first) != 1 || first[0].Seq != at.Seq || string(first[0].raw) != string(at.raw) {
		t.Fatalf("from the middle the replay gives the reset as %v", first)
	}
	for _, m := range c.messages()[:first[0].n] {
		if m.Seq > 0 {
			t.Errorf("before the reset the replay gives %s", m.raw)
		}
	}
	if now := c.ReadAll(thr); len(now.List("turns")) != 1 || now.Int("thread.generation") != 2 {
		t.Errorf("after a restart the thread is %s", now)
	}
	if lines := c.History(thr, nil); len(lines) != 2 || lines[0] != "userMessage: /history" {
		t.Errorf("after a restart the agent was told %q", lines)
	}
	if at, answer := reset(t, []*client{c}, p{"threadId": thr}); answer.Int("generation") != 3 || answer.Int("removedTurns") != 2 {
		t.Errorf("the second reset answers %s: %s", answer, at.raw)
	}
	c.empty(thr, gone...)
	c.Refused("thread/reset", p{"threadId": "thr_01ARZ3NDEKTSV4RRFFQ69G5FAV"}).Want(t, -32010, "ThreadNotFound")
}

// parked sends turn/wait and returns when the daemon waits: it takes one request of a connection
// that does so, and refuses another.
func (c *client) parked(thr, turn string) *answer {
	c.t.Helper()
	params := p{"threadId": thr, "turnId": turn}
	var waits *answer
	poll(c, "that the daemon waits for the turn", func() bool {
		if waits == nil {
			waits = c.Go("turn/wait", params)
		}
		_, err := c.Do("turn/wait", p{"threadId": thr, "turnId": turn, "timeoutMs": 1})
		if we, ok := errors.AsType[*wireError](err); ok && we.Code == -32001 {
			return true
		}
		select {
		case <-waits.done: // the other one was first, and it is refused
			waits = nil
		default:
		}
		return false
	})
	return waits
}

func TestS35_ResetBusy(t *testing.T) {
	d := startDaemon(t, config("limits.max_parked = 1"))
	clients := []*client{d.Dial("unix"), d.Dial("ws")}
	c := clients[0]
	busy := func() (thr, turn string, queued []string) {
		t.Helper()
		thr = c.StartThread(nil)
		clients[1].Call("thread/subscribe", p{"threadId": thr})
		c.End(thr, c.Run(thr, "/say before"))
		turn = c.Hold(thr, "/say never")
		return thr, turn, []string{c.Enqueue(thr, "/say one"), c.Enqueue(thr, "/history")}
	}

	t.Run("reject", func(t *testing.T) {
		thr, turn, queued := busy()
		before := c.ReadAll(thr)
		for _, params := range []p{{"threadId": thr}, {"threadId": thr, "ifBusy": "reject", "queue": "keep"}} {
			we := c.Refused("thread/reset", params)
			we.Want(t, -32012, "TurnInProgress")
			if we.At("activeTurnId").Str("") != turn || we.At("queueLength").Int("") != 2 {
				t.Errorf("the refusal is %v", we)
			}
		}
		if after := c.ReadAll(thr); after.String() != before.String() {
			t.Errorf("the refusals left a trace:\n%s\n%s", before, after)
		}
		c.Release(thr, turn)
		c.End(thr, queued[1])
	})
	t.Run("interrupt and clear", func(t *testing.T) {
		thr, turn, queued := busy()
		at, answer := reset(t, clients, p{"threadId": thr, "ifBusy": "interrupt", "queue": "clear"})
		if !answer.fits(p{"generation": 2, "removedTurns": 4}) {
			t.Errorf("reset answers %s", answer)
		}
		for _, c := range clients {
			end := c.Await("turn/cancelled", p{"turnId": turn, "turn.cancelReason": "user"})
			for _, id := range queued {
				cleared := c.Await("turn/cancelled", p{"turnId": id, "turn.cancelReason": "queueCleared"})
				if cleared.Seq < end.Seq || cleared.Seq > at.Seq {
					t.Errorf("%s: the events have seq %d, %d and %d", c.name, end.Seq, cleared.Seq, at.Seq)
				}
			}
			c.empty(thr, append(queued, turn)...)
		}
		if lines := c.History(thr, nil); len(lines) > 0 {
			t.Errorf("the agent was told %q", lines)
		}
	})
	t.Run("interrupt and keep", func(t *testing.T) {
		thr, turn, queued := busy()
		at, answer := reset(t, clients, p{"threadId": thr, "ifBusy": "interrupt", "queue": "keep"})
		if !answer.fits(p{"generation": 2, "removedTurns": 2}) {
			t.Errorf("reset answers %s", answer)
		}
		c.Refused("turn/read", p{"threadId": thr, "turnId": turn}).Want(t, -32013, "TurnNotFound")
		for i, id := range queued {
			again := c.AwaitFrom(at.n, "turn/queued", p{"turnId": id, "turn.position": i + 1})
			if start := c.Await("turn/started", p{"turnId": id}); start.Seq < again.Seq {
				t.Errorf("%s started with seq %d and was queued with %d", id, start.Seq, again.Seq)
			}
		}
		if end := c.End(thr, queued[1]); end.Str("text") != "userMessage: /say one\nagentMessage: one\nuserMessage: /history" {
			t.Errorf("the kept turn was told %q", end.Str("text"))
		}
	})
	t.Run("keep what is paused", func(t *testing.T) {
		thr, _, queued := busy()
		c.Call("turn/interrupt", p{"threadId": thr})
		c.Await("thread/queue/updated", p{"threadId": thr, "paused": true})
		reset(t, clients, p{"threadId": thr, "queue": "keep"})
		list := c.Call("turn/queue/list", p{"threadId": thr})
		if !slices.Equal(list.Each("turns", "id"), queued) || !list.Bool("paused") || list.Str("pauseReason") != "turnCancelled" {
			t.Errorf("afterwards the queue is %s", list)
		}
		d.Check()
		c.Call("turn/queue/resume", p{"threadId": thr})
		c.End(thr, queued[1])
	})
	t.Run("after the turn", func(t *testing.T) {
		thr, turn, queued := busy()
		answer := c.Call("thread/reset", p{"threadId": thr, "ifBusy": "afterTurn", "queue": "keep"})
		if answer.Int("generation") != 2 || c.Sync(thr).Int("thread.generation") != 1 {
			t.Errorf("reset answers %s, and the thread is %s", answer, c.Sync(thr))
		}
		c.Release(thr, turn)
		end, at := c.Await("turn/completed", p{"turnId": turn}), c.Await("thread/reset", p{"threadId": thr})
		if at.Seq != end.Seq+1 {
			t.Errorf("the turn ended with seq %d, the reset is %d", end.Seq, at.Seq)
		}
		if end := c.End(thr, queued[1]); end.Str("text") != "userMessage: /say one\nagentMessage: one\nuserMessage: /history" {
			t.Errorf("the kept turn was told %q", end.Str("text"))
		}
	})
	t.Run("while somebody is asked", func(t *testing.T) {
		asked := d.Dial("ws", able("approvals", "questions", "tools"))
		thr := asked.StartThread(p{"tools": []p{tool("lookup")}})
		for script, method := range map[string]string{
			"/approve command rm build": "item/approval/request", "/ask Where to? | here": "item/question/request", "/tool lookup": "item/tool/call",
		} {
			turn := asked.Run(thr, script)
			request := asked.Await(method, p{"turnId": turn})
			waits := c.parked(thr, turn)
			reset(t, []*client{asked}, p{"threadId": thr, "ifBusy": "interrupt"})
			asked.Withdrawn(request)
			if method == "item/tool/call" {
				asked.Await("item/tool/cancel", p{"callId": request.Body().Str("callId")})
			}
			if end := waits.Result(); end.Str("turn.status") != "cancelled" {
				t.Errorf("%s: the turn ended as %s", script, end)
			}
			asked.Reply(request, p{"decision": "accept", "answers": p{}, "success": true, "content": []p{}})
			asked.empty(thr, turn)
		}
	})
	t.Run("ended", func(t *testing.T) {
		thr := c.StartThread(nil)
		c.Call("thread/end", p{"threadId": thr})
		c.Refused("thread/reset", p{"threadId": thr}).Want(t, -32011, "ThreadNotActive")
	})
}

// An agent that was busy when the thread was reset is not heard any more, and nobody waits
// for it.
func TestS35_OutputFromBeforeIsDropped(t *testing.T) {
	d := startDaemon(t, config("[limits]\ninterrupt_grace = \"100ms\"\ndrain_timeout = \"100ms\""), leaves(1))
	clients := []*client{d.Dial("unix"), d.Dial("ws")}
	c := clients[0]
	thr := c.StartThread(nil)
	clients[1].Call("thread/subscribe", p{"threadId": thr})
	silent := func(turn string, at *message) {
		t.Helper()
		for _, c := range clients {
			from := c.Await("thread/reset", p{"generation": at.Body().Int("generation")})
			for _, m := range c.about(turn) {
				if m.n > from.n && m.method != "thread/runtimeChanged" {
					t.Fatalf("%s: after the reset it is told %s", c.name, m.raw)
				}
			}
		}
	}

	stuck := c.Run(thr, "/say Hello\n/stuck\n/say never")
	c.Await("item/completed", p{"turnId": stuck, "item.type": "agentMessage"})
	at, _ := reset(t, clients, p{"threadId": thr, "ifBusy": "interrupt"})
	c.empty(thr, stuck)
	if end := c.End(thr, c.Run(thr, "/say on")); end.Str("text") != "on" {
		t.Errorf("the next turn ended as %s", end)
	}
	silent(stuck, at)

	// At every moment of a turn that streams.
	for i := range max(10, *repeats/10) {
		turn := c.Run(thr, "/deltas 100000 10 200us")
		if i%2 == 0 {
			clients[1].Await("item/agentMessage/delta", p{"turnId": turn})
		}
		at, _ := reset(t, clients, p{"threadId": thr, "ifBusy": "interrupt"})
		if end := c.End(thr, c.Run(thr, "/say on")); end.Str("text") != "on" {
			t.Fatalf("the next turn ended as %s", end)
		}
		silent(turn, at)
	}
	if lines := c.History(thr, nil); !slices.Equal(lines, []string{"userMessage: /say on", "agentMessage: on"}) {
		t.Errorf("the agent was told %q", lines)
	}
}
