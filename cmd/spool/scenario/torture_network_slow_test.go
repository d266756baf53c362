package scenario_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

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

// reader is a subscriber that reads as fast as it can, and does no more with what it reads
// than to look for what it is told: a crowd of clients that decode everything would be slow
// themselves.
type reader struct {
	s      *socket
	ended  chan struct{} // closed when the turn has ended, or the connection
	deltas int
	lagged bool
	err    error
}

// reader subscribes to a thread and reads until the end of a turn that is yet to come.
func (d *daemon) reader(web bool, thread string) *reader {
	d.t.Helper()
	r := &reader{s: d.rawSocket(web), ended: make(chan struct{})}
	r.s.greet(web)
	r.s.send(rpc(2, "thread/subscribe", p{"threadId": thread}), web)
	r.s.answer(2, web)
	go r.read(web)
	return r
}

func (r *reader) read(web bool) {
	defer close(r.ended)
	for {
		m, err := r.s.receive(web)
		begin := m[:min(len(m), 80)]
		switch {
		case err != nil:
			r.err = err
			return
		case bytes.Contains(begin, []byte(`"item/agentMessage/delta"`)):
			r.deltas++
		case bytes.Contains(begin, []byte(`"thread/subscription/lagged"`)):
			r.lagged = true
		case bytes.Contains(begin, []byte(`"turn/completed"`)):
			return
		}
	}
}

// TestTortureNetworkSlow: of many subscribers some stop reading, one of them while it
// catches up. The others get everything, and get it live: the agent keeps pace with them.
// What waits for the slow ones is bounded; they are closed, come back and catch up.
func TestTortureNetworkSlow(t *testing.T) {
	if !*tortureLong {
		t.Skip("it takes many seconds; -torture.long runs it")
	}
	// The text of the turn is short, and there are many deltas: at its end the whole item and
	// the whole turn fit into the outbox behind the deltas for which the agent did not wait.
	const subscribers, deltas, each = 32, 8000, 15
	for _, transport := range []string{"unix", "ws"} {
		t.Run(transport, func(t *testing.T) {
			d := startDaemon(t, config(`limits.slow_consumer_timeout = "1.5s"`))
			c := d.Dial("unix", named("control"))
			thr := c.StartThread(nil)
			first := c.Run(thr, "/deltas 1250 1000")
			c.End(thr, first)
			client := d.Dial(transport, named("one who reads"))
			client.Call("thread/subscribe", p{"threadId": thr})
			var others []*reader
			for range subscribers - 3 {
				others = append(others, d.reader(transport == "ws", thr))
			}
			live, late := d.Dial(transport, named("slow")), d.Dial(transport, named("slow from the start"))
			live.Call("thread/subscribe", p{"threadId": thr})
			turn := c.Run(thr, fmt.Sprintf("/deltas %d %d", deltas, each))
			c.Call("thread/unsubscribe", p{"threadId": thr})
			live.Await("item/agentMessage/delta", p{"turnId": turn})
			live.PauseReading()
			late.PauseReading()
			late.Go("thread/subscribe", p{"threadId": thr, "afterSeq": 0})

			most, began := 0, time.Now()
			poll(c, "that the slow clients are closed", func() bool {
				a, b := c.queued(live.ID), c.queued(late.ID)
				most = max(most, a, b)
				return a < 0 && b < 0
			})
			if most > slowMemory {
				t.Errorf("up to %d bytes waited for a client that does not read", most)
			}
			t.Logf("at most %d bytes waited for a slow client, which was closed after %v", most, time.Since(began))
			c.End(thr, turn)
			for i, o := range others {
				<-o.ended
				if o.err != nil || o.lagged || o.deltas != deltas {
					t.Errorf("reader %d got %d of %d deltas, fell behind: %v, ended with %v", i, o.deltas, deltas, o.lagged, o.err)
				}
				o.s.cut(true)
			}
			client.Await("turn/completed", p{"turnId": turn})
			if !client.open() {
				t.Error("a client that reads has lost its connection")
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
