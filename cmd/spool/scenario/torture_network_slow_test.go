package scenario_test

import (
	"fmt"
	"testing"

	"github.com/coder/websocket"
)

// slowMemory is the most that a client that does not read may cost.
const slowMemory = 2 << 20

// queued returns what waits to be sent on a connection, -1 if it is gone.
func (c *client) queued(connection string) int {
	c.t.Helper()
	for _, o := range c.Call("server/connections/list", nil).List("data") {
		if o.Str("connectionId") == connection {
			return o.Int("queuedBytes")
		}
	}
	return -1
}

// TestTortureNetworkSlow: of many subscribers some stop reading, one of them while it
// catches up. The others get everything; what waits for the slow ones is bounded; they are
// closed, come back and catch up.
func TestTortureNetworkSlow(t *testing.T) {
	if !*tortureLong {
		t.Skip("it takes most of a minute; -torture.long runs it")
	}
	const subscribers, deltas = 32, 2500
	for _, transport := range []string{"unix", "ws"} {
		t.Run(transport, func(t *testing.T) {
			d := startDaemon(t, config(`limits.slow_consumer_timeout = "4s"`))
			c := d.Dial("unix", named("control"))
			thr := c.StartThread(nil)
			first := c.Run(thr, fmt.Sprintf("/deltas %d 100", deltas/2))
			c.End(thr, first)
			var others []*client
			for range subscribers - 2 {
				o := d.Dial(transport)
				o.Call("thread/subscribe", p{"threadId": thr})
				others = append(others, o)
			}
			live, late := d.Dial(transport, named("slow")), d.Dial(transport, named("slow from the start"))
			live.Call("thread/subscribe", p{"threadId": thr})
			turn := c.Run(thr, fmt.Sprintf("/deltas %d 500", deltas))
			c.Call("thread/unsubscribe", p{"threadId": thr})
			live.Await("item/agentMessage/delta", p{"turnId": turn})
			live.PauseReading()
			late.PauseReading()
			late.Go("thread/subscribe", p{"threadId": thr, "afterSeq": 0})

			most := 0
			poll(c, "that the slow clients are closed", func() bool {
				a, b := c.queued(live.ID), c.queued(late.ID)
				most = max(most, a, b)
				return a < 0 && b < 0
			})
			if most > slowMemory {
				t.Errorf("up to %d bytes waited for a client that does not read", most)
			}
			t.Logf("at most %d bytes waited for a slow client", most)
			c.End(thr, turn)
			for _, o := range others {
				o.Await("turn/completed", p{"turnId": turn})
				if !o.open() {
					t.Errorf("%s, which reads, has lost its connection", o.name)
				}
			}
			d.slowReturns(live, thr, turn)
			late.ResumeReading()
		})
	}
}

// slowReturns requires how a slow client was closed, and that it can come back.
func (d *daemon) slowReturns(slow *client, thr, turn string) {
	d.t.Helper()
	slow.ResumeReading()
	<-slow.gone
	if slow.transport == "ws" && websocket.CloseStatus(slow.ended) != websocket.StatusTryAgainLater {
		d.t.Errorf("the slow client was closed with %v", slow.ended)
	}
	have := uint64(0)
	for _, m := range slow.messages() {
		if m.ThreadID == thr && m.Seq > 0 {
			have = m.Seq
		}
	}
	again := d.Dial(slow.transport, named("slow no more"))
	again.Call("thread/subscribe", p{"threadId": thr, "afterSeq": have})
	again.Await("turn/completed", p{"turnId": turn})
}
