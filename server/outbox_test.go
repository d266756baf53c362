package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
)

// gate is a Transport whose Write waits until the test lets it.
type gate struct {
	mu    sync.Mutex
	open  sync.Cond
	shut  bool
	pass  int // so many writes it lets through while it is shut
	sent  []string
	calls int
	taken atomic.Uint64
	err   error
}

func newGate() *gate {
	g := &gate{}
	g.open.L = &g.mu
	return g
}

func (g *gate) Read() ([]byte, error) { return nil, errors.New("unused") }
func (g *gate) Write(frames []protocol.Frame) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.shut && g.pass == 0 {
		g.open.Wait()
	}
	if g.shut {
		g.pass--
	}
	g.calls++
	for _, f := range frames {
		g.sent = append(g.sent, string(f))
		g.taken.Add(uint64(len(f)))
	}
	return g.err
}
func (g *gate) Taken() uint64            { return g.taken.Load() }
func (g *gate) Close(Code, string) error { return nil }
func (g *gate) set(shut bool)            { g.mu.Lock(); g.shut = shut; g.mu.Unlock(); g.open.Broadcast() }

func (g *gate) letOne() { g.mu.Lock(); g.pass++; g.mu.Unlock(); g.open.Broadcast() }

func (g *gate) all() string            { g.mu.Lock(); defer g.mu.Unlock(); return strings.Join(g.sent, " ") }
func frame(name string) protocol.Frame { return protocol.Frame(name) }
func sized(name string, n int) protocol.Frame {
	return append(protocol.Frame(name), strings.Repeat(".", n-len(name))...)
}

func newTestOutbox(t *testing.T, g *gate, l Limits) (*outbox, func() []error) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	o := newOutbox(ctx, g, l.withDefaults(), wg.Go, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failed = append(failed, err)
	})
	t.Cleanup(func() {
		cancel()
		g.set(false)
		o.close()
		wg.Wait()
	})
	return o, func() []error {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return failed
	}
}

func TestOutboxSendsInOrderAndTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		o, _ := newTestOutbox(t, g, Limits{})
		o.begin()
		g.set(true)
		o.respond(frame("r0"))
		synctest.Wait() // the writer has r0 in hand
		for i := range 100 {
			if i%3 == 0 {
				o.respond(frame(fmt.Sprint("r", i)))
			} else if !o.offer(frame(fmt.Sprint("e", i)), thread.ClassStream, "") {
				t.Fatal("no room")
			}
		}
		g.set(false)
		synctest.Wait()
		want := []string{"r0"}
		for i := range 100 {
			want = append(want, fmt.Sprint(map[bool]string{true: "r", false: "e"}[i%3 == 0], i))
		}
		if got := g.all(); got != strings.Join(want, " ") {
			t.Errorf("sent %s", got)
		}
		if g.calls != 2 {
			t.Errorf("%d writes, want 2", g.calls)
		}
		if o.queued() != 0 {
			t.Errorf("%d bytes still count", o.queued())
		}
	})
}

func TestOutboxBoundsEventsButNotResponses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		o, _ := newTestOutbox(t, g, Limits{OutboxBytes: 4000})
		o.begin()
		g.set(true)
		if !o.offer(sized("big", 10000), thread.ClassStream, "") {
			t.Error("an empty outbox takes any frame")
		}
		if o.offer(frame("e"), thread.ClassStream, "") {
			t.Error("it takes an event beyond its limit")
		}
		g.set(false)
		synctest.Wait()
		g.set(true)
		o.respond(frame("first"))
		n := 0
		for o.offer(sized("e", 100), thread.ClassStream, "") {
			n++
		}
		if n != 22 { // (3000 - 37) / 132
			t.Errorf("%d events found room", n)
		}
		for range 20 {
			o.respond(sized("r", 100)) // into the reserve and beyond
		}
		read := make(chan bool)
		go func() { read <- o.waitRoom() }()
		synctest.Wait()
		select {
		case <-read:
			t.Error("reading goes on with a full reserve")
		default:
		}
		g.set(false)
		if !<-read {
			t.Error("the outbox is not closed")
		}
		synctest.Wait()
		if got := strings.Count(g.all(), "r."); got != 20 {
			t.Errorf("%d responses were sent", got)
		}
	})
}

// A snapshot may be larger than the outbox, and takes no room from what follows it.
func TestOutboxHasRoomBehindASnapshot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		o, _ := newTestOutbox(t, g, Limits{OutboxBytes: 4000})
		o.begin()
		g.set(true)
		o.respond(frame("in-hand"))
		synctest.Wait()
		for range 2 {
			o.offer(sized("snapshot", 10000), thread.ClassSnapshot, "")
		}
		if !o.offer(sized("e", 1000), thread.ClassStream, "") || !o.waitRoom() {
			t.Error("there is no room behind a snapshot")
		}
		if o.offer(sized("f", 2500), thread.ClassStream, "") {
			t.Error("it takes more than its limit behind a snapshot")
		}
		g.set(false)
		synctest.Wait()
		if o.queued() != 0 || o.wholes != 0 || len(o.whole) != 0 {
			t.Errorf("%d bytes count, %d of snapshots", o.queued(), o.wholes)
		}
		g.set(true)
		o.respond(frame("in-hand"))
		synctest.Wait()
		if !o.offer(sized("e", 2500), thread.ClassStream, "") || o.offer(sized("f", 1000), thread.ClassStream, "") {
			t.Error("the limit is not what it was")
		}
	})
}

func TestOutboxTellsAgentsWhenThereIsRoomAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		o, _ := newTestOutbox(t, g, Limits{OutboxBytes: 8 * flushBytes})
		o.begin()
		wake := make(chan struct{}, 1)
		if o.crowded(wake) {
			t.Error("an empty outbox is crowded")
		}
		g.set(true)
		for range 4 * 1024 { // half of what it holds, in frames of 16 bytes
			if o.crowded(wake) {
				break
			}
			o.offer(sized("e", 16), thread.ClassStream, "")
		}
		if !o.crowded(wake) || o.queued() > 4*flushBytes {
			t.Errorf("%d bytes wait, crowded %t", o.queued(), o.crowded(wake))
		}
		synctest.Wait()
		if len(wake) != 0 {
			t.Error("agents were woken while nothing was read")
		}
		g.set(false)
		synctest.Wait()
		if len(wake) != 1 || o.crowded(wake) {
			t.Error("agents were not woken when all was read")
		}
		<-wake
		g.set(true)
		for !o.crowded(wake) {
			o.offer(sized("e", 16), thread.ClassStream, "")
		}
		o.close()
		if len(wake) != 1 {
			t.Error("agents wait for a connection that is closed")
		}
	})
}

func TestOutboxKeepsTheLatestStateAside(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		o, _ := newTestOutbox(t, g, Limits{OutboxBytes: 1000})
		o.begin()
		g.set(true)
		o.respond(sized("full", 900))
		synctest.Wait()
		offer := func(name string, c thread.Class, key string) {
			if !o.offer(frame(name), c, key) {
				t.Errorf("%s was not taken", name)
			}
		}
		offer("a1", thread.ClassState, "a")
		offer("b1", thread.ClassState, "b")
		offer("a2", thread.ClassState, "a")
		offer("c1", thread.ClassState, "c")
		offer("b-last", thread.ClassLast, "b")
		for i := range 100 {
			offer(fmt.Sprint("d", i), thread.ClassState, "d")
		}
		offer("snapshot", thread.ClassSnapshot, "")
		if n := len(o.aside.order); n > 40 {
			t.Errorf("%d places are kept for 4 frames", n)
		}
		g.set(false)
		synctest.Wait()
		if got := strings.TrimLeft(strings.TrimPrefix(g.all(), "full"), "."); got != " snapshot a2 c1 b-last d99" {
			t.Errorf("sent %q", got)
		}
		offer("a3", thread.ClassState, "a") // with room it is sent at once
		synctest.Wait()
		if !strings.HasSuffix(g.all(), "d99 a3") || !o.aside.empty() {
			t.Errorf("sent %q", g.all())
		}
	})
}

func TestOutboxLetsNothingOutBeforeTheHandshake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		o, _ := newTestOutbox(t, g, Limits{})
		if o.offer(frame("event"), thread.ClassStream, "") {
			t.Error("an event was taken: its subscription would not be caught up")
		}
		o.offer(frame("state"), thread.ClassState, "a")
		o.offer(frame("snapshot"), thread.ClassSnapshot, "")
		o.respond(frame("response"))
		synctest.Wait()
		if got := g.all(); got != "response" {
			t.Errorf("sent %q", got)
		}
		o.begin()
		synctest.Wait()
		if got := g.all(); got != "response snapshot" {
			t.Errorf("sent %q", got)
		}
	})
}

func TestOutboxFailsOnceWhenNothingIsTaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		o, failed := newTestOutbox(t, g, Limits{SlowConsumer: 30 * time.Second})
		o.begin()
		// Idle for long, then busy: the time before does not count.
		o.respond(frame("a"))
		<-time.After(29 * time.Second)
		g.set(true)
		o.respond(frame("b"))
		<-time.After(29 * time.Second)
		if len(failed()) != 0 {
			t.Fatalf("failed after 29 s: %v", failed())
		}
		// A little is taken: the time begins anew.
		g.taken.Add(1)
		<-time.After(29 * time.Second)
		if len(failed()) != 0 {
			t.Fatalf("failed although something was taken: %v", failed())
		}
		<-time.After(32 * time.Second)
		if len(failed()) != 1 {
			t.Fatalf("failures: %v", failed())
		}
		if e, ok := errors.AsType[*CloseError](failed()[0]); !ok || e.Code != CloseTryLater {
			t.Errorf("failed with %v", failed()[0])
		}
	})
}

// The time in which the daemon reads a journal is not the client's.
func TestOutboxDoesNotBlameTheClientForASlowDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		o, failed := newTestOutbox(t, g, Limits{SlowConsumer: time.Second})
		o.begin()
		g.set(true)
		o.respond(frame("r"))
		synctest.Wait()
		o.read(true)
		<-time.After(5 * time.Second)
		if errs := failed(); len(errs) > 0 {
			t.Errorf("while the journal is read: %v", errs)
		}
		o.read(false)
		<-time.After(time.Second - time.Millisecond)
		if errs := failed(); len(errs) > 0 {
			t.Errorf("before a whole second of the client: %v", errs)
		}
		<-time.After(time.Second)
		if errs := failed(); len(errs) != 1 {
			t.Errorf("a client that takes nothing: %v", errs)
		}
	})
}

func TestOutboxStopsWhenWritingFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		o, failed := newTestOutbox(t, g, Limits{})
		o.begin()
		g.err = errors.New("gone")
		o.respond(frame("a"))
		o.respond(frame("b"))
		synctest.Wait()
		o.respond(frame("c"))
		synctest.Wait()
		if len(failed()) != 1 || strings.Contains(g.all(), "c") {
			t.Errorf("failures %v, sent %q", failed(), g.all())
		}
		if !o.offer(frame("d"), thread.ClassStream, "") {
			t.Error("a subscription of a connection that is gone falls behind")
		}
		o.flush(t.Context()) // returns
	})
}

// TestOutboxKeepsItsOrderUnderABacklog: the queue is never empty, so it is moved to the
// front of its memory now and then.
func TestOutboxKeepsItsOrderUnderABacklog(t *testing.T) {
	g := newGate()
	o, _ := newTestOutbox(t, g, Limits{})
	o.begin()
	g.set(true)
	const n = 50000
	for i := range n {
		o.respond(sized(fmt.Sprint("m", i), 200))
		for waiting := o.queued(); waiting > 50000; waiting = o.queued() {
			g.letOne()
			waitBelow(o, waiting)
		}
	}
	g.set(false)
	if c := capacity(o); c > 4096 {
		t.Errorf("the queue has %d places for 250 messages", c)
	}
	o.flush(t.Context())
	for i, m := range g.sent {
		if !strings.HasPrefix(m, fmt.Sprint("m", i, ".")) {
			t.Fatalf("message %d is %.10s", i, m)
		}
	}
	if len(g.sent) != n || g.calls > n/5 {
		t.Errorf("%d messages in %d writes", len(g.sent), g.calls)
	}
}

func capacity(o *outbox) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return cap(o.queue)
}

// waitBelow returns when fewer than so many bytes wait.
func waitBelow(o *outbox, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.bytes >= bytes {
		o.changed.Wait()
	}
}

func TestOutboxQueueDoesNotGrowWithTheTrafficThroughIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		o, _ := newTestOutbox(t, g, Limits{})
		o.begin()
		for range 20000 {
			o.respond(sized("x", 1000))
			if o.queued() > 20000 {
				o.flush(t.Context())
			}
		}
		o.flush(t.Context())
		if cap(o.queue) > keptFrames || cap(o.hand) > keptFrames {
			t.Errorf("an idle outbox keeps %d + %d places", cap(o.queue), cap(o.hand))
		}
	})
}

// TestASlowReaderFallsBehindAndCatchesUp is the whole way: a client that stops reading
// slows nobody, its memory is bounded, and what it reads at last has no hole.
func TestASlowReaderFallsBehindAndCatchesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub(t, limits(Limits{OutboxBytes: 64 << 10}))
		fast := dialLines(t, h)
		fast.open()
		id := fast.start()
		slow, read := dialStalled(t, h)
		slow(`{"id":1,"method":"initialize","params":{"clientInfo":{"name":"slow"}}}`)
		slow(`{"method":"initialized"}`)
		slow(fmt.Sprintf(`{"id":2,"method":"thread/subscribe","params":{"threadId":%q}}`, id))
		fast.said()
		for i := range 20 {
			fast.call("turn/run", fmt.Sprintf(`{"threadId":%q,"wait":true,"input":"/deltas 200 50\n/say turn %d"}`, id, i))
		}
		for _, c := range h.connections() {
			if n := c.out.queued(); n > 80<<10 {
				t.Errorf("%d bytes wait for %s", n, c.session.client.Name)
			}
		}

		lagged, seq, last := 0, uint64(1), ""
		for seq < 141 { // thread/started, then 7 for each turn
			m := read()
			var e struct {
				Method string `json:"method"`
				Params struct {
					Seq uint64 `json:"seq"`
				} `json:"params"`
			}
			if err := json.Unmarshal([]byte(m), &e); err != nil {
				t.Fatal(err)
			}
			if e.Method == "thread/subscription/lagged" {
				lagged++
			}
			if s := e.Params.Seq; s != 0 {
				if s != seq+1 {
					t.Fatalf("seq %d came after %d", s, seq)
				}
				seq, last = s, e.Method
			}
		}
		if lagged != 1 || last != "turn/completed" {
			t.Errorf("lagged %d times, ended with %s at %d", lagged, last, seq)
		}
	})
}

// dialStalled connects a client that reads only when read is called.
func dialStalled(t testing.TB, h *Hub) (send func(string), read func() string) {
	ours, theirs := net.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- h.Serve(context.Background(), Lines(theirs, h.limits.MaxMessageBytes), Local("stdio"))
	}()
	t.Cleanup(func() {
		ours.Close()
		if err := <-served; err != nil {
			t.Log("served:", err)
		}
	})
	r := bufio.NewReader(ours)
	send = func(s string) {
		if _, err := io.WriteString(ours, s+"\n"); err != nil {
			t.Error(err)
		}
	}
	read = func() string {
		s, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return send, read
}
