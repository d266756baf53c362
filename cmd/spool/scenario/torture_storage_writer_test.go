package scenario_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// writer gives inputs to threads, one after the other on each, and notes what was
// acknowledged.
type writer struct {
	mu      sync.Mutex
	acked   []ackedTurn
	grown   chan struct{} // closed at the next one
	working sync.WaitGroup
}

// ackedTurn is an input whose answer has come.
type ackedTurn struct {
	thread, turn, text string
	over               bool // and it was told as completed
}

// lanes is how many clients of a writer work at a time.
const lanes = 4

// startWriter makes a client for each lane, which works until its connection ends or an
// input is refused or does not complete.
func startWriter(d *daemon, opts ...dialOption) *writer {
	w := &writer{grown: make(chan struct{})}
	clients, threads := make([]*client, lanes), make([]string, lanes)
	for lane := range lanes {
		clients[lane] = d.Dial("unix", append(opts[:len(opts):len(opts)], named(fmt.Sprintf("lane %d", lane)))...)
		threads[lane] = clients[lane].StartThread(nil)
	}
	for lane, c := range clients {
		w.working.Go(func() {
			for n := 0; w.input(c, threads[lane], fmt.Sprintf("lane %d, input %d %s", lane, n, strings.Repeat("x", rand.IntN(2000)))); n++ {
			}
		})
	}
	return w
}

// input runs one input; false: there will be no more.
func (w *writer) input(c *client, thr, text string) bool {
	a := c.Go("turn/run", p{"threadId": thr, "input": "/say " + text, "ifBusy": "enqueue"})
	<-a.done
	if a.m == nil || a.m.err != nil {
		return false
	}
	turn := a.m.Body().Str("turn.id")
	w.note(ackedTurn{thread: thr, turn: turn, text: text})
	end := c.Go("turn/wait", p{"threadId": thr, "turnId": turn})
	<-end.done
	if end.m == nil || end.m.err != nil || end.m.Body().Str("turn.status") != "completed" {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.acked, func(k ackedTurn) bool { return k.turn == turn })
	w.acked[i].over = true
	return true
}

func (w *writer) note(k ackedTurn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked = append(w.acked, k)
	close(w.grown)
	w.grown = make(chan struct{})
}

// await waits until n more inputs were acknowledged.
func (w *writer) await(t testing.TB, n int) {
	t.Helper()
	limit := time.After(patience)
	for all := len(w.known()) + n; ; {
		w.mu.Lock()
		have, grown := len(w.acked), w.grown
		w.mu.Unlock()
		if have >= all {
			return
		}
		select {
		case <-grown:
		case <-limit:
			t.Fatalf("only %d of %d inputs are acknowledged", have, all)
		}
	}
}

// known returns what was acknowledged so far.
func (w *writer) known() []ackedTurn {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.acked)
}

// keeps requires that a daemon that was started again has all that was acknowledged, and
// goes on with it.
func (d *daemon) keeps(acked []ackedTurn) {
	d.t.Helper()
	c := d.Dial("unix", named("afterwards"))
	for _, a := range acked {
		r := c.Call("turn/read", p{"threadId": a.thread, "turnId": a.turn})
		if a.over && (r.Str("turn.status") != "completed" || r.Str("turn.text") != a.text) {
			d.t.Errorf("turn %s was completed with %.40q, and now is %s", a.turn, a.text, r.At("turn"))
		}
		c.Sync(a.thread) // so that Check looks at the thread
	}
	for _, th := range threadsOf([]*client{c}) {
		c.Call("turn/queue/resume", p{"threadId": th})
		c.End(th, c.Enqueue(th, "/say and on"))
	}
}
