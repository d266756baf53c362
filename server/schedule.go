package server

import (
	"context"
	"slices"
	"sync"

	"github.com/spoolhq/spool/protocol"
)

// schedule holds the requests of one connection from reading to reply and says when each
// may run. Its mutex is a leaf.
type schedule struct {
	limits Limits
	spawn  func(func()) // starts a goroutine that the connection waits for

	mu      sync.Mutex
	changed sync.Cond // capacity grew, or closed
	byID    map[string]*request
	inWork  int // read, not answered and not parked
	parked  int
	ordered waiting // one runs at a time
	free    waiting // at most limits.MaxFree
	closed  bool
}

// waiting is a list of requests of which max may run at once.
type waiting struct {
	queue   []*request
	running int
}

// request is one request of a client.
type request struct {
	id     protocol.RawID
	key    string // of id
	method *method
	params []byte
	ctx    context.Context
	cancel context.CancelCauseFunc

	// schedule.mu guards these.
	list    *waiting // where it waits or holds a place
	waiting bool
	parked  bool
	done    bool
}

func newSchedule(l Limits, spawn func(func())) *schedule {
	s := &schedule{limits: l, spawn: spawn}
	s.changed.L = &s.mu
	return s
}

// waitCapacity returns when another request may be read, or false when the connection ends.
func (s *schedule) waitCapacity() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closed && s.inWork >= s.limits.MaxInFlight {
		s.changed.Wait()
	}
	return !s.closed
}

// add takes a request that was read. False: its id is in use.
func (s *schedule) add(r *request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.byID[r.key]; taken {
		return false
	}
	if s.byID == nil {
		s.byID = map[string]*request{}
	}
	s.byID[r.key] = r
	s.inWork++
	return true
}

// run calls do with r when its order allows; for OrderNow before run returns.
func (s *schedule) run(r *request, do func(*request)) {
	order := r.method.info.Order
	if order == protocol.OrderNow {
		do(r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.forget(r)
		return
	}
	list, most := &s.ordered, 1
	if order == protocol.OrderFree {
		list, most = &s.free, s.limits.MaxFree
	}
	r.list = list
	if list.running < most {
		list.running++
		s.spawn(func() { s.work(r, do) })
		return
	}
	r.waiting = true
	list.queue = append(list.queue, r)
}

// work runs r and then what waits in the same list.
func (s *schedule) work(r *request, do func(*request)) {
	for r != nil {
		do(r)
		r = s.next(r)
	}
}

// next returns the request that takes the place of r, nil if none waits.
func (s *schedule) next(r *request) *request {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := r.list
	if len(list.queue) == 0 {
		list.queue = nil
		list.running--
		return nil
	}
	n := list.queue[0]
	list.queue[0] = nil
	list.queue = list.queue[1:]
	n.waiting = false
	return n
}

// park says that r waits for a turn and is not in work any more.
func (s *schedule) park(r *request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.parked || r.done {
		return nil
	}
	if s.parked >= s.limits.MaxParked {
		err := protocol.Errorf(protocol.CodeServerOverloaded, "%d requests of this connection wait for turns already; try again when one is answered", s.parked)
		err.Data.RetryAfterMs = 1000
		return err
	}
	r.parked = true
	s.parked++
	s.inWork--
	s.changed.Broadcast()
	return nil
}

// finish has a request answered and takes it out, in this order: once nothing is in work,
// nothing is to be answered any more. False: it was answered before.
func (s *schedule) finish(r *request, answer func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.done {
		return false
	}
	answer()
	return s.forget(r)
}

func (s *schedule) forget(r *request) bool {
	if r.done {
		return false
	}
	r.done = true
	delete(s.byID, r.key)
	if r.parked {
		s.parked--
	} else {
		s.inWork--
	}
	r.cancel(nil)
	s.changed.Broadcast()
	return true
}

// cancel ends the context of the request with this id. It returns the request if it had
// not begun; then it will not, and must be answered.
func (s *schedule) cancel(id protocol.RawID, cause error) *request {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.byID[idKey(id)]
	if r == nil {
		return nil
	}
	if r.waiting {
		r.list.queue = slices.DeleteFunc(r.list.queue, func(o *request) bool { return o == r })
		r.waiting = false
		return r
	}
	r.cancel(cause)
	return nil
}

// close drops what has not begun and lets nothing begin any more.
func (s *schedule) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, list := range []*waiting{&s.ordered, &s.free} {
		for _, r := range list.queue {
			s.forget(r)
		}
		list.queue = nil
	}
	s.changed.Broadcast()
}

// settle returns when nothing is in work, with all also nothing parked, or ctx ends. It
// reports whether that is so.
func (s *schedule) settle(ctx context.Context, all bool) bool {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	busy := func() bool { return s.inWork > 0 || all && s.parked > 0 }
	for busy() && ctx.Err() == nil {
		s.changed.Wait()
	}
	return !busy()
}
