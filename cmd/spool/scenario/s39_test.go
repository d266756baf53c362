package scenario_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// Append stores items without running them and returns their ids.
func (c *client) Append(thread string, more p, items ...p) []string {
	c.t.Helper()
	params := p{"threadId": thread, "items": items}
	maps.Copy(params, more)
	return c.Call("thread/items/append", params).Each("items", "id")
}

func developer(text string) p { return p{"type": "developerMessage", "text": text} }
func assistant(text string) p { return p{"type": "agentMessage", "text": text} }
func user(text string) p {
	return p{"type": "userMessage", "content": []p{{"type": "text", "text": text}}}
}

// textOf joins what an agent is told.
func textOf(l ...string) string { return strings.Join(l, "\n") }

func TestS39_InjectWithoutRunning(t *testing.T) {
	d := startDaemon(t)
	c, watch := d.Dial("unix"), d.Dial("ws")
	thr := c.StartThread(nil)
	watch.Call("thread/subscribe", p{"threadId": thr})

	// One message of the user; then one of the developer and one of the assistant.
	first := c.Call("thread/items/append", p{"threadId": thr, "input": "/history\n/hold\n/history"})
	if items := first.List("items"); len(items) != 1 || !items[0].fits(p{"type": "userMessage", "status": "completed", "origin": "injected", "delivery": "pending", "revision": 1}) {
		t.Errorf("the first append answers %s", first)
	}
	second := c.Call("thread/items/append", p{"threadId": thr, "items": []p{developer("User is in New York"), assistant("I always write formally.")}})
	items := second.List("items")
	if len(items) != 2 ||
		!items[0].fits(p{"type": "developerMessage", "status": "completed", "origin": "injected", "visibility": "hidden", "text": "User is in New York"}) ||
		!items[1].fits(p{"type": "agentMessage", "status": "completed", "origin": "injected", "text": "I always write formally."}) {
		t.Errorf("the second append answers %s", second)
	}
	ids := []string{first.Str("items.0.id"), items[0].Str("id"), items[1].Str("id")}
	for i, seq := range []uint64{2, 3, 3} {
		m := watch.Await("thread/items/changed", p{"seq": seq})
		changes := m.Body().List("changes")
		ch := changes[max(0, i-1)]
		if m.Seq != seq || !ch.fits(p{"op": "append", "itemId": ids[i], "item.id": ids[i], "item.turnId": nil}) {
			t.Errorf("the append of %s is told as %s", ids[i], m.raw)
		}
	}
	idle := func(c *client) {
		t.Helper()
		now := c.ReadAll(thr)
		if !now.fits(p{"thread.runtime.busy": false, "thread.runtime.pendingItems": 3, "thread.headSeq": 3, "thread.status": "active"}) || len(now.List("turns")) > 0 {
			t.Errorf("the thread is %s", now)
		}
		if got := c.list("thread/items/list", p{"threadId": thr}); len(got) != 3 || got[0].Str("id") != ids[0] || got[2].Str("id") != ids[2] {
			t.Errorf("the items are %v", got)
		}
		c.Never("turn/started", p{"threadId": thr})
	}
	idle(c)
	watch.Await("thread/runtimeChanged", p{"threadId": thr, "runtime.pendingItems": 3})
	d.Check()

	d.Restart()
	c, watch = d.Dial("ws"), d.Dial("unix")
	watch.Call("thread/subscribe", p{"threadId": thr, "afterSeq": 0})
	idle(c)

	// They run in one turn, which has no input of its own.
	r := c.Call("turn/run", p{"threadId": thr, "input": []any{}, "runPending": true})
	turn := r.Str("turn.id")
	if r.Str("disposition") != "started" || len(r.List("turn.input")) != 0 {
		t.Errorf("the run answers %s", r)
	}
	told := []string{"userMessage: /history /hold /history", "developerMessage: User is in New York", "agentMessage: I always write formally."}
	c.Await("item/completed", p{"turnId": turn, "item.type": "agentMessage", "item.text": textOf(told...)})
	taken := watch.Await("thread/items/changed", p{"turnId": turn})
	for i, ch := range taken.Body().List("changes") {
		if !ch.fits(p{"op": "update", "itemId": ids[i], "item.turnId": turn, "item.origin": "injected"}) {
			t.Errorf("the turn takes %s", ch)
		}
	}
	if now := c.Sync(thr); now.Int("thread.runtime.pendingItems") != 0 || !now.Bool("thread.runtime.busy") {
		t.Errorf("while it runs the thread is %s", now.At("thread"))
	}

	// A late message belongs to the next turn, or to this one if it is steered.
	late := c.Append(thr, nil, developer("late"))
	steered := c.Append(thr, p{"deliver": "steer"}, developer("steered one"), user("steered two"))
	watch.Await("thread/items/changed", p{"changes.0.itemId": steered[0], "turnId": turn})
	watch.Await("thread/items/changed", p{"changes.0.itemId": steered[1], "turnId": turn, "changes.0.item.delivery": "steer"})
	if n := c.Sync(thr).Int("thread.runtime.pendingItems"); n != 1 {
		t.Errorf("while the late message waits there are %d", n)
	}
	c.Release(thr, turn)
	then := append(slices.Clone(told),
		"agentMessage: "+strings.Join(told, " "), "developerMessage: steered one", "userMessage: steered two", "userMessage: release")
	if got := c.Said(thr, turn); !slices.Equal(got, []string{textOf(told...), textOf(then...)}) {
		t.Errorf("the turn said\n%s", textOf(got...))
	}
	c.Never("turn/queued", nil)
	if n := len(watch.Seen("turn/started", nil)); n != 1 {
		t.Errorf("%d turns started", n)
	}
	next := c.Run(thr, "/history")
	text := c.End(thr, next).Str("text")
	if !strings.HasSuffix(text, "\ndeveloperMessage: late\nuserMessage: /history") || strings.Count(text, "\ndeveloperMessage: late") != 1 {
		t.Errorf("the next turn was told\n%s", text)
	}
	if got := c.Items(thr, next); len(got) != 3 || got[0].Str("id") != late[0] {
		t.Errorf("the next turn has %v", got)
	}
	if n := c.Sync(thr).Int("thread.runtime.pendingItems"); n != 0 {
		t.Errorf("%d items wait", n)
	}
}

func TestS39_NothingToRun(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	thr := c.StartThread(nil)
	refused := func() {
		t.Helper()
		before := c.ReadAll(thr)
		for _, method := range []string{"turn/run", "turn/start", "turn/enqueue"} {
			for _, params := range []p{{"input": []any{}, "runPending": true}, {"input": []any{}}, {"input": []p{{"role": "developer", "parts": []p{{"type": "text", "text": "x"}}}}}} {
				params["threadId"] = thr
				we := c.Refused(method, params)
				we.Want(t, -32602, "InvalidParams")
				if we.At("field").Str("") != "input" {
					t.Errorf("%s of %v is refused with %v", method, params, we)
				}
			}
		}
		if after := c.ReadAll(thr); after.String() != before.String() {
			t.Errorf("the refusals left a trace:\n%s\n%s", before, after)
		}
	}
	refused()
	// What only the developer and the assistant said runs nothing.
	c.Append(thr, nil, developer("a"), assistant("b"), p{"type": "custom", "kind": "note", "role": "user", "content": p{"a": 1}})
	refused()
	// It waits for a turn with an input, which needs no runPending.
	if told := c.History(thr, nil); !slices.Equal(told, []string{"developerMessage: a", "agentMessage: b", `custom: note {"a":1}`}) {
		t.Errorf("the turn was told %q", told)
	}
	refused()
	// Both at once: what waits comes first.
	c.Append(thr, nil, user("waits"))
	if told := c.History(thr, p{"runPending": true}); told[len(told)-1] != "userMessage: waits" {
		t.Errorf("the turn was told %q", told)
	}

	// Whoever asks for a turn of an item that another turn has taken gets nothing to run.
	c.Append(thr, nil, user("/hold"))
	first := c.Go("turn/run", p{"threadId": thr, "input": []any{}, "runPending": true})
	second := c.Go("turn/run", p{"threadId": thr, "input": []any{}, "runPending": true, "ifBusy": "enqueue"})
	first.Result()
	second.Refused().Want(t, -32602, "InvalidParams")
	c.Call("turn/interrupt", p{"threadId": thr})
}

func TestS39_RefusedAppends(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("ws")
	thr := c.StartThread(nil)
	before := c.ReadAll(thr)
	for _, bad := range []struct {
		params p
		field  string
	}{
		{p{}, "items"},
		{p{"items": []p{}}, "items"},
		{p{"items": []p{user("a")}, "input": "b"}, "items"},
		{p{"items": []p{user("a"), {"type": "telegram", "text": "b"}}}, "items[1].type"},
		{p{"items": []p{user("a"), {"text": "b"}}}, "items[1].type"},
		{p{"items": []p{{"type": "approval", "operation": "rm"}}}, "items[0].type"},
		{p{"items": []p{{"type": "agentMessage", "text": 1}}}, "items[0].text"},
		{p{"items": []p{{"type": "agentMessage", "text": "a", "status": "inProgress"}}}, "items[0].status"},
		{p{"items": []p{{"type": "agentMessage", "text": "a", "origin": "turn"}}}, "items[0].origin"},
		{p{"items": []p{{"type": "agentMessage", "text": "a", "id": "itm_01ARZ3NDEKTSV4RRFFQ69G5FAV"}}}, "items[0].id"},
		{p{"items": []p{user("a")}, "deliver": "now"}, "deliver"},
		{p{"items": []p{{"type": "userMessage", "content": []p{{"type": "smell"}}}}}, "items[0].content[0].type"},
	} {
		bad.params["threadId"] = thr
		we := c.Refused("thread/items/append", bad.params)
		we.Want(t, -32602, "InvalidParams")
		if we.At("field").Str("") != bad.field {
			t.Errorf("%v is refused with %v; want the field %s", bad.params, we, bad.field)
		}
	}
	c.Refused("thread/items/append", p{"threadId": "thr_01ARZ3NDEKTSV4RRFFQ69G5FAV", "input": "x"}).Want(t, -32010, "ThreadNotFound")
	if after := c.ReadAll(thr); after.String() != before.String() {
		t.Errorf("the refusals left a trace:\n%s\n%s", before, after)
	}
	c.Call("thread/end", p{"threadId": thr})
	c.Refused("thread/items/append", p{"threadId": thr, "input": "x"}).Want(t, -32011, "ThreadNotActive")
}

// Imported items keep what they say of themselves; an append may be repeated.
func TestS39_ImportedAndRepeated(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("stdio")
	thr := c.StartThread(nil)
	params := p{"threadId": thr, "idempotencyKey": "a1", "items": []p{
		{"type": "userMessage", "content": []p{{"type": "text", "text": "old question"}}, "origin": "imported", "createdAt": "2020-01-02T03:04:05.678Z", "metadata": p{"k": []any{1}}},
		{"type": "agentMessage", "text": "half an answ", "origin": "imported", "status": "interrupted", "createdAt": "2020-01-02T03:04:06.000Z"},
		{"type": "toolCall", "tool": "lookup", "callId": "call_x", "executor": "client", "arguments": p{"q": 1}, "result": p{"content": []p{{"type": "text", "text": "42"}}}},
	}}
	first := c.Call("thread/items/append", params)
	items := first.List("items")
	if !items[0].fits(p{"origin": "imported", "createdAt": "2020-01-02T03:04:05.678Z", "metadata": p{"k": []any{1}}, "status": "completed"}) ||
		!items[1].fits(p{"origin": "imported", "status": "interrupted", "completedAt": "2020-01-02T03:04:06.000Z"}) ||
		!items[2].fits(p{"origin": "injected", "tool": "lookup", "arguments": p{"q": 1}, "result.content.0.text": "42"}) {
		t.Errorf("the append answers %s", first)
	}
	again := c.Call("thread/items/append", params)
	if !again.Bool("replayed") || again.Without("replayed").String() != first.String() {
		t.Errorf("again it answers %s; first it was %s", again, first)
	}
	d.Restart()
	c = d.Dial("unix")
	if again := c.Call("thread/items/append", params); !again.Bool("replayed") || again.Without("replayed").String() != first.String() {
		t.Errorf("after a restart it answers %s; first it was %s", again, first)
	}
	params["items"] = []p{user("other")}
	c.Refused("thread/items/append", params).Want(t, -31121, "IdempotencyMismatch")
	if told := c.History(thr, nil); !slices.Equal(told, []string{"userMessage: old question", "agentMessage: half an answ", `toolCall: lookup {"q":1} 42`}) {
		t.Errorf("the agent was told %q", told)
	}
}

// deliver:steer without a running turn is next; of a turn that ends first, too.
func TestS39_SteerThatComesTooLate(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	thr := c.StartThread(nil)
	c.Append(thr, p{"deliver": "steer"}, developer("idle"))
	if n := c.Sync(thr).Int("thread.runtime.pendingItems"); n != 1 {
		t.Errorf("%d items wait", n)
	}
	turn := c.Run(thr, "/say A\n/sleep 1m")
	c.Await("item/completed", p{"turnId": turn, "item.type": "agentMessage"})
	ids := c.Append(thr, p{"deliver": "steer"}, developer("one"), developer("two"))
	c.Call("turn/interrupt", p{"threadId": thr})
	c.End(thr, turn)
	if now := c.ReadAll(thr); now.Int("thread.runtime.pendingItems") != 2 || now.Int("thread.runtime.queueLength") != 0 {
		t.Errorf("after the turn the thread is %s", now.At("thread"))
	}
	d.Check()
	d.Restart()
	c = d.Dial("unix")
	told := c.History(thr, nil)
	want := []string{"developerMessage: idle", "userMessage: /say A /sleep 1m", "agentMessage: A", "notice: Operation interrupted by user", "developerMessage: one", "developerMessage: two"}
	if !slices.Equal(told, want) {
		t.Errorf("the agent was told %q; want %q", told, want)
	}
	for _, id := range ids {
		if items := c.list("thread/items/list", p{"threadId": thr}); !slices.ContainsFunc(items, func(it value) bool { return it.Str("id") == id }) {
			t.Errorf("item %s is gone", id)
		}
	}
}

// The daemon dies between the start of a turn and the moment in which it takes what waits:
// nothing of it is lost, and nothing is there twice.
func TestS39_CrashWhileTheyAreTaken(t *testing.T) {
	for _, at := range []string{"kill-after:turn/started", "kill-before:thread/items/changed:3", "kill-after:thread/items/changed:3"} {
		t.Run(at, func(t *testing.T) {
			d := startDaemon(t, fault(at))
			c := d.Dial("unix")
			thr := c.StartThread(nil)
			ids := c.Append(thr, nil, user("/history"))
			ids = append(ids, c.Append(thr, nil, developer("d"), assistant("a"))...)
			c.Go("turn/run", p{"threadId": thr, "input": []any{}, "runPending": true})
			d.AwaitDeath()
			d.SetFault("")
			d.Start()
			c = d.Dial("ws")
			poll(c, "the end of the turn", func() bool { return !c.Sync(thr).Bool("thread.runtime.busy") })
			turns := c.ReadAll(thr).List("turns")
			if len(turns) != 1 {
				t.Fatalf("there are %d turns", len(turns))
			}
			tn := turns[0]
			if strings.HasPrefix(at, "kill-after:thread/items") { // it was handed over
				if !tn.fits(p{"status": "failed", "error.code": "ServerRestarted"}) {
					t.Errorf("the turn ended as %s", tn)
				}
			} else if said := c.Said(thr, tn.Str("id")); tn.Int("attempt") != 2 || !slices.Equal(said, []string{textOf("userMessage: /history", "developerMessage: d", "agentMessage: a")}) {
				t.Errorf("the turn said %q and ended as %s", said, tn)
			}
			var got []string
			for _, it := range tn.List("items") {
				got = append(got, it.Str("id"))
			}
			if len(got) < 3 || !slices.Equal(got[:3], ids) {
				t.Errorf("the turn has the items %v; want %v", got, ids)
			}
		})
	}
}
