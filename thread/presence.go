package thread

import (
	"maps"
	"slices"

	"github.com/spoolhq/spool/protocol"
)

// presenceChange is the last that happened to a connection: it came, or it left.
type presenceChange struct {
	who  protocol.Presence
	left bool
}

// maxMissed bounds the changes that are kept for a subscription that is not live.
const maxMissed = 1024

func (s *Subscription) presence() protocol.Presence {
	c := s.peer.Caller()
	return protocol.Presence{ConnectionID: c.ConnectionID, User: c.User, Client: c.Client, Role: s.role, Since: s.since}
}

// tellPresence tells everyone who follows that some came and some left. t.mu is held.
func (t *Thread) tellPresence(joined, left []protocol.Presence) {
	t.add(t.presenceEffect(joined, left))
}

func (t *Thread) presenceEffect(joined, left []protocol.Presence) effect {
	event := protocol.PresenceChangedEvent{
		Header: protocol.Header{ThreadID: t.id, At: protocol.Now()}, Joined: joined, Left: left,
	}
	n := protocol.EventPresenceChanged
	frame, _ := protocol.Encode(n, event) // it has nothing that could fail
	return effect{kind: tellLive, frame: frame, method: n.Name, presence: &event}
}

// miss keeps a change of presence, which the journal does not hold, for when the
// subscription is live again.
func (s *Subscription) miss(e *protocol.PresenceChangedEvent) {
	if e == nil {
		return
	}
	if s.missed == nil {
		s.missed = map[string]presenceChange{}
	}
	for _, p := range e.Joined {
		if p.ConnectionID == s.peer.Caller().ConnectionID {
			continue // it knows that
		}
		s.missed[p.ConnectionID] = presenceChange{who: p}
	}
	for _, p := range e.Left {
		s.missed[p.ConnectionID] = presenceChange{who: p, left: true}
	}
	if len(s.missed) > maxMissed { // most came and left again, and are unknown to the client
		maps.DeleteFunc(s.missed, func(_ string, c presenceChange) bool { return c.left })
	}
}

// tellMissed tells a subscription that is live again who came and left meanwhile.
func (s *Subscription) tellMissed() {
	if len(s.missed) == 0 {
		return
	}
	var joined, left []protocol.Presence
	for _, id := range slices.Sorted(maps.Keys(s.missed)) {
		if c := s.missed[id]; c.left {
			left = append(left, c.who)
		} else {
			joined = append(joined, c.who)
		}
	}
	s.missed = nil
	s.peer.Offer(s.t.presenceEffect(joined, left).frame, ClassSnapshot, "")
}
