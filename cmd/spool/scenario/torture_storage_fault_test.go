package scenario_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestTortureStorageFault lets a commit fail, in the middle of the work of several clients
// and while others wait behind it on a slow disk: nothing that comes later is acknowledged,
// all can be read, and after a restart all that was acknowledged is there.
func TestTortureStorageFault(t *testing.T) {
	rounds := 3
	if *tortureLong {
		rounds = 40
	}
	for range rounds {
		failing := 2*lanes + rand.IntN(150)
		t.Run(fmt.Sprintf("commit %d", failing), func(t *testing.T) { faultAt(t, failing) })
	}
}

func faultAt(t *testing.T, failing int) {
	d := startDaemon(t, fault(fmt.Sprintf("delay:nth:1ms,fail:nth:%d", failing)))
	w := startWriter(d)
	w.working.Wait()
	acked := w.known()
	c := d.Dial("ws")
	for _, a := range acked {
		c.unavailable("turn/run", p{"threadId": a.thread, "input": "/say never"})
		c.unavailable("thread/rename", p{"threadId": a.thread, "title": "never"})
	}
	c.unavailable("thread/start", nil)
	for _, a := range acked {
		if !a.over { // its end may be what could not be kept
			continue
		}
		if r := c.Call("turn/read", p{"threadId": a.thread, "turnId": a.turn}); r.Str("turn.text") != a.text {
			t.Errorf("turn %s is read as %s", a.turn, r.At("turn"))
		}
	}
	for _, th := range threadsOf(d.clients) {
		if title := c.ReadAll(th).Str("thread.title"); title == "never" {
			t.Errorf("thread %s has a title that was refused", th)
		}
	}
	d.SetFault("")
	d.Restart()
	d.keeps(acked)
}

// unavailable requires that a request is refused because nothing can be stored, with a hint.
func (c *client) unavailable(method string, params p) {
	c.t.Helper()
	e := c.Refused(method, params)
	e.Want(c.t, -31130, "StorageUnavailable")
	if e.At("hint").Str("") == "" {
		c.t.Errorf("%s is refused without a hint: %v", method, e)
	}
}
