package thread

import "github.com/spoolhq/spool/protocol"

// claim is what a request gives its connection, beside the answer.
type claim struct {
	thread string
	follow bool            // the connection is subscribed,
	after  uint64          // to what comes behind this seq
	turn   string          // or where that is set, to all of this turn and what comes then
	own    bool            // the thread belongs to it,
	tools  []protocol.Tool // and may call these tools of it
}

// claiming is r for a request that gives its connection something. A repeat under a key comes
// most of all from a client whose connection was lost before the answer came, and with it
// what the request gave. So a repeat gets that, too. of says what it is, and whether the
// result is that of a repeat.
func claiming[R any](m *Manager, c Call, r Reply[R], of func(R) (claim, bool)) Reply[R] {
	return func(res R, err error) {
		g, repeat := of(res)
		if err != nil || !repeat || c.Peer == nil {
			r(res, err)
			return
		}
		// A lock may be held here, so it is claimed elsewhere.
		if !m.spawn(func() { m.claim(c, g, func() { r(res, nil) }) }) {
			r(res, nil)
		}
	}
}

// claim gives the caller's connection what g says and answers. Where the thread is gone
// meanwhile, or the caller may only watch it, there is nothing to give.
func (m *Manager) claim(c Call, g claim, answer func()) {
	after := m.followFrom(c, g)
	t, err := m.lockToChange(c, g.thread)
	if err != nil {
		answer()
		return
	}
	defer t.mu.Unlock()
	x := t.begin()
	if g.own {
		x.own(c.Caller)
		x.bindNamed(c, g.tools)
	}
	if after != nil {
		*after = min(*after, t.st.Thread.HeadSeq)
	}
	if g.follow {
		x.joinFrom(c, after)
	}
	x.commit(func(error) { answer() })
}

// followFrom returns the seq behind which the events begin that g gives; nil where its turn is
// not there any more.
func (m *Manager) followFrom(c Call, g claim) *uint64 {
	if g.turn == "" {
		return &g.after
	}
	t, err := m.lock(c.Context, g.thread, c.Caller.User)
	if err != nil {
		return nil
	}
	store := t.store()
	t.mu.Unlock()
	entry, err := store.Turn(c.Context, g.thread, g.turn)
	if err != nil || entry.Accepted == 0 {
		return nil
	}
	after := entry.Accepted - 1
	return &after
}
