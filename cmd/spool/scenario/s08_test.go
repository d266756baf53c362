package scenario_test

import (
	"slices"
	"testing"
)

// s08Places tells where each input of a thread is found: "queued", or the id and status of
// the turn that has it as its user message. An input must be in one place.
func s08Places(t *testing.T, c *client, thr string) map[string]string {
	t.Helper()
	places := map[string]string{}
	put := func(input, place string) {
		if was, ok := places[input]; ok {
			t.Errorf("the input %q is in two places: %s, %s", input, was, place)
		}
		places[input] = place
	}
	for _, tn := range c.Call("turn/queue/list", p{"threadId": thr}).List("turns") {
		put(tn.Str("input.0.text"), "queued")
	}
	for _, tn := range c.ReadAll(thr).List("turns") {
		for _, it := range tn.List("items") {
			if it.Str("type") == "userMessage" && it.Str("delivery") == "input" {
				put(it.Str("content.0.text"), tn.Str("status"))
			}
		}
	}
	return places
}

func TestS08_CrashAroundDequeue(t *testing.T) {
	const a, b, c = "/hold\n/say A", "/say B", "/say C"
	// Commits with item/completed: the user message of A, the release, what A says, the
	// user message of B. With item/started: what A says, what B says.
	cases := []struct {
		name, fault string
		a           string // how A ends
		attempt     int    // of B's run that counts
		lost        bool   // B is lost: it had reached the agent
		paused      bool
	}{
		{"before the commit that ends one and starts the next", "kill-before:turn/completed+turn/started", "failed", 1, false, true},
		{"after it", "kill-after:turn/completed+turn/started", "completed", 2, false, false},
		{"before the agent is given the input", "kill-before:item/completed:4", "completed", 2, false, false},
		{"when the agent is given the input", "kill-after:item/completed:4", "completed", 1, true, true},
		{"before the first item of the agent", "kill-before:item/started:2", "completed", 1, true, true},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			d := startDaemon(t, fault(tt.fault))
			c1, c2 := d.Dial("unix"), d.Dial("ws")
			thr := c1.StartThread(nil)
			c2.Call("thread/subscribe", p{"threadId": thr})
			turnA := c1.Hold(thr, "/say A")
			turnB, turnC := c1.Enqueue(thr, b), c1.Enqueue(thr, c)
			c1.Go("turn/steer", p{"threadId": thr, "expectedTurnId": turnA, "input": "release"})
			d.AwaitDeath()

			d.SetFault("")
			d.Start()
			c1 = d.Dial("unix")
			c1.Call("thread/subscribe", p{"threadId": thr, "afterSeq": 0})
			list := c1.Call("turn/queue/list", p{"threadId": thr})
			if list.Bool("paused") != tt.paused || tt.paused && list.Str("pauseReason") != "serverRestarted" {
				t.Errorf("paused is %v, because of %q", list.Bool("paused"), list.Str("pauseReason"))
			}
			if tt.paused {
				want := map[string]string{a: tt.a, b: "queued", c: "queued"}
				if tt.lost {
					want[b] = "failed"
				}
				if got := s08Places(t, c1, thr); of(got).String() != of(want).String() {
					t.Errorf("the inputs are found at %v; want %v", got, want)
				}
				c1.Call("turn/queue/resume", p{"threadId": thr})
			}
			if end := c1.End(thr, turnA); end.Str("status") != tt.a || tt.a == "failed" && end.Str("error.code") != "ServerRestarted" {
				t.Errorf("A ended as %s", end)
			}
			endB := c1.End(thr, turnB)
			if tt.lost {
				if !endB.fits(p{"status": "failed", "error.code": "ServerRestarted", "error.retryable": true, "attempt": 1}) {
					t.Errorf("B ended as %s", endB)
				}
				c1.Await("item/completed", p{"turnId": turnB, "item.type": "notice", "item.kind": "restarted"})
			} else if !endB.fits(p{"status": "completed", "text": "B", "attempt": tt.attempt}) {
				t.Errorf("B ended as %s", endB)
			}
			if end := c1.End(thr, turnC); !end.fits(p{"status": "completed", "text": "C", "attempt": 1}) {
				t.Errorf("C ended as %s", end)
			}
			want := map[string]string{a: tt.a, b: endB.Str("status"), c: "completed"}
			if got := s08Places(t, c1, thr); of(got).String() != of(want).String() {
				t.Errorf("at the end the inputs are found at %v; want %v", got, want)
			}
		})
	}
}

// The input is the first of an idle thread, or enters the queue; its sender hears nothing.
func TestS08_CrashAroundAcceptance(t *testing.T) {
	cases := []struct {
		name, fault string
		busy        bool
		want        string // where the input is found; "": nowhere
		attempt     int
	}{
		{"before a start is kept", "kill-before:turn/started", false, "", 0},
		{"after a start is kept", "kill-after:turn/started", false, "completed", 2},
		{"before a place in the queue is kept", "kill-before:turn/queued", true, "", 0},
		{"after a place in the queue is kept", "kill-after:turn/queued", true, "queued", 1},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			d := startDaemon(t, fault(tt.fault))
			c := d.Dial("unix")
			thr := c.StartThread(nil)
			if tt.busy {
				c.Hold(thr, "/say A")
			}
			if r, err := c.Do("turn/enqueue", p{"threadId": thr, "input": "/say B"}); err == nil {
				t.Errorf("the daemon died, and answered %s", r)
			}
			d.AwaitDeath()
			d.SetFault("")
			d.Start()
			c = d.Dial("unix")
			if tt.want == "completed" {
				turns := c.ReadAll(thr).Each("turns", "id")
				if len(turns) != 1 {
					t.Fatalf("the thread has the turns %v", turns)
				}
				if end := c.End(thr, turns[0]); !end.fits(p{"text": "B", "attempt": tt.attempt}) {
					t.Errorf("the turn ended as %s", end)
				}
			}
			if got := s08Places(t, c, thr)["/say B"]; got != tt.want {
				t.Errorf("the input is found as %q; want %q", got, tt.want)
			}
		})
	}
}

func TestS08_DeleteWhileRunning(t *testing.T) {
	d := startDaemon(t, leaves(1), config("limits.max_parked = 1"))
	c1, c2 := d.Dial("unix"), d.Dial("ws")
	thr, other := c1.StartThread(nil), c1.StartThread(nil)
	stuck := c1.Run(thr, "/say x\n/stuck")
	c1.Await("item/completed", p{"turnId": stuck, "item.type": "agentMessage"})
	queued := c1.Enqueue(thr, "one")
	c2.Call("thread/subscribe", p{"threadId": thr, "afterSeq": 0})
	wait := c2.parked(thr, stuck)

	c1.Refused("thread/delete", p{"threadId": thr}).Want(t, -32012, "TurnInProgress")
	if r := c1.Call("thread/delete", p{"threadId": thr, "ifBusy": "interrupt"}); !r.Bool("deleted") {
		t.Errorf("thread/delete answers %s", r)
	}
	for _, c := range []*client{c1, c2} {
		gone := c.Await("thread/deleted", p{"threadId": thr})
		for _, id := range []string{stuck, queued} {
			if end := c.Await("turn/cancelled", p{"turnId": id, "turn.cancelReason": "threadEnded"}); end.n > gone.n {
				t.Errorf("%s heard of the end of %s behind the end of the thread", c.name, id)
			}
		}
		c.Never("turn/started", p{"turnId": queued})
	}
	if r := wait.Result(); r.Str("turn.status") != "cancelled" {
		t.Errorf("turn/wait answers %s", r)
	}
	s08Gone(t, c2, thr)
	d.Restart()
	c1 = d.Dial("unix")
	s08Gone(t, c1, thr)
	if got := c1.Call("thread/list", nil).Each("data", "id"); !slices.Equal(got, []string{other}) {
		t.Errorf("thread/list gives %v", got)
	}
}

// s08Gone requires that nothing can be done with a thread, nor its id be used again.
func s08Gone(t *testing.T, c *client, thr string) {
	t.Helper()
	for method, params := range map[string]p{
		"thread/read": {}, "thread/subscribe": {"afterSeq": 0}, "turn/run": {"input": "x"}, "thread/items/list": {}, "thread/delete": {},
	} {
		params["threadId"] = thr
		c.Refused(method, params).Want(t, -32010, "ThreadNotFound")
	}
	c.Refused("thread/start", p{"threadId": thr}).Want(t, -31120, "ThreadExists")
}

// An agent that streams is not heard of after the thread is gone.
func TestS08_DeleteWhileStreaming(t *testing.T) {
	d := startDaemon(t)
	c1, c2 := d.Dial("unix"), d.Dial("ws")
	for range 10 {
		thr := c1.StartThread(nil)
		c2.Call("thread/subscribe", p{"threadId": thr})
		turn := c1.Run(thr, "/deltas 100000 10 1ms")
		c2.Await("item/agentMessage/delta", p{"turnId": turn})
		c1.Call("thread/delete", p{"threadId": thr, "ifBusy": "interrupt"})
		c2.Await("thread/deleted", p{"threadId": thr})
	}
	c1.Call("server/ping", nil)
	c2.Call("server/ping", nil)
}

// Deleting is one commit: either all of the thread is there, or nothing.
func TestS08_CrashAroundDelete(t *testing.T) {
	for _, when := range []string{"kill-before", "kill-after"} {
		t.Run(when, func(t *testing.T) {
			d := startDaemon(t, fault(when+":turn/cancelled"))
			c := d.Dial("unix")
			thr := c.StartThread(nil)
			held := c.Hold(thr, "/say A")
			queued := c.Enqueue(thr, "one")
			c.Go("thread/delete", p{"threadId": thr, "ifBusy": "interrupt"})
			d.AwaitDeath()
			d.SetFault("")
			d.Start()
			c = d.Dial("unix")
			if when == "kill-after" {
				s08Gone(t, c, thr)
				return
			}
			if end := c.End(thr, held); end.Str("error.code") != "ServerRestarted" {
				t.Errorf("the running turn ended as %s", end)
			}
			if list := c.Call("turn/queue/list", p{"threadId": thr}); !slices.Equal(list.Each("turns", "id"), []string{queued}) {
				t.Errorf("the queue is %s", list)
			}
		})
	}
}
