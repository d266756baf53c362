package scenario_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// floodKind is a kind of request in a flood; ordered: its results come in the order of the
// requests. A refusal changes nothing, waits for no commit, and may come before them.
type floodKind struct {
	method  string
	ordered bool
	params  p
}

// flooding is a flood under way.
type flooding struct {
	s       *socket
	web     bool
	kinds   []floodKind
	writer  sync.WaitGroup
	written atomic.Int64
	answers map[int]value // by id
	order   []int
}

const (
	// floodIDs is the first id of a flood.
	floodIDs = 100
	// floodQueued and floodParked are how many turns may be queued, and how many requests
	// may wait for one. A flood has more of both.
	floodQueued = 100
	floodParked = 50
	// floodMemory is the most that may be held for a client that floods: what the daemon
	// keeps is bounded by the requests in work and the outbox, not by what the client sends.
	floodMemory = 96 << 20
)

// TestTortureNetworkFlood: a client sends thousands of requests and reads no answer before
// it has sent them all, or can send no more. In the end it has an answer to each.
func TestTortureNetworkFlood(t *testing.T) {
	requests := 1000
	if *tortureLong {
		requests = 10000
	}
	for _, transport := range []string{"unix", "ws"} {
		t.Run(transport, func(t *testing.T) {
			d := startDaemon(t, config(fmt.Sprintf("limits.max_queued = %d\nlimits.max_parked = %d", floodQueued, floodParked)))
			b := d.bystander()
			thr := b.StartThread(nil)
			held := b.Hold(thr, "/say done")
			kinds := []floodKind{
				{"turn/enqueue", true, p{"threadId": thr, "input": "/say x"}},
				{"thread/read", false, p{"threadId": thr}},
				{"thread/metadata/update", true, p{"threadId": thr, "metadata": p{"n": 1}}},
				{"turn/wait", false, p{"threadId": thr, "turnId": held}},
				{"server/ping", false, nil},
			}
			before, began := d.memory(), time.Now()
			f := d.flood(transport, b, kinds, requests)
			t.Logf("%d bytes of requests were taken, and no answer was read", f.written.Load())
			f.read(requests - floodParked)
			t.Logf("%d requests in %v", requests, time.Since(began))
			d.grewBelow(before, floodMemory, "the flood")
			revision := b.Call("turn/queue/list", p{"threadId": thr}).Int("revision")
			b.Call("turn/queue/clear", p{"threadId": thr, "expectedRevision": revision})
			b.Release(thr, held)
			f.read(requests)
			f.writer.Wait()
			f.check(requests)
			f.s.cut(true)
			b.Undisturbed()
		})
	}
}

// flood writes the requests, and returns when all were sent or the daemon takes no more.
func (d *daemon) flood(transport string, b *bystander, kinds []floodKind, requests int) *flooding {
	d.t.Helper()
	f := &flooding{web: transport == "ws", kinds: kinds, answers: map[int]value{}}
	f.s = d.rawSocket(f.web)
	_ = f.s.SetDeadline(time.Now().Add(4 * patience))
	for _, m := range greeting() {
		f.s.send(m, f.web)
	}
	f.writer.Go(func() {
		for i := range requests {
			k := kinds[i%len(kinds)]
			n, err := f.s.Write([]byte(framed(rpc(floodIDs+i, k.method, k.params), f.web)))
			if err != nil {
				d.t.Errorf("request %d cannot be sent: %v", i, err)
				return
			}
			f.written.Add(int64(n))
		}
	})
	last, still := int64(-1), 0
	poll(b.client, "that the daemon takes no more", func() bool {
		if now := f.written.Load(); now != last {
			last, still = now, 0
		}
		still++
		return still > 50
	})
	return f
}

// read reads until so many requests are answered.
func (f *flooding) read(requests int) {
	f.s.t.Helper()
	for len(f.order) < requests {
		raw, err := f.s.receive(f.web)
		if err != nil {
			f.s.t.Fatalf("after %d of %d answers: %v", len(f.order), requests, err)
		}
		m := parse(raw)
		if id := m.Int("id"); id >= floodIDs && !m.Has("method") {
			if f.answers[id].v != nil {
				f.s.t.Errorf("request %d is answered twice", id)
			}
			f.answers[id] = m
			f.order = append(f.order, id)
		}
	}
}

// check requires that each request was carried out, or was refused because there were too
// many, and the order of the answers.
func (f *flooding) check(requests int) {
	f.s.t.Helper()
	results, refused := map[string]int{}, map[string]int{}
	for i := range requests {
		k, m := f.kinds[i%len(f.kinds)], f.answers[floodIDs+i]
		overloaded := m.Int("error.code") == -32001 && m.Int("error.data.retryAfterMs") > 0
		full := m.Int("error.code") == -31117 && m.Int("error.data.limit") == floodQueued
		switch {
		case m.Has("result"):
			results[k.method]++
			if n := results[k.method]; k.method == "turn/enqueue" && m.Int("result.turn.position") != n {
				f.s.t.Errorf("the turn that was accepted as number %d is at place %s", n, m.At("result.turn.position"))
			}
		case k.method == "turn/wait" && overloaded, k.method == "turn/enqueue" && full:
			refused[k.method]++
		default:
			f.s.t.Errorf("%s is answered with %s", k.method, m)
		}
	}
	f.s.t.Logf("carried out %v, refused %v", results, refused)
	if results["turn/enqueue"] != floodQueued || results["turn/wait"] != floodParked {
		f.s.t.Errorf("%d turns were queued and %d requests waited, want %d and %d",
			results["turn/enqueue"], results["turn/wait"], floodQueued, floodParked)
	}
	var ordered []int
	for _, id := range f.order {
		if f.kinds[(id-floodIDs)%len(f.kinds)].ordered && f.answers[id].Has("result") {
			ordered = append(ordered, id)
		}
	}
	if !slices.IsSorted(ordered) {
		f.s.t.Error("requests that are carried out one after another did not give their results in their order")
	}
}
