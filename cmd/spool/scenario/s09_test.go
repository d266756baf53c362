package scenario_test

import "testing"

func s09Run(key, input string) func(thr string) p {
	return func(thr string) p {
		return p{"threadId": thr, "input": input, "ifBusy": "enqueue", "idempotencyKey": key}
	}
}

var (
	s09Deploy = s09Run("k1", "/hold\n/say deployed")
	s09Other  = s09Run("k1", "/say something else")
)

func TestS09_RetryAfterALostResponse(t *testing.T) {
	for _, transport := range []string{"unix", "ws", "stdio"} {
		t.Run(transport, func(t *testing.T) {
			d := startDaemon(t)
			watcher, c := d.Dial("unix"), d.Dial(transport)
			thr := watcher.StartThread(nil)

			// The request is committed, and its response never read.
			c.PauseReading()
			run := c.Go("turn/run", s09Deploy(thr))
			turn := watcher.Await("turn/started", nil).TurnID
			c.Drop()
			if r, err := run.Wait(); err == nil {
				t.Fatalf("the answer was read: %s", r)
			}

			again := d.Dial(transport)
			r := again.Call("turn/run", s09Deploy(thr))
			if !r.fits(p{"replayed": true, "disposition": "started", "turn.id": turn}) {
				t.Errorf("the repeated request answers %s; want turn %s", r, turn)
			}
			again.Refused("turn/run", s09Other(thr)).Want(t, -31121, "IdempotencyMismatch")
			wait := again.Go("turn/wait", p{"threadId": thr, "turnId": turn})
			watcher.Release(thr, turn)
			if r := wait.Result(); r.Str("turn.text") != "deployed" {
				t.Errorf("turn/wait answers %s", r)
			}

			// The end of the turn and a restart change nothing about it.
			if r := again.Call("turn/run", s09Deploy(thr)); !r.fits(p{"replayed": true, "turn.id": turn}) {
				t.Errorf("after the turn the repeated request answers %s", r)
			}
			d.Restart()
			again = d.Dial(transport)
			if r := again.Call("turn/run", s09Deploy(thr)); !r.fits(p{"replayed": true, "turn.id": turn}) {
				t.Errorf("after a restart the repeated request answers %s", r)
			}
			again.Refused("turn/run", s09Other(thr)).Want(t, -31121, "IdempotencyMismatch")
			if n := len(again.ReadAll(thr).List("turns")); n != 1 {
				t.Errorf("the thread has %d turns", n)
			}
			// Another thread has keys of its own.
			second := again.StartThread(nil)
			if r := again.Call("turn/run", s09Other(second)); r.Bool("replayed") || r.Str("disposition") != "started" {
				t.Errorf("the same key on another thread answers %s", r)
			} else {
				again.End(second, r.Str("turn.id"))
			}
		})
	}
}

// The same request arrives many times at once.
func TestS09_AtOnce(t *testing.T) {
	d := startDaemon(t)
	watcher := d.Dial("unix")
	thr := watcher.StartThread(nil)
	var answers []*answer
	for i := range 12 {
		answers = append(answers, d.Dial([]string{"unix", "ws"}[i%2]).Go("turn/run", s09Deploy(thr)))
	}
	turn, first := watcher.Await("turn/started", nil).TurnID, 0
	for _, a := range answers {
		r := a.Result()
		if r.Str("turn.id") != turn {
			t.Errorf("%s", r)
		}
		if !r.Bool("replayed") {
			first++
		}
	}
	if first != 1 {
		t.Errorf("%d answers are not replayed; want 1", first)
	}
	watcher.Release(thr, turn)
	watcher.End(thr, turn)
}

// The daemon dies around the commit. Kept: the repeat answers the same turn. Not kept: the
// repeat is the first.
func TestS09_TheDaemonDies(t *testing.T) {
	for when, kept := range map[string]bool{"kill-before": false, "kill-after": true} {
		t.Run(when, func(t *testing.T) {
			d := startDaemon(t, fault(when+":turn/started"))
			c := d.Dial("ws")
			thr := c.StartThread(nil)
			if r, err := c.Do("turn/run", s09Run("k1", "deploy")(thr)); err == nil {
				t.Errorf("the daemon died, and answered %s", r)
			}
			d.AwaitDeath()
			d.SetFault("")
			d.Start()
			c = d.Dial("ws")
			r := c.Call("turn/run", s09Run("k1", "deploy")(thr))
			if r.Bool("replayed") != kept {
				t.Errorf("the repeated request answers %s", r)
			}
			if tn := c.End(thr, r.Str("turn.id")); tn.Str("text") != "deploy" {
				t.Errorf("the turn ended as %s", tn)
			}
			if n := len(c.ReadAll(thr).List("turns")); n != 1 {
				t.Errorf("the thread has %d turns", n)
			}
		})
	}
}

// Keys work for every request that changes something, and where there is no thread yet.
func TestS09_OtherRequests(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	start := c.Call("thread/start", p{"idempotencyKey": "s", "title": "one"})
	thr := start.Str("thread.id")
	if r := c.Call("thread/start", p{"idempotencyKey": "s", "title": "one"}); !r.Bool("replayed") || r.Str("thread.id") != thr {
		t.Errorf("thread/start again answers %s", r)
	}
	c.Refused("thread/start", p{"idempotencyKey": "s", "title": "two"}).Want(t, -31121, "IdempotencyMismatch")

	held := c.Hold(thr, "/say A")
	queued := c.Enqueue(thr, "one")
	for _, call := range []struct {
		method string
		params p
	}{
		{"turn/queue/update", p{"turnId": queued, "input": "new", "expectedRevision": 1}},
		{"turn/queue/remove", p{"turnId": queued, "expectedRevision": 2}},
		{"turn/steer", p{"expectedTurnId": held, "input": "hm"}},
		{"thread/rename", p{"title": "renamed"}},
		{"turn/interrupt", p{"turnId": held}},
	} {
		call.params["threadId"], call.params["idempotencyKey"] = thr, call.method
		first := c.Call(call.method, call.params)
		if call.method == "turn/steer" {
			c.Await("item/completed", p{"turnId": held, "item.delivery": "steer"}) // the agent has taken it
		}
		head := c.Sync(thr).Int("thread.headSeq")
		if call.method == "turn/interrupt" {
			c.End(thr, held)
			head = c.Sync(thr).Int("thread.headSeq")
		}
		again := c.Call(call.method, call.params)
		if !again.Bool("replayed") || again.Without("replayed").String() != first.String() {
			t.Errorf("%s answers %s, and again %s", call.method, first, again)
		}
		if now := c.Sync(thr).Int("thread.headSeq"); now != head {
			t.Errorf("%s again changed the thread: seq %d, then %d", call.method, head, now)
		}
	}
	if n := len(c.Seen("item/completed", p{"turnId": held, "item.delivery": "steer"})); n != 1 {
		t.Errorf("what was steered once came %d times", n)
	}
}

// A client that is cut off before it is answered repeats its requests over a new connection,
// and needs nothing else to get what it asked for.
func TestS09_NewConnection(t *testing.T) {
	d := startDaemon(t)
	for _, transport := range []string{"unix", "ws"} {
		t.Run(transport, func(t *testing.T) {
			start := p{"idempotencyKey": "start " + transport}
			lost := d.Dial(transport)
			thr := lost.Call("thread/start", start).Str("thread.id")
			lost.Drop()

			c := d.Dial(transport)
			if r := c.Call("thread/start", start); !r.Bool("replayed") || r.Str("thread.id") != thr {
				t.Fatalf("thread/start again answers %s", r)
			}
			c.Await("thread/started", p{"threadId": thr})
			tn := c.Call("turn/run", s09Run("run", "/say one")(thr)).Str("turn.id")
			c.Await("turn/completed", p{"turnId": tn})
			c.Drop()

			c = d.Dial(transport)
			if r := c.Call("turn/run", s09Run("run", "/say one")(thr)); !r.Bool("replayed") || r.Str("turn.id") != tn {
				t.Fatalf("turn/run again answers %s", r)
			}
			c.Await("turn/started", p{"turnId": tn})
			if e := c.Await("turn/completed", p{"turnId": tn}); e.Body().Str("turn.text") != "one" {
				t.Errorf("the new connection got %s", e.Body())
			}
			c.Close()
		})
	}
}
