package thread

import (
	"context"
	"fmt"
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/turn"
)

// recover brings every thread that had work in order: what a crash interrupted is ended or
// begins again, what waits starts, and threads that belonged to a connection begin their
// grace time. All of it is done by appending; doing it twice changes nothing.
func (m *Manager) recover(ctx context.Context) error {
	var ids []string
	for row, err := range m.cfg.Store.Busy(ctx) {
		if err != nil {
			return fmt.Errorf("looking for interrupted turns: %w", err)
		}
		ids = append(ids, row.ID)
	}
	for _, id := range ids {
		if err := m.recoverThread(ctx, id); err != nil {
			return fmt.Errorf("recovering thread %s: %w", id, err)
		}
	}
	return nil
}

func (m *Manager) recoverThread(ctx context.Context, id string) error {
	t, err := m.load(ctx, id)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.begin()
	if running := t.st.Queue.Running; running != "" && t.run == nil {
		if err := x.recoverTurn(ctx, running); err != nil {
			return err
		}
	}
	x.startNext()
	done := make(chan error, 1)
	x.commit(func(err error) { done <- err })
	if t.st.Thread.Status != protocol.StatusEnded && t.st.tied() {
		last := holder{User: t.st.Thread.Owner}
		if t.st.Holder != nil {
			last = *t.st.Holder
		}
		m.orphaned(id, last.User, last.Instance, milliseconds(t.st.Thread.Lifetime.GraceMs))
	}
	t.mu.Unlock()
	err = <-done
	t.mu.Lock()
	return err
}

// recoverTurn ends the turn that ran when the daemon died or, where its agent had not been
// called yet, runs it again.
func (x *change) recoverTurn(ctx context.Context, id string) error {
	t := x.t
	entry, err := t.store().Turn(ctx, t.id, id)
	if err != nil {
		return err
	}
	tn, err := t.turnAt(ctx, id, entry.Started)
	if err != nil {
		return err
	}
	if t.st.Handed != id && t.st.Stopped == nil && t.st.Thread.Status == protocol.StatusActive {
		t.m.log.Info().Str("thread", t.id).Str("turn", id).Msg("a turn that had not reached its agent runs again")
		r := &run{t: t, turn: tn, entry: entry}
		if err := r.restoreItems(ctx, t.st.Thread.HeadSeq); err != nil {
			return err
		}
		x.startTurn(tn, nil, entry)
		x.keepItems(t.run, r.items)
		return nil
	}
	return x.loseTurn(ctx, tn, entry)
}

// loseTurn ends a turn that the crash cut off, with what was kept of it. One that had been
// interrupted is cancelled, as was promised; others have failed.
func (x *change) loseTurn(ctx context.Context, tn protocol.Turn, entry storage.TurnEntry) error {
	t := x.t
	r := &run{t: t, turn: tn, entry: entry}
	if err := r.restoreItems(ctx, t.st.Thread.HeadSeq); err != nil {
		return err
	}
	saved, pieces, err := t.restored(ctx)
	if err != nil {
		return err
	}
	for _, it := range r.items {
		if it.closed {
			continue
		}
		if s := saved[it.item.ID]; s != nil && it.item.Type != protocol.ItemPlan { // each plan is in the journal
			it.item, it.buf = s.item, s.buf
		}
		x.abandonItem(it)
	}
	x.batch.Closed = append(x.batch.Closed, pieces...)
	tn.CompletedAt, tn.Text = x.at, r.text()
	t.st.Thread.UpdatedAt = x.at
	x.row = true
	if t.st.Stopped != nil {
		x.endStopped(r, tn)
	} else {
		x.endLost(r, tn)
	}
	x.afterTurn()
	return nil
}

// endStopped ends a turn that was being interrupted when the daemon died.
func (x *change) endStopped(r *run, tn protocol.Turn) {
	t, stop := x.t, x.t.st.Stopped
	out := turn.Outcome{Status: protocol.TurnCancelled, Reason: stop.Reason}
	x.addItem(r, protocol.Item{Type: protocol.ItemNotice, Kind: "interrupted", Text: interruptNotice(out)})
	x.requeueSteers(r)
	tn.Status, tn.CancelReason, tn.CancelledBy = out.Status, out.Reason, stop.By
	x.terminal(tn, r.entry, nil)
	t.st.Handed, t.st.Stopped = "", nil
	x.finishQueue(turn.End{Status: out.Status, Reason: out.Reason, Queue: stop.Queue})
	t.m.log.Info().Str("thread", t.id).Str("turn", tn.ID).Msg("a turn that was being interrupted when the daemon died is cancelled")
}

// endLost ends a turn that nobody wanted to end. What waits behind it is paused.
func (x *change) endLost(r *run, tn protocol.Turn) {
	t := x.t
	x.addItem(r, protocol.Item{Type: protocol.ItemNotice, Kind: "restarted", Text: "The daemon was restarted"})
	x.requeueSteers(r)
	tn.Status = protocol.TurnFailed
	tn.Error = &protocol.TurnError{Code: protocol.TurnErrRestarted, Message: "the daemon stopped while the turn ran", Retryable: true}
	x.terminal(tn, r.entry, nil)
	t.st.Queue.Running, t.st.Handed = "", ""
	if len(t.st.Queue.Waiting) > 0 {
		t.st.Queue.First = 0
		if t.st.Queue.Pause(protocol.PauseServerRestarted) {
			x.queueUpdated(nil)
		}
	}
	t.m.count("turns.lostInCrash")
	t.m.log.Warn().Str("thread", t.id).Str("turn", tn.ID).Msg("a turn was cut off when the daemon died; it has failed with ServerRestarted")
}

// abandonItem closes an item that was in progress when the daemon died. What waited for an
// answer gets none.
func (x *change) abandonItem(it *openItem) {
	switch it.item.Type {
	case protocol.ItemApproval:
		x.resolveApproval(&ask{id: it.item.ApprovalID, kind: askApproval, it: it, done: make(chan struct{})}, "abandoned", nil)
	case protocol.ItemQuestion:
		x.resolveQuestion(&ask{id: it.item.RequestID, kind: askQuestion, it: it, done: make(chan struct{})}, "abandoned", nil, nil)
	default:
		it.item.Status = protocol.ItemInterrupted
		x.completeItem(it)
	}
}

// restoreItems builds the items of a turn from the journal.
func (r *run) restoreItems(ctx context.Context, head uint64) error {
	closed := map[string]bool{}
	places, err := r.t.outlineOf(ctx, r.turn.ID, r.entry.Started, head, func(_ uint64, env protocol.Envelope) {
		if id := closedBy(env); id != "" {
			closed[id] = true
		}
	})
	if err != nil {
		return err
	}
	stored, err := r.t.itemsAt(places, anyBytes, func(seq uint64) (protocol.Envelope, error) { return r.t.eventAt(ctx, seq) })
	if err != nil {
		return err
	}
	items, err := decoded[protocol.Item](r.t, stored)
	if err != nil {
		return err
	}
	for _, it := range items {
		open := &openItem{r: r, item: it, closed: closed[it.ID] || it.Status != protocol.ItemInProgress}
		if !open.closed {
			open.buf = append([]byte(it.Text), it.Output...)
		}
		r.items = append(r.items, open)
	}
	return nil
}

// closedBy returns the id of the item that an event completes, "" for none.
func closedBy(env protocol.Envelope) string {
	if !slices.Contains([]string{
		protocol.EventItemCompleted.Name, protocol.EventApprovalResolved.Name, protocol.EventQuestionResolved.Name,
	}, env.Method) {
		return ""
	}
	return textOf(env.Params, "itemId")
}
