package scenario_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"
)

// asks are all that a client may be asked.
var asks = []string{"approvals", "questions", "tools"}

func TestS19_ObserversAndTwoTabs(t *testing.T) {
	d := startDaemon(t)
	c1, c2, c3 := d.Dial("ws", able(asks...)), d.Dial("ws", able(asks...)), d.Dial("unix", able(asks...))
	thr := c1.StartThread(nil)

	c2.Call("thread/subscribe", p{"threadId": thr})
	c1.Await("thread/presence/changed", p{"threadId": thr, "joined.0.connectionId": c2.ID, "joined.0.role": "participant", "joined.0.user": "local", "joined.0.client": "scenario"})
	c3.Call("thread/subscribe", p{"threadId": thr, "role": "observer"})
	for _, c := range []*client{c1, c2} {
		c.Await("thread/presence/changed", p{"threadId": thr, "joined.0.connectionId": c3.ID, "joined.0.role": "observer"})
	}
	there := c1.Call("thread/presence/list", p{"threadId": thr})
	if ids := there.Each("data", "connectionId"); !slices.Equal(ids, []string{c1.ID, c2.ID, c3.ID}) || there.Str("data.2.role") != "observer" {
		t.Errorf("present are %s", there)
	}

	// Both tabs are asked, the observer is only told.
	turn := c1.Run(thr, "/say working\n/approve command rm build\n/ask Where to? | staging | production\n/hold")
	queued := c2.Enqueue(thr, "/say B")
	for _, ask := range []struct{ method, told, resolved, answer string }{
		{"item/approval/request", "item/approval/requested", "item/approval/resolved", `{"decision":"accept"}`},
		{"item/question/request", "item/question/requested", "item/question/resolved", `{"answers":{"q1":{"answers":["staging"]}}}`},
	} {
		c1.Await(ask.method, p{"turnId": turn})
		request := c2.Await(ask.method, p{"turnId": turn})
		c3.Await(ask.told, p{"turnId": turn})
		c2.Reply(request, parse([]byte(ask.answer)).v)
		for _, c := range []*client{c1, c2, c3} {
			c.Await(ask.resolved, p{"turnId": turn, "by.connectionId": c2.ID})
		}
		c3.Never(ask.method, nil)
	}
	c1.Await("$/cancelRequest", nil)
	c1.Await("item/completed", p{"turnId": turn, "item.type": "agentMessage", "item.text": "staging"})

	refuseObserver(t, c3, thr, turn)

	// Who leaves affects nobody else.
	if r := c2.Call("thread/unsubscribe", p{"threadId": thr}); !r.Bool("subscribed") {
		t.Errorf("to unsubscribe answers %s", r)
	}
	for _, c := range []*client{c1, c3} {
		c.Await("thread/presence/changed", p{"threadId": thr, "left.0.connectionId": c2.ID})
	}
	left := c2.Mark()
	c1.Release(thr, turn)
	for _, c := range []*client{c1, c3} {
		c.Await("turn/completed", p{"turnId": turn})
		c.Await("turn/completed", p{"turnId": queued, "turn.text": "B"})
	}
	c2.Sync(thr)
	for _, m := range c2.messages()[left:] {
		if !m.out && m.ThreadID == thr && !slices.Contains(listLevel, m.method) {
			t.Errorf("c2 has unsubscribed and is told %s", m.raw)
		}
	}
	if r := c2.Call("thread/unsubscribe", p{"threadId": thr}); r.Bool("subscribed") {
		t.Errorf("to unsubscribe twice answers %s", r)
	}

	// All were told the same, each from when it came, and each thing once.
	all := c1.told(thr)
	for _, c := range []*client{c2, c3} {
		mine := c.told(thr)
		for seq, raw := range mine {
			if !bytes.Equal(raw, all[seq]) {
				t.Errorf("%s was told\n%s\nand c1\n%s", c.name, raw, all[seq])
			}
		}
	}
	if a, b := slices.Sorted(maps.Keys(all)), slices.Sorted(maps.Keys(c3.told(thr))); len(b) < 10 || !slices.Equal(a[len(a)-len(b):], b) {
		t.Errorf("c1 was told of %v, c3 of %v", a, b)
	}
	if n := len(c1.Seen("item/completed", p{"turnId": turn, "item.type": "userMessage", "item.delivery": "input"})); n != 1 {
		t.Errorf("c1 sees its own message %d times", n)
	}
	c3.Drop()
	c1.Await("thread/presence/changed", p{"threadId": thr, "left.0.connectionId": c3.ID})
}

// refuseObserver requires that an observer can change nothing.
func refuseObserver(t *testing.T, c *client, thr, turn string) {
	t.Helper()
	before := c.ReadAll(thr)
	for method, params := range map[string]p{
		"turn/run":               {"input": "hi"},
		"turn/start":             {"input": "hi"},
		"turn/enqueue":           {"input": "hi"},
		"turn/steer":             {"input": "release", "expectedTurnId": turn},
		"turn/interrupt":         {},
		"turn/queue/pause":       {},
		"turn/queue/clear":       {"expectedRevision": 1},
		"thread/rename":          {"title": "mine"},
		"thread/metadata/update": {"metadata": p{"a": 1}},
		"thread/config/update":   {"config": p{"model": "m"}},
		"thread/resume":          {},
		"thread/pause":           {"ifBusy": "interrupt"},
		"thread/archive":         {"ifBusy": "interrupt"},
		"thread/end":             {"ifBusy": "interrupt"},
		"thread/delete":          {"ifBusy": "interrupt"},
		"thread/reset":           {"ifBusy": "interrupt"},
		"thread/rollback":        {"turns": 1},
		"thread/items/append":    {"input": "hi"},
	} {
		params["threadId"] = thr
		we := c.Refused(method, params)
		if we.Code != -31111 || we.At("name").Str("") != "Forbidden" {
			t.Errorf("%s by an observer: %v", method, we)
		}
	}
	if after := c.ReadAll(thr); after.String() != before.String() {
		t.Errorf("the observer has changed the thread:\n%s\nto\n%s", before, after)
	}
}

// An observer of the same user becomes a participant by saying so.
func TestS19_AnObserverTakesPart(t *testing.T) {
	d := startDaemon(t)
	c1, c2 := d.Dial("unix", able(asks...)), d.Dial("ws", able(asks...))
	thr := c1.StartThread(nil)
	c2.Call("thread/subscribe", p{"threadId": thr, "role": "observer"})
	c1.Close()
	turn := d.Dial("unix").Run(thr, "/approve command rm build")
	c2.Await("item/approval/requested", p{"turnId": turn})
	c2.Refused("turn/run", p{"threadId": thr, "input": "hi", "ifBusy": "enqueue"}).Want(t, -31111, "Forbidden")
	c2.Never("item/approval/request", nil)

	c2.Call("thread/subscribe", p{"threadId": thr})

	c2.Reply(c2.Await("item/approval/request", p{"turnId": turn}), p{"decision": "decline"})
	c2.Await("turn/completed", p{"turnId": turn, "turn.text": "declined"})
	c2.End(thr, c2.Run(thr, "/say mine"))
}
