package thread

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
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
		m.orphaned(id, cmp.Or(t.st.Holder.User, t.st.Thread.Owner), t.st.Holder.Instance, milliseconds(t.st.Thread.Lifetime.GraceMs))
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
	entry, err := t.store.Turn(ctx, t.id, id)
	if err != nil {
		return err
	}
	tn, err := t.turnAt(ctx, id, entry.Started)
	if err != nil {
		return err
	}
	if t.st.Handed != id && t.st.Thread.Status == protocol.StatusActive {
		t.m.log.Info().Str("thread", t.id).Str("turn", id).Msg("a turn that had not reached its agent runs again")
		x.startTurn(tn, nil, entry)
		return nil
	}
	return x.loseTurn(ctx, tn, entry)
}

// loseTurn ends a turn that the crash cut off, with what was kept of it.
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
	x.addItem(r, protocol.Item{Type: protocol.ItemNotice, Kind: "restarted", Text: "The daemon was restarted"})
	x.requeueSteers(r)
	tn.Status, tn.CompletedAt, tn.Text = protocol.TurnFailed, x.at, r.text()
	tn.Error = &protocol.TurnError{Code: protocol.TurnErrRestarted, Message: "the daemon stopped while the turn ran", Retryable: true}
	x.terminal(tn, entry, nil)
	t.st.Queue.Running, t.st.Handed = "", ""
	t.st.Thread.UpdatedAt = x.at
	x.row = true
	if len(t.st.Queue.Waiting) > 0 {
		t.st.Queue.First = 0
		if t.st.Queue.Pause(protocol.PauseServerRestarted) {
			x.queueUpdated(nil)
		}
	}
	x.afterTurn()
	t.m.count("turns.lostInCrash")
	t.m.log.Warn().Str("thread", t.id).Str("turn", tn.ID).Msg("a turn was cut off when the daemon died; it has failed with ServerRestarted")
	return nil
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
	f := folder{turn: r.turn.ID}
	closed := map[string]bool{}
	for after := r.entry.Started; after < head; {
		events, err := r.t.store.Events(ctx, r.t.id, after, head, pageBytes)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			break
		}
		for _, ev := range events {
			if err := f.add(ev.Frame); err != nil {
				return fmt.Errorf("event %d: %w", ev.Seq, err)
			}
			if id := closedBy(ev.Frame); id != "" {
				closed[id] = true
			}
		}
		after = events[len(events)-1].Seq
	}
	for _, it := range f.items {
		open := &openItem{r: r, item: it, closed: closed[it.ID] || it.Status != protocol.ItemInProgress}
		if !open.closed {
			open.buf = append([]byte(it.Text), it.Output...)
		}
		r.items = append(r.items, open)
	}
	return nil
}

// closedBy returns the id of the item that an event completes, "" for none.
func closedBy(frame protocol.Frame) string {
	env := protocol.ParseFrame(frame)
	if !slices.Contains([]string{
		protocol.EventItemCompleted.Name, protocol.EventApprovalResolved.Name, protocol.EventQuestionResolved.Name,
	}, env.Method) {
		return ""
	}
	var id string
	_ = json.Unmarshal(protocol.Member(env.Params, "itemId"), &id)
	return id
}
