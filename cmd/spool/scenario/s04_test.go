package scenario_test

import (
	"errors"
	"slices"
	"testing"
)

// s04Thread starts a thread with a held turn and three queued ones.
func s04Thread(c *client, inputs ...string) (thr, held string, queued []string) {
	thr = c.StartThread(nil)
	held = c.Hold(thr, "/say held")
	for _, in := range inputs {
		queued = append(queued, c.Enqueue(thr, in))
	}
	return thr, held, queued
}

func TestS04_EditingTheQueueWhileItDrains(t *testing.T) {
	d := startDaemon(t)
	c1, c2 := d.Dial("unix"), d.Dial("ws")
	t.Run("one of two editors wins", func(t *testing.T) {
		for range 10 {
			thr, held, q := s04Thread(c1, "one", "two", "three")
			c2.Call("thread/subscribe", p{"threadId": thr})
			order := []string{q[2], q[0], q[1]}
			reorder := c1.Go("turn/queue/reorder", p{"threadId": thr, "order": order, "expectedRevision": 3})
			update := c2.Go("turn/queue/update", p{"threadId": thr, "turnId": q[1], "input": "new text", "expectedRevision": 3})
			rv, rerr := reorder.Wait()
			uv, uerr := update.Wait()
			win, lost, ids := rv, uerr, order
			if rerr != nil {
				win, lost, ids = uv, rerr, q
			}
			we, ok := errors.AsType[*wireError](lost)
			if !ok || win.Int("revision") != 4 {
				t.Fatalf("reorder: %v %v; update: %v %v; want one winner", rv, rerr, uv, uerr)
			}
			we.Want(t, -31112, "Conflict")
			if we.At("revision").String() != "4" || we.At("paused").String() != "false" || !slices.Equal(we.At("turnIds").Strs(""), ids) {
				t.Errorf("the loser is told %v", we.Data)
			}
			// The loser tries again with what it was told.
			if rerr != nil {
				c1.Call("turn/queue/reorder", p{"threadId": thr, "order": order, "expectedRevision": 4})
			} else {
				c2.Call("turn/queue/update", p{"threadId": thr, "turnId": q[1], "input": "new text", "expectedRevision": 4})
			}
			edit := c2.Await("thread/queue/updated", p{"threadId": thr, "revision": 5})
			if !slices.Equal(edit.Body().Strs("turnIds"), order) {
				t.Errorf("both edits made %s", edit.raw)
			}
			c1.Release(thr, held)
			if tn := c1.End(thr, q[1]); tn.Str("text") != "new text" {
				t.Errorf("the edited turn says %q", tn.Str("text"))
			}
			if s, two := c2.Await("turn/started", p{"turnId": q[2]}), c2.Await("turn/started", p{"turnId": q[1]}); s.Seq > two.Seq {
				t.Error("the new order was not kept")
			}
		}
	})
	t.Run("removed before it starts", func(t *testing.T) {
		thr, held, q := s04Thread(c1, "one", "two")
		removed := c1.Call("turn/queue/remove", p{"threadId": thr, "turnId": q[0], "expectedRevision": 2})
		if removed.Int("revision") != 3 {
			t.Errorf("remove answers %s", removed)
		}
		gone := c1.Await("turn/cancelled", p{"turnId": q[0]}).Body()
		if !gone.fits(p{"turn.cancelReason": "user", "turn.cancelledBy.connectionId": c1.ID, "queue.revision": 3, "queue.length": 1}) {
			t.Errorf("the removed turn ends with %s", gone)
		}
		c1.Release(thr, held)
		c1.End(thr, q[1])
		c1.Never("turn/started", p{"turnId": q[0]})
		e := c1.Refused("turn/queue/remove", p{"threadId": thr, "turnId": q[0], "expectedRevision": 3})
		e.Want(t, -31112, "Conflict")
		if e.At("turn.id").Str("") != q[0] || e.At("turn.status").Str("") != "cancelled" {
			t.Errorf("a turn that has left the queue: %v", e.Data)
		}
	})
	t.Run("removed after it has started", func(t *testing.T) {
		thr, held, q := s04Thread(c1, "/hold", "two")
		c1.Release(thr, held)
		c1.Await("turn/started", p{"turnId": q[0]})
		e := c1.Refused("turn/queue/remove", p{"threadId": thr, "turnId": q[0], "expectedRevision": 2})
		e.Want(t, -31112, "Conflict")
		if e.At("turn").String() != of(p{"id": q[0], "status": "running"}).String() || e.At("revision").String() != "3" || !slices.Equal(e.At("turnIds").Strs(""), q[1:]) {
			t.Errorf("the removal is told %v", e.Data)
		}
		c1.Release(thr, q[0])
		c1.End(thr, q[1])
	})
	t.Run("removed just when it starts", func(t *testing.T) { s04Race(t, c1, c2) })
	t.Run("what is refused", func(t *testing.T) {
		thr, held, q := s04Thread(c1, "one", "two")
		for _, method := range []string{"turn/queue/remove", "turn/queue/update"} {
			params := p{"threadId": thr, "turnId": "trn_01ARZ3NDEKTSV4RRFFQ69G5FAV", "expectedRevision": 2}
			if method == "turn/queue/update" {
				params["input"] = "x"
			}
			c1.Refused(method, params).Want(t, -32013, "TurnNotFound")
		}
		for _, order := range [][]string{{q[0]}, {q[0], q[0]}, {q[0], q[1], held}, {}} {
			e := c1.Refused("turn/queue/reorder", p{"threadId": thr, "order": order, "expectedRevision": 2})
			e.Want(t, -32602, "InvalidParams")
			if e.At("field").Str("") != "order" {
				t.Errorf("the order %v is refused with %v", order, e.Data)
			}
		}
		c1.Refused("turn/queue/clear", p{"threadId": thr, "expectedRevision": 1}).Want(t, -31112, "Conflict")
		if r := c1.Call("turn/queue/clear", p{"threadId": thr, "expectedRevision": 2}); r.Int("revision") != 3 {
			t.Errorf("clear answers %s", r)
		}
		for _, id := range q {
			c1.Await("turn/cancelled", p{"turnId": id, "turn.cancelReason": "queueCleared"})
		}
		c1.Release(thr, held)
		c1.End(thr, held)
	})
}

// s04Race removes a turn while the one before it ends: it is removed, or it runs, never
// both and never neither.
func s04Race(t *testing.T, c1, c2 *client) {
	removed, ran := 0, 0
	for range max(20, *repeats/5) {
		thr, held, q := s04Thread(c1, "one", "two")
		release := c2.Go("turn/steer", p{"threadId": thr, "expectedTurnId": held, "input": "release"})
		_, err := c1.Do("turn/queue/remove", p{"threadId": thr, "turnId": q[0], "expectedRevision": 2})
		release.Result()
		c1.End(thr, q[1])
		end := c1.End(thr, q[0])
		we, refused := errors.AsType[*wireError](err)
		switch {
		case err == nil:
			removed++
			c1.Never("turn/started", p{"turnId": q[0]})
			if end.Str("status") != "cancelled" || end.Has("startedAt") {
				t.Errorf("the removal was answered, and the turn is %s", end)
			}
		case refused:
			ran++
			we.Want(t, -31112, "Conflict")
			if we.At("turn.id").Str("") != q[0] || end.Str("status") != "completed" {
				t.Errorf("the removal was refused with %v, and the turn is %s", we, end)
			}
		default:
			t.Fatal(err)
		}
	}
	t.Logf("removed %d times, too late %d times", removed, ran)
}
