package thread

import (
	"context"
	"slices"
	"time"

	"github.com/spoolhq/spool/protocol"
)

type subState uint8

const (
	subLive    subState = 1 // gets everything
	subBehind  subState = 2 // is fed from the journal by Fill
	subJoining subState = 3 // gets durable events; snapshots and the rest follow
	subClosed  subState = 4
)

// pageBytes bounds what Fill reads at a time.
const pageBytes = 256 << 10

// Subscription is one connection's interest in one thread. There is one mechanism for
// the late, the slow and the returning client: a subscription that lacks events is
// behind; the connection's writer calls Fill, which pages through the journal; at its end
// the subscription joins the live stream under the thread's lock, with a snapshot of what
// is in progress. Guarded by the thread's mu.
type Subscription struct {
	t      *Thread
	peer   Peer
	role   protocol.Role
	since  protocol.Time
	state  subState
	next   uint64 // seq of the next durable event it must get
	join   uint64 // counts attempts to join, so that an old one does nothing
	lagged bool   // thread/subscription/lagged is due
	lag    uint64 // its throughSeq
	deltas *coalescer

	missed map[string]presenceChange // while it was not live, by connection

	heldUp time.Duration // how long an agent waited for it while most others kept up
	deaf   bool          // it read nothing when it was waited for
}

func (t *Thread) subOf(p Peer) *Subscription {
	for _, s := range t.subs {
		if s.peer == p {
			return s
		}
	}
	return nil
}

// newSub makes a subscription that activate puts into force. t.mu is held.
func (t *Thread) newSub(p Peer, role protocol.Role, co *protocol.Coalesce) *Subscription {
	if role == "" {
		role = protocol.RoleParticipant
	}
	s := &Subscription{t: t, peer: p, role: role, since: protocol.Now()}
	if co != nil {
		s.deltas = newCoalescer(s, *co)
	}
	return s
}

// activate puts s into force, in place of an older subscription of the same connection.
// It runs as an effect, so everything before it was told without s and everything after
// it reaches s. replay: the journal after that seq comes first; nil: live at once, with
// snapshots (taken where the effect was added) of the items in progress.
func (s *Subscription) activate(replay *uint64, snapshots []protocol.Frame) {
	t := s.t
	if t.gone || t.st.role(s.peer.Caller().User) == "" || !t.m.peers.add(s) {
		return
	}
	if old := t.subOf(s.peer); old != nil {
		old.close()
		t.m.peers.remove(old)
		t.subs = slices.DeleteFunc(t.subs, func(o *Subscription) bool { return o == old })
	} else {
		t.tellPresence([]protocol.Presence{s.presence()}, nil)
	}
	t.subs = append(t.subs, s)
	if s.role == protocol.RoleObserver {
		t.withdraw(s.peer)
	}
	if replay != nil {
		s.state, s.next = subBehind, *replay+1
		s.peer.Behind(s)
	} else {
		s.next = t.flushed + 1
		s.goLive(snapshots)
	}
	t.returned(s.peer)
	t.sendOpen(s)
}

func (s *Subscription) goLive(snapshots []protocol.Frame) {
	s.state = subLive
	for _, f := range snapshots {
		if s.peer.Wants(protocol.EventItemUpdated.Name) {
			s.peer.Offer(f, ClassSnapshot, "")
		}
	}
	s.tellMissed()
}

// fallBehind is called where a frame found no room.
func (s *Subscription) fallBehind() {
	if s.deltas != nil {
		s.deltas.drop()
	}
	s.state, s.lagged, s.lag = subBehind, true, s.t.flushed
	s.join++
	s.t.m.count("subscriptions.lagged")
	s.peer.Behind(s)
}

func (s *Subscription) durable(e effect) {
	if s.state != subLive && s.state != subJoining || e.seq < s.next {
		return
	}
	if s.peer.Wants(e.method) {
		if s.deltas != nil && !s.deltas.flush() || !s.peer.Offer(e.frame, ClassStream, "") {
			s.fallBehind()
			return
		}
	}
	s.next = e.seq + 1
}

func (s *Subscription) live(e effect) {
	if !s.peer.Wants(e.method) {
		return
	}
	if s.state == subLive {
		if (s.deltas == nil || s.deltas.flush()) && s.peer.Offer(e.frame, ClassStream, "") {
			return
		}
		s.fallBehind()
	}
	s.miss(e.presence)
}

func (s *Subscription) delta(e effect) {
	if s.state != subLive || !s.peer.Wants(e.method) {
		return
	}
	if s.deltas != nil {
		if !s.deltas.add(&e.delta) {
			s.fallBehind()
		}
		return
	}
	if !s.peer.Offer(e.frame, ClassStream, "") {
		s.fallBehind()
	}
}

func (s *Subscription) close() {
	s.state = subClosed
	s.join++
	if s.deltas != nil {
		s.deltas.drop()
	}
}

// Fill returns the next frames of a subscription that is behind. The connection writes
// them at once and calls again while more is true. It reads the journal without a lock
// held and never more than has been told to others.
func (s *Subscription) Fill(ctx context.Context) (frames []protocol.Frame, more bool, err error) {
	t := s.t
	t.mu.Lock()
	if s.state != subBehind {
		t.mu.Unlock()
		return nil, false, nil
	}
	if s.lagged {
		s.lagged = false
		if s.peer.Wants(protocol.EventSubscriptionLagged.Name) {
			frames = append(frames, t.lagFrame(s.lag))
		}
	}
	after, upTo := s.next-1, t.flushed
	if after >= upTo {
		s.rejoin()
		t.mu.Unlock()
		return frames, false, nil
	}
	t.mu.Unlock()

	events, err := t.store().Events(ctx, t.id, after, upTo, pageBytes)
	if err != nil {
		return frames, false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.state != subBehind || len(events) == 0 {
		return frames, s.state == subBehind, nil
	}
	for _, e := range events {
		if s.wantsFrame(e.Frame) {
			frames = append(frames, e.Frame)
		}
	}
	s.next = events[len(events)-1].Seq + 1
	return frames, true, nil
}

func (s *Subscription) wantsFrame(f protocol.Frame) bool {
	return s.peer.Wants(f.Method())
}

// rejoin lets the subscription go live where the thread's effects are now: the events
// that still wait for their commit reach it, then the snapshots that are taken here.
func (s *Subscription) rejoin() {
	s.state = subJoining
	s.join++
	attempt, snapshots := s.join, s.t.snapshots()
	s.t.tell(effect{kind: call, fn: func(error) {
		if s.state == subJoining && s.join == attempt {
			s.goLive(snapshots)
		}
	}})
}

// snapshots returns item/updated for each item in progress. t.mu is held.
func (t *Thread) snapshots() []protocol.Frame {
	if t.run == nil {
		return nil
	}
	var frames []protocol.Frame
	for _, it := range t.run.items {
		if it.closed {
			continue
		}
		f, err := protocol.Encode(protocol.EventItemUpdated, protocol.ItemEvent{
			Header: t.run.header(it.item.ID), Item: it.snapshot(),
		})
		if err == nil {
			frames = append(frames, f)
		}
	}
	return frames
}

func (t *Thread) lagFrame(through uint64) protocol.Frame {
	f, _ := protocol.Encode(protocol.EventSubscriptionLagged, protocol.SubscriptionLaggedEvent{
		Header: protocol.Header{ThreadID: t.id, At: protocol.Now()}, ThroughSeq: through,
	})
	return f
}

// unsubscribe ends the subscription of a connection and reports whether there was one.
// t.mu is held.
func (t *Thread) unsubscribe(p Peer) bool {
	s := t.subOf(p)
	if s == nil {
		return false
	}
	s.close()
	t.subs = slices.DeleteFunc(t.subs, func(o *Subscription) bool { return o == s })
	t.m.peers.remove(s)
	t.withdraw(p)
	t.tellPresence(nil, []protocol.Presence{s.presence()})
	t.touch()
	t.flush()
	return true
}
