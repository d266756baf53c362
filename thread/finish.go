package thread

import (
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/turn"
)

// finish ends the running turn and starts the next one, in one commit. t.mu is held.
func (t *Thread) finish(r *run, out turn.Outcome) {
	x := t.begin()
	x.endRun(r, out)
	x.afterTurn()
	x.startNext()
	x.commit(nil)
}

// endRun adds the end of the running turn: its open items are closed, what was steered
// into it and not taken goes to the head of the queue, then comes the terminal event and
// what the policy makes of the queue.
func (x *change) endRun(r *run, out turn.Outcome) {
	t := x.t
	r.detach(out)
	x.settleAll(r)
	t.run = nil
	x.closeItems(r, out)
	if n := interruptNotice(out); n != "" {
		x.addItem(r, protocol.Item{Type: protocol.ItemNotice, Kind: "interrupted", Text: n})
	}
	x.requeueSteers(r)
	tn := r.turn
	tn.Status, tn.Error, tn.CancelReason, tn.CompletedAt = out.Status, out.Error, out.Reason, x.at
	if out.Status == protocol.TurnCancelled {
		tn.CancelledBy = r.by // else it had failed before it was interrupted
	}
	tn.Text = r.text()
	if r.used {
		usage := r.usage
		tn.Usage = &usage
		t.st.Thread.Usage.Add(usage)
	}
	x.terminal(tn, r.entry, nil)
	x.row = true
	t.st.Handed, t.st.Stopped = "", nil
	t.st.Thread.UpdatedAt = x.at
	x.finishQueue(turn.End{Status: out.Status, Reason: out.Reason, Queue: r.queue})
}

// finishQueue does what the end of the running turn means for those that wait.
func (x *change) finishQueue(end turn.End) {
	after := x.t.st.Queue.Finish(end, x.t.st.Thread.QueuePolicy)
	x.cancelQueued(after.Cleared, protocol.CancelQueueCleared, nil)
	if after.Paused || len(after.Cleared) > 0 {
		x.queueUpdated(nil)
	}
}

// detach makes the run deaf: whatever its agent still says is dropped.
func (r *run) detach(out turn.Outcome) {
	if r.grace != nil {
		r.grace.Stop()
	}
	if r.saver != nil {
		r.saver.Stop()
	}
	r.stop(turn.Cancelled{Reason: out.Reason})
	r.limit()
}

// interruptNotice is what the conversation says of an interrupt.
func interruptNotice(out turn.Outcome) string {
	if out.Status != protocol.TurnCancelled {
		return ""
	}
	switch out.Reason {
	case protocol.CancelUser:
		return "Operation interrupted by user"
	case protocol.CancelReplaced:
		return "Operation interrupted by a new message"
	case protocol.CancelClientDisconnected:
		return "Operation interrupted because the client is gone"
	case protocol.CancelShutdown:
		return "Operation interrupted because the daemon stopped"
	default:
		return ""
	}
}

// closeItems completes the items that the agent left open.
func (x *change) closeItems(r *run, out turn.Outcome) {
	status := protocol.ItemCompleted
	switch {
	case out.Status == protocol.TurnCancelled:
		status = protocol.ItemInterrupted
	case out.Status == protocol.TurnFailed:
		status = protocol.ItemFailed
	}
	for _, it := range r.items {
		if !it.closed {
			it.item.Status = status
			x.completeItem(it)
		}
	}
}

// terminal emits the one terminal event of a turn. queue is set where the turn never ran.
func (x *change) terminal(tn protocol.Turn, entry storage.TurnEntry, queue *protocol.QueueState) {
	t := x.t
	n := protocol.EventTurnCompleted
	switch tn.Status {
	case protocol.TurnFailed:
		n = protocol.EventTurnFailed
	case protocol.TurnCancelled:
		n = protocol.EventTurnCancelled
	default:
	}
	h := x.next(tn.ID, "", tn.TraceID)
	entry.Ended = h.Seq
	x.turnEntry(entry)
	emit(x, n, protocol.TurnEvent{Header: h, Turn: tn, Queue: queue})
	if t.ended == nil {
		t.ended = map[string]protocol.Turn{}
	}
	t.ended[tn.ID] = tn
	x.out = append(x.out, effect{kind: call, fn: func(err error) {
		delete(t.ended, tn.ID)
		t.resolve(tn, err)
	}})
}

// enqueueFirst puts a new turn at the head of the queue while another runs.
func (x *change) enqueueFirst(tn protocol.Turn) {
	x.t.st.Queue.PushFirst(tn.ID)
	x.queueTurn(tn)
}

// queueTurn emits turn/queued for a turn that the queue holds.
func (x *change) queueTurn(tn protocol.Turn) protocol.Turn {
	t := x.t
	tn.Status, tn.Position = protocol.TurnQueued, t.st.Queue.Position(tn.ID)
	h := x.next(tn.ID, "", tn.TraceID)
	x.turnEntry(storage.TurnEntry{ID: tn.ID, Accepted: h.Seq})
	t.st.Turns++
	x.row = true
	t.hold(&tn, storage.TurnEntry{ID: tn.ID, Accepted: h.Seq})
	emit(x, protocol.EventTurnQueued, protocol.TurnEvent{Header: h, Turn: tn, Queue: t.st.Queue.State()})
	return tn
}

// startNext starts the turn that the queue has next, if the thread runs any. Call it last:
// a turn that starts says so after all else.
func (x *change) startNext() {
	t := x.t
	if t.st.Thread.Status != protocol.StatusActive || t.run != nil || t.m.stopping.Load() {
		return
	}
	id := t.st.Queue.Next()
	if id == "" {
		return
	}
	tn, entry := x.unqueue(id)
	x.startTurn(tn, t.st.Queue.State(), entry)
}

// unqueue takes a turn that has left the queue out of the memory of the waiting ones.
func (x *change) unqueue(id string) (protocol.Turn, storage.TurnEntry) {
	t := x.t
	tn, entry := *t.queued[id], t.entries[id]
	delete(t.queued, id)
	delete(t.entries, id)
	x.row = true
	return tn, entry
}

// cancelQueued ends turns that have left the queue without having run.
func (x *change) cancelQueued(ids []string, reason protocol.CancelReason, by *protocol.By) {
	for _, id := range ids {
		tn, entry := x.unqueue(id)
		tn.Status, tn.Position, tn.CancelReason, tn.CancelledBy, tn.CompletedAt = protocol.TurnCancelled, 0, reason, by, x.at
		x.terminal(tn, entry, x.t.st.Queue.State())
	}
}

// queueUpdated emits thread/queue/updated.
func (x *change) queueUpdated(updated []protocol.Turn) {
	q := &x.t.st.Queue
	ids := append([]string{}, q.Waiting...)
	x.row = true
	h := x.next("", "", "")
	emit(x, protocol.EventQueueUpdated, protocol.QueueUpdatedEvent{
		Header: h, Revision: q.Revision, Paused: q.Paused, PauseReason: q.Reason, TurnIDs: ids, Updated: updated,
	})
	for _, u := range updated {
		e := x.t.entries[u.ID]
		e.Input = h.Seq
		x.t.entries[u.ID] = e
		x.turnEntry(e)
	}
}

// afterTurn carries out what was asked to be done when the turn ends, in the order in which
// it was asked. Nothing comes after the end of the thread but its removal.
func (x *change) afterTurn() {
	t := x.t
	after := t.st.After
	t.st.After = nil
	for _, d := range after {
		x.row = true
		switch {
		case t.deleted:
		case d.Op == "delete":
			x.batch.Key = d.Key
			x.deleteThread(nil)
		case t.st.Thread.Status == protocol.StatusEnded:
		case d.Op == "pause":
			x.setStatus(protocol.StatusPaused)
		case d.Op == "archive":
			x.setStatus(protocol.StatusArchived)
		case d.Op == "end":
			x.endThread(d.Reason, protocol.CancelThreadEnded, nil)
		case d.Op == "reset":
			x.reset(d.Queue)
		}
	}
}

// later leaves something for the end of the running turn, in place of what was asked of the
// same kind before.
func (x *change) later(d deferred) {
	x.notLater(d.Op)
	x.t.st.After = append(x.t.st.After, d)
	x.row = true
}

// notLater takes back what was left for the end of the running turn.
func (x *change) notLater(op string) {
	t := x.t
	if slices.ContainsFunc(t.st.After, func(d deferred) bool { return d.Op == op }) {
		t.st.After = slices.DeleteFunc(slices.Clone(t.st.After), func(d deferred) bool { return d.Op == op })
		x.row = true
	}
}
