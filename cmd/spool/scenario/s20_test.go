package scenario_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// flood is a turn of about 25 MB on the wire.
const flood = "/deltas 100000 20\n/say done"

// follow subscribes with joined deltas, so that the reader keeps up on a busy machine.
func (c *client) follow(thr string) {
	c.t.Helper()
	c.Call("thread/subscribe", p{"threadId": thr, "coalesce": p{"maxDelayMs": 50, "maxBytes": 4096}})
}

// outbox is what may wait for a client: limits.outbox_bytes by default, and the frame that
// was taken when there was still room.
const outbox = 1<<20 + 64<<10

// asSlowAsTheyLike are limits with which nobody is closed for taking or answering nothing, for
// as long as a test may take.
const asSlowAsTheyLike = "[limits]\nslow_consumer_timeout = \"1h\"\nping_interval = \"1h\"\n"

// Some clients stop reading; when they read again the turn is over. What each of them did
// not take would fill 25 MB.
func TestS20_SlowConsumer(t *testing.T) {
	d := startDaemon(t, config(asSlowAsTheyLike))
	probe, c1 := d.Dial("unix", named("probe")), d.Dial("unix", named("c1"))
	thr := c1.StartThread(nil)
	c1.follow(thr)
	slow := map[string]*client{}
	for _, transport := range []string{"ws", "unix", "ws", "unix"} {
		c := d.Dial(transport, named("slow "+transport))
		c.Call("thread/subscribe", p{"threadId": thr})
		c.PauseReading()
		slow[c.ID] = c
	}
	before := probe.Call("server/stats", nil).Int("heapBytes")

	turn := c1.Run(thr, flood)
	queued, grown := 0, 0
	poll(probe, "the end of the turn", func() bool {
		for _, conn := range probe.Call("server/connections/list", nil).List("data") {
			if slow[conn.Str("connectionId")] != nil {
				queued = max(queued, conn.Int("queuedBytes"))
			}
		}
		grown = max(grown, probe.Call("server/stats", nil).Int("heapBytes")-before)
		return over(c1, turn)
	})

	t.Logf("at most %d bytes waited for a client; the heap grew by at most %d; c1 got %d messages", queued, grown, c1.Mark())
	if queued == 0 || queued > outbox {
		t.Errorf("%d bytes waited for a client, want at most %d", queued, outbox)
	}
	if grown > 100<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	done := c1.Await("item/completed", p{"turnId": turn, "item.type": "agentMessage"})
	text := done.Body().Str("item.text")
	// Whether c1 itself falls behind an agent without a pace is up to the machine; what it
	// then holds is not, and is checked at the end.
	head := uint64(c1.Sync(thr).Int("thread.headSeq"))
	for _, c := range slow {
		c.ResumeReading()
		c.Await("turn/completed", p{"turnId": turn})
		c.laggedOnce(thr, head)
		if got := c.Await("item/completed", p{"turnId": turn, "item.type": "agentMessage"}).Body().Str("item.text"); got != text || len(text) != 2_000_000 {
			t.Errorf("the texts have %d and %d bytes", len(text), len(got))
		}
	}
}

// laggedOnce requires that a client was told once that it lags, and then got no deltas any
// more, as nothing was in progress.
func (c *client) laggedOnce(thr string, head uint64) {
	c.t.Helper()
	lagged := c.Seen("thread/subscription/lagged", p{"threadId": thr})
	if len(lagged) != 1 {
		c.t.Fatalf("%s was told %d times that it lags", c.name, len(lagged))
	}
	seen := uint64(0)
	for _, m := range c.messages()[:lagged[0].n] {
		seen = max(seen, m.Seq)
	}
	if through := uint64(lagged[0].Body().Int("throughSeq")); through < seen || through > head {
		c.t.Errorf("%s lags through %d; it had seen %d, the head is %d", c.name, through, seen, head)
	}
	for _, m := range c.messages()[lagged[0].n:] {
		if m.method == "item/agentMessage/delta" {
			c.t.Fatalf("%s: behind the lag, with nothing in progress, came the delta %s", c.name, m.raw)
		}
	}
}

// smallOutbox is what may wait for a client that is soon left behind, in bytes.
const smallOutbox = 64 << 10

// Clients stop reading and read again while the text grows, which by then is larger than
// what may wait for them.
func TestS20_CaughtUpInTheMiddle(t *testing.T) {
	d := startDaemon(t, config(asSlowAsTheyLike+fmt.Sprintf("outbox_bytes = %d", smallOutbox)))
	c1 := d.Dial("unix")
	thr := c1.StartThread(nil)
	clients := []*client{d.Dial("ws", named("slow ws")), d.Dial("unix", named("slow unix")), d.Dial("stdio", named("slow stdio"))}
	for _, c := range clients {
		c.Call("thread/subscribe", p{"threadId": thr})
		if ws, ok := c.wire.(*webSocket); ok { // or the kernel takes megabytes
			if err := ws.tcp.SetReadBuffer(32 << 10); err != nil {
				t.Fatal(err)
			}
		}
	}
	turn := c1.Run(thr, "/deltas 20000 200 1ms") // an item may not be larger, and it is interrupted
	c1.Call("thread/unsubscribe", p{"threadId": thr})
	for range 2 {
		marks := map[*client]int{}
		for _, c := range clients {
			c.PauseReading()
			marks[c] = c.Mark()
		}
		c1.awaitBehind(thr, clients)
		for _, c := range clients {
			c.ResumeReading()
		}
		for _, c := range clients {
			lag := c.AwaitFrom(marks[c], "thread/subscription/lagged", p{"threadId": thr})
			c.caughtUp(t, lag, turn)
		}
	}
	c1.Call("turn/interrupt", p{"threadId": thr, "turnId": turn})
	text := c1.End(thr, turn).Str("text")
	for _, c := range clients {
		if end := c.Await("turn/cancelled", p{"turnId": turn}).Body(); end.Str("turn.text") != text {
			t.Errorf("%s: the turn ended with %d bytes, want %d", c.name, len(end.Str("turn.text")), len(text))
		}
	}
}

// awaitBehind waits until clients that do not read have been left behind: a running turn says
// more, and nothing more is put before them, before whom there is much already: a message or
// two may wait, and be as long as those a moment ago, before a client that just reads slowly.
func (c *client) awaitBehind(thr string, slow []*client) {
	c.t.Helper()
	waiting := func() (bytes []int) {
		for _, conn := range c.Call("server/connections/list", nil).List("data") {
			if slices.ContainsFunc(slow, func(s *client) bool { return s.ID == conn.Str("connectionId") }) {
				bytes = append(bytes, conn.Int("queuedBytes"))
			}
		}
		return bytes
	}
	said := func() int {
		items := c.Sync(thr).List("activeTurn.items")
		return len(items[len(items)-1].Str("text"))
	}
	poll(c, "the lag", func() bool {
		before, from := waiting(), said()
		poll(c, "that more is said", func() bool { return said() > from })
		return slices.Min(before) > smallOutbox/2 && slices.Equal(waiting(), before)
	})
}

// caughtUp requires that a client that lags gets the text so far, and behind it what is said
// then. While it takes the text it may lag again.
func (c *client) caughtUp(t *testing.T, lag *message, turn string) {
	t.Helper()
	delta := c.AwaitFrom(c.AwaitFrom(lag.n, "item/updated", p{"turnId": turn}).n, "item/agentMessage/delta", p{"turnId": turn})
	between := streamOf(c.messages()[lag.n:delta.n], lag.ThreadID)
	for i, want := range []string{"thread/subscription/lagged", "item/updated"} {
		for ; i < len(between); i += 2 {
			if between[i].method != want {
				t.Errorf("%s: behind the lag comes %.300s, want %s", c.name, between[i].raw, want)
			}
		}
	}
	if len(between)%2 != 0 {
		t.Errorf("%s: between the lag and the next delta came %d messages", c.name, len(between)-1)
	}
	snapshot := between[len(between)-1]
	if text := snapshot.Body().Str("item.text"); delta.Offset != len(text) {
		t.Errorf("%s: the snapshot has %d bytes, the next delta is at %d", c.name, len(text), delta.Offset)
	}
}

// Clients take nothing for too long.
func TestS20_ClosedAndBack(t *testing.T) {
	d := startDaemon(t, config("[limits]\nslow_consumer_timeout = \"5s\""))
	// What is sent to c1 is so little that it waits for nobody, should the test stand still.
	little := hello(p{"capabilities": p{"optOutNotificationMethods": []string{"item/agentMessage/delta", "item/updated", "item/completed"}}})
	probe, c1 := d.Dial("unix", named("probe")), d.Dial("unix", named("c1"), little)
	thr := c1.StartThread(nil)
	clients := []*client{d.Dial("ws", named("slow ws")), d.Dial("unix", named("slow unix"))}
	for _, c := range clients {
		c.Call("thread/subscribe", p{"threadId": thr})
		c.PauseReading()
	}
	turn := c1.Run(thr, "/deltas 60000 20\n/say done")
	for _, c := range clients {
		probe.awaitLeft(c)
	}
	c1.Await("turn/completed", p{"turnId": turn})
	head := uint64(c1.Sync(thr).Int("thread.headSeq"))
	if n := probe.counter("slowConsumers"); n != len(clients) {
		t.Errorf("%d slow clients were counted", n)
	}
	for _, c := range clients {
		c.ResumeReading()
		<-c.gone
		if c.transport == "ws" && websocket.CloseStatus(c.whyEnded()) != websocket.StatusTryAgainLater {
			t.Errorf("%s was closed with %v, want 1013", c.name, c.whyEnded())
		}
		last := c.lastTold(thr)
		if last >= head {
			t.Fatalf("%s was told everything up to %d", c.name, last)
		}
		again := d.backBehind(c, thr, last)
		for until := time.Now().Add(patience); !again.gets("turn/completed", turn) && time.Now().Before(until); {
			last = max(last, again.lastTold(thr)) // the test stood still, and was too slow again
			again = d.backBehind(c, thr, last)
		}
		if rest := again.told(thr); len(rest) != int(head-last) {
			t.Errorf("behind %d there are %d events, %s got %d", last, head-last, again.name, len(rest))
		}
	}
}

// backBehind lets a client come back that was told everything up to a seq.
func (d *daemon) backBehind(c *client, thr string, last uint64) *client {
	d.t.Helper()
	again := d.Dial(c.transport, named(c.name+" again"))
	again.Call("thread/subscribe", p{"threadId": thr, "afterSeq": last})
	return again
}

// lastTold returns the last seq of a thread that a client was told of.
func (c *client) lastTold(thr string) uint64 {
	last := uint64(0)
	for seq := range c.told(thr) {
		last = max(last, seq)
	}
	return last
}

// gets waits for an event of a turn, and returns false where the connection ends before.
func (c *client) gets(method, turn string) bool {
	_, err := c.find(0, func(m *message) bool { return m.is(method, p{"turnId": turn}) })
	return err == nil
}

// counter returns a counter of server/stats.
func (c *client) counter(name string) int {
	c.t.Helper()
	counters, _ := c.Call("server/stats", nil).At("counters").v.(map[string]any)
	return value{counters[name]}.Int("")
}

// whyEnded returns why a connection ended.
func (c *client) whyEnded() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		return errors.New("it is open")
	}
	return c.ended
}
