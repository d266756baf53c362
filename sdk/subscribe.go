package sdk

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"

	"github.com/spoolhq/spool/protocol"
)

// SubscribeOptions say what a subscription begins with. Nil options are all defaults.
type SubscribeOptions struct {
	// AfterSeq replays every durable event after it, 0 all of them. nil: only what
	// happens from now on.
	AfterSeq *uint64
	// Role is how others see this client. Default: participant. One role applies to all
	// subscriptions of a client to a thread: the latest that was given.
	Role protocol.Role
	// Coalesce joins deltas. It applies as Role does.
	Coalesce *protocol.Coalesce
}

// Subscription is a stream of events of one thread.
type Subscription struct {
	c        *Client
	feed     *feed
	snapshot protocol.ThreadSnapshot

	// Guarded by Client.mu.
	state  subState
	have   uint64 // seq of the newest durable event that was put into queue, or is not wanted
	queue  []event
	bytes  int // of queue
	err    error
	closed bool

	wake chan struct{} // something of the above changed; holds one

	// Of the goroutine that takes the events.
	batch []event
	merge merger
}

type subState uint8

const (
	subJoining subState = iota // not there yet
	subLive                    // gets every event as it comes
	subBehind                  // gets none: it was full, and reads the journal when it is empty
	subEnded                   // nothing will come any more
)

// errAlarm is returned by take when its alarm went off and nothing waits to be taken.
var errAlarm = errors.New("alarm")

// Listen subscribes to the thread and returns once the daemon has answered, so whatever is
// done next will be among the events. Close must be called in the end. opts may be nil.
func (t *Thread) Listen(ctx context.Context, opts *SubscribeOptions) (*Subscription, error) {
	o := deref(opts)
	s := &Subscription{c: t.c, wake: make(chan struct{}, 1), merge: merger{}}
	t.c.mu.Lock()
	s.feed = t.c.hold(t.id)
	if o.Role != "" {
		s.feed.role = o.Role
	}
	if o.Coalesce != nil {
		s.feed.coalesce = o.Coalesce
	}
	t.c.mu.Unlock()
	if err := s.rejoin(ctx, o.AfterSeq); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Snapshot returns the thread as it was where the subscription began: without AfterSeq,
// the turn that runs with all its items so far; the events continue exactly there.
func (s *Subscription) Snapshot() protocol.ThreadSnapshot { return s.snapshot }

// Close ends the subscription. It does not wait for the daemon. Closing again does
// nothing.
func (s *Subscription) Close() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.finish(nil)
	s.feed.subs = slices.DeleteFunc(s.feed.subs, func(o *Subscription) bool { return o == s })
	s.c.release(s.feed)
}

// Events yields the events until ctx ends, the subscription is closed, or the thread is
// deleted or may not be seen any more; the event that says so is the last one. An error is
// the last thing it yields. It may be left and taken up again; only one goroutine may use
// it at a time.
func (s *Subscription) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			ev, err := s.next(ctx, nil)
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(ev, err) || err != nil {
				return
			}
		}
	}
}

// Subscribe yields the events of the thread until ctx ends, the loop is left or the thread
// is deleted. It subscribes when the loop begins and unsubscribes when it ends; use Listen
// where it matters when that is. opts may be nil.
func (t *Thread) Subscribe(ctx context.Context, opts *SubscribeOptions) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s, err := t.Listen(ctx, opts)
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer s.Close()
		s.Events(ctx)(yield)
	}
}

// next returns the next event, with the text of its item. io.EOF: there are no more.
func (s *Subscription) next(ctx context.Context, alarm <-chan struct{}) (Event, error) {
	ev, err := s.take(ctx, alarm)
	if err != nil {
		return Event{}, err
	}
	e, patch := decodeEvent(ev)
	s.merge.apply(&e, patch)
	return e, nil
}

// take returns the next event as it came. When alarm is closed and there is nothing to
// take, not even in the journal, it returns errAlarm.
func (s *Subscription) take(ctx context.Context, alarm <-chan struct{}) (event, error) {
	for {
		if ctx.Err() != nil {
			return event{}, ctx.Err()
		}
		if len(s.batch) > 0 {
			ev := s.batch[0]
			s.batch = s.batch[1:]
			return ev, nil
		}
		s.c.mu.Lock()
		s.batch, s.queue, s.bytes = s.queue, nil, 0
		state, err := s.state, s.err
		s.c.mu.Unlock()
		switch {
		case len(s.batch) > 0:
			continue
		case state == subEnded && err != nil:
			return event{}, err
		case state == subEnded:
			return event{}, io.EOF
		case state == subBehind:
			if err := s.catchUp(ctx); err != nil {
				return event{}, err
			}
			continue
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
		case <-alarm:
			return event{}, errAlarm
		}
	}
}

// catchUp reads the next page of the journal. With the last one the subscription joins the
// live stream again.
func (s *Subscription) catchUp(ctx context.Context) error {
	page, err := Call(ctx, s.c, protocol.MethodThreadExport, protocol.ThreadExportParams{ThreadID: s.feed.threadID, AfterSeq: s.have})
	if err != nil {
		return err
	}
	have := s.have
	for _, raw := range page.Events {
		ev := newEvent(protocol.ParseFrame(raw), raw)
		if ev.seq <= have {
			continue
		}
		have = ev.seq
		if !slices.Contains(s.c.opts.OptOut, ev.method) {
			s.batch = append(s.batch, ev)
		}
	}
	s.c.mu.Lock()
	s.have = have
	s.c.mu.Unlock()
	if page.NextSeq != 0 {
		return nil
	}
	if err = s.rejoin(ctx, &have); err != nil && ctx.Err() == nil {
		s.c.mu.Lock()
		s.finish(err) // behind what this page brought
		s.c.mu.Unlock()
		return nil
	}
	return err
}

// rejoin makes the subscription live, after what it has.
func (s *Subscription) rejoin(ctx context.Context, after *uint64) error {
	call, err := s.c.join(s, after)
	if err != nil {
		return err
	}
	_, err = s.c.wait(ctx, call)
	return err
}

// start makes the subscription live, unless it was closed. mu is held; what it writes
// beyond that is the consumer's to read once the call that brought the snapshot is done.
func (s *Subscription) start(snapshot protocol.ThreadSnapshot, after *uint64, seed bool) bool {
	if s.state == subEnded {
		return false
	}
	if s.state == subJoining {
		s.snapshot = snapshot
	}
	s.have = snapshot.HeadSeq
	if after != nil {
		s.have = *after
	}
	if seed && snapshot.ActiveTurn != nil {
		for _, item := range snapshot.ActiveTurn.Items {
			s.merge.put(item)
		}
	}
	s.state = subLive
	return true
}

// offer puts an event into the buffer, unless it was there already. mu is held.
func (s *Subscription) offer(ev event) {
	last := ev.method == protocol.EventThreadDeleted.Name || ev.method == protocol.EventSubscriptionClosed.Name
	if s.state != subLive && !(last && s.state == subBehind) {
		return
	}
	if ev.seq > 0 {
		switch {
		case ev.seq <= s.have:
			return
		case ev.seq == s.have+1, ev.method == protocol.EventThreadReset.Name, s.c.opts.skipsSeq:
		case listLevel[ev.method]:
			return // it came beside the stream and will come in it
		default: // a hole, which should not be
			s.fallBehind()
			return
		}
	}
	if s.bytes+len(ev.raw) > s.c.opts.BufferBytes && len(s.queue) > 0 && !last {
		s.fallBehind()
		return
	}
	if ev.seq > 0 {
		s.have = ev.seq
	}
	s.queue = append(s.queue, ev)
	s.bytes += len(ev.raw)
	if last {
		s.finish(nil)
	}
	s.signal()
}

// fallBehind stops the stream of a subscription until it has caught up. mu is held.
func (s *Subscription) fallBehind() {
	if s.state == subLive {
		s.state = subBehind
		s.signal()
	}
}

// reread lets the subscription get what it lacks from the journal.
func (s *Subscription) reread() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.fallBehind()
}

// finish ends the subscription behind what is in its buffer. mu is held.
func (s *Subscription) finish(err error) {
	if s.state != subEnded {
		s.state, s.err = subEnded, err
		s.signal()
	}
}

func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
