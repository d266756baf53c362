package thread

import (
	"context"
	"sync"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// waiter waits for the end of a turn.
type waiter struct {
	once  sync.Once
	reply func(protocol.Turn, error)
	stop  []func() bool // its context and timer
}

// answer answers once; the first to call it wins.
func (w *waiter) answer(tn protocol.Turn, err error) {
	w.once.Do(func() {
		for _, stop := range w.stop {
			stop()
		}
		w.reply(tn, err)
	})
}

// resolve answers those who wait for a turn that is over. t.mu is held.
func (t *Thread) resolve(tn protocol.Turn, err error) {
	waiting := t.waiters[tn.ID]
	delete(t.waiters, tn.ID)
	if err == nil {
		err = queueCleared(tn)
	}
	for _, w := range waiting {
		w.answer(tn, err)
	}
}

// queueCleared is what those hear who wait for a turn that was cleared from the queue; nil
// for any other.
func queueCleared(tn protocol.Turn) error {
	if tn.CancelReason != protocol.CancelQueueCleared {
		return nil
	}
	return protocol.Errorf(protocol.CodeQueueCleared, "turn %s was cleared from the queue before it started", tn.ID)
}

// TurnWait answers when a turn is over, at once if it is, or after the time-out with the
// turn as it is then.
func (m *Manager) TurnWait(c Call, p protocol.TurnWaitParams, r Reply[protocol.TurnWaitResult]) {
	if p.TimeoutMs < 0 {
		r(protocol.TurnWaitResult{}, protocol.InvalidParams("timeoutMs", "must not be negative"))
		return
	}
	m.await(c, p.ThreadID, p.TurnID, milliseconds(p.TimeoutMs), c.Park, r)
}

// await answers a turn/run with wait whose input the change accepts: whoever waits does so from
// the moment at which it is kept, and misses nothing that becomes of the turn.
func (x *change) await(c Call, res protocol.TurnRunResult, r Reply[protocol.TurnRunResult]) {
	t := x.t
	x.out = append(x.out, effect{kind: call, fn: func(err error) {
		if err == nil {
			t.wait(c.Context, res.Turn.ID, 0, ofRun(res, r))
		}
	}})
}

// awaited is r for what else is answered to a turn/run with wait: a refusal, at once, and a
// repeat under a key, which waits for the turn as it is now.
func (m *Manager) awaited(c Call, r Reply[protocol.TurnRunResult]) Reply[protocol.TurnRunResult] {
	return func(res protocol.TurnRunResult, err error) {
		switch {
		case err != nil:
			r(res, err)
		case res.Replayed:
			// A lock may be held here, so the wait begins elsewhere.
			if !m.spawn(func() { m.await(c, res.Turn.ThreadID, res.Turn.ID, 0, nil, ofRun(res, r)) }) {
				r(res, m.refuse())
			}
		}
	}
}

// ofRun is r for what turn/wait would answer.
func ofRun(res protocol.TurnRunResult, r Reply[protocol.TurnRunResult]) Reply[protocol.TurnWaitResult] {
	return func(w protocol.TurnWaitResult, err error) {
		res.Turn = w.Turn
		if err == nil { // it may have been cleared before the wait began
			err = queueCleared(w.Turn)
		}
		r(res, err)
	}
}

func (m *Manager) await(c Call, threadID, turnID string, timeout time.Duration, park func() error, r Reply[protocol.TurnWaitResult]) {
	t, err := m.lock(c.Context, threadID, c.Caller.User)
	if err != nil {
		r(protocol.TurnWaitResult{}, err)
		return
	}
	if t.statusOf(turnID, "") == "" {
		t.mu.Unlock()
		m.TurnRead(c, protocol.TurnReadParams{ThreadID: threadID, TurnID: turnID}, func(res protocol.TurnResult, err error) {
			r(protocol.TurnWaitResult{Turn: res.Turn}, err)
		})
		return
	}
	defer t.mu.Unlock()
	if park != nil {
		if err := park(); err != nil {
			r(protocol.TurnWaitResult{}, err)
			return
		}
	}
	t.wait(c.Context, turnID, timeout, r)
}

// wait adds a waiter for a turn that is in memory. t.mu is held.
func (t *Thread) wait(ctx context.Context, turnID string, timeout time.Duration, r Reply[protocol.TurnWaitResult]) {
	timedOut := false
	w := &waiter{reply: func(tn protocol.Turn, err error) { r(protocol.TurnWaitResult{Turn: tn, TimedOut: timedOut}, err) }}
	leave := func(answer func()) {
		t.mu.Lock()
		defer t.mu.Unlock()
		list := t.waiters[turnID]
		for i := range list {
			if list[i] == w {
				t.waiters[turnID] = append(list[:i:i], list[i+1:]...)
				if len(t.waiters[turnID]) == 0 {
					delete(t.waiters, turnID)
				}
				answer()
				return
			}
		}
	}
	w.stop = append(w.stop, context.AfterFunc(ctx, func() {
		leave(func() {
			w.answer(protocol.Turn{}, protocol.Errorf(protocol.CodeRequestCancelled, "the request was cancelled; the turn goes on"))
		})
	}))
	if timeout > 0 {
		timer := time.AfterFunc(timeout, func() {
			leave(func() {
				timedOut = true
				w.answer(t.turnNow(turnID), nil)
			})
		})
		w.stop = append(w.stop, timer.Stop)
	}
	if t.waiters == nil {
		t.waiters = map[string][]*waiter{}
	}
	t.waiters[turnID] = append(t.waiters[turnID], w)
}

// turnNow returns a turn that is in memory as it is now. t.mu is held.
func (t *Thread) turnNow(id string) protocol.Turn {
	if t.run != nil && t.run.turn.ID == id {
		tn := t.run.turn
		tn.Text = t.run.text()
		return tn
	}
	if tn := t.queued[id]; tn != nil {
		now := *tn
		now.Position = t.st.Queue.Position(id)
		return now
	}
	return t.ended[id]
}
