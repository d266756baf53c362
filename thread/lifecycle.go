package thread

import (
	"strconv"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

func itoa(i int) string { return strconv.Itoa(i) }

func indexed(list string, i int, field string) string { return list + "[" + itoa(i) + "]." + field }

// setStatus changes the status and says so.
func (x *change) setStatus(to protocol.ThreadStatus) {
	t := x.t
	from := t.st.Thread.Status
	if from == to || from == protocol.StatusEnded {
		return
	}
	t.st.Thread.Status = to
	t.st.Thread.UpdatedAt = x.at
	x.row = true
	h := x.next("", "", "")
	emit(x, protocol.EventThreadStatusChanged, protocol.ThreadStatusChangedEvent{Header: h, Thread: t.header(), Previous: from})
}

// whileBusy does what ifBusy says where a turn runs. True: there is nothing more to do now,
// as it is left for the end of the turn, or that has removed the thread.
func (x *change) whileBusy(busy protocol.BusyThread, reason protocol.CancelReason, by *protocol.By, later deferred) (bool, error) {
	t := x.t
	if t.run == nil {
		return false, nil
	}
	switch busy {
	case protocol.BusyThreadInterrupt:
		x.cutRun(reason, by)
		x.afterTurn()
		return t.deleted, nil
	case protocol.BusyThreadAfterTurn:
		x.later(later)
		return true, nil
	default:
		return false, t.inProgress()
	}
}

// cutRun ends the running turn in this commit, without waiting for its agent. The queue is
// left as it is.
func (x *change) cutRun(reason protocol.CancelReason, by *protocol.By) {
	r := x.t.run
	r.by, r.queue = by, protocol.InterruptContinue
	x.endRun(r, turn.Outcome{Status: protocol.TurnCancelled, Reason: reason})
}

// Pause lets nothing start until thread/resume. With ifBusy:afterTurn the running turn
// finishes, and nothing starts behind it.
func (m *Manager) Pause(c Call, p protocol.ThreadChangeParams, r Reply[protocol.ThreadResult]) {
	mutate(m, c, p.ThreadID, p.IdempotencyKey, r, func(t *Thread, x *change) (protocol.ThreadResult, error) {
		if s := t.st.Thread.Status; s == protocol.StatusArchived || s == protocol.StatusEnded {
			return protocol.ThreadResult{}, t.mustBeActive()
		}
		later, err := x.whileBusy(p.IfBusy, protocol.CancelUser, c.Caller.By(), deferred{Op: "pause"})
		if err == nil && !later {
			x.setStatus(protocol.StatusPaused)
		}
		return protocol.ThreadResult{Thread: t.header()}, err
	})
}

// Archive puts a thread away.
func (m *Manager) Archive(c Call, p protocol.ThreadChangeParams, r Reply[protocol.ThreadResult]) {
	mutate(m, c, p.ThreadID, p.IdempotencyKey, r, func(t *Thread, x *change) (protocol.ThreadResult, error) {
		if err := t.mustNotBeEnded(); err != nil {
			return protocol.ThreadResult{}, err
		}
		later, err := x.whileBusy(p.IfBusy, protocol.CancelUser, c.Caller.By(), deferred{Op: "archive"})
		if err == nil && !later {
			x.setStatus(protocol.StatusArchived)
		}
		return protocol.ThreadResult{Thread: t.header()}, err
	})
}

// Unarchive brings an archived thread back.
func (m *Manager) Unarchive(c Call, p protocol.ThreadChangeParams, r Reply[protocol.ThreadResult]) {
	mutate(m, c, p.ThreadID, p.IdempotencyKey, r, func(t *Thread, x *change) (protocol.ThreadResult, error) {
		if s := t.st.Thread.Status; s == protocol.StatusEnded {
			return protocol.ThreadResult{}, t.mustBeActive()
		} else if s == protocol.StatusArchived {
			x.setStatus(protocol.StatusActive)
		}
		x.notLater("archive")
		res := protocol.ThreadResult{Thread: t.header()}
		x.startNext()
		return res, nil
	})
}

// End makes a thread final. Ending it again succeeds and says so.
func (m *Manager) End(c Call, p protocol.ThreadChangeParams, r Reply[protocol.ThreadResult]) {
	mutate(m, c, p.ThreadID, p.IdempotencyKey, r, func(t *Thread, x *change) (protocol.ThreadResult, error) {
		if t.st.Thread.Status == protocol.StatusEnded {
			return protocol.ThreadResult{Thread: t.header(), AlreadyEnded: true}, nil
		}
		later, err := x.whileBusy(p.IfBusy, protocol.CancelThreadEnded, c.Caller.By(), deferred{Op: "end", Reason: p.Reason})
		if err == nil && !later {
			x.endThread(p.Reason, protocol.CancelThreadEnded, c.Caller.By())
		}
		return protocol.ThreadResult{Thread: t.header()}, err
	})
}

// endThread makes the thread final: what runs and waits is cancelled.
func (x *change) endThread(reason string, why protocol.CancelReason, by *protocol.By) {
	t := x.t
	if t.st.Thread.Status == protocol.StatusEnded {
		return
	}
	if t.run != nil {
		x.cutRun(why, by)
	}
	x.cancelQueued(t.st.Queue.Clear(), protocol.CancelThreadEnded, by)
	t.st.Thread.Status, t.st.Thread.EndReason, t.st.Thread.UpdatedAt = protocol.StatusEnded, reason, x.at
	t.st.After = nil
	x.row = true
	t.m.owners.drop(t.id)
	t.noTools()
	h := x.next("", "", "")
	emit(x, protocol.EventThreadEnded, protocol.ThreadEndedEvent{Header: h, Thread: t.header(), Reason: reason})
}

// EndAll ends several threads, with an outcome for each. One failure does not stop the
// others; running turns are cancelled.
func (m *Manager) EndAll(c Call, p protocol.ThreadEndAllParams, r Reply[protocol.ThreadEndAllResult]) {
	if (p.Scope == "") == (p.ThreadIDs == nil) {
		r(protocol.ThreadEndAllResult{}, protocol.InvalidParams("threadIds", "or scope is required, and not both"))
		return
	}
	ids := p.ThreadIDs
	if p.Scope == protocol.EndConnection {
		ids = m.owners.threads(c.Caller.ConnectionID)
	}
	results := make([]protocol.EndOutcome, len(ids))
	left := newCountdown(len(ids), func() { r(protocol.ThreadEndAllResult{Results: results}, nil) })
	for i, id := range ids {
		m.End(c, protocol.ThreadChangeParams{ThreadID: id, IfBusy: protocol.BusyThreadInterrupt, Reason: p.Reason}, func(res protocol.ThreadResult, err error) {
			results[i] = protocol.EndOutcome{ThreadID: id, Outcome: endOutcome(res, err)}
			left.done()
		})
	}
}

func endOutcome(res protocol.ThreadResult, err error) string {
	switch {
	case err == nil && res.AlreadyEnded:
		return "alreadyEnded"
	case err == nil:
		return "ended"
	case protocol.AsError(err).Code == protocol.CodeThreadNotFound:
		return "notFound"
	default:
		return "failed"
	}
}

// Delete removes a thread and all it holds. Its id is never used again.
func (m *Manager) Delete(c Call, p protocol.ThreadChangeParams, r Reply[protocol.ThreadDeleteResult]) {
	mutate(m, c, p.ThreadID, p.IdempotencyKey, r, func(t *Thread, x *change) (protocol.ThreadDeleteResult, error) {
		later, err := x.whileBusy(p.IfBusy, protocol.CancelThreadEnded, c.Caller.By(), deferred{Op: "delete", Key: x.key})
		if err == nil && !later {
			x.deleteThread(c.Caller.By())
		}
		return protocol.ThreadDeleteResult{Deleted: true}, err
	})
}

// deleteThread removes everything in one commit. What runs and waits is cancelled, which
// the subscribers are told before they hear that the thread is gone.
func (x *change) deleteThread(by *protocol.By) {
	t := x.t
	x.cancelQueued(t.st.Queue.Clear(), protocol.CancelThreadEnded, by)
	x.batch.Delete, x.quiet = true, true
	t.deleted = true
	t.m.owners.drop(t.id)
	t.noTools()
	f, err := protocol.Encode(protocol.EventThreadDeleted, protocol.ThreadDeletedEvent{
		Header: protocol.Header{ThreadID: t.id, At: x.at},
	})
	if err == nil {
		x.out = append(x.out, effect{kind: tellLast, frame: f, method: protocol.EventThreadDeleted.Name, list: true})
	}
	x.out = append(x.out, effect{kind: call, fn: func(err error) {
		if err != nil {
			return
		}
		for _, s := range t.subs {
			s.close()
			t.m.peers.remove(s)
		}
		t.subs, t.gone = nil, true
	}})
}

// Reset removes all turns and items and keeps id, owner, config and metadata.
func (m *Manager) Reset(c Call, p protocol.ThreadResetParams, r Reply[protocol.ThreadResetResult]) {
	mutate(m, c, p.ThreadID, p.IdempotencyKey, r, func(t *Thread, x *change) (protocol.ThreadResetResult, error) {
		var none protocol.ThreadResetResult
		if err := t.mustNotBeEnded(); err != nil {
			return none, err
		}
		later, err := x.whileBusy(p.IfBusy, protocol.CancelUser, c.Caller.By(), deferred{Op: "reset", Queue: p.Queue})
		if err != nil {
			return none, err
		}
		if later {
			return protocol.ThreadResetResult{Generation: t.st.Thread.Generation + 1, RemovedTurns: t.st.Turns}, nil
		}
		res := protocol.ThreadResetResult{RemovedTurns: x.reset(p.Queue)}
		res.Generation = t.st.Thread.Generation
		x.startNext()
		return res, nil
	})
}

// reset clears the thread in this commit and returns how many turns it removed. Turns that
// are kept in the queue are told again behind thread/reset.
func (x *change) reset(queue protocol.ResetQueue) int {
	t := x.t
	if t.st.Thread.Status == protocol.StatusEnded {
		return 0
	}
	if queue != protocol.ResetQueueKeep {
		x.cancelQueued(t.st.Queue.Clear(), protocol.CancelQueueCleared, nil)
	}
	kept := t.waiting()
	removed := t.st.Turns - len(kept)
	h := &t.st.Thread
	h.Generation++
	h.Usage, h.Preview, h.UpdatedAt = protocol.Usage{}, "", x.at
	t.forgetItems()
	head := x.next("", "", "")
	t.st.Base, t.st.LastEdit, t.st.Turns = 0, head.Seq, 0
	x.batch.EraseBefore = head.Seq
	x.batch.Turns = nil
	x.batch.Edits, x.batch.Checkpoints = nil, nil
	x.row = true
	emit(x, protocol.EventThreadReset, protocol.ThreadResetEvent{Header: head, Thread: t.header(), Generation: h.Generation})
	clear(t.entries)
	for _, tn := range kept {
		x.queueTurn(tn)
	}
	return removed
}
