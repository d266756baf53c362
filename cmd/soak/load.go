package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// stepPatience bounds every single step; it matters only where something is broken.
const stepPatience = time.Minute

// load is all that is done to the daemon.
type load struct {
	o     options
	d     *daemon
	count *counts
	steps chan struct{} // one for each step that may be taken; closed when the time is over
	shelf *shelf

	followers []*follower
	following sync.WaitGroup
	lines     []*lineTo // those that are cut now and then
	clients   []*sdk.Client

	whole context.Context         // of all that runs on its own
	fail  context.CancelCauseFunc // tells that something is wrong
}

// counts is what was done so far.
type counts struct {
	turns, threads, deleted, follows, lost, verified atomic.Int64
	events                                           atomic.Int64 // that followers got
}

const (
	quickFollowers = 3
	followsOfOne   = 4                      // threads that one follower follows at a time
	slowPause      = 100 * time.Millisecond // of the slow follower, before each read
)

func newLoad(o options, d *daemon, r *report) *load {
	return &load{o: o, d: d, count: &r.counts, steps: make(chan struct{}), shelf: &shelf{room: o.shelf}}
}

// run does what is to be done until the time is over, and waits until all that was begun
// is finished and checked.
func (l *load) run(ctx context.Context) error {
	ctx, l.fail = context.WithCancelCause(ctx)
	l.whole = ctx
	defer l.close()
	if err := l.connectFollowers(ctx); err != nil {
		return err
	}
	var hands, others sync.WaitGroup
	for n := range l.o.hands {
		h, err := l.newHand(ctx, n)
		if err != nil {
			return err
		}
		hands.Go(func() { l.check(h.work(ctx)) })
	}
	hands.Go(func() { l.check(l.visits(ctx)) })
	over, stop := context.WithCancel(ctx)
	defer stop()
	others.Go(func() { l.cuts(over) })
	l.pace(ctx)
	hands.Wait()
	stop()
	others.Wait()
	l.followers[len(l.followers)-1].line.speedUp()
	l.following.Wait()
	return context.Cause(ctx)
}

// check ends the load if err is one.
func (l *load) check(err error) {
	if err != nil {
		l.fail(err)
	}
}

// close ends all connections.
func (l *load) close() {
	l.fail(nil)
	l.following.Wait()
	for _, c := range l.clients {
		_ = c.Close()
	}
}

// pace gives out steps at the rate that was asked for, and no more when the time is over.
func (l *load) pace(ctx context.Context) {
	defer close(l.steps)
	ctx, cancel := context.WithTimeout(ctx, l.o.long)
	defer cancel()
	tick := time.NewTicker(time.Duration(float64(time.Second) / l.o.rate))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		select {
		case l.steps <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

// cuts ends one connection after the other, of which the clients make new ones.
func (l *load) cuts(ctx context.Context) {
	for {
		pause := time.Duration(float64(l.o.cut) * (0.5 + rand.Float64()))
		select {
		case <-time.After(pause):
			l.lines[rand.IntN(len(l.lines))].cut()
			l.count.lost.Add(1)
		case <-ctx.Done():
			return
		}
	}
}

// connect makes a client that is closed in the end.
func (l *load) connect(ctx context.Context, name string) (*sdk.Client, *lineTo, error) {
	line := &lineTo{socket: l.d.socket}
	c, err := line.connect(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	l.clients = append(l.clients, c)
	return c, line, nil
}

func (l *load) connectFollowers(ctx context.Context) error {
	for n := range quickFollowers + 1 {
		c, line, err := l.connect(ctx, fmt.Sprintf("follower %d", n))
		if err != nil {
			return err
		}
		f := &follower{load: l, client: c, line: line, slots: make(chan struct{}, followsOfOne)}
		if n == quickFollowers {
			line.slowDown(slowPause)
			f.slow, f.slots = true, make(chan struct{}, 1)
		} else {
			l.lines = append(l.lines, line)
		}
		l.followers = append(l.followers, f)
	}
	return nil
}

// visits makes clients that come, begin a thread that lives as long as their connection,
// and go.
func (l *load) visits(ctx context.Context) error {
	host, _, err := l.connect(ctx, "host")
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		// A visit is one of many steps, so that most go to the hands.
		for range 20 {
			if _, ok := <-l.steps; !ok {
				return nil
			}
		}
		if err := l.visit(ctx, host, n%2 == 0); err != nil {
			return fmt.Errorf("a visit: %w", err)
		}
	}
}

func (l *load) visit(ctx context.Context, host *sdk.Client, polite bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stepPatience, errors.New("it takes too long"))
	defer cancel()
	line := &lineTo{socket: l.d.socket}
	c, err := line.connect(ctx, "visitor")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	t, err := c.Threads().Start(ctx, &protocol.ThreadStartParams{ThreadOptions: protocol.ThreadOptions{
		Lifetime: &protocol.Lifetime{Mode: protocol.LifetimeConnection, OnDisconnect: protocol.DisconnectEnd},
	}})
	if err != nil {
		return err
	}
	r, err := t.Run(ctx, sdk.Text("/say Here I am."), nil)
	if err != nil {
		return err
	}
	if r.Text != "Here I am." {
		return fmt.Errorf("the agent said %q", r.Text)
	}
	l.count.threads.Add(1)
	l.count.turns.Add(1)
	if !polite { // it leaves in the middle of a turn
		if _, err := t.Enqueue(ctx, sdk.Text("/hold"), nil); err != nil {
			return err
		}
		l.count.turns.Add(1)
	}
	_ = c.Close()
	return l.gone(ctx, host.Threads().Get(t.ID()))
}

// gone waits until a thread was ended because its connection is gone, and deletes it.
func (l *load) gone(ctx context.Context, t *sdk.Thread) error {
	var status protocol.ThreadStatus
	err := poll(ctx, func() (bool, error) {
		r, err := t.Read(ctx, nil)
		if err == nil {
			status = r.Thread.Status
		}
		return status == protocol.StatusEnded, err
	})
	if err != nil {
		return fmt.Errorf("thread %s is %s after its connection was closed: %w", t.ID(), status, err)
	}
	l.count.deleted.Add(1)
	return t.Delete(ctx, nil)
}

// poll asks again and again until the answer is yes.
func poll(ctx context.Context, ask func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := ask(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
