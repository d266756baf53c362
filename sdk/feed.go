package sdk

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spoolhq/spool/protocol"
)

// feed is what the daemon sends this client about one thread, however many subscriptions
// share it. It is guarded by Client.mu.
type feed struct {
	threadID string
	holds    int             // users: it is forgotten with the last of them
	subs     []*Subscription // those that have joined
	role     protocol.Role
	coalesce *protocol.Coalesce
	told     bool // the daemon may be sending events, as it was asked to
	open     bool // it is, on this connection, so what comes continues what came
}

// event is a notification as it is handed on. raw is never changed.
type event struct {
	method string
	seq    uint64
	raw    json.RawMessage
}

// liveOnly and listLevel know the notifications without seq, and those that come also to
// connections without a subscription.
var liveOnly, listLevel = notificationSets()

func notificationSets() (live, list map[string]bool) {
	live, list = map[string]bool{}, map[string]bool{}
	for _, n := range protocol.ServerNotifications() {
		live[n.Name], list[n.Name] = !n.Durable, n.List
	}
	return live, list
}

// newEvent reads as much of a notification as it takes to hand it on. raw must be valid.
func newEvent(e protocol.Envelope, raw []byte) event {
	ev := event{method: e.Method, raw: raw}
	if !liveOnly[e.Method] {
		_ = json.Unmarshal(protocol.Member(e.Params, "seq"), &ev.seq) // absent or nonsense: none
	}
	return ev
}

// hold returns the feed of a thread, which stays until release. mu is held.
func (c *Client) hold(threadID string) *feed {
	f := c.feeds[threadID]
	if f == nil {
		f = &feed{threadID: threadID}
		c.feeds[threadID] = f
	}
	f.holds++
	return f
}

// release gives up a hold. With the last one the thread is unsubscribed. mu is held.
func (c *Client) release(f *feed) {
	if f.holds--; f.holds > 0 {
		return
	}
	delete(c.feeds, f.threadID)
	if f.told && c.link != nil {
		c.forget(c.startLocked(protocol.MethodThreadUnsubscribe.Name, protocol.ThreadParams{ThreadID: f.threadID}, nil))
	}
}

// forget binds a call that nobody waits for to this connection. mu is held.
func (c *Client) forget(call *call, err error) {
	if err == nil {
		call.repeat, call.sent = false, c.link
	}
}

// receiveEvent puts a notification into the buffers of its thread's subscriptions.
func (c *Client) receiveEvent(e protocol.Envelope, raw []byte) {
	switch e.Method {
	case protocol.EventServerShuttingDown.Name:
		c.logf("the daemon is shutting down")
		return
	case protocol.EventCancelRequest.Name:
		c.withdrawn(e)
		return
	case protocol.EventToolCancel.Name:
		c.cancelCall(e)
	}
	var threadID string
	if json.Unmarshal(protocol.Member(e.Params, "threadId"), &threadID) != nil {
		return
	}
	ev := newEvent(e, raw)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Method == protocol.EventThreadEnded.Name || e.Method == protocol.EventThreadDeleted.Name {
		delete(c.offers, threadID)
	}
	if f := c.feeds[threadID]; f != nil && f.open {
		for _, s := range slices.Clone(f.subs) {
			s.offer(ev)
		}
	}
}

// subscribeParams are what makes the daemon send what s and all live subscriptions of the
// feed lack: s wants what comes after the given seq, nil for what is new. mu is held.
func (f *feed) subscribeParams(after *uint64) protocol.ThreadSubscribeParams {
	p := protocol.ThreadSubscribeParams{ThreadID: f.threadID, Role: f.role, Coalesce: f.coalesce}
	if after != nil {
		p.AfterSeq = new(*after)
	}
	for _, s := range f.subs {
		if s.state == subLive && (p.AfterSeq == nil || s.have < *p.AfterSeq) {
			p.AfterSeq = new(s.have)
		}
	}
	return p
}

// resubscribe takes up the live subscriptions of a feed on a new connection. mu is held.
func (c *Client) resubscribe(f *feed) {
	f.open = false
	if !slices.ContainsFunc(f.subs, func(s *Subscription) bool { return s.state == subLive }) {
		return
	}
	params := f.subscribeParams(nil)
	call, err := c.startLocked(protocol.MethodThreadSubscribe.Name, params, func(json.RawMessage) error {
		f.open = true
		return nil
	})
	c.forget(call, err) // the next connection makes its own
	if err != nil {
		return
	}
	call.refused = func(err error) {
		for _, s := range slices.Clone(f.subs) {
			if s.state == subLive {
				s.finish(err)
			}
		}
	}
}

// join subscribes s and begins to fill it with the events after the answer. after is what
// it has; nil: nothing, it begins with what is new.
func (c *Client) join(s *Subscription, after *uint64) (*call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := s.feed
	params := f.subscribeParams(after)
	call, err := c.startLocked(protocol.MethodThreadSubscribe.Name, params, func(result json.RawMessage) error {
		return f.joined(s, after, params.AfterSeq, result)
	})
	if err == nil {
		call.feed = f
	}
	return call, err
}

// joined makes s live at this point of the stream. It runs in the reading goroutine, with
// mu held, so no event can come between the answer and it.
func (f *feed) joined(s *Subscription, after, sent *uint64, result json.RawMessage) error {
	var snapshot protocol.ThreadSnapshot
	if err := json.Unmarshal(result, &snapshot); err != nil {
		return fmt.Errorf("%s: the answer makes no sense: %w", protocol.MethodThreadSubscribe.Name, err)
	}
	f.open = true
	begin := snapshot.HeadSeq // of what follows the answer
	if sent != nil {
		begin = *sent
	}
	for _, other := range f.subs {
		// What follows is behind where it begins: what lies between it would never get.
		if other.state == subLive && other.have < begin {
			other.fallBehind()
		}
	}
	if s.start(snapshot, after, sent == nil) && !slices.Contains(f.subs, s) {
		f.subs = append(f.subs, s)
	}
	return nil
}
