package thread

import (
	"slices"
	"sync"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// owners knows which connection each thread belongs to: the one that started it, then the
// latest that resumed it. Its lock is a leaf.
type owners struct {
	mu      sync.Mutex
	conn    map[string]map[string]bool // connection id -> threads
	of      map[string]string          // thread -> connection id
	waiting map[string]*orphan         // threads whose connection is gone
}

// orphan is a thread in its grace time.
type orphan struct {
	user, instance string
	timer          *time.Timer
}

func (o *owners) init() {
	o.conn, o.of, o.waiting = map[string]map[string]bool{}, map[string]string{}, map[string]*orphan{}
}

// take gives a thread to a connection.
func (o *owners) take(thread string, c Caller) {
	if c.ConnectionID == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.takeLocked(thread, c.ConnectionID)
}

func (o *owners) takeLocked(thread, conn string) {
	if w := o.waiting[thread]; w != nil {
		w.timer.Stop()
		delete(o.waiting, thread)
	}
	delete(o.conn[o.of[thread]], thread)
	o.of[thread] = conn
	if o.conn[conn] == nil {
		o.conn[conn] = map[string]bool{}
	}
	o.conn[conn][thread] = true
}

// drop forgets a thread.
func (o *owners) drop(thread string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if w := o.waiting[thread]; w != nil {
		w.timer.Stop()
		delete(o.waiting, thread)
	}
	delete(o.conn[o.of[thread]], thread)
	delete(o.of, thread)
}

// owned reports whether a thread belongs to a connection.
func (o *owners) owned(thread string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.of[thread] != ""
}

// threads returns the threads of a connection, in the order of their ids.
func (o *owners) threads(conn string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return sortedKeys(o.conn[conn])
}

// leave takes a connection away and returns the threads it had.
func (o *owners) leave(conn string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	threads := sortedKeys(o.conn[conn])
	for _, id := range threads {
		delete(o.of, id)
	}
	delete(o.conn, conn)
	return threads
}

// own gives the thread to the caller's connection.
func (x *change) own(c Caller) {
	t := x.t
	t.m.owners.take(t.id, c)
	h := holder{c.User, c.InstanceID}
	if t.st.tied() && (t.st.Holder == nil || *t.st.Holder != h) {
		t.st.Holder = &h
		x.row = true
	}
}

// Owned returns how many threads belong to a connection.
func (m *Manager) Owned(connectionID string) int { return len(m.owners.threads(connectionID)) }

// Attach makes a connection hear of threads, and gives it back the threads that an
// earlier connection of the same user and instance had within their grace time. Call it
// when the client said that it is ready.
func (m *Manager) Attach(p Peer) {
	m.peers.attach(p)
	c := p.Caller()
	if c.InstanceID == "" {
		return
	}
	o := &m.owners
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, w := range o.waiting {
		if w.user == c.User && w.instance == c.InstanceID {
			o.takeLocked(id, c.ConnectionID)
		}
	}
}

// Detach ends all that a connection had: its subscriptions at once, its threads as their
// lifetime says. Call it when the connection is gone.
func (m *Manager) Detach(p Peer) {
	for _, s := range m.peers.detach(p) {
		s.t.mu.Lock()
		s.t.unsubscribe(p)
		s.t.mu.Unlock()
	}
	m.tools.left(p)
	c := p.Caller()
	for _, id := range m.owners.leave(c.ConnectionID) {
		t, err := m.lock(m.stopped, id, c.User)
		if err != nil {
			continue
		}
		tied, l := t.st.tied(), t.st.Thread.Lifetime
		t.mu.Unlock()
		if tied || l.OnDisconnect == protocol.DisconnectInterrupt {
			m.orphaned(id, c.User, c.InstanceID, milliseconds(l.GraceMs))
		}
	}
}

// orphaned starts the grace time of a thread.
func (m *Manager) orphaned(id, user, instance string, grace time.Duration) {
	o := &m.owners
	w := &orphan{user: user, instance: instance}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of[id] != "" {
		return // somebody has taken it meanwhile
	}
	o.waiting[id] = w
	w.timer = time.AfterFunc(grace, func() {
		o.mu.Lock()
		due := o.waiting[id] == w && m.stopped.Err() == nil
		if due {
			delete(o.waiting, id)
		}
		o.mu.Unlock()
		if due {
			m.disconnected(id, user)
		}
	})
}

// disconnected does to a thread what its lifetime says of the loss of its connection.
func (m *Manager) disconnected(id, user string) {
	t, err := m.lock(m.stopped, id, user)
	if err != nil {
		return
	}
	defer t.mu.Unlock()
	if m.refuse() != nil || m.owners.owned(id) {
		return // the next start sees to it; or somebody has taken it in the last moment
	}
	switch l := t.st.Thread.Lifetime; {
	case t.st.tied():
		if t.st.Thread.Status == protocol.StatusEnded {
			return
		}
		x := t.begin()
		x.endThread("connectionClosed", protocol.CancelClientDisconnected, nil)
		x.commit(nil)
	case l.OnDisconnect == protocol.DisconnectInterrupt && t.run != nil:
		t.interruptRun(protocol.CancelClientDisconnected, nil, "")
	}
}

// leaveTimers stops the grace times. Threads in theirs begin them anew at the next start.
func (o *owners) leaveTimers() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range o.waiting {
		w.timer.Stop()
	}
	clear(o.waiting)
}

// oneOf reports whether s is one of values.
func oneOf[T comparable](s T, values ...T) bool { return slices.Contains(values, s) }
