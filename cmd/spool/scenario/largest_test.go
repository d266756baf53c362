package scenario_test

import (
	"strings"
	"testing"
)

// What is said in these tests fills items nearly, and a message more than once. The limits are
// a quarter of the default ones, which would take four times as long.
const (
	largestMessage = 4 << 20
	largestItem    = 975_000
	largestSaid    = "/deltas 39 25000\n/think a\n" // one item of that size, and one more
)

func startWithLimits(t *testing.T) *daemon {
	t.Helper()
	return startDaemon(t, config("limits.max_message_bytes = \"4MiB\"\nlimits.max_item_bytes = \"1MiB\""))
}

// fits requires that no message was longer than one may be.
func (c *client) fits() {
	c.t.Helper()
	for _, m := range c.messages() {
		if len(m.raw) > largestMessage {
			c.t.Errorf("%s: a message has %d bytes: %.300s", c.name, len(m.raw), m.raw)
		}
	}
}

// However much is said in a turn, each client can take all of it, and catch up with it: no
// event is longer than a message may be.
func TestMuchIsSaidInATurn(t *testing.T) {
	d := startWithLimits(t)
	c := d.Dial("ws")
	thr := c.StartThread(nil)
	const messages = 5
	tn := c.Run(thr, strings.Repeat(largestSaid, messages))
	if ended := c.End(thr, tn); ended.Str("status") != "completed" || len(ended.Str("text")) != largestItem {
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
	c.fits()
	late.fits()
	c.Call("thread/delete", p{"threadId": thr}) // no answer has room for it at the end of the test
}

// A snapshot that is too large for an answer is refused, and subscribes nobody; with a replay
// the same client gets it all.
func TestMuchIsSaidWhileItRuns(t *testing.T) {
	d := startWithLimits(t)
	c := d.Dial("unix")
	thr := c.StartThread(nil)
	tn := c.Run(thr, strings.Repeat(largestSaid, 5)+"/think all\n/hold")
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
	c.fits()
	late.fits()
	c.Call("thread/delete", p{"threadId": thr})
}
