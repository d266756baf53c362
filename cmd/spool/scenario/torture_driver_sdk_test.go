package scenario_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// follower is a client of package sdk, which lives through all crashes: it connects again by
// itself, repeats what was not answered, and its subscriptions go on.
type follower struct {
	l      *lane
	n      int
	c      *sdk.Client
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup // subscriptions
	calls  sync.WaitGroup

	mu       sync.Mutex
	told     map[string]*following
	answered []*sdkAnswer
}

// following is what a follower was told of one thread.
type following struct {
	stop    context.CancelFunc
	events  []sdk.Event
	changed chan struct{}
}

// sdkAnswer is what an enqueue was answered.
type sdkAnswer struct {
	thread, tok, turn string
}

func newFollower(l *lane, n int) *follower {
	f := &follower{l: l, n: n, told: map[string]*following{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	ctx, cancel := withTimeout()
	defer cancel()
	var err error
	f.c, err = sdk.Connect(ctx, "", &sdk.Options{
		Backoff: sdk.Backoff{Min: 5 * time.Millisecond, Max: 40 * time.Millisecond},
		Dial: func(ctx context.Context) (io.ReadWriteCloser, error) {
			return new(net.Dialer).DialContext(ctx, "unix", l.d.socket)
		},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return f
}

func (f *follower) close() {
	f.cancel()
	_ = f.c.Close()
	f.calls.Wait()
	f.work.Wait()
}

// follow subscribes to a thread from its first event on.
func (f *follower) follow(thread string) {
	ctx, cancel := context.WithCancel(f.ctx)
	g := &following{stop: cancel, changed: make(chan struct{})}
	f.mu.Lock()
	f.told[thread] = g
	f.mu.Unlock()
	f.work.Go(func() {
		for ev, err := range f.c.Threads().Get(thread).Subscribe(ctx, &sdk.SubscribeOptions{AfterSeq: new(uint64)}) {
			if err != nil {
				if ctx.Err() == nil && !errors.Is(err, sdk.ErrClosed) && !f.l.mayBeGone(thread) {
					f.l.t.Errorf("sdk%d: the subscription of %s ended: %v", f.n, thread, err)
				}
				return
			}
			if ev.Seq == 0 {
				continue
			}
			f.mu.Lock()
			g.events = append(g.events, ev)
			close(g.changed)
			g.changed = make(chan struct{})
			f.mu.Unlock()
		}
	})
}

func (f *follower) drop(thread string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if g := f.told[thread]; g != nil {
		g.stop()
		delete(f.told, thread)
	}
	f.answered = slices.DeleteFunc(f.answered, func(a *sdkAnswer) bool { return a.thread == thread })
}

func (f *follower) forget(thread string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answered = slices.DeleteFunc(f.answered, func(a *sdkAnswer) bool { return a.thread == thread })
}

// storm enqueues inputs until ctx ends; what is not answered then is answered after the
// restart.
func (f *follower) storm(ctx context.Context, threads []string) {
	rng := rand.New(rand.NewPCG(f.l.seed, uint64(f.n)+f.l.rng.Uint64()))
	f.calls.Go(func() {
		for ctx.Err() == nil {
			a := &sdkAnswer{thread: threads[rng.IntN(len(threads))], tok: f.l.newToken()}
			call, cancel := context.WithTimeout(f.ctx, patience)
			r, err := sdk.Call(call, f.c, protocol.MethodTurnEnqueue, protocol.TurnInput{
				ThreadID: a.thread, Input: sdk.Text(fmt.Sprintf(inputs[rng.IntN(len(inputs))], a.tok)),
			})
			cancel()
			f.l.events.Add(1)
			pe, refused := errors.AsType[*protocol.Error](err)
			switch {
			case err == nil:
				a.turn = r.Turn.ID
				f.mu.Lock()
				f.answered = append(f.answered, a)
				f.mu.Unlock()
			case f.ctx.Err() != nil:
			case !refused || !slices.Contains(refusals, pe.Code):
				f.l.t.Errorf("sdk%d: turn/enqueue: %v", f.n, err)
			}
		}
	})
}

// settle waits until every call is answered.
func (f *follower) settle() { f.calls.Wait() }

// prove looks for the turns that were answered.
func (f *follower) prove(s *story) (proved int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answered = slices.DeleteFunc(f.answered, func(a *sdkAnswer) bool {
		if a.thread != s.id || s.deleted {
			return a.thread == s.id
		}
		if proved++; !s.known[a.turn] || len(s.births[a.tok]) != 1 {
			f.l.t.Errorf("I2: sdk%d was told that turn %s of %s is accepted; of its input there is %v", f.n, a.turn, s.id, s.births[a.tok])
		}
		return true
	})
	return proved
}

// verify waits until the follower has all events, and compares them.
func (f *follower) verify() {
	f.l.t.Helper()
	f.mu.Lock()
	followed := make([]string, 0, len(f.told))
	for id := range f.told {
		followed = append(followed, id)
	}
	f.mu.Unlock()
	for _, id := range followed {
		if s := f.l.stories[id]; s != nil && !s.deleted {
			f.compare(s, f.upTo(s))
		}
	}
}

// upTo returns what was told of a thread once its head was.
func (f *follower) upTo(s *story) []sdk.Event {
	f.l.t.Helper()
	ctx, cancel := withTimeout()
	defer cancel()
	for {
		f.mu.Lock()
		g := f.told[s.id]
		events, changed := g.events, g.changed
		f.mu.Unlock()
		if n := len(events); n > 0 && events[n-1].Seq >= s.model.seq {
			return events
		}
		select {
		case <-changed:
		case <-ctx.Done():
			f.l.t.Fatalf("I3: sdk%d does not get seq %d of %s", f.n, s.model.seq, s.id)
		}
	}
}

func (f *follower) compare(s *story, events []sdk.Event) {
	f.l.t.Helper()
	last := uint64(0)
	for _, ev := range events {
		if ev.Seq != last+1 && (ev.Type != sdk.EventThreadReset || ev.Seq <= last) {
			f.l.t.Errorf("I3: sdk%d: seq %d of %s comes behind %d: %s", f.n, ev.Seq, s.id, last, ev.Raw)
		}
		last = ev.Seq
		known, ok := s.book.frames[ev.Seq]
		if ok && !bytes.Equal(known, bytes.TrimSpace(ev.Raw)) || !ok && ev.Seq > s.book.journal[0].Seq && ev.Seq <= s.model.seq {
			f.l.t.Errorf("I3: sdk%d was told of %s\n%s\nthe journal has\n%s", f.n, s.id, ev.Raw, known)
		}
	}
}
