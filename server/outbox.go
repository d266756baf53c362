package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
)

const (
	// flushBytes is what the writer takes at once. It is also the least a client must
	// take within Limits.SlowConsumer to count as alive.
	flushBytes = 16 << 10
	// frameOverhead is what a waiting frame costs beside its bytes.
	frameOverhead = 32
	// keptFrames is the size of a queue that an idle connection may keep.
	keptFrames = 16
)

// outbox holds what waits to be sent on one connection, in one order, and owns the
// goroutine that sends it, which exists only while something waits.
type outbox struct {
	transport Transport
	limit     int             // of responses; three quarters of it for all else
	ctx       context.Context // of the connection
	spawn     func(func())    // starts a goroutine that the connection waits for
	fail      func(error)     // called once, when nothing more can be sent

	mu      sync.Mutex
	changed sync.Cond        // something was sent, or closed
	queue   []protocol.Frame // what waits begins at head
	head    int
	hand    []protocol.Frame // what the writer has in hand; its own
	bytes   int              // of both, with overhead
	whole   []protocol.Frame // snapshots among them, in their order
	wholes  int              // bytes of whole: they take no room from what follows them
	aside   aside
	behind  []*thread.Subscription
	wakes   []chan<- struct{} // of agents that wait for room
	ready   bool              // the handshake is over: events may be sent
	held    []protocol.Frame  // snapshots that wait for it
	writing bool              // the writer exists
	reading bool              // it reads the journal: the client is not waited for
	closed  bool
	watch   watchdog
}

func newOutbox(ctx context.Context, t Transport, l Limits, spawn func(func()), fail func(error)) *outbox {
	o := &outbox{transport: t, limit: l.OutboxBytes, ctx: ctx, spawn: spawn, fail: fail}
	o.changed.L = &o.mu
	o.watch.timeout = l.SlowConsumer
	return o
}

func cost(f protocol.Frame) int { return len(f) + frameOverhead }

// respond queues a frame that must arrive: there is always room for it, as no more
// requests are read while there is too much.
func (o *outbox) respond(f protocol.Frame) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.push(f)
	}
}

// ask queues a frame that must arrive, and that belongs behind the handshake.
func (o *outbox) ask(f protocol.Frame) { o.offer(f, thread.ClassSnapshot, "") }

// offer queues an event; see thread.Peer.Offer. Before the handshake is over nothing is
// sent: subscriptions fall behind and are caught up then, and state frames are not owed.
func (o *outbox) offer(f protocol.Frame, class thread.Class, key string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
	case class == thread.ClassSnapshot && !o.ready:
		o.held = append(o.held, f)
	case class == thread.ClassSnapshot:
		o.pushWhole(f)
	case class == thread.ClassStream && !o.room(f):
		return false
	case class == thread.ClassStream:
		o.push(f)
	case o.ready:
		o.offerState(f, class, key)
	}
	return true
}

// offerState queues a frame of which the latest counts, or keeps it aside.
func (o *outbox) offerState(f protocol.Frame, class thread.Class, key string) {
	if class == thread.ClassLast {
		o.aside.drop(key)
	}
	if o.aside.empty() && o.room(f) {
		o.push(f)
		return
	}
	o.aside.put(key, f)
	o.wake()
}

// room reports whether an event may be queued now. An empty queue takes any.
func (o *outbox) room(f protocol.Frame) bool {
	return o.ready && (o.bytes == 0 || o.bytes-o.wholes+cost(f) <= o.limit/4*3)
}

// crowded reports whether half of the room is taken; see thread.Peer. Agents are woken when
// half of that is sent: any later, and the writer would have nothing to do.
func (o *outbox) crowded(wake chan<- struct{}) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.bytes-o.wholes <= o.limit/8*3 {
		return false
	}
	if !slices.Contains(o.wakes, wake) {
		o.wakes = append(o.wakes, wake)
	}
	return true
}

// wakeAgents lets those go on who wait for room. o.mu is held.
func (o *outbox) wakeAgents() {
	for _, wake := range o.wakes {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	o.wakes = nil
}

// pushWhole queues a snapshot. It may be larger than the outbox: if it counted, nothing
// live would fit behind it, and the subscription would be behind again at once.
func (o *outbox) pushWhole(f protocol.Frame) {
	o.whole = append(o.whole, f)
	o.wholes += cost(f)
	o.push(f)
}

func (o *outbox) push(f protocol.Frame) {
	if len(o.queue) == cap(o.queue) && o.head > len(o.queue)/2 {
		n := copy(o.queue, o.queue[o.head:])
		clear(o.queue[n:])
		o.queue, o.head = o.queue[:n], 0
	}
	o.queue = append(o.queue, f)
	o.bytes += cost(f)
	o.wake()
}

// fillLater has s filled when nothing else waits; see thread.Peer.Behind.
func (o *outbox) fillLater(s *thread.Subscription) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.behind = append(o.behind, s)
		o.wake()
	}
}

// begin lets events out: the handshake is over.
func (o *outbox) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ready = true
	for _, f := range o.held {
		o.pushWhole(f)
	}
	o.held = nil
	o.wake()
}

// wake starts the writer where it has something to do. o.mu is held.
func (o *outbox) wake() {
	if o.writing || o.closed || !o.waiting() {
		return
	}
	o.writing = true
	o.watch.start(o.transport.Taken(), o.check)
	o.spawn(o.write)
}

func (o *outbox) waiting() bool {
	return o.head < len(o.queue) || !o.aside.empty() || o.ready && len(o.behind) > 0
}

// write is the writer: it sends until nothing waits.
func (o *outbox) write() {
	for {
		frames, sub := o.next()
		var err error
		switch {
		case sub != nil:
			err = o.fill(sub)
		case len(frames) > 0:
			err = o.transport.Write(frames)
			o.wrote()
		default:
			return
		}
		if err != nil {
			o.close()
			o.fail(err)
		}
	}
}

// next returns what to send: some of the queue, or else a subscription to fill.
func (o *outbox) next() ([]protocol.Frame, *thread.Subscription) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || !o.waiting() {
		o.writing = false
		o.shrink()
		o.changed.Broadcast()
		return nil, nil
	}
	if o.head == len(o.queue) {
		for f := range o.aside.take(o.limit / 2) {
			o.push(f)
		}
	}
	if o.head < len(o.queue) {
		n := o.head + batch(o.queue[o.head:])
		o.hand = append(o.hand[:0], o.queue[o.head:n]...)
		clear(o.queue[o.head:n])
		if o.head = n; n == len(o.queue) {
			o.queue, o.head = o.queue[:0], 0
		}
		return o.hand, nil
	}
	s := o.behind[0]
	o.behind = slices.Delete(o.behind, 0, 1)
	return nil, s
}

// batch returns how many frames make one flush.
func batch(frames []protocol.Frame) int {
	n, size := 0, 0
	for n < len(frames) && (n == 0 || size+len(frames[n]) <= flushBytes) {
		size += len(frames[n])
		n++
	}
	return n
}

// wrote counts out what the writer had in hand.
func (o *outbox) wrote() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.hand {
		o.bytes -= cost(f)
		if len(o.whole) > 0 && &f[0] == &o.whole[0][0] {
			o.wholes -= cost(f)
			o.whole[0] = nil
			o.whole = o.whole[1:]
		}
	}
	clear(o.hand)
	o.hand = o.hand[:0]
	if o.bytes-o.wholes <= o.limit/16*3 {
		o.wakeAgents()
	}
	o.changed.Broadcast()
}

// shrink frees what an idle connection does not need. o.mu is held.
func (o *outbox) shrink() {
	if cap(o.queue) > keptFrames {
		o.queue = nil
	}
	if cap(o.hand) > keptFrames {
		o.hand = nil
	}
}

// fill sends the next page of a subscription that is behind.
func (o *outbox) fill(s *thread.Subscription) error {
	o.read(true)
	frames, more, err := s.Fill(o.ctx)
	o.read(false)
	if err != nil && o.ctx.Err() != nil {
		return nil // the connection ends
	}
	for len(frames) > 0 {
		n := batch(frames)
		if err := o.transport.Write(frames[:n]); err != nil {
			return err
		}
		frames = frames[n:]
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errJournal, err)
	}
	if more {
		o.fillLater(s)
	}
	return nil
}

// read says whether the writer reads the journal, which is no time of the client's.
func (o *outbox) read(reading bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reading = reading
	o.watch.excuse()
}

// errJournal is the part of outbox.fail's error that says that not the client is to blame.
var errJournal = errors.New("the journal of a thread cannot be read")

// check is called by the watchdog's timer.
func (o *outbox) check() {
	o.mu.Lock()
	if o.reading {
		o.watch.excuse()
	}
	stalled := !o.closed && o.watch.stalled(o.writing, o.transport.Taken())
	o.mu.Unlock()
	if stalled {
		o.fail(&CloseError{CloseTryLater, "nothing was read for " + o.watch.timeout.String()})
	}
}

// waitRoom returns when responses fit again, or false when the outbox is closed.
func (o *outbox) waitRoom() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.closed && o.bytes-o.wholes > o.limit {
		o.changed.Wait()
	}
	return !o.closed
}

// flush returns when nothing waits to be sent any more, or ctx ends.
func (o *outbox) flush(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.changed.Broadcast()
	})
	defer stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.closed && ctx.Err() == nil && (o.writing || o.waiting()) {
		o.changed.Wait()
	}
}

// close drops what waits. What the writer has in hand is still written.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.queue, o.head, o.whole, o.held, o.behind, o.aside = nil, 0, nil, nil, nil, aside{}
	o.wakeAgents()
	o.watch.stop()
	o.changed.Broadcast()
}

// queued returns the bytes that wait to be sent.
func (o *outbox) queued() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
}
