package scenario_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// folded is what a program holds that follows a thread with the sdk.
type folded struct {
	t    testing.TB
	mu   sync.Mutex
	seqs []uint64
	text map[string]string // of items
	open map[string]bool   // items in progress
	ends map[string]string // of turns: status and text
}

// follow folds the events of a thread from its beginning until ctx ends.
func (f *folded) follow(ctx context.Context, s *sdk.Subscription) {
	for ev, err := range s.Events(ctx) {
		switch {
		case errors.Is(err, context.Canceled):
			return
		case err != nil:
			f.t.Errorf("the subscription ends with %v", err)
			return
		}
		f.apply(ev)
	}
}

func (f *folded) apply(ev sdk.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ev.Seq > 0 {
		f.seqs = append(f.seqs, ev.Seq)
	}
	if ev.ItemID != "" && ev.Type != sdk.EventUsageDelta {
		f.text[ev.ItemID] = ev.Text
		if ev.Item != nil {
			f.open[ev.ItemID] = ev.Item.Status == protocol.ItemInProgress
		}
	}
	if ev.Terminal() {
		f.ends[ev.TurnID] = string(ev.Turn.Status) + ": " + ev.Turn.Text
	}
}

// differs says in what the folded state is not that of thread/read; "" is nothing.
func (f *folded) differs(read value) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	head := uint64(read.Int("thread.headSeq"))
	if n := uint64(len(f.seqs)); n < head {
		return fmt.Sprintf("it has %d of %d events", n, head)
	}
	for _, tn := range read.List("turns") {
		id, status := tn.Str("id"), tn.Str("status")
		if status != "running" && f.ends[id] != status+": "+tn.Str("text") {
			return fmt.Sprintf("turn %s ended as %q, and thread/read has %s", id, f.ends[id], tn)
		}
		for _, it := range tn.List("items") {
			if id, text := it.Str("id"), itemText(it); f.text[id] != text || f.open[id] != (it.Str("status") == "inProgress") {
				return fmt.Sprintf("of item %s it holds %q (open: %v), and thread/read has %s", id, f.text[id], f.open[id], it)
			}
		}
	}
	return ""
}

// inOrder requires that every durable event came once, and in order.
func (f *folded) inOrder() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, seq := range f.seqs {
		if seq != uint64(i)+1 {
			f.t.Errorf("the durable events came as %v", f.seqs)
			return
		}
	}
}

// TestTortureNetworkSDK cuts what the daemon sends to a client of the sdk behind so many
// bytes, three times in a row; it connects again and holds what thread/read returns.
func TestTortureNetworkSDK(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			d := startDaemon(t)
			b, x := d.bystander(), d.proxy(network)
			step, most := 613, 9000
			if *tortureLong {
				step = 7
			}
			cuts := 0
			for n := 1; n < most; n += step {
				c := d.Dial("unix", named(fmt.Sprintf("control %d", n)))
				cuts += d.followThroughCuts(c, x, n)
				if thr := c.Call("thread/list", p{"limit": 1}).Str("data.0.id"); *tortureLong && thr != b.thread {
					c.Call("thread/delete", p{"threadId": thr, "ifBusy": "interrupt"})
				}
				c.Close()
				if t.Failed() {
					t.Fatalf("cut behind %d bytes", n)
				}
			}
			t.Logf("%d connections were lost", cuts)
			x.Close()
			b.Undisturbed()
		})
	}
}

// followThroughCuts follows a thread and runs a turn over connections of which the first
// three are cut behind n bytes, and returns how many connections that took beyond one.
func (d *daemon) followThroughCuts(c *client, x *proxy, n int) int {
	d.t.Helper()
	ctx, cancel := withTimeout()
	defer cancel()
	thr := c.StartThread(nil)
	made := x.Made()
	x.Cut(n, n, n)
	sc := x.sdk(ctx)
	defer sc.Close()
	after := uint64(0)
	sub, err := sc.Threads().Get(thr).Listen(ctx, &sdk.SubscribeOptions{AfterSeq: &after})
	if err != nil {
		d.t.Fatal(err)
	}
	defer sub.Close()
	f := &folded{t: d.t, text: map[string]string{}, open: map[string]bool{}, ends: map[string]string{}}
	following, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { f.follow(following, sub) })
	defer done.Wait()
	defer stop()

	const input = "/think about it\n/deltas 12 20\n/plan a; b\n/say all of it"
	result, err := sc.Threads().Get(thr).Run(ctx, sdk.Text(input), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	read := c.ReadAll(thr)
	turns := read.Each("turns", "id")
	if !slices.Equal(turns, []string{result.TurnID}) || read.Str("turns.0.text") != result.Text {
		d.t.Errorf("Run says %s %q; the thread has %s", result.TurnID, result.Text, read)
	}
	// A turn in whose midst nothing happens any more: the text of an item in progress.
	c.Run(thr, "/deltas 2 30 1h")
	differs := ""
	for {
		if differs = f.differs(c.ReadAll(thr)); differs == "" || ctx.Err() != nil {
			break
		}
	}
	if differs != "" {
		d.t.Errorf("what the sdk built up differs: %s", differs)
	}
	f.inOrder()
	c.Call("turn/interrupt", p{"threadId": thr})
	return x.Made() - made - 1
}

// sdk connects through the proxy; the first connections may be cut in their handshake.
func (x *proxy) sdk(ctx context.Context) *sdk.Client {
	x.t.Helper()
	o := &sdk.Options{Backoff: sdk.Backoff{Min: time.Millisecond, Max: 5 * time.Millisecond}}
	for {
		c, err := sdk.Connect(ctx, x.url, o)
		if err == nil {
			return c
		}
		if _, lost := errors.AsType[*sdk.TransportError](err); !lost || ctx.Err() != nil {
			x.t.Fatalf("a connection that was cut in its handshake: %v", err)
		}
	}
}
