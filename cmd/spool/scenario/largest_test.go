package scenario_test

import (
	"strings"
	"testing"
)

// However much is said in a turn, each client can take all of it, and catch up with it: no
// event is longer than a message may be.
func TestMuchIsSaidInATurn(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("ws")
	thr := c.StartThread(nil)
	const messages, size = 5, 3_900_000
	tn := c.Run(thr, strings.Repeat("/deltas 39 100000\n/think a\n", messages))
	if ended := c.End(thr, tn); ended.Str("status") != "completed" || len(ended.Str("text")) != size {
		t.Errorf("the turn is %s, its text has %d bytes, want the last message", ended.Str("status"), len(ended.Str("text")))
	}
	items := 0
	for params := (p{"threadId": thr, "limit": 3}); ; {
		page := c.Call("thread/items/list", params)
		items += len(page.List("data"))
		if !page.Has("nextCursor") {
			break
		}
		params["cursor"] = page.Str("nextCursor")
	}
	if items != 2*messages+1 {
		t.Errorf("it has %d items", items)
	}
	late := d.Dial("unix")
	late.Call("thread/subscribe", p{"threadId": thr, "afterSeq": 0})
	late.Await("turn/completed", p{"turnId": tn})
	e := c.Refused("thread/read", p{"threadId": thr, "includeTurns": true})
	if e.Want(t, -32600, "InvalidRequest"); e.At("hint").v == nil {
		t.Errorf("nobody is told what to do: %v", e)
	}
	events := 0
	for after := int64(0); after >= 0; {
		page := c.Call("thread/export", p{"threadId": thr, "afterSeq": after})
		events += len(page.List("events"))
		if after = int64(page.Int("nextSeq")); after == 0 {
			after = -1
		}
	}
	if head := c.Call("thread/read", p{"threadId": thr}).Int("thread.headSeq"); events != head {
		t.Errorf("%d events are exported, the head is %d", events, head)
	}
	c.Call("thread/delete", p{"threadId": thr}) // no answer has room for it at the end of the test
}

// A snapshot that is too large for an answer is refused, and subscribes nobody; with a replay
// the same client gets it all.
func TestMuchIsSaidWhileItRuns(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	thr := c.StartThread(nil)
	tn := c.Run(thr, strings.Repeat("/deltas 39 100000\n/think a\n", 5)+"/think all\n/hold")
	c.Await("item/completed", p{"turnId": tn, "item.text": "all"})
	late := d.Dial("ws")
	e := late.Refused("thread/subscribe", p{"threadId": thr})
	e.Want(t, -32600, "InvalidRequest")
	if n := len(c.Call("thread/presence/list", p{"threadId": thr}).List("data")); n != 1 {
		t.Errorf("%d clients are subscribed", n)
	}
	late.Call("thread/subscribe", p{"threadId": thr, "afterSeq": 0})
	c.Release(thr, tn)
	late.Await("turn/completed", p{"turnId": tn})
	c.Call("thread/delete", p{"threadId": thr})
}
