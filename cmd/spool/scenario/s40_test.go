package scenario_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"
)

// form is content that must stay as it is, to the byte.
const form = `{"formType":"contact","n":1.50,"big":12345678901234567890,"html":"<b>&amp;</b>","uni":"ä \u2028 😀","deep":{"z":1,"a":[null,true,{}]}}`

// s40Turn runs the turn with a client tool that the test answers, and a form.
func s40Turn(t *testing.T, c1, c2 *client, thr string) (turn, formID string) {
	t.Helper()
	turn = c2.Run(thr, "/say One\n/tool lookup {\"q\":1}\n/custom form "+form+"\n/say Two")
	call := c1.Await("item/tool/call", p{"turnId": turn})
	if !call.Body().fits(p{"threadId": thr, "tool": "lookup", "arguments": p{"q": 1}, "attempt": 1}) {
		t.Errorf("the call is %s", call.raw)
	}
	// While it is carried out, everybody sees it in progress, and who comes late, too.
	itemID := call.Body().Str("itemId")
	started := c2.Await("item/started", p{"itemId": itemID})
	if !started.Body().fits(p{"item.type": "toolCall", "item.status": "inProgress", "item.tool": "lookup", "item.executor": "client", "item.arguments": p{"q": 1}, "item.callId": call.Body().Str("callId")}) {
		t.Errorf("the call begins as %s", started.raw)
	}
	c2.Await("thread/runtimeChanged", p{"threadId": thr, "runtime.waitingOn": []string{"tool"}})
	now := c2.Sync(thr)
	if items := now.List("activeTurn.items"); len(items) != 3 || items[2].Str("id") != itemID || items[2].Str("status") != "inProgress" || now.Str("pending.0.id") != itemID {
		t.Errorf("while it is carried out the thread is %s", now)
	}
	c2.Never("item/tool/call", nil)

	c1.Reply(call, p{"success": true, "content": []p{{"type": "text", "text": "42"}}, "structured": p{"answer": 42}})

	done := c2.Await("item/completed", p{"itemId": itemID})
	if !done.Body().fits(p{"item.status": "completed", "item.result": p{"content": []p{{"type": "text", "text": "42"}}, "structured": p{"answer": 42}}, "item.callId": call.Body().Str("callId")}) {
		t.Errorf("the call ends as %s", done.raw)
	}
	end := c2.End(thr, turn)
	if !end.fits(p{"status": "completed", "text": "One\n\n42\n\nTwo"}) {
		t.Errorf("the turn ended as %s", end)
	}
	items := c2.Items(thr, turn)
	if got := types(items); !slices.Equal(got, []string{"userMessage completed", "agentMessage completed", "toolCall completed", "agentMessage completed", "custom completed", "agentMessage completed"}) {
		t.Fatalf("the items are %v", got)
	}
	if !items[4].fits(p{"kind": "form", "role": "assistant", "revision": 1}) {
		t.Errorf("the form is %s", items[4])
	}
	return turn, items[4].Str("id")
}

func TestS40_CustomMessagesUpdateAndReplace(t *testing.T) {
	d := startDaemon(t)
	c1, c2 := d.Dial("ws", able("tools")), d.Dial("unix")
	thr := c1.StartThread(p{"tools": []p{tool("lookup")}})
	c2.Call("thread/subscribe", p{"threadId": thr})
	clients := []*client{c1, c2}
	turn, formID := s40Turn(t, c1, c2, thr)
	for _, c := range clients {
		if m := c.Await("item/completed", p{"itemId": formID}); !bytes.Contains(m.raw, []byte(`"content":`+form)) {
			t.Errorf("%s: the form is told as %s", c.name, m.raw)
		}
	}

	// Both change the form at once.
	patches := []p{{"content": p{"submitted": true}}, {"metadata": p{"liked": true}}}
	update := func(c *client, revision int, patch p) *answer {
		return c.Go("thread/items/update", p{"threadId": thr, "itemId": formID, "expectedRevision": revision, "patch": patch})
	}
	answers := []*answer{update(c1, 1, patches[0]), update(c2, 1, patches[1])}
	winner := -1
	for i, a := range answers {
		if r, err := a.Wait(); err == nil {
			if winner = i; r.Int("item.revision") != 2 {
				t.Errorf("the first update answers %s", r)
			}
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	lost := answers[1-winner].Refused()
	lost.Want(t, -31112, "Conflict")
	current := lost.At("item")
	if !current.fits(p{"id": formID, "revision": 2, "type": "custom"}) || current.Bool("content.submitted") != (winner == 0) {
		t.Errorf("the conflict says %v", lost)
	}
	// The retry keeps both changes.
	r := update(clients[1-winner], current.Int("revision"), patches[1-winner]).Result()
	if !r.fits(p{"item.revision": 3, "item.content.submitted": true, "item.content.formType": "contact", "item.metadata": p{"liked": true}, "item.turnId": turn, "item.status": "completed"}) {
		t.Errorf("the retry answers %s", r)
	}
	for _, c := range clients {
		for revision := 2; revision <= 3; revision++ {
			c.Await("thread/items/changed", p{"changes.0.op": "update", "changes.0.itemId": formID, "changes.0.item.revision": revision})
		}
	}
	if n := len(c1.Seen("thread/items/changed", nil)); n != 2 {
		t.Errorf("%d changes were told", n)
	}

	// Replace: not while a turn runs, and not what one has not seen.
	held := c2.Hold(thr, "")
	head := c1.Sync(thr).Int("thread.headSeq")
	items := []p{
		{"type": "developerMessage", "text": "Summary of all before"},
		{"type": "userMessage", "content": []p{{"type": "text", "text": "/say One"}}, "turnId": turn},
		{"type": "custom", "id": formID, "turnId": turn, "kind": "form", "role": "assistant", "content": p{"replaced": true}, "revision": 3},
	}
	replace := func(seq int) p { return p{"threadId": thr, "expectedSeq": seq, "items": items} }
	busy := c1.Refused("thread/items/replace", replace(head))
	busy.Want(t, -32012, "TurnInProgress")
	if busy.At("activeTurnId").Str("") != held {
		t.Errorf("the refusal is %v", busy)
	}
	c2.Release(thr, held)
	c2.End(thr, held)
	stale := c1.Refused("thread/items/replace", replace(head))
	stale.Want(t, -31112, "Conflict")
	head = c1.Sync(thr).Int("thread.headSeq")
	if stale.At("headSeq").Int("") != head {
		t.Errorf("the refusal is %v; the head is %d", stale, head)
	}
	// Of two at once one wins.
	rivals := []*answer{c1.Go("thread/items/replace", replace(head)), c2.Go("thread/items/replace", replace(head))}
	wins := 0
	for _, a := range rivals {
		r, err := a.Wait()
		if err == nil {
			wins++
			head = r.Int("headSeq")
			continue
		}
		a.Refused().Want(t, -31112, "Conflict")
	}
	if wins != 1 {
		t.Fatalf("%d of two replacements won", wins)
	}
	var ids []string
	for _, c := range clients {
		m := c.Await("thread/items/changed", p{"replaced": true})
		if m.Seq != uint64(head) || len(m.Body().List("changes")) != 3 {
			t.Errorf("%s: the replacement is told as %s", c.name, m.raw)
		}
		ids = m.Body().Each("changes", "itemId")
	}
	if ids[2] != formID {
		t.Errorf("the form has the id %s; it was %s", ids[2], formID)
	}
	replaced := func(c *client) {
		t.Helper()
		var got []string
		for _, it := range c.list("thread/items/list", p{"threadId": thr}) {
			got = append(got, it.Str("id"))
		}
		slices.Sort(got)
		want := slices.Sorted(slices.Values(ids))
		if !slices.Equal(got, want) {
			t.Errorf("%s: the items are %v; want %v", c.name, got, want)
		}
		of := c.Items(thr, turn)
		if len(of) != 2 || !of[1].fits(p{"id": formID, "content": p{"replaced": true}}) || !of[0].fits(p{"content.0.text": "/say One"}) {
			t.Errorf("%s: the turn has the items %v", c.name, of)
		}
	}
	replaced(c1)
	d.Check()

	// A new process with the old id, after a crash.
	d.Restart()
	c := d.Dial("stdio")
	r = c.Call("thread/resume", p{"threadId": thr})
	if !r.fits(p{"thread.id": thr, "thread.status": "active", "headSeq": head, "pending": []any{}}) || r.Has("activeTurn") {
		t.Errorf("the resume answers %s", r)
	}
	replaced(c)
	if got := c.History(thr, nil); !slices.Equal(got, []string{"developerMessage: Summary of all before", "userMessage: /say One", `custom: form {"replaced":true}`}) {
		t.Errorf("the agent was told %q", got)
	}
	if r := c.Call("thread/items/update", p{"threadId": thr, "itemId": formID, "expectedRevision": 3, "patch": p{"content": p{"replaced": nil, "again": 1}}}); !r.fits(p{"item.revision": 4, "item.content": p{"again": 1}}) {
		t.Errorf("the update of a replaced item answers %s", r)
	}
}

// However many change one item at once, each change is made once, and none is lost.
func TestS40_ManyUpdatesOfOneItem(t *testing.T) {
	d := startDaemon(t)
	clients := []*client{d.Dial("unix"), d.Dial("ws"), d.Dial("stdio"), d.Dial("ws")}
	thr := clients[0].StartThread(nil)
	for _, c := range clients[1:] {
		c.Call("thread/subscribe", p{"threadId": thr})
	}
	turn := clients[0].Run(thr, "/custom list {\"done\":{}}")
	clients[0].End(thr, turn)
	item := clients[0].Items(thr, turn)[1].Str("id")
	// One that waits is changed in the same way, also while turns come and go.
	waiting := clients[0].Append(thr, nil, p{"type": "custom", "kind": "list", "role": "user", "content": p{"done": p{}}})[0]

	const each = 15
	errs := make(chan error, 2*len(clients))
	for i, c := range clients {
		for _, id := range []string{item, waiting} {
			go func() {
				errs <- func() error {
					for j := range each {
						key := string(rune('a'+i)) + string(rune('A'+j))
						for revision := 1; ; {
							_, err := c.Do("thread/items/update", p{"threadId": thr, "itemId": id, "expectedRevision": revision, "patch": p{"content": p{"done": p{key: true}}}})
							we, conflict := err.(*wireError) //nolint:errorlint // Do returns it as it is
							if err == nil {
								break
							}
							if !conflict || we.Code != -31112 || we.At("item.revision").Int("") <= revision {
								return err
							}
							revision = we.At("item.revision").Int("")
						}
					}
					return nil
				}()
			}()
		}
	}
	for range 5 {
		clients[0].End(thr, clients[0].Run(thr, "/say x"))
	}
	for range 2 * len(clients) {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	for _, it := range clients[0].list("thread/items/list", p{"threadId": thr}) {
		if id := it.Str("id"); id != item && id != waiting {
			continue
		}
		done, _ := it.At("content.done").v.(map[string]any)
		if len(done) != each*len(clients) || it.Int("revision") != 1+len(done) {
			t.Errorf("after %d changes the item is %s", each*len(clients), it)
		}
	}
}

func TestS40_RefusedChanges(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	thr := c.StartThread(nil)
	turn := c.Run(thr, "/custom form {\"a\":1}\n/hold")
	custom := c.Await("item/completed", p{"turnId": turn, "item.type": "custom"}).ItemID
	state := c.Append(thr, nil, p{"type": "custom", "kind": "note", "content": 1})[0]
	before := c.ReadAll(thr)
	refused := func(method string, params p, code int, name, field string) {
		t.Helper()
		all := p{"threadId": thr}
		maps.Copy(all, params)
		we := c.Refused(method, all)
		we.Want(t, code, name)
		if we.At("field").Str("") != field {
			t.Errorf("%s %v is refused with %v; want the field %q", method, params, we, field)
		}
	}
	patch := func(patch any) p { return p{"itemId": custom, "expectedRevision": 1, "patch": patch} }
	for _, fixed := range []string{"id", "turnId", "type", "status", "createdAt", "revision", "origin"} {
		refused("thread/items/update", patch(p{fixed: "x"}), -32602, "InvalidParams", "patch."+fixed)
	}
	refused("thread/items/update", patch([]any{}), -32602, "InvalidParams", "patch")
	refused("thread/items/update", patch(p{"kind": 7}), -32602, "InvalidParams", "patch.kind")
	refused("thread/items/update", p{"itemId": custom, "patch": p{"kind": "x"}}, -32602, "InvalidParams", "expectedRevision")
	refused("thread/items/update", p{"itemId": "itm_01ARZ3NDEKTSV4RRFFQ69G5FAV", "expectedRevision": 1, "patch": p{}}, -31115, "ItemNotFound", "")
	refused("thread/items/update", p{"itemId": custom, "expectedRevision": 9, "patch": p{}}, -31112, "Conflict", "")
	if after := c.ReadAll(thr); after.String() != before.String() {
		t.Errorf("the refusals left a trace:\n%s\n%s", before, after)
	}
	// Completed items of the running turn, and those that wait, can be changed.
	for _, id := range []string{custom, state} {
		if r := c.Call("thread/items/update", p{"threadId": thr, "itemId": id, "expectedRevision": 1, "patch": p{"content": p{"b": 2}}}); !r.fits(p{"item.revision": 2, "item.content.b": 2}) {
			t.Errorf("the update answers %s", r)
		}
	}
	d.Check()
	c.Release(thr, turn)
	c.End(thr, turn)

	head := c.Sync(thr).Int("thread.headSeq")
	replace := func(items ...p) p { return p{"expectedSeq": head, "items": items} }
	refused("thread/items/replace", replace(user("a"), p{"type": "custom", "kind": "x", "content": 1, "turnId": "trn_01ARZ3NDEKTSV4RRFFQ69G5FAV"}), -32602, "InvalidParams", "items[1].turnId")
	refused("thread/items/replace", replace(p{"type": "custom", "kind": "x", "content": 1, "id": custom}, p{"type": "custom", "kind": "x", "content": 1, "id": custom}), -32602, "InvalidParams", "items[1].id")
	refused("thread/items/replace", replace(p{"type": "custom", "kind": "x", "content": 1, "id": "mine"}), -32602, "InvalidParams", "items[0].id")
	refused("thread/items/replace", p{"items": []p{}}, -32602, "InvalidParams", "expectedSeq")
	if now := c.Sync(thr).Int("thread.headSeq"); now != head {
		t.Errorf("the refusals moved the head from %d to %d", head, now)
	}
	// Nothing at all is a replacement, too.
	c.Call("thread/items/replace", p{"threadId": thr, "expectedSeq": head, "items": []p{}})
	if items := c.list("thread/items/list", p{"threadId": thr}); len(items) > 0 {
		t.Errorf("what is left is %v", items)
	}
	if got := c.History(thr, nil); len(got) > 0 {
		t.Errorf("the agent was told %q", got)
	}
}

// A tool that fails, or answers nonsense, is told to the agent, and the turn goes on.
func TestS40_WhatAToolMayAnswer(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("ws", able("tools"))
	thr := c.StartThread(p{"tools": []p{tool("lookup")}})
	for name, tt := range map[string]struct {
		answer any
		status string
		said   string
	}{
		"text":            {said("fine"), "completed", "fine"},
		"structured":      {p{"success": true, "structured": p{"a": 1.50}}, "completed", `{"a":1.5}`},
		"failed":          {p{"success": false, "error": p{"code": "Broken", "message": "no network"}}, "failed", "Broken: no network"},
		"without a code":  {p{"success": false, "error": p{"message": "no network"}}, "failed", ""},
		"no reason":       {p{"success": false}, "failed", "ToolFailed: the tool failed and gave no reason"},
		"nonsense":        {p{"ok": true}, "failed", ""},
		"not an object":   {"fine", "failed", ""},
		"null":            {nil, "failed", ""},
		"an unknown part": {p{"success": true, "content": []p{{"type": "smell"}}}, "failed", ""},
	} {
		turn := c.Run(thr, "/tool lookup\n/say on")
		c.Reply(c.Await("item/tool/call", p{"turnId": turn}), tt.answer)
		texts := c.Said(thr, turn)
		if last := texts[len(texts)-1]; last != "on" || tt.said != "" && texts[0] != tt.said {
			t.Errorf("%s: the agent said %q", name, texts)
		}
		it := c.Items(thr, turn)[1]
		if it.Str("type") != "toolCall" || it.Str("status") != tt.status || (tt.status == "failed") != it.Has("error.message") {
			t.Errorf("%s: the item is %s", name, it)
		}
	}
	// A JSON-RPC error is a failure, too.
	turn := c.Run(thr, "/tool lookup")
	call := c.Await("item/tool/call", p{"turnId": turn})
	c.SendRaw(`{"jsonrpc":"2.0","id":` + call.id + `,"error":{"code":-32603,"message":"handler panicked"}}`)
	if it := c.Await("item/completed", p{"turnId": turn, "item.type": "toolCall"}).Body(); !it.fits(p{"item.status": "failed", "item.error.code": "ToolFailed"}) {
		t.Errorf("the item is %s", it)
	}
	c.End(thr, turn)

	// Arguments that do not fit the schema, and tools that nobody has, never reach a client.
	c.Register(thr, p{"name": "strict", "description": "", "inputSchema": p{"type": "object", "required": []string{"q"}, "properties": p{"q": p{"type": "integer"}}}})
	mark := c.Mark()
	for script, code := range map[string]string{
		"/tool strict {}": "InvalidArguments", `/tool strict {"q":"1"}`: "InvalidArguments", "/tool strict []": "InvalidArguments", "/tool lookup": "ToolUnavailable",
	} {
		turn := c.Run(thr, script)
		c.End(thr, turn)
		if it := c.Items(thr, turn)[1]; !it.fits(p{"type": "toolCall", "status": "failed", "error.code": code}) {
			t.Errorf("%s: the item is %s", script, it)
		}
	}
	for _, m := range c.messages()[mark:] {
		if m.method == "item/tool/call" {
			t.Errorf("the client was asked %s", m.raw)
		}
	}
}
