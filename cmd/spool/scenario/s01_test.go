package scenario_test

import (
	"fmt"
	"slices"
	"testing"
)

const (
	s01Clients = 10
	s01Each    = 20
)

func s01Key(client, n int) string { return fmt.Sprintf("c%d-%d", client, n) }

// s01Send sends one input of one connection.
func s01Send(c *client, thr string, client, n int) *answer {
	return c.Go("turn/run", p{
		"threadId": thr, "input": fmt.Sprintf("c%d-msg-%d", client, n), "ifBusy": "enqueue", "idempotencyKey": s01Key(client, n),
	})
}

// s01Dial connects the clients, over all transports.
func s01Dial(d *daemon) []*client {
	clients := make([]*client, s01Clients)
	for i := range clients {
		clients[i] = d.Dial([]string{"unix", "ws", "stdio"}[i%3])
	}
	return clients
}

// s01Starts returns the turns in the order of their starts, as a client was told.
func s01Starts(c *client) []string {
	var ids []string
	for _, m := range c.Seen("turn/started", nil) {
		ids = append(ids, m.TurnID)
	}
	return ids
}

func TestS01_EnqueueOrderUnderConcurrency(t *testing.T) {
	d := startDaemon(t)
	owner := d.Dial("unix")
	thr := owner.StartThread(nil)
	held := owner.Hold(thr, "/say held")
	clients := s01Dial(d)

	answers := make([][]*answer, s01Clients)
	for n := range s01Each {
		for i, c := range clients {
			answers[i] = append(answers[i], s01Send(c, thr, i, n))
		}
	}
	const total = s01Clients * s01Each
	at := make([]string, total+1) // turn ids by position
	place := map[string]int{}     // positions by turn id
	for i := range answers {
		last := 0
		for n, a := range answers[i] {
			r := a.Result()
			pos := r.Int("turn.position")
			if r.Str("disposition") != "queued" || r.Str("turn.status") != "queued" || pos < 1 || pos > total || at[pos] != "" {
				t.Fatalf("client %d, input %d: %s", i, n, r)
			}
			if pos < last {
				t.Errorf("client %d: input %d is at position %d, the one before at %d", i, n, pos, last)
			}
			at[pos], place[r.Str("turn.id")], last = r.Str("turn.id"), pos, pos
		}
	}
	queue := owner.Call("turn/queue/list", p{"threadId": thr})
	if got := queue.Each("turns", "id"); !slices.Equal(got, at[1:]) || queue.Int("revision") != total {
		t.Fatalf("the queue at revision %d is not in the order of the positions: %v", queue.Int("revision"), got)
	}
	d.Check() // what subscribers hold is what the queue is

	owner.Release(thr, held)
	owner.End(thr, at[total])
	want := append([]string{held}, at[1:]...)
	for _, c := range append(clients, owner) {
		c.Sync(thr)
		starts := s01Starts(c)
		if c != owner {
			starts = append([]string{held}, starts...) // it subscribed with its first input
		}
		if !slices.Equal(starts, want) {
			t.Errorf("%s saw the starts %v; want %v", c.name, starts, want)
		}
	}
	for i := range answers {
		for n, a := range answers[i] {
			id := a.Result().Str("turn.id")
			if text := owner.Await("turn/completed", p{"turnId": id}).Body().Str("turn.text"); text != fmt.Sprintf("c%d-msg-%d", i, n) {
				t.Errorf("turn %d of client %d says %q", n, i, text)
			}
		}
	}
}

// The daemon is killed when half of the inputs are acknowledged. What was acknowledged is
// there, in its order; the rest is sent again under the same keys.
func TestS01_KilledInTheMiddle(t *testing.T) {
	d := startDaemon(t)
	owner := d.Dial("unix")
	thr := owner.StartThread(nil)
	held := owner.Hold(thr, "/say held")
	clients := s01Dial(d)

	answers := make([][]*answer, s01Clients)
	for n := range s01Each {
		for i, c := range clients {
			answers[i] = append(answers[i], s01Send(c, thr, i, n))
		}
		if n == s01Each/2-1 {
			for i := range answers {
				for _, a := range answers[i] {
					a.Result()
				}
			}
		}
	}
	d.Kill()
	acknowledged := map[string]int{} // positions by turn id
	for i := range answers {
		for _, a := range answers[i] {
			if r, err := a.Wait(); err == nil {
				acknowledged[r.Str("turn.id")] = r.Int("turn.position")
			}
		}
	}
	if len(acknowledged) < s01Clients*s01Each/2 {
		t.Fatalf("%d turns were acknowledged", len(acknowledged))
	}

	d.Start()
	owner = d.Dial("unix")
	owner.Call("thread/subscribe", p{"threadId": thr, "afterSeq": 0})
	lost := owner.Await("turn/failed", p{"turnId": held}).Body()
	if lost.Str("turn.error.code") != "ServerRestarted" {
		t.Errorf("the held turn ended with %s", lost.At("turn.error"))
	}
	queue := owner.Call("turn/queue/list", p{"threadId": thr})
	if !queue.Bool("paused") || queue.Str("pauseReason") != "serverRestarted" {
		t.Errorf("the queue is not paused with serverRestarted: %v %q", queue.Bool("paused"), queue.Str("pauseReason"))
	}
	kept := queue.Each("turns", "id")
	for id, pos := range acknowledged {
		if pos > len(kept) || kept[pos-1] != id {
			t.Errorf("turn %s was acknowledged at position %d and is not there", id, pos)
		}
	}

	// All 200 once more, each client in its order: what was accepted is not accepted again.
	clients = s01Dial(d)
	busy := owner.Hold(thr, "/say again") // else the first new input would start at once
	for n := range s01Each {
		for i, c := range clients {
			r := s01Send(c, thr, i, n).Result()
			if was := slices.Contains(kept, r.Str("turn.id")); was != r.Bool("replayed") {
				t.Errorf("input %d of client %d: kept %v, replayed %v", n, i, was, r.Bool("replayed"))
			}
		}
	}
	owner.Release(thr, busy)
	owner.End(thr, busy)
	queue = owner.Call("turn/queue/list", p{"threadId": thr})
	order := queue.Each("turns", "id")
	if len(order) != s01Clients*s01Each || !slices.Equal(order[:len(kept)], kept) {
		t.Fatalf("the queue has %d turns, or another order than before the crash", len(order))
	}
	owner.Never("turn/started", p{"turnId": order[0]})

	mark := owner.Mark()
	owner.Call("turn/queue/resume", p{"threadId": thr})
	owner.End(thr, order[len(order)-1])
	owner.Sync(thr)
	var starts []string
	for _, m := range owner.messages()[mark:] {
		if m.method == "turn/started" {
			starts = append(starts, m.TurnID)
		}
	}
	if !slices.Equal(starts, order) {
		t.Errorf("the turns started in the order %v; want %v", starts, order)
	}
	texts := map[string]int{}
	for _, id := range order {
		texts[owner.Await("turn/completed", p{"turnId": id}).Body().Str("turn.text")]++
	}
	if len(texts) != s01Clients*s01Each {
		t.Errorf("%d different inputs ran, want %d", len(texts), s01Clients*s01Each)
	}
}
