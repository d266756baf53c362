package thread

import (
	"errors"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// QueueList returns the waiting turns in order.
func (m *Manager) QueueList(c Call, p protocol.ThreadParams, r Reply[protocol.QueueListResult]) {
	t, err := m.lock(c.Context, p.ThreadID, c.Caller.User)
	if err != nil {
		r(protocol.QueueListResult{}, err)
		return
	}
	defer t.mu.Unlock()
	q := &t.st.Queue
	res := protocol.QueueListResult{Turns: t.waiting(), Revision: q.Revision, Paused: q.Paused, PauseReason: q.Reason}
	t.tell(effect{kind: call, ticket: t.lastTicket(), fn: func(err error) { r(res, err) }})
}

// waiting returns the queued turns in order, with their positions. t.mu is held.
func (t *Thread) waiting() []protocol.Turn {
	turns := make([]protocol.Turn, 0, len(t.st.Queue.Waiting))
	for i, id := range t.st.Queue.Waiting {
		tn := *t.queued[id]
		tn.Position = i + 1
		turns = append(turns, tn)
	}
	return turns
}

// lastTicket returns the newest commit that is not told yet, so that what is read under
// the lock is answered when it is kept.
func (t *Thread) lastTicket() *ticket {
	effects := t.toTell()
	for i := len(effects) - 1; i >= 0; i-- {
		if tk := effects[i].ticket; tk != nil {
			return tk
		}
	}
	return nil
}

// QueueUpdate changes the input of a waiting turn.
func (m *Manager) QueueUpdate(c Call, p protocol.QueueUpdateParams, r Reply[protocol.QueueResult]) {
	if !p.Input.HasUser() {
		r(protocol.QueueResult{}, protocol.InvalidParams("input", "needs a part of a user"))
		return
	}
	if err := m.checkInput(p.Input); err != nil {
		r(protocol.QueueResult{}, err)
		return
	}
	m.editQueue(c, p.ThreadID, p.IdempotencyKey, p.TurnID, &p.ExpectedRevision, r, func(t *Thread, x *change) error {
		if err := m.refuseNew(); err != nil {
			return err
		}
		tn := *t.queued[p.TurnID]
		tn.Input, tn.Position = p.Input, t.st.Queue.Position(p.TurnID)
		if err := m.checkTurn(&tn); err != nil {
			return err
		}
		if err := t.st.Queue.Edited(p.TurnID); err != nil {
			return err
		}
		t.queued[p.TurnID] = &tn
		x.queueUpdated([]protocol.Turn{tn})
		return nil
	})
}

// QueueRemove takes a waiting turn out.
func (m *Manager) QueueRemove(c Call, p protocol.QueueRemoveParams, r Reply[protocol.QueueResult]) {
	m.editQueue(c, p.ThreadID, p.IdempotencyKey, p.TurnID, &p.ExpectedRevision, r, func(t *Thread, x *change) error {
		if err := t.st.Queue.Remove(p.TurnID); err != nil {
			return err
		}
		x.cancelQueued([]string{p.TurnID}, protocol.CancelUser, c.Caller.By())
		return nil
	})
}

// QueueReorder puts the waiting turns into another order.
func (m *Manager) QueueReorder(c Call, p protocol.QueueReorderParams, r Reply[protocol.QueueResult]) {
	m.editQueue(c, p.ThreadID, p.IdempotencyKey, "", &p.ExpectedRevision, r, func(t *Thread, x *change) error {
		if err := t.st.Queue.Reorder(p.Order); errors.Is(err, turn.ErrOrder) {
			return protocol.InvalidParams("order", "must hold each queued turn once")
		}
		x.queueUpdated(nil)
		return nil
	})
}

// QueueClear takes all waiting turns out.
func (m *Manager) QueueClear(c Call, p protocol.QueueClearParams, r Reply[protocol.QueueResult]) {
	m.editQueue(c, p.ThreadID, p.IdempotencyKey, "", &p.ExpectedRevision, r, func(t *Thread, x *change) error {
		if cleared := t.st.Queue.Clear(); len(cleared) > 0 {
			x.cancelQueued(cleared, protocol.CancelQueueCleared, c.Caller.By())
			x.queueUpdated(nil)
		}
		return nil
	})
}

// QueuePause lets nothing start from the queue.
func (m *Manager) QueuePause(c Call, p protocol.QueueParams, r Reply[protocol.QueueResult]) {
	m.editQueue(c, p.ThreadID, p.IdempotencyKey, "", nil, r, func(t *Thread, x *change) error {
		if t.st.Queue.Pause(protocol.PauseUser) {
			x.queueUpdated(nil)
		}
		return nil
	})
}

// QueueResume lets the queue go on.
func (m *Manager) QueueResume(c Call, p protocol.QueueParams, r Reply[protocol.QueueResult]) {
	m.editQueue(c, p.ThreadID, p.IdempotencyKey, "", nil, r, func(t *Thread, x *change) error {
		if t.st.Queue.Resume() {
			x.queueUpdated(nil)
		}
		return nil
	})
}

// editQueue is the way of every change of the queue: the turn that is named must wait, the
// revision must be the expected one, and what may start afterwards does. The revision it
// answers is that of the edit, before a turn starts.
func (m *Manager) editQueue(c Call, id, key, turnID string, revision *uint64, r Reply[protocol.QueueResult], edit func(*Thread, *change) error) {
	mutateTurn(m, c, id, turnID, key, r, func(t *Thread, x *change, known protocol.TurnStatus) (protocol.QueueResult, error) {
		if turnID != "" && t.queued[turnID] == nil {
			return protocol.QueueResult{}, t.leftQueue(turnID, t.statusOf(turnID, known))
		}
		if revision != nil && *revision != t.st.Queue.Revision {
			return protocol.QueueResult{}, t.queueConflict("the queue has changed")
		}
		if err := edit(t, x); err != nil {
			return protocol.QueueResult{}, err
		}
		res := protocol.QueueResult{Revision: t.st.Queue.Revision}
		x.startNext()
		return res, nil
	})
}

// queueConflict tells the queue as it is.
func (t *Thread) queueConflict(text string) *protocol.Error {
	q := &t.st.Queue
	e := protocol.Errorf(protocol.CodeConflict, "%s", text)
	ids, paused := append([]string{}, q.Waiting...), q.Paused
	e.Data.Revision, e.Data.Paused, e.Data.PauseReason, e.Data.TurnIDs = q.Revision, &paused, q.Reason, &ids
	return e
}

func (t *Thread) leftQueue(turnID string, status protocol.TurnStatus) error {
	text := "turn " + turnID + " has left the queue"
	if status == protocol.TurnRunning {
		text = "turn " + turnID + " has already started"
	}
	e := t.queueConflict(text)
	e.Data.Turn = &protocol.TurnRef{ID: turnID, Status: status}
	return e
}
