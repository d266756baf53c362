package scenario_test

import (
	"fmt"
	"testing"
	"time"
)

// vanishings are the ways in which a client may be gone.
var vanishings = []struct {
	name, transport string
	vanish          func(*client)
}{
	{"WebSocket reset", "ws", (*client).Drop},
	{"Unix socket closed", "unix", (*client).Drop},
	{"stdio pipe closed", "stdio", (*client).Close},
	{"stdio bridge killed", "stdio", (*client).Drop},
}

// instance is the option of a client that comes back under the same instanceId.
func instance(id string) dialOption {
	return hello(p{"clientInfo": p{"name": "scenario", "instanceId": id}})
}

// awaitLeft waits until a daemon has noticed that a client is gone.
func (c *client) awaitLeft(gone *client) {
	c.t.Helper()
	poll(c, "the end of "+gone.ID, func() bool {
		for _, id := range c.Call("server/connections/list", nil).Each("data", "connectionId") {
			if id == gone.ID {
				return false
			}
		}
		return true
	})
}

// The only client of a turn vanishes, and its lifetime says continue, which is the default.
func TestS17_TheTurnGoesOn(t *testing.T) {
	d := startDaemon(t)
	first := ""
	for _, v := range vanishings {
		c := d.Dial(v.transport)
		thr := c.StartThread(nil)
		turn := c.Hold(thr, "/deltas 3 10 100ms")
		behind := c.Enqueue(thr, "/say behind")
		last := c.Enqueue(thr, "/say last")

		v.vanish(c)

		probe := d.Dial("unix")
		probe.awaitLeft(c)
		if s := probe.Call("server/stats", nil); s.Int("runningTurns") != 1 || s.Int("queuedTurns") != 2 || s.Int("subscriptions") != 0 {
			t.Errorf("%s: with the client gone the daemon has %s", v.name, s)
		}
		probe.Release(thr, turn)
		probe.Call("thread/unsubscribe", p{"threadId": thr}) // nobody follows what comes now
		poll(probe, "the end of the queue", func() bool {
			return probe.Sync(thr).At("thread.runtime").fits(p{"busy": false, "queueLength": 0})
		})
		now := probe.ReadAll(thr)
		turns := now.List("turns")
		if len(turns) != 3 {
			t.Fatalf("%s: the thread has %d turns: %s", v.name, len(turns), now)
		}
		ends := ""
		for i, id := range []string{turn, behind, last} {
			tn := turns[i]
			if tn.Str("id") != id || tn.Str("status") != "completed" {
				t.Errorf("%s: turn %d ended as %s", v.name, i, tn)
			}
			ends += tn.Str("status") + ": " + tn.Str("text") + "\n"
			for _, it := range tn.List("items") {
				ends += it.Without("id", "turnId", "createdAt", "completedAt").String() + "\n"
			}
		}
		if first == "" {
			first = ends
		}
		if ends != first {
			t.Errorf("%s: the turns end as\n%s, elsewhere as\n%s", v.name, ends, first)
		}
		if want := "012345678901234567890123456789"; now.Str("turns.0.text") != want {
			t.Errorf("%s: the text is %q, want %q", v.name, now.Str("turns.0.text"), want)
		}
		probe.Close()
	}
}

// Its lifetime says interrupt: that comes after the grace time, not before.
func TestS17_TheTurnIsInterrupted(t *testing.T) {
	const grace = 400 * time.Millisecond
	d := startDaemon(t)
	watch := d.Dial("unix", named("watch"))
	for _, v := range vanishings {
		c := d.Dial(v.transport, instance(v.name))
		thr := c.StartThread(p{"lifetime": p{"mode": "durable", "onDisconnect": "interrupt", "graceMs": grace.Milliseconds()}})
		watch.Call("thread/subscribe", p{"threadId": thr})
		turn := c.Hold(thr, "/say never")
		queued := c.Enqueue(thr, "/say queued")

		left := time.Now()
		v.vanish(c)

		end := watch.Await("turn/cancelled", p{"turnId": turn})
		if b := end.Body(); b.Str("turn.cancelReason") != "clientDisconnected" || b.Has("turn.cancelledBy") {
			t.Errorf("%s: the turn ended as %s", v.name, end.raw)
		}
		at, err := time.Parse(time.RFC3339, end.Body().Str("at"))
		if waited := at.Sub(left.Truncate(time.Millisecond)); err != nil || waited < grace {
			t.Errorf("%s: the turn was cancelled after %s (%v), the grace time is %s", v.name, waited, err, grace)
		}
		watch.Await("thread/queue/updated", p{"threadId": thr, "paused": true, "pauseReason": "turnCancelled", "turnIds": []string{queued}})
		if s := watch.Sync(thr).Str("thread.status"); s != "active" {
			t.Errorf("%s: the thread is %s", v.name, s)
		}
	}
}

// Somebody who comes back within the grace time stops the countdown. Where the machine is so
// slow that somebody may not have been back in time, all get more time.
func TestS17_BackInTime(t *testing.T) {
	d := startDaemon(t)
	for grace := 2 * time.Second; !s17BackInTime(t, d, grace); grace *= 2 {
		if grace > patience {
			t.Fatalf("nobody is back within %s", grace)
		}
	}
}

// s17BackInTime returns false where somebody was not back for certain before the grace time
// was over.
func s17BackInTime(t *testing.T, d *daemon, grace time.Duration) bool {
	t.Helper()
	watch := d.Dial("unix", named("watch"))
	clock := watch.StartThread(nil)
	back := map[string]func(transport, id, thr string) *client{
		"the same instance": func(transport, id, _ string) *client {
			c := d.Dial(transport, instance(id))
			c.Pass(1) // the handshake is over
			return c
		},
		"thread/resume": func(transport, _, thr string) *client {
			c := d.Dial(transport)
			c.Call("thread/resume", p{"threadId": thr})
			return c
		},
	}
	type returned struct {
		how, thr, turn string
		c              *client
		vanish         func(*client)
	}
	var all []returned
	inTime := true
	for how, comeBack := range back {
		for _, v := range vanishings[:3] {
			id := fmt.Sprintf("%s, %s, %s", how, v.name, grace)
			c := d.Dial(v.transport, instance(id))
			thr := c.StartThread(p{"lifetime": p{"mode": "durable", "onDisconnect": "interrupt", "graceMs": grace.Milliseconds()}})
			watch.Call("thread/subscribe", p{"threadId": thr})
			turn := c.Hold(thr, "/say kept")
			left := time.Now()
			v.vanish(c)
			watch.awaitLeft(c)
			all = append(all, returned{id, thr, turn, comeBack(v.transport, id, thr), v.vanish})
			inTime = inTime && time.Since(left) < grace
		}
	}
	if !inTime {
		return false
	}

	watch.End(clock, watch.Run(clock, fmt.Sprintf("/sleep %s", grace+100*time.Millisecond)))

	for _, r := range all {
		if now := watch.ReadAll(r.thr); now.Str("activeTurn.id") != r.turn || now.Bool("thread.runtime.interrupting") {
			t.Errorf("%s: the turn was interrupted all the same: %s", r.how, now)
		}
		if r.c.Call("server/stats", nil).Int("connectionOwns") != 1 {
			t.Errorf("%s: the thread does not belong to the new connection", r.how)
		}
		r.vanish(r.c) // now the countdown is that of the new connection
	}
	for _, r := range all {
		watch.Await("turn/cancelled", p{"turnId": r.turn, "turn.cancelReason": "clientDisconnected"})
	}
	return true
}

// A connection that only watches does not count.
func TestS17_OthersDoNotStopTheCountdown(t *testing.T) {
	d := startDaemon(t)
	watch := d.Dial("ws", instance("other"))
	c := d.Dial("ws", instance("tab"))
	thr := c.StartThread(p{"lifetime": p{"mode": "durable", "onDisconnect": "interrupt", "graceMs": 300}})
	turn := c.Hold(thr, "")
	c.Drop()
	watch.awaitLeft(c)
	watch.Call("thread/subscribe", p{"threadId": thr, "afterSeq": 0}) // the time may be over by now
	watch.Await("turn/cancelled", p{"turnId": turn, "turn.cancelReason": "clientDisconnected"})
}
