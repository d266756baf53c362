package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// follower is a client that reads threads along, from their first event to their last.
type follower struct {
	load   *load
	client *sdk.Client
	line   *lineTo
	slow   bool
	slots  chan struct{} // one for each thread that it follows
}

// slowPatience is how long the slow follower may take behind the end of a thread.
const slowPatience = 5 * time.Minute

// call lets the follower follow a thread if it has room.
func (f *follower) call(lf *life) {
	select {
	case f.slots <- struct{}{}:
	default:
		return
	}
	lf.followed.Add(1)
	f.load.following.Go(func() {
		defer func() { <-f.slots }()
		defer lf.followed.Add(-1)
		if err := f.read(f.load.whole, lf); err != nil {
			f.load.fail(fmt.Errorf("a follower of thread %s (slow: %t): %w", lf.id, f.slow, err))
		}
		f.load.count.follows.Add(1)
	})
}

// read reads a thread from its first event to its last and compares what it got with what
// everybody must have got.
func (f *follower) read(ctx context.Context, lf *life) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var limit sync.WaitGroup
	limit.Go(func() { f.limit(ctx, lf, cancel) })
	defer limit.Wait()
	defer cancel(nil)
	book := ledger{}
	if err := f.fill(ctx, lf, &book); err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	select {
	case <-lf.final:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if book.head != lf.book.head || book.sum != lf.book.sum {
		return fmt.Errorf("it got other events than are kept: up to seq %d with the sum %x, not up to %d with %x", book.head, book.sum, lf.book.head, lf.book.sum)
	}
	return nil
}

// fill subscribes from the beginning and reads until the thread has ended.
func (f *follower) fill(ctx context.Context, lf *life, book *ledger) error {
	o := &sdk.SubscribeOptions{AfterSeq: new(uint64)}
	if f.slow {
		o.Role = protocol.RoleObserver // it must not be waited for
	}
	for ev, err := range f.client.Threads().Get(lf.id).Subscribe(ctx, o) {
		if err != nil {
			return err
		}
		f.load.count.events.Add(1)
		if err := book.event(ev); err != nil {
			return fmt.Errorf("at %.300s: %w", ev.Raw, err)
		}
		if ev.Type == sdk.EventThreadEnded {
			return nil
		}
	}
	return fmt.Errorf("the events end at seq %d, before the thread", book.head)
}

// limit gives up on a follower that does not come to the end of a thread that has ended.
func (f *follower) limit(ctx context.Context, lf *life, cancel context.CancelCauseFunc) {
	select {
	case <-lf.final:
	case <-ctx.Done():
		return
	}
	patience := stepPatience
	if f.slow {
		patience = slowPatience
	}
	select {
	case <-time.After(patience):
		cancel(fmt.Errorf("it has not got all of the thread %s after its end", patience))
	case <-ctx.Done():
	}
}
