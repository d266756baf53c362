package scenario_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// told returns the durable events of a thread that a client was told of, by seq.
func (c *client) told(thr string) map[uint64][]byte {
	events := map[uint64][]byte{}
	for _, m := range c.messages() {
		if m.ThreadID == thr && m.Seq > 0 {
			events[m.Seq] = m.raw
		}
	}
	return events
}

// awaitText waits until a client holds n bytes of the message that a turn streams, and
// returns the id of the message.
func (c *client) awaitText(turn string, n int) string {
	c.t.Helper()
	m, err := c.find(0, func(m *message) bool {
		return m.method == "item/agentMessage/delta" && m.TurnID == turn && m.Offset+len(m.Delta) >= n
	})
	if err != nil {
		c.t.Fatalf("%s does not get %d bytes of %s: %v", c.name, n, turn, err)
	}
	return m.ItemID
}

func TestS18_ReconnectAndCatchUp(t *testing.T) {
	for _, transport := range []string{"ws", "unix", "stdio"} {
		t.Run(transport, func(t *testing.T) {
			d := startDaemon(t)
			c1, c2 := d.Dial(transport), d.Dial("unix", named("c2"))
			thr := c1.StartThread(nil)
			c2.Call("thread/subscribe", p{"threadId": thr})
			c1.End(thr, c1.Run(thr, "/say one\n/plan a; b\n/say two"))
			c1.Sync(thr)
			seen := uint64(c1.Sync(thr).Int("thread.headSeq"))
			c1.Drop()
			c2.End(thr, c2.Run(thr, "/say three\n/think hard\n/custom form {\"a\":1}"))
			streaming := c2.Run(thr, "/deltas 1000000 8 1ms") // goes on for as long as it must
			item := c2.awaitText(streaming, 800)

			c1 = d.Dial(transport, named("c1 again"))
			mark := c1.Mark()
			r := c1.Call("thread/subscribe", p{"threadId": thr, "afterSeq": seen})

			head := uint64(r.Int("headSeq"))
			if r.Has("activeTurn") || !r.fits(p{"thread.runtime.busy": true, "thread.runtime.activeTurnId": streaming, "thread.headSeq": head, "pending": []any{}}) {
				t.Errorf("the answer is %s", r)
			}
			first := c1.AwaitFrom(mark, "item/agentMessage/delta", p{"itemId": item})
			behind := streamOf(c1.messages()[mark:first.n], thr)
			want := int(head - seen)
			if len(behind) != want+1 {
				t.Fatalf("between the answer and the first delta came %d messages, want %d events and a snapshot", len(behind), want)
			}
			original := c2.told(thr)
			for i, m := range behind[:want] {
				if m.Seq != seen+uint64(i)+1 || !bytes.Equal(m.raw, original[m.Seq]) {
					t.Errorf("the replay has\n%s\nwhich was first sent as\n%s", m.raw, original[m.Seq])
				}
			}
			snapshot := behind[want]
			text := snapshot.Body().Str("item.text")
			if snapshot.method != "item/updated" || snapshot.ItemID != item || len(text) < 800 || first.Offset != len(text) {
				t.Errorf("behind the events came %.200s with %d bytes of text, then a delta at %d", snapshot.raw, len(text), first.Offset)
			}

			c4 := d.Dial(transport, named("c4"))
			mark = c4.Mark()
			r = c4.Call("thread/subscribe", p{"threadId": thr})
			first = c4.AwaitFrom(mark, "item/agentMessage/delta", p{"itemId": item})
			if behind := streamOf(c4.messages()[mark:first.n], thr); len(behind) > 0 {
				t.Errorf("without afterSeq there is a replay: %s", behind[0].raw)
			}
			items := r.List("activeTurn.items")
			last := items[len(items)-1]
			if last.Str("id") != item || first.Offset != len(last.Str("text")) {
				t.Errorf("the snapshot has %d bytes of %s, and the first delta is at %d", len(last.Str("text")), last.Str("id"), first.Offset)
			}

			we := c4.Refused("thread/subscribe", p{"threadId": thr, "afterSeq": head + 1000})
			if we.Code != -32602 || we.At("field").Str("") != "afterSeq" || !of(we.Data).Has("headSeq") {
				t.Errorf("beyond the head: %v", we)
			}
			c2.Call("turn/interrupt", p{"threadId": thr, "turnId": streaming})
			c2.End(thr, streaming)
		})
	}
}

// streamOf returns what the daemon said of a thread beside presence and runtime.
func streamOf(messages []*message, thr string) []*message {
	var rest []*message
	for _, m := range messages {
		if !m.out && m.ThreadID == thr && m.method != "" && m.method != "thread/runtimeChanged" && m.method != "thread/presence/changed" {
			rest = append(rest, m)
		}
	}
	return rest
}

func TestS18_FromTheFirstEventAfterARestart(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	thr := c.StartThread(nil)
	for range 20 {
		c.End(thr, c.Run(thr, "/say one two\n/plan a; b\n/state {\"a\":1}"))
	}
	head := uint64(c.Sync(thr).Int("thread.headSeq"))
	original := c.told(thr)
	for _, restart := range []func(){func() { d.Stop(); d.Start() }, d.Restart} {
		restart()
		for _, transport := range []string{"ws", "unix"} {
			again := d.Dial(transport)
			again.Call("thread/subscribe", p{"threadId": thr, "afterSeq": 0})
			if _, err := again.find(0, func(m *message) bool { return m.Seq == head }); err != nil {
				t.Fatal(err)
			}
			replay := again.told(thr)
			for seq := uint64(1); seq <= head; seq++ {
				if raw, ok := original[seq]; seq > 1 && !ok || ok && !bytes.Equal(raw, replay[seq]) || replay[seq] == nil {
					t.Errorf("event %d was\n%s\nand is\n%s", seq, raw, replay[seq])
				}
			}
		}
	}
}

// Subscriptions begin at random moments while deltas, or durable events, fly. That there
// is no gap and no double is checked by the invariants, over what each client received.
func TestS18_RandomMoments(t *testing.T) {
	lines := strings.Repeat("/say some words more\n/sleep 10ms\n/custom note {\"n\":1}\n", 200)
	for name, input := range map[string]string{"deltas": "/deltas 10000 8 1ms", "durable": lines} {
		t.Run(name, func(t *testing.T) {
			d := startDaemon(t)
			c2 := d.Dial("unix", named("c2"))
			thr := c2.StartThread(nil)
			c2.End(thr, c2.Run(thr, "/say before\n/custom form {\"a\":1}"))
			id := c2.Run(thr, input)
			c2.awaitText(id, 1)
			stays := []*client{d.Dial("unix", named("stays unix")), d.Dial("ws", named("stays ws"))}
			again := map[string]*client{"unix": d.Dial("unix", named("again unix")), "ws": d.Dial("ws", named("again ws"))}
			moments := 0
			for !over(c2, id) && moments < 2**repeats {
				mark := c2.Mark() + rand.IntN(40)
				if _, err := c2.find(0, func(m *message) bool { return m.n >= mark || m.TurnID == id && m.method == "turn/completed" }); err != nil {
					t.Fatal(err)
				}
				transport := []string{"unix", "ws"}[moments%2]
				c := again[transport]
				switch n := rand.IntN(5); {
				case n == 0 && moments > 10 && len(stays) > 0:
					c, stays = stays[0], stays[1:]
				case n < 3:
					c = d.Dial(transport, named("once"))
				}
				params := p{"threadId": thr}
				if rand.IntN(3) > 0 {
					params["afterSeq"] = rand.Uint64N(uint64(c2.Sync(thr).Int("thread.headSeq")) + 1)
				}
				at := c.Mark()
				r := c.Call("thread/subscribe", params)
				moments++
				if !r.Bool("thread.runtime.busy") {
					break
				}
				if _, err := c.find(at, func(m *message) bool {
					return m.TurnID == id && (m.method == "item/agentMessage/delta" || m.method == "turn/completed")
				}); err != nil {
					t.Fatalf("%s hears nothing after its subscription: %v", c.name, err)
				}
				if c.name == "once" {
					c.Drop()
				}
			}
			if end := c2.End(thr, id); end.Str("status") != "completed" {
				t.Fatalf("the turn ended as %s", end)
			}
			t.Logf("%d moments", moments)
		})
	}
}

// over tells whether a client heard of the end of a turn.
func over(c *client, turn string) bool { return len(c.Seen("turn/completed", p{"turnId": turn})) > 0 }
