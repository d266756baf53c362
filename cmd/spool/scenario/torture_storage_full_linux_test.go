package scenario_test

import (
	"testing"
)

// untilUnavailable repeats a request until nothing can be stored, and returns how often it
// was accepted.
func (c *client) untilUnavailable(method string, params p) int {
	c.t.Helper()
	n := 0
	poll(c, "that nothing can be stored", func() bool {
		_, err := c.Do(method, params)
		if we, ok := err.(*wireError); ok && we.Code == -31130 { //nolint:errorlint // Do returns it as it is
			return true
		}
		if err != nil {
			c.t.Fatal(err)
		}
		n++
		return false
	})
	return n
}

// readable requires that a thread with so many turns can be read in every way.
func (d *daemon) readable(thread string, turns int) {
	d.t.Helper()
	c := d.Dial("ws", named("reader"))
	defer c.Close()
	now := c.ReadAll(thread)
	if n := len(now.List("turns")); n != turns {
		d.t.Errorf("%d turns of %s are read, not %d", n, thread, turns)
	}
	listed := false
	for _, th := range c.list("thread/list", p{"limit": 5}) {
		listed = listed || th.Str("id") == thread
	}
	if !listed {
		d.t.Errorf("%s is not listed", thread)
	}
	head := now.Int("thread.headSeq")
	c.Call("thread/subscribe", p{"threadId": thread, "afterSeq": 0})
	if _, err := c.find(0, func(m *message) bool { return m.ThreadID == thread && m.Seq >= uint64(head) }); err != nil {
		d.t.Errorf("the replay of %s does not come to its end: %v", thread, err)
	}
	exported := 0
	for after := 0; ; {
		page := c.Call("thread/export", p{"threadId": thread, "afterSeq": after})
		exported += len(page.List("events"))
		if after = page.Int("nextSeq"); after == 0 {
			break
		}
	}
	if exported < head {
		d.t.Errorf("%d of %d events of %s are exported", exported, head, thread)
	}
}

// TestTortureStorageReserve fills a disk up to the reserve: what is new is refused before
// the disk is full, what runs may end, all can be read, and more room is enough to go on.
func TestTortureStorageReserve(t *testing.T) {
	k := newDisk(t, 48<<20)
	d := startDaemon(t, k.data(), config("[limits]\ndisk_reserve = \"16MiB\""))
	c := d.Dial("unix", able("approvals"))
	thr := c.StartThread(nil)
	for range 3 {
		c.End(thr, c.Run(thr, "/deltas 50 1000\n/say kept"))
	}
	asking, _ := c.Approval(thr, "/approve command ls\n/deltas 100 1000\n/say the end")
	other := c.StartThread(nil)
	holding := c.Hold(other, "/say never")
	queued := c.Call("turn/enqueue", p{"threadId": other, "input": "/say later"}).Str("turn.id")
	item := c.Call("thread/items/append", p{"threadId": thr, "input": "before the reserve"}).At("items.0")

	k.fill(12 << 20)
	spare := c.StartThread(nil)
	c.untilUnavailable("turn/run", p{"threadId": spare, "input": "/say a bit more", "ifBusy": "enqueue"})
	accepted := len(c.ReadAll(spare).List("turns"))
	exported := c.Call("thread/export", p{"threadId": spare}).At("events").v
	for method, params := range map[string]p{
		"turn/run":             {"threadId": spare, "input": "x"},
		"turn/start":           {"threadId": spare, "input": "x"},
		"turn/enqueue":         {"threadId": other, "input": "x"},
		"turn/steer":           {"threadId": other, "expectedTurnId": holding, "input": "release"},
		"turn/queue/update":    {"threadId": other, "turnId": queued, "expectedRevision": 1, "input": "x"},
		"thread/items/append":  {"threadId": spare, "input": "x"},
		"thread/items/replace": {"threadId": spare, "expectedSeq": c.ReadAll(spare).Int("thread.headSeq"), "items": []p{}},
		"thread/items/update":  {"threadId": thr, "itemId": item.Str("id"), "expectedRevision": 1, "patch": p{"metadata": p{"a": 1}}},
		"thread/start":         {},
		"thread/getOrCreate":   {"identity": p{"channel": "c", "user": "u", "context": "x"}},
		"thread/fork":          {"threadId": spare},
		"thread/import":        {"events": exported},
	} {
		c.unavailable(method, params)
	}
	if free := k.free(); free < 4<<20 {
		t.Errorf("when turns were refused only %d bytes were left", free)
	}

	request := c.Await("item/approval/request", p{"turnId": asking})
	c.Reply(request, p{"decision": "accept"})
	if end := c.End(thr, asking); end.Str("status") != "completed" {
		t.Errorf("the turn that ran ended as %s", end)
	}
	c.Call("turn/queue/remove", p{"threadId": other, "turnId": queued, "expectedRevision": 1})
	c.Call("turn/interrupt", p{"threadId": other, "turnId": holding})
	c.Await("turn/cancelled", p{"turnId": holding})
	c.Call("thread/rename", p{"threadId": thr, "title": "small changes are kept"})
	c.Call("thread/metadata/update", p{"threadId": thr, "metadata": p{"a": 1}})
	c.Call("thread/rollback", p{"threadId": other, "turns": 1})
	c.Call("thread/delete", p{"threadId": other, "idempotencyKey": "delete"})
	if again := c.Call("thread/delete", p{"threadId": other, "idempotencyKey": "delete"}); !again.Bool("replayed") {
		t.Errorf("the repeated thread/delete is answered %s", again)
	}
	d.readable(thr, 4)
	d.readable(spare, accepted)

	k.clear()
	poll(c, "that turns are accepted again", func() bool {
		_, err := c.Do("turn/run", p{"threadId": thr, "input": "/say room again"})
		return err == nil
	})
	c.Await("turn/completed", p{"threadId": thr, "turn.text": "room again"})
	d.readable(thr, 5)
	d.Restart()
	d.readable(thr, 5)
}

// TestTortureStorageFull fills a disk to the last byte while a turn streams: nothing more is
// written, all can be read, and after a restart with room all that was acknowledged is there.
func TestTortureStorageFull(t *testing.T) {
	k := newDisk(t, 48<<20)
	d := startDaemon(t, k.data(), config("[limits]\ndisk_reserve = 0"))
	c := d.Dial("unix")
	listener := d.Dial("ws")
	thr, busy := c.StartThread(nil), listener.StartThread(nil)
	turns := 0
	for range 4 {
		c.End(thr, c.Run(thr, "/deltas 50 1000\n/say kept"))
		turns++
	}
	c.Call("thread/rename", p{"threadId": thr, "title": "acknowledged"})
	streams := listener.Run(busy, "/deltas 900 4096 1ms\n/hold")
	listener.Await("item/agentMessage/delta", p{"turnId": streams})
	k.fill(0)
	turns += c.untilUnavailable("turn/run", p{"threadId": thr, "input": "/deltas 200 4000", "wait": true})

	for method, params := range map[string]p{
		"turn/run":               {"threadId": thr, "input": "x"},
		"thread/start":           {},
		"thread/rename":          {"threadId": thr, "title": "never"},
		"thread/metadata/update": {"threadId": thr, "metadata": p{"a": 1}},
		"thread/items/append":    {"threadId": thr, "input": "x"},
		"thread/end":             {"threadId": thr},
		"thread/delete":          {"threadId": thr},
	} {
		c.unavailable(method, params)
	}
	late := d.Dial("ws")
	late.unavailable("thread/start", nil)
	if now := late.Sync(thr); now.Str("thread.title") != "acknowledged" {
		t.Errorf("the title is %q", now.Str("thread.title"))
	}
	k.clear()
	c.unavailable("thread/rename", p{"threadId": thr, "title": "never"})

	d.Kill()
	d.Start()
	if now := d.Dial("unix").Sync(thr); now.Str("thread.title") != "acknowledged" {
		t.Errorf("after a restart the title is %q", now.Str("thread.title"))
	}
	again := d.Dial("unix")
	again.End(thr, again.Run(thr, "/say room again"))
	if end := again.End(busy, streams); end.Str("status") != "failed" || end.Str("error.code") != "ServerRestarted" {
		t.Errorf("the turn that could not be kept ended as %s", end)
	}
	n := len(again.ReadAll(thr).List("turns"))
	if n < turns+1 {
		t.Errorf("%d turns are there; %d were acknowledged", n, turns+1)
	}
	d.readable(thr, n)
}
