package thread

import (
	"sync"
	"sync/atomic"
)

// peers is the set of connections that hear of threads. Its lock is a leaf.
type peers struct {
	mu   sync.Mutex
	of   map[Peer]*peerState
	list atomic.Pointer[[]*peerState] // copied on write: it is read for every list event
}

// peerState is what is known of one connection. Guarded by peers.mu.
type peerState struct {
	peer Peer
	subs map[*Subscription]bool
}

func (ps *peers) all() []*peerState {
	if l := ps.list.Load(); l != nil {
		return *l
	}
	return nil
}

func (ps *peers) attach(p Peer) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.of == nil {
		ps.of = map[Peer]*peerState{}
	}
	if ps.of[p] == nil {
		ps.of[p] = &peerState{peer: p, subs: map[*Subscription]bool{}}
		ps.publish()
	}
}

// detach forgets p and returns the subscriptions it had.
func (ps *peers) detach(p Peer) []*Subscription {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	st := ps.of[p]
	if st == nil {
		return nil
	}
	delete(ps.of, p)
	ps.publish()
	subs := make([]*Subscription, 0, len(st.subs))
	for s := range st.subs {
		subs = append(subs, s)
	}
	return subs
}

func (ps *peers) publish() {
	list := make([]*peerState, 0, len(ps.of))
	for _, st := range ps.of {
		list = append(list, st)
	}
	ps.list.Store(&list)
}

// add notes a subscription; false: the connection is gone, or not attached yet.
func (ps *peers) add(s *Subscription) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	st := ps.of[s.peer]
	if st == nil {
		return false
	}
	st.subs[s] = true
	return true
}

func (ps *peers) remove(s *Subscription) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if st := ps.of[s.peer]; st != nil {
		delete(st.subs, s)
	}
}

// count returns the number of subscriptions of p, or of all for nil.
func (ps *peers) count(p Peer) int {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p != nil {
		if st := ps.of[p]; st != nil {
			return len(st.subs)
		}
		return 0
	}
	n := 0
	for _, st := range ps.of {
		n += len(st.subs)
	}
	return n
}
