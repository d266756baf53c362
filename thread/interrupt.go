package thread

import (
	"errors"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// turnStatus returns the state of a turn as far as it can be known without holding on to
// the thread: it may have moved on since, but a turn that is terminal stays so. A turn
// that the thread never had is TurnNotFound.
func (m *Manager) turnStatus(c Call, threadID, turnID string) (protocol.TurnStatus, error) {
	if turnID == "" {
		return "", nil
	}
	t, err := m.lock(c.Context, threadID, c.Caller.User)
	if err != nil {
		return "", err
	}
	status := t.statusOf(turnID, "")
	store := t.store()
	t.mu.Unlock()
	if status != "" {
		return status, nil
	}
	entry, err := store.Turn(c.Context, threadID, turnID)
	switch {
	case errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrBadID):
		return "", turnNotFound(turnID)
	case err != nil:
		return "", m.storageError(err)
	}
	return m.endedStatus(c, t, entry)
}

// statusOf returns the state of a turn that is in memory, else fallback. t.mu is held.
func (t *Thread) statusOf(id string, fallback protocol.TurnStatus) protocol.TurnStatus {
	switch {
	case t.run != nil && t.run.turn.ID == id:
		return protocol.TurnRunning
	case t.queued[id] != nil:
		return protocol.TurnQueued
	}
	if tn, ok := t.ended[id]; ok {
		return tn.Status
	}
	return fallback
}

// endedStatus reads the state of a turn that is history.
func (m *Manager) endedStatus(c Call, t *Thread, entry storage.TurnEntry) (protocol.TurnStatus, error) {
	if entry.Ended == 0 {
		// It began between the two looks.
		return protocol.TurnRunning, nil
	}
	tn, err := t.turnAt(c.Context, entry.ID, entry.Ended)
	if err != nil {
		return "", m.storageError(err)
	}
	return tn.Status, nil
}

func turnNotFound(id string) error {
	return protocol.Errorf(protocol.CodeTurnNotFound, "the thread has no turn %s", quote(id))
}

// TurnInterrupt stops a turn, or takes it out of the queue. It may be repeated at will,
// works while the daemon stops, and with a turn id never hits another turn.
func (m *Manager) TurnInterrupt(c Call, p protocol.TurnInterruptParams, r Reply[protocol.TurnInterruptResult]) {
	once(m, c, p.ThreadID, p.IdempotencyKey, r, func(k *storage.KeyResult, r Reply[protocol.TurnInterruptResult]) {
		known, err := m.turnStatus(c, p.ThreadID, p.TurnID)
		if err != nil {
			r(protocol.TurnInterruptResult{}, err)
			return
		}
		t, err := m.lockToChange(c, p.ThreadID)
		if err != nil {
			r(protocol.TurnInterruptResult{}, err)
			return
		}
		defer t.mu.Unlock()
		t.interrupt(c, p, known, k, r)
	})
}

// keepStop keeps with the change that the running turn is being interrupted.
func (x *change) keepStop(reason protocol.CancelReason, by *protocol.By, queue protocol.InterruptQueue) {
	x.t.st.Stopped = &stopped{TurnID: x.t.run.turn.ID, Reason: reason, By: by, Queue: queue}
	x.row = true
}

func (t *Thread) interrupt(c Call, p protocol.TurnInterruptParams, known protocol.TurnStatus, k *storage.KeyResult, r Reply[protocol.TurnInterruptResult]) {
	x := t.begin()
	res := protocol.TurnInterruptResult{TurnID: p.TurnID}
	hit := false
	switch {
	case p.TurnID != "" && t.queued[p.TurnID] != nil:
		if err := t.m.refuse(); err != nil {
			r(res, err)
			return
		}
		_ = t.st.Queue.Remove(p.TurnID)
		x.cancelQueued([]string{p.TurnID}, protocol.CancelUser, c.Caller.By())
		res.Outcome = protocol.RemovedFromQueue
	case t.cutOff() != "" && (p.TurnID == "" || p.TurnID == t.cutOff()):
		r(res, t.m.cannotKeep())
		return
	case t.run == nil && p.TurnID == "":
		res.Outcome = protocol.NoActiveTurn
	case t.run == nil || p.TurnID != "" && p.TurnID != t.run.turn.ID:
		status := t.statusOf(p.TurnID, known)
		if p.Strict {
			r(res, notRunning(p.TurnID, status))
			return
		}
		res.Outcome = protocol.AlreadyTerminal
	default:
		res.TurnID = t.run.turn.ID
		res.Outcome = protocol.AlreadyInterrupting
		if hit = !t.run.interrupting; hit {
			res.Outcome = protocol.Interrupting
			x.keepStop(protocol.CancelUser, c.Caller.By(), p.Queue)
		}
	}
	x.keep(k, res)
	x.commit(func(err error) { r(res, err) })
	if hit && t.run != nil {
		t.interruptRun(protocol.CancelUser, c.Caller.By(), p.Queue)
	}
}
