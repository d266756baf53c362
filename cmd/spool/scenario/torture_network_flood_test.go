package scenario_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// floodKind is a kind of request in a flood; ordered: its answers come in the order of the
// requests.
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

// floodIDs is the first id of a flood.
const floodIDs = 100

// TestTortureNetworkFlood: a client sends thousands of requests and reads no answer before
// it has sent them all, or can send no more. In the end it has an answer to each.
func TestTortureNetworkFlood(t *testing.T) {
	requests := 500
	if *tortureLong {
		requests = 10000
	}
	const parked = 50
	for _, transport := range []string{"unix", "ws"} {
		t.Run(transport, func(t *testing.T) {
			d := startDaemon(t, config(fmt.Sprintf("limits.max_queued = 100000\nlimits.max_parked = %d", parked)))
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
			before := d.memory()
			f := d.flood(transport, b, kinds, requests)
			d.grewBelow(before, 128<<20, fmt.Sprintf("%d requests, %d bytes of them taken, no answer read", requests, f.written.Load()))
			f.read(requests - parked)
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
		return still > 100
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
		switch {
		case m.Has("result"):
			results[k.method]++
		case m.Int("error.code") == -32001 && m.Int("error.data.retryAfterMs") > 0:
			refused[k.method]++
		default:
			f.s.t.Errorf("%s is answered with %s", k.method, m)
		}
	}
	f.s.t.Logf("carried out %v, refused %v", results, refused)
	for _, k := range f.kinds {
		if k.ordered && refused[k.method] > 0 {
			f.s.t.Errorf("%d of %s were refused", refused[k.method], k.method)
		}
	}
	var ordered []int
	for _, id := range f.order {
		if f.kinds[(id-floodIDs)%len(f.kinds)].ordered {
			ordered = append(ordered, id)
		}
	}
	if !slices.IsSorted(ordered) {
		f.s.t.Error("requests that are carried out one after another were not answered in their order")
	}
}
