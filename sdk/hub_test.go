package sdk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/server"
	"github.com/spoolhq/spool/storage/mem"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
	"github.com/spoolhq/spool/turn/agent/script"
)

// daemon is the real one, in this process, over pipes.
type daemon struct {
	t       testing.TB
	store   *mem.Store
	manager *thread.Manager
	hub     atomic.Pointer[server.Hub]
	// budgets are how many messages each of the next connections carries; then it is cut.
	budgets chan int
	dials   atomic.Int64
}

func newDaemon(t testing.TB) *daemon {
	d := &daemon{t: t, store: mem.New(), budgets: make(chan int, 1000)}
	d.start()
	return d
}

func (d *daemon) start() {
	d.t.Helper()
	m, err := thread.Open(context.Background(), thread.Config{
		Store: d.store, Ephemeral: mem.New(), Agents: []turn.Spec{script.Spec("script")}, Default: "script", Log: zerolog.Nop(),
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.manager = m
	d.hub.Store(server.New(server.Config{Manager: m, Log: zerolog.Nop(), Version: "1"}))
}

// stop stops the daemon; running turns are cancelled. The store has all commits then, as
// if it were closed. It needs a bubble.
func (d *daemon) stop() {
	d.t.Helper()
	if err := d.manager.Shutdown(context.Background(), 0); err != nil {
		d.t.Error(err)
	}
	if err := d.hub.Load().Close(context.Background()); err != nil {
		d.t.Error(err)
	}
	synctest.Wait()
}

// options make clients of this daemon.
func (d *daemon) options(o Options) *Options {
	o.Dial = func(context.Context) (io.ReadWriteCloser, error) {
		d.dials.Add(1)
		ours, theirs := net.Pipe()
		hub := d.hub.Load()
		go func() { // the bubble waits for it
			_ = hub.Serve(context.Background(), server.Lines(theirs, 16<<20), server.Local("unix"))
		}()
		select {
		case n := <-d.budgets:
			return newCutter(ours, n), nil
		default:
			return ours, nil
		}
	}
	return &o
}

func (d *daemon) connect(o Options) *Client {
	d.t.Helper()
	c, err := Connect(context.Background(), "", d.options(o))
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

// cutter is a connection that carries so many messages, in both directions together. The
// one that is one too many gets lost with it.
type cutter struct {
	net.Conn
	left   atomic.Int64
	in     *bufio.Reader
	unread []byte
}

func newCutter(c net.Conn, messages int) *cutter {
	k := &cutter{Conn: c, in: bufio.NewReaderSize(c, 1<<20)}
	k.left.Store(int64(messages))
	return k
}

func (k *cutter) spend() error {
	if k.left.Add(-1) < 0 {
		k.Close()
		return errors.New("cut")
	}
	return nil
}

func (k *cutter) Write(b []byte) (int, error) {
	if err := k.spend(); err != nil {
		return 0, err
	}
	return k.Conn.Write(b)
}

func (k *cutter) Read(b []byte) (int, error) {
	if len(k.unread) == 0 {
		line, err := k.in.ReadBytes('\n')
		if err != nil {
			return 0, err
		}
		if err := k.spend(); err != nil {
			return 0, err
		}
		k.unread = line
	}
	n := copy(b, k.unread)
	k.unread = k.unread[n:]
	return n, nil
}

// withDaemon runs a test with a daemon and a client in a bubble.
func withDaemon(t *testing.T, f func(t *testing.T, d *daemon, c *Client)) {
	t.Helper()
	bubble(t, func(t *testing.T) {
		d := newDaemon(t)
		c := d.connect(Options{})
		f(t, d, c)
		c.Close()
		d.stop()
	})
}

func startThread(t testing.TB, c *Client) *Thread {
	t.Helper()
	th, err := c.Threads().Start(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return th
}

func read(t testing.TB, th *Thread) *protocol.ThreadReadResult {
	t.Helper()
	r, err := th.Read(context.Background(), &protocol.ThreadReadParams{IncludeTurns: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestHubRun(t *testing.T) {
	withDaemon(t, func(t *testing.T, _ *daemon, c *Client) {
		th := startThread(t, c)
		res, err := th.Run(t.Context(), Text("/think hm\n/say hello world\n/usage 3 4"), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := read(t, th)
		turns := *got.Turns
		if res.Text != "hello world" || res.Usage.OutputTokens != 4 || len(turns) != 1 {
			t.Errorf("result %s", toJSON(res))
		}
		if diff := cmp.Diff(toJSON(turns[0].Items), toJSON(res.Items)); diff != "" {
			t.Errorf("the items of the result differ from those of thread/read: %s", diff)
		}
		if len(c.feeds)+len(c.lifelines) != 0 {
			t.Error("something is left of the run")
		}
		var fe *TurnFailedError
		if _, err := th.Run(t.Context(), Text("/say half\n/fail boom"), nil); !errors.As(err, &fe) || fe.Partial.Text != "half" || !strings.Contains(fe.Message, "boom") {
			t.Errorf("a failed turn: %v", err)
		}
	})
}

func TestHubRunStreamed(t *testing.T) {
	withDaemon(t, func(t *testing.T, _ *daemon, c *Client) {
		th := startThread(t, c)
		var types []EventType
		text := ""
		for ev, err := range th.RunStreamed(t.Context(), Text("/say one two\n/plan a; b"), nil) {
			if err != nil {
				t.Fatal(err)
			}
			if ev.Type == EventAgentMessageDelta {
				if text += ev.Delta; ev.Text != text {
					t.Errorf("text %q, want %q", ev.Text, text)
				}
			}
			if !slices.Contains(types, ev.Type) {
				types = append(types, ev.Type)
			}
			if !json.Valid(ev.Raw) {
				t.Errorf("Raw is %q", ev.Raw)
			}
		}
		want := []EventType{EventTurnStarted, EventItemCompleted, EventItemStarted, EventAgentMessageDelta, EventPlanUpdated, EventCompleted}
		for _, w := range want {
			if !slices.Contains(types, w) {
				t.Errorf("no %s among %v", w, types)
			}
		}
		if types[0] != EventTurnStarted || types[len(types)-1] != EventCompleted || text != "one two" {
			t.Errorf("types %v, text %q", types, text)
		}
	})
}

func TestHubQueuedRunS03(t *testing.T) {
	withDaemon(t, func(t *testing.T, d *daemon, c *Client) {
		th := startThread(t, c)
		a := must(th.Enqueue(t.Context(), Text("/hold\n/say A"), nil))
		b := make(chan outcome, 1)
		go func() {
			res, err := th.Run(t.Context(), Text("/say B"), &RunOptions{IfBusy: protocol.BusyEnqueue})
			b <- outcome{res, err}
		}()
		synctest.Wait()
		queue := must(th.Queue().List(t.Context()))
		must(th.Enqueue(t.Context(), Text("/say C"), nil))
		other := d.connect(Options{})
		defer other.Close()
		must(other.Threads().Get(th.ID()).Steer(t.Context(), &protocol.TurnSteerParams{ExpectedTurnID: a.TurnID, Input: Text("release")}))
		o := <-b
		if o.err != nil || o.res.Text != "B" || o.res.TurnID != queue.Turns[0].ID || o.res.Disposition != protocol.DispositionQueued {
			t.Errorf("got %s, %v", toJSON(o.res), o.err)
		}
		if r, err := th.Wait(t.Context(), a.TurnID); err != nil || r.Text != "A" {
			t.Error(r, err)
		}
	})
}

func TestHubSteerS10(t *testing.T) {
	withDaemon(t, func(t *testing.T, _ *daemon, c *Client) {
		th := startThread(t, c)
		a := must(th.Enqueue(t.Context(), Text("/hold\n/say done"), nil))
		// Run that is steered in gives the turn it was steered into.
		res, err := th.Run(t.Context(), Text("release"), &RunOptions{IfBusy: protocol.BusySteer})
		if err != nil || res.Disposition != protocol.DispositionSteered || res.TurnID != a.TurnID || res.Text != "done" || len(res.Items) < 2 {
			t.Errorf("got %s, %v", toJSON(res), err)
		}
		_, err = th.Steer(t.Context(), &protocol.TurnSteerParams{ExpectedTurnID: a.TurnID, Input: Text("late"), IfEnded: protocol.EndedReject})
		if !errors.Is(err, &protocol.Error{Code: protocol.CodeTurnNotRunning}) {
			t.Errorf("too late: %v", err)
		}
	})
}

func TestHubBusy(t *testing.T) {
	withDaemon(t, func(t *testing.T, _ *daemon, c *Client) {
		th := startThread(t, c)
		a := must(th.Enqueue(t.Context(), Text("/hold"), nil))
		_, err := th.Run(t.Context(), Text("/say x"), nil)
		if busy, ok := errors.AsType[*TurnInProgressError](err); !ok || busy.ActiveTurnID != a.TurnID {
			t.Errorf("the error is %v", err)
		}
		res, err := th.Run(t.Context(), Text("/say instead"), &RunOptions{IfBusy: protocol.BusyInterrupt})
		if err != nil || res.Text != "instead" {
			t.Error(res, err)
		}
		if _, err := th.Wait(t.Context(), a.TurnID); err == nil {
			t.Error("the replaced turn completed")
		} else if ce, ok := errors.AsType[*TurnCancelledError](err); !ok || ce.Reason != protocol.CancelReplaced {
			t.Errorf("the replaced turn: %v", err)
		}
	})
}

// S12 and S16 against the real thing: whenever the context ends, no turn is left.
func TestHubCancelS16(t *testing.T) {
	withDaemon(t, func(t *testing.T, _ *daemon, c *Client) {
		for delay := range 12 {
			th := startThread(t, c)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := th.Run(ctx, Text("/hold"), &RunOptions{IfBusy: protocol.BusyEnqueue})
				done <- err
			}()
			if delay == 11 {
				synctest.Wait()
			}
			for range delay { // let the goroutines get somewhere
				must(c.Server().Ping(t.Context()))
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("the error is %v", err)
			}
			<-time.After(time.Millisecond)
			synctest.Wait()
			r := read(t, th)
			if r.Thread.Runtime.Busy || r.Thread.Runtime.QueueLength > 0 {
				t.Errorf("left: %s", toJSON(r.Thread.Runtime))
			}
		}
	})
}

func TestHubQueuedRunIsRemovedS12(t *testing.T) {
	withDaemon(t, func(t *testing.T, _ *daemon, c *Client) {
		th := startThread(t, c)
		a := must(th.Enqueue(t.Context(), Text("/hold\n/say A"), nil))
		for _, how := range []string{"interrupt", "clear", "context"} {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := th.Run(ctx, Text("/say B"), &RunOptions{IfBusy: protocol.BusyEnqueue})
				done <- err
			}()
			synctest.Wait()
			q := must(th.Queue().List(t.Context()))
			want := protocol.CancelUser
			switch how {
			case "interrupt":
				r := must(th.Interrupt(t.Context(), &protocol.TurnInterruptParams{TurnID: q.Turns[0].ID}))
				if r.Outcome != protocol.RemovedFromQueue {
					t.Errorf("outcome %s", r.Outcome)
				}
			case "clear":
				want = protocol.CancelQueueCleared
				must(th.Queue().Clear(t.Context(), q.Revision))
			case "context":
				want = ""
				cancel()
			}
			ce, ok := errors.AsType[*TurnCancelledError](<-done)
			if !ok || ce.Reason != want || ce.TurnID != q.Turns[0].ID {
				t.Errorf("%s: the error is %v (%+v)", how, ce, ce)
			}
			synctest.Wait()
			if q := must(th.Queue().List(t.Context())); len(q.Turns) != 0 {
				t.Errorf("%s: the queue holds %s", how, toJSON(q.Turns))
			}
			cancel()
		}
		r := must(th.Turn(t.Context(), a.TurnID, false))
		if r.Status != protocol.TurnRunning {
			t.Errorf("A is %s", r.Status)
		}
		must(th.Interrupt(t.Context(), nil))
	})
}

// Wherever the connection is cut, a run runs once and gives its result.
func TestHubCutEverywhereS09(t *testing.T) {
	uncut := 0
	for cut := 3; uncut < 3 && cut < 80; cut++ {
		withDaemon(t, func(t *testing.T, d *daemon, quiet *Client) {
			th := startThread(t, quiet)
			d.budgets <- cut
			before := d.dials.Load()
			c := d.connect(Options{})
			defer c.Close()
			var seen []Event
			for ev, err := range c.Threads().Get(th.ID()).RunStreamed(t.Context(), Text("/say one two three"), nil) {
				if err != nil {
					t.Fatalf("cut after %d messages: %v", cut, err)
				}
				seen = append(seen, ev)
			}
			if d.dials.Load() == before+1 {
				uncut++
			}
			checkStream(t, cut, c, th.ID(), seen)
		})
	}
	if uncut < 3 {
		t.Error("the last runs were cut too")
	}
}

// checkStream checks that the thread holds one turn and that seen are all its events.
func checkStream(t testing.TB, cut int, c *Client, threadID string, seen []Event) {
	t.Helper()
	th := c.Threads().Get(threadID)
	turns := *read(t, th).Turns
	if len(turns) != 1 || turns[0].Text != "one two three" {
		t.Fatalf("cut after %d messages: the thread holds %s", cut, toJSON(turns))
	}
	var want, got []string
	for raw, err := range th.Export(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if ev := protocol.ParseFrame(raw); strings.Trim(string(protocol.Member(ev.Params, "turnId")), `"`) == turns[0].ID {
			want = append(want, string(raw))
		}
	}
	for _, ev := range seen {
		if ev.Seq > 0 {
			got = append(got, string(ev.Raw))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cut after %d messages: the stream is not the journal: %s", cut, diff)
	}
}

// S18: whatever connections are lost while deltas fly, a subscriber gets every durable event
// once, in order and byte for byte, and ends with the text of thread/read.
func TestHubSeamS18(t *testing.T) {
	checks(t, "25")
	rapid.Check(t, func(rt *rapid.T) {
		budgets := rapid.SliceOfN(rapid.IntRange(5, 120), 0, 8).Draw(rt, "budgets")
		buffer := rapid.SampledFrom([]int{0, 300, 3000}).Draw(rt, "buffer")
		bubble(t, func(t *testing.T) {
			d := newDaemon(t)
			quiet := d.connect(Options{})
			th := startThread(t, quiet)
			for _, b := range budgets {
				d.budgets <- max(b, 12)
			}
			c := d.connect(Options{BufferBytes: buffer})
			watched := make(chan error, 1)
			texts := map[string]string{}
			var got []string
			go func() {
				watched <- func() error {
					for ev, err := range c.Threads().Get(th.ID()).Subscribe(t.Context(), &SubscribeOptions{AfterSeq: new(uint64)}) {
						switch {
						case err != nil:
							return err
						case ev.Seq > 0:
							got = append(got, string(ev.Raw))
							if ev.Seq != uint64(len(got)) {
								return fmt.Errorf("seq %d came as number %d", ev.Seq, len(got))
							}
						}
						if ev.Type == EventAgentMessageDelta {
							if buffer == 300 {
								<-time.After(3 * time.Millisecond)
							}
						}
						if ev.Text != "" && !strings.HasPrefix(ev.Text, texts[ev.ItemID]) && ev.Type != EventItemCompleted {
							return fmt.Errorf("text %q does not continue %q", ev.Text, texts[ev.ItemID])
						}
						texts[ev.ItemID] = ev.Text
						if ev.Terminal() {
							return nil
						}
					}
					return errors.New("the subscription ended")
				}()
			}()
			if _, err := th.Run(t.Context(), Text("/deltas 150 10 1ms\n/think well\n/deltas 5 10 7ms"), nil); err != nil {
				rt.Error(err)
			}
			if err := <-watched; err != nil {
				rt.Errorf("%v, after connections of %v messages", err, budgets)
			}
			var want []string
			for raw, err := range th.Export(t.Context()) {
				if err != nil {
					rt.Error(err)
				}
				want = append(want, string(raw))
			}
			if diff := cmp.Diff(want[:min(len(want), len(got))], got); diff != "" {
				rt.Errorf("not the journal: %s", diff)
			}
			for _, it := range (*read(t, th).Turns)[0].Items {
				if it.Type == protocol.ItemAgentMessage && texts[it.ID] != it.Text {
					rt.Errorf("item %s: text %q, want %q", it.ID, texts[it.ID], it.Text)
				}
			}
			c.Close()
			quiet.Close()
			d.stop()
		})
	})
}

// checks makes rapid try less often for the rest of the test, unless it was told how often.
func checks(t *testing.T, n string) {
	f := flag.Lookup("rapid.checks")
	if old := f.Value.String(); old == f.DefValue {
		_ = f.Value.Set(n)
		t.Cleanup(func() { _ = f.Value.Set(old) })
	}
}

// S20: one consumer does not take its events, another and the turn do not notice.
func TestHubSlowConsumerS20(t *testing.T) {
	withDaemon(t, func(t *testing.T, _ *daemon, c *Client) {
		th := startThread(t, c)
		slow := must(th.Listen(t.Context(), nil))
		defer slow.Close()
		// The text alone is more than the buffer, whatever of the deltas are put together.
		input := "/deltas 4000 300\n" + strings.Repeat("/say more words to make events\n", 20)
		res, err := th.Run(t.Context(), Text(input), nil)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c.mu.Lock()
		bytes, state := slow.bytes, slow.state
		c.mu.Unlock()
		if bytes > c.opts.BufferBytes || state != subBehind {
			t.Errorf("the slow one holds %d bytes, state %d", bytes, state)
		}
		next := slow.Snapshot().HeadSeq + 1
		for ev, err := range slow.Events(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if ev.Seq > 0 {
				if ev.Seq != next {
					t.Fatalf("seq %d, want %d", ev.Seq, next)
				}
				next++
			}
			if ev.Terminal() {
				if ev.Turn.Text != res.Text {
					t.Error("another text")
				}
				break
			}
		}
	})
}

// The daemon stops while a run waits, and comes back: the run learns the end of its turn.
func TestHubRestart(t *testing.T) {
	withDaemon(t, func(t *testing.T, d *daemon, c *Client) {
		th := startThread(t, c)
		done := make(chan error, 1)
		go func() {
			_, err := th.Run(t.Context(), Text("/say half\n/hold"), nil)
			done <- err
		}()
		synctest.Wait()
		d.stop()
		d.start()
		ce, ok := errors.AsType[*TurnCancelledError](<-done)
		if !ok || ce.Reason != protocol.CancelShutdown || ce.Partial.Text != "half" {
			t.Errorf("the error is %v", ce)
		}
		if res, err := th.Run(t.Context(), Text("/say again"), nil); err != nil || res.Text != "again" {
			t.Error(res, err)
		}
	})
}

// S19: two subscriptions of one client, another client; leaving one affects no other.
func TestHubSharedFeedS19(t *testing.T) {
	withDaemon(t, func(t *testing.T, d *daemon, c *Client) {
		th := startThread(t, c)
		one := must(th.Listen(t.Context(), nil))
		two := must(th.Listen(t.Context(), &SubscribeOptions{AfterSeq: new(uint64)}))
		other := d.connect(Options{})
		defer other.Close()
		observer := must(other.Threads().Get(th.ID()).Listen(t.Context(), &SubscribeOptions{Role: protocol.RoleObserver}))
		defer observer.Close()
		if _, err := other.Threads().Get(th.ID()).Run(t.Context(), Text("/say x"), nil); !errors.Is(err, &protocol.Error{Code: protocol.CodeForbidden}) {
			t.Errorf("an observer ran a turn: %v", err)
		}
		must(th.Run(t.Context(), Text("/say a"), nil))
		a, err := collect(t, one)
		b, err2 := collect(t, two)
		o, err3 := collect(t, observer)
		if err := errors.Join(err, err2, err3); err != nil {
			t.Fatal(err)
		}
		raws := func(events []Event) (list []string) {
			for _, ev := range events {
				if ev.Seq > 1 {
					list = append(list, string(ev.Raw))
				}
			}
			return list
		}
		if diff := cmp.Diff(raws(a), raws(b)); diff != "" || b[0].Seq != 1 {
			t.Errorf("the two differ: %s", diff)
		}
		if diff := cmp.Diff(raws(a), raws(o)); diff != "" {
			t.Errorf("the observer differs: %s", diff)
		}
		one.Close()
		must(th.Run(t.Context(), Text("/say b"), nil))
		if b, err := collect(t, two); err != nil || end(b).Type != EventCompleted {
			t.Errorf("after the other was closed: %v, %v", seqs(b), err)
		}
		two.Close()
		synctest.Wait()
		if p := must(th.Presence(t.Context())); len(p) != 1 || p[0].Role != protocol.RoleObserver {
			t.Errorf("present: %s", toJSON(p))
		}
	})
}

// S36: without streaming the text is the same.
func TestHubWithoutStreamingS36(t *testing.T) {
	withDaemon(t, func(t *testing.T, d *daemon, c *Client) {
		th := startThread(t, c)
		plain := d.connect(Options{NoStreaming: true})
		defer plain.Close()
		s := must(plain.Threads().Get(th.ID()).Listen(t.Context(), nil))
		defer s.Close()
		joined := must(th.Listen(t.Context(), &SubscribeOptions{Coalesce: &protocol.Coalesce{MaxDelayMs: 50, MaxBytes: 10}}))
		defer joined.Close()
		res := must(th.Run(t.Context(), Text("/deltas 1003 1 1ms"), nil))
		events, err := collect(t, s)
		if err != nil {
			t.Fatal(err)
		}
		deltas := 0
		for _, ev := range events {
			if isDelta(ev.Type) {
				t.Fatal("a delta came though streaming is off")
			}
		}
		few, err := collect(t, joined)
		if err != nil {
			t.Fatal(err)
		}
		last := ""
		for _, ev := range few {
			if isDelta(ev.Type) {
				deltas++
				last = ev.Text
			}
		}
		if deltas > 250 || last != res.Text || len(res.Text) != 1003 || end(events).Turn.Text != res.Text {
			t.Errorf("%d deltas, text of %d bytes, of %d in the result", deltas, len(last), len(res.Text))
		}
	})
}

func TestHubOptOutOfTheEnd(t *testing.T) {
	withDaemon(t, func(t *testing.T, d *daemon, _ *Client) {
		c := d.connect(Options{OptOut: []string{"turn/completed", "item/completed", "turn/started"}})
		defer c.Close()
		th := startThread(t, c)
		res, err := th.Run(t.Context(), Text("/say x"), nil)
		if err != nil || res.Text != "x" || len(res.Items) != 2 {
			t.Errorf("got %s, %v", toJSON(res), err)
		}
		var last Event
		for ev, err := range th.RunStreamed(t.Context(), Text("/say y"), nil) {
			if err != nil {
				t.Error(err)
			}
			last = ev
		}
		if last.Type != EventCompleted || last.Raw != nil || last.Turn.Text != "y" {
			t.Errorf("the last event is %s", toJSON(last))
		}
	})
}

func TestHubRunTwiceWithOneKey(t *testing.T) {
	withDaemon(t, func(t *testing.T, _ *daemon, c *Client) {
		th := startThread(t, c)
		first, err := th.Run(t.Context(), Text("/say x"), &RunOptions{IdempotencyKey: "k1"})
		if err != nil {
			t.Fatal(err)
		}
		again, err := th.Run(t.Context(), Text("/say x"), &RunOptions{IdempotencyKey: "k1"})
		if err != nil || again.TurnID != first.TurnID || again.Text != "x" || len(again.Items) != len(first.Items) {
			t.Errorf("again: %s, %v", toJSON(again), err)
		}
		_, err = th.Run(t.Context(), Text("/say y"), &RunOptions{IdempotencyKey: "k1"})
		if !errors.Is(err, &protocol.Error{Code: protocol.CodeIdempotencyMismatch}) {
			t.Errorf("with other params: %v", err)
		}
	})
}

// The same over the daemon's own listeners, which stop and come back.
func TestHubListeners(t *testing.T) {
	for _, kind := range []string{"websocket", "unix"} {
		t.Run(kind, func(t *testing.T) {
			d := newDaemon(t)
			path := t.TempDir() + "/spool.sock"
			open := func(addr string) server.Listener {
				var l server.Listener
				var err error
				if kind == "unix" {
					l, err = d.hub.Load().ListenUnix(path)
				} else {
					l, err = d.hub.Load().ListenWebSocket(addr, nil)
				}
				if err != nil {
					t.Fatal(err)
				}
				go func() { _ = l.Serve() }()
				return l
			}
			l := open("127.0.0.1:0")
			endpoint := strings.TrimSuffix(l.URL(), "/ws")
			if kind == "unix" {
				endpoint = "unix://" + path
			}
			lost := make(chan ConnectionChange, 10)
			c, err := Connect(t.Context(), endpoint, &Options{OnConnection: func(ch ConnectionChange) { lost <- ch }})
			if err != nil {
				t.Fatal(err)
			}
			th := startThread(t, c)
			if res, err := th.Run(t.Context(), Text("/say one"), nil); err != nil || res.Text != "one" {
				t.Error(res, err)
			}
			s := must(th.Listen(t.Context(), nil))
			l.Close()
			if err := d.hub.Load().Close(t.Context()); err != nil {
				t.Error(err)
			}
			if ch := <-lost; ch.Connected || ch.Err == nil {
				t.Errorf("OnConnection was told %+v", ch)
			}
			d.hub.Store(server.New(server.Config{Manager: d.manager, Log: zerolog.Nop(), Version: "1"}))
			l = open(strings.TrimPrefix(endpoint, "ws://"))
			if res, err := th.Run(t.Context(), Text("/say two"), nil); err != nil || res.Text != "two" {
				t.Error(res, err)
			}
			for ev, err := range s.Events(t.Context()) {
				if err != nil {
					t.Error(err)
				}
				if ev.Terminal() {
					break
				}
			}
			s.Close()
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			l.Close()
			if err := errors.Join(d.hub.Load().Close(context.Background()), d.manager.Shutdown(context.Background(), 0)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Every handle method is what the daemon takes.
func TestHubHandles(t *testing.T) {
	withDaemon(t, func(t *testing.T, _ *daemon, c *Client) {
		ctx := t.Context()
		ident := &protocol.Identity{Channel: "test"}
		th, made := must2(c.Threads().GetOrCreate(ctx, &protocol.ThreadStartParams{ThreadOptions: protocol.ThreadOptions{Identity: ident}}))
		if !made.Created || th.ID() == "" || th.Info().ID != th.ID() {
			t.Errorf("getOrCreate: %s", toJSON(made))
		}
		if got := must(th.Rename(ctx, "T")); got.Title != "T" {
			t.Errorf("title %q", got.Title)
		}
		if got := must(th.UpdateMetadata(ctx, map[string]any{"a": 1})); string(got.Metadata["a"]) != "1" {
			t.Errorf("metadata %s", toJSON(got.Metadata))
		}
		must(th.UpdateConfig(ctx, map[string]any{"modes": []any{map[string]any{"id": "m"}}}))
		if got := must(th.SetMode(ctx, "m")); got.Mode != "m" {
			t.Errorf("mode %q", got.Mode)
		}
		must(th.Share(ctx, []protocol.Grant{{User: "bo", Role: protocol.RoleObserver}}))
		must(th.Share(ctx, nil))
		items := must(th.Items().Append(ctx, &protocol.ThreadItemsAppendParams{Input: Text("note")}))
		must(th.Items().Update(ctx, &protocol.ThreadItemsUpdateParams{ItemID: items[0].ID, ExpectedRevision: items[0].Revision, Patch: []byte(`{"metadata":{"x":1}}`)}))
		must(th.Items().Replace(ctx, nil, read(t, th).Thread.HeadSeq))
		must(th.Items().Append(ctx, &protocol.ThreadItemsAppendParams{Input: Text("/say pending")}))
		if res, err := th.Run(ctx, nil, &RunOptions{RunPending: true}); err != nil {
			t.Error(res, err)
		}
		for range 30 {
			must(th.Run(ctx, Text("/say x"), nil))
		}
		if n := count(t, th.Turns(ctx, nil)); n != 31 {
			t.Errorf("%d turns", n)
		}
		if n := count(t, th.Items().List(ctx, &protocol.ThreadItemsListParams{Paging: protocol.Paging{Limit: 7}})); n < 60 {
			t.Errorf("%d items", n)
		}
		for _, err := range c.Threads().List(ctx, nil) {
			if err != nil {
				t.Error(err)
			}
			break
		}
		fork := must(th.Fork(ctx, nil))
		if n := count(t, c.Threads().List(ctx, &protocol.ThreadListParams{Paging: protocol.Paging{Limit: 1}})); n != 2 {
			t.Errorf("%d threads", n)
		}
		must(fork.Rollback(ctx, 1))
		if r := must(fork.Reset(ctx, nil)); r.Generation == 0 {
			t.Errorf("reset: %s", toJSON(r))
		}
		must(fork.Pause(ctx, nil))
		_, snapshot := must2(c.Threads().Resume(ctx, &protocol.ThreadResumeParams{ThreadID: fork.ID()}))
		if snapshot.Thread.Status != protocol.StatusActive {
			t.Errorf("resumed: %s", snapshot.Thread.Status)
		}
		must(fork.Archive(ctx, nil))
		must(fork.Unarchive(ctx, nil))
		must(fork.End(ctx, &protocol.ThreadChangeParams{Reason: "over"}))
		if r := must(c.Threads().EndAll(ctx, &protocol.ThreadEndAllParams{ThreadIDs: []string{fork.ID()}})); r.Results[0].Outcome != "alreadyEnded" {
			t.Errorf("endAll: %s", toJSON(r))
		}

		var journal []json.RawMessage
		for raw, err := range th.Export(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			journal = append(journal, raw)
		}
		if err := th.Delete(ctx, nil); err != nil {
			t.Fatal(err)
		}
		for _, err := range th.Export(ctx) {
			if !errors.Is(err, &protocol.Error{Code: protocol.CodeThreadNotFound}) {
				t.Errorf("export of a deleted thread: %v", err)
			}
		}
		_, err := c.Threads().Import(ctx, journal)
		if err != nil && !errors.Is(err, &protocol.Error{Code: protocol.CodeThreadExists}) {
			t.Errorf("import: %v", err)
		}
	})
}

func TestHubQueueHandle(t *testing.T) {
	withDaemon(t, func(t *testing.T, _ *daemon, c *Client) {
		ctx := t.Context()
		th := startThread(t, c)
		must(th.Enqueue(ctx, Text("/hold"), nil))
		a := must(th.Enqueue(ctx, Text("/say a"), nil)).TurnID
		b := must(th.Enqueue(ctx, Text("/say b"), nil)).TurnID
		q := th.Queue()
		now := must(q.List(ctx))
		rev := must(q.Update(ctx, a, Text("/say A"), now.Revision))
		if _, err := q.Remove(ctx, b, now.Revision); !errors.Is(err, &protocol.Error{Code: protocol.CodeConflict}) {
			t.Errorf("a stale revision: %v", err)
		}
		rev = must(q.Reorder(ctx, []string{b, a}, rev))
		rev = must(q.Remove(ctx, b, rev))
		if now = must(q.List(ctx)); len(now.Turns) != 1 || now.Turns[0].ID != a || now.Revision != rev {
			t.Errorf("queue %s", toJSON(now))
		}
		must(q.Pause(ctx))
		rev = must(q.Resume(ctx))
		must(q.Clear(ctx, rev))
		must(th.Interrupt(ctx, nil))
	})
}

func TestHubServerHandles(t *testing.T) {
	withDaemon(t, func(t *testing.T, _ *daemon, c *Client) {
		ctx := t.Context()
		if a := must(c.Agents().List(ctx)); len(a) != 1 || a[0].Name != "script" {
			t.Errorf("agents %s", toJSON(a))
		}
		if a := must(c.Agents().Read(ctx, "script")); a.Name != "script" {
			t.Errorf("agent %s", toJSON(a))
		}
		if _, err := c.Agents().Read(ctx, "none"); !errors.Is(err, &protocol.Error{Code: protocol.CodeAgentNotFound}) {
			t.Error(err)
		}
		if i := must(c.Server().Info(ctx)); i.ServerInfo.ProtocolVersion != "1" {
			t.Errorf("info %s", toJSON(i))
		}
		must(c.Server().Stats(ctx))
		if l := must(c.Server().Connections(ctx)); len(l) != 1 || l[0].ConnectionID != c.Session().ConnectionID {
			t.Errorf("connections %s", toJSON(l))
		}
		must(c.Update(ctx, &protocol.ConnectionUpdateParams{MetadataPatch: []byte(`{"traceId":"tr"}`)}))
		th := startThread(t, c)
		if res := must(th.Run(ctx, Text("/say x"), nil)); res.TraceID != "tr" {
			t.Errorf("trace id %q", res.TraceID)
		}
		if err := c.Server().Shutdown(ctx, true); err == nil {
			t.Error("this daemon has no shutdown")
		}
	})
}

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}

func count[T any](t *testing.T, list func(func(T, error) bool)) (n int) {
	t.Helper()
	for _, err := range list {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n > 10000 {
			t.Fatal("the list does not end")
		}
	}
	return n
}

// end returns the event that ends a turn.
func end(events []Event) Event {
	i := slices.IndexFunc(events, Event.Terminal)
	if i < 0 {
		return Event{Turn: new(protocol.Turn)}
	}
	return events[i]
}
