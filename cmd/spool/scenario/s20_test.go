package scenario_test

import (
	"errors"
	"testing"

	"github.com/coder/websocket"
)

// flood is a turn of about 50 MB on the wire.
const flood = "/deltas 200000 20\n/say done"

// outbox is what may wait for a client: limits.outbox_bytes by default, and the frame that
// was taken when there was still room.
const outbox = 1<<20 + 64<<10

// watchQueued calls the daemon until a client hears of the end of a turn, and returns the
// most that waited for another client and the most that the heap grew by.
func (c *client) watchQueued(listener *client, turn string, slow *client) (queued, grown int) {
	c.t.Helper()
	before := c.Call("server/stats", nil).Int("heapBytes")
	poll(c, "the end of the turn", func() bool {
		for _, conn := range c.Call("server/connections/list", nil).List("data") {
			if conn.Str("connectionId") == slow.ID {
				queued = max(queued, conn.Int("queuedBytes"))
			}
		}
		grown = max(grown, c.Call("server/stats", nil).Int("heapBytes")-before)
		return over(listener, turn)
	})
	return queued, grown
}

// A client stops reading; when it reads again the turn is over.
func TestS20_SlowConsumer(t *testing.T) {
	for _, transport := range []string{"ws", "unix"} {
		t.Run(transport, func(t *testing.T) {
			d := startDaemon(t)
			probe, c1, c2 := d.Dial("unix", named("probe")), d.Dial("unix"), d.Dial(transport)
			thr := c1.StartThread(nil)
			c2.Call("thread/subscribe", p{"threadId": thr})
			c2.PauseReading()

			turn := c1.Run(thr, flood)
			queued, grown := probe.watchQueued(c1, turn, c2)

			t.Logf("at most %d bytes waited for c2; the heap grew by at most %d", queued, grown)
			if queued == 0 || queued > outbox {
				t.Errorf("%d bytes waited for c2, want at most %d", queued, outbox)
			}
			if grown > 40<<20 {
				t.Errorf("the heap grew by %d bytes", grown)
			}
			c2.ResumeReading()
			c2.Await("turn/completed", p{"turnId": turn})

			lagged := c2.Seen("thread/subscription/lagged", nil)
			if len(lagged) != 1 {
				t.Fatalf("c2 was told %d times that it lags", len(lagged))
			}
			through := uint64(lagged[0].Body().Int("throughSeq"))
			seen := uint64(0)
			for _, m := range c2.messages()[:lagged[0].n] {
				seen = max(seen, m.Seq)
			}
			if head := uint64(c1.Sync(thr).Int("thread.headSeq")); through < seen || through > head {
				t.Errorf("c2 lags through %d; it had seen %d, the head is %d", through, seen, head)
			}
			for _, m := range c2.messages()[lagged[0].n:] {
				if m.method == "item/agentMessage/delta" {
					t.Fatalf("behind the lag, with nothing in progress, came the delta %s", m.raw)
				}
			}
			text := c1.Await("item/completed", p{"turnId": turn, "item.type": "agentMessage"}).Body().Str("item.text")
			if got := c2.Await("item/completed", p{"turnId": turn, "item.type": "agentMessage"}).Body().Str("item.text"); got != text || len(text) != 4_000_000 {
				t.Errorf("the texts have %d and %d bytes", len(text), len(got))
			}
		})
	}
}

// A client stops reading and reads again while the text grows.
func TestS20_CaughtUpInTheMiddle(t *testing.T) {
	for _, transport := range []string{"ws", "unix", "stdio"} {
		t.Run(transport, func(t *testing.T) {
			d := startDaemon(t, config("[limits]\noutbox_bytes = \"64KiB\""))
			c1, c2 := d.Dial("unix"), d.Dial(transport)
			thr := c1.StartThread(nil)
			c2.Call("thread/subscribe", p{"threadId": thr})
			turn := c1.Run(thr, "/deltas 4000 1000 1ms")
			item := c2.awaitText(turn, 1)
			c1.Call("thread/unsubscribe", p{"threadId": thr}) // so that it is c2 that lags
			for range 3 {
				mark := c2.Mark()
				before := c1.Call("server/stats", nil).At("counters").Without().v.(map[string]any)["subscriptions.lagged"]
				c2.PauseReading()
				poll(c1, "the lag", func() bool {
					now := c1.Call("server/stats", nil).At("counters").v.(map[string]any)["subscriptions.lagged"]
					return value{now}.Int("") > value{before}.Int("")
				})
				c2.ResumeReading()

				lag := c2.AwaitFrom(mark, "thread/subscription/lagged", p{"threadId": thr})
				snapshot := c2.AwaitFrom(lag.n, "item/updated", p{"itemId": item})
				delta := c2.AwaitFrom(snapshot.n, "item/agentMessage/delta", p{"itemId": item})
				if between := streamOf(c2.messages()[lag.n+1:delta.n], thr); len(between) != 1 {
					t.Errorf("between the lag and the next delta came %d messages", len(between))
				}
				if text := snapshot.Body().Str("item.text"); delta.Offset != len(text) {
					t.Errorf("the snapshot has %d bytes, the next delta is at %d", len(text), delta.Offset)
				}
			}
			if end := c2.End(thr, turn); len(end.Str("text")) != 4_000_000 {
				t.Errorf("the turn ended as %.300s", end)
			}
		})
	}
}

// A client takes nothing for too long.
func TestS20_ClosedAndBack(t *testing.T) {
	for _, transport := range []string{"ws", "unix"} {
		t.Run(transport, func(t *testing.T) {
			d := startDaemon(t, config("[limits]\nslow_consumer_timeout = \"500ms\""))
			probe, c1, c2 := d.Dial("unix", named("probe")), d.Dial("unix"), d.Dial(transport)
			thr := c1.StartThread(nil)
			c2.Call("thread/subscribe", p{"threadId": thr})
			c2.PauseReading()
			turn := c1.Run(thr, flood)
			probe.awaitLeft(c2)
			c1.Await("thread/presence/changed", p{"threadId": thr, "left.0.connectionId": c2.ID})
			c1.Await("turn/completed", p{"turnId": turn})
			probe.Counted("connections.slow", 1)

			c2.ResumeReading()
			<-c2.gone
			if transport == "ws" && websocket.CloseStatus(c2.whyEnded()) != websocket.StatusTryAgainLater {
				t.Errorf("c2 was closed with %v, want 1013", c2.whyEnded())
			}

			last := uint64(0)
			for seq := range c2.told(thr) {
				last = max(last, seq)
			}
			head := uint64(c1.Sync(thr).Int("thread.headSeq"))
			if last >= head {
				t.Fatalf("c2 was told everything up to %d", last)
			}
			again := d.Dial(transport, named("c2 again"))
			again.Call("thread/subscribe", p{"threadId": thr, "afterSeq": last})
			again.Await("turn/completed", p{"turnId": turn})
			if rest := again.told(thr); len(rest) != int(head-last) {
				t.Errorf("behind %d there are %d events, it got %d", last, head-last, len(rest))
			}
		})
	}
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
