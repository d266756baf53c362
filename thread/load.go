package thread

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// read loads the thread from the store that has it. Nobody else uses it yet.
func (t *Thread) read(ctx context.Context) error {
	row, err := t.store.Thread(ctx, t.id)
	if errors.Is(err, storage.ErrNotFound) {
		t.store = t.m.cfg.Ephemeral
		row, err = t.store.Thread(ctx, t.id)
	}
	if err != nil {
		return t.m.storageError(err)
	}
	if t.st, err = decodeState(row); err != nil {
		return t.m.storageError(fmt.Errorf("row of %s: %w: %w", t.id, storage.ErrCorrupt, err))
	}
	if t.st.Thread.HeadSeq, err = t.store.Head(ctx, t.id); err != nil {
		return t.m.storageError(err)
	}
	t.flushed = t.st.Thread.HeadSeq
	protocol.RaiseIDs(t.st.LastID)
	if err := t.readQueue(ctx); err != nil {
		return t.m.storageError(err)
	}
	t.lastRuntime = t.runtime()
	return nil
}

// readQueue brings the waiting turns into memory.
func (t *Thread) readQueue(ctx context.Context) error {
	for _, id := range t.st.Queue.Waiting {
		entry, err := t.store.Turn(ctx, t.id, id)
		if err != nil {
			return fmt.Errorf("queued turn %s: %w", id, err)
		}
		turn, err := t.turnAt(ctx, id, max(entry.Accepted, entry.Input))
		if err != nil {
			return err
		}
		t.queued[id], t.entries[id] = &turn, entry
	}
	return nil
}

// turnAt returns a turn as the event with this seq has it.
func (t *Thread) turnAt(ctx context.Context, id string, seq uint64) (protocol.Turn, error) {
	env, err := t.eventAt(ctx, seq)
	if err != nil {
		return protocol.Turn{}, err
	}
	var tn protocol.Turn
	if raw := protocol.Member(env.Params, "turn"); raw != nil {
		if err := json.Unmarshal(raw, &tn); err != nil {
			return tn, t.unreadable(seq, err)
		}
	}
	var updated []protocol.Turn
	if raw := protocol.Member(env.Params, "updated"); raw != nil {
		if err := json.Unmarshal(raw, &updated); err != nil {
			return tn, t.unreadable(seq, err)
		}
	}
	for _, u := range updated {
		if u.ID == id {
			return u, nil
		}
	}
	return tn, nil
}

// eventAt returns one event.
func (t *Thread) eventAt(ctx context.Context, seq uint64) (protocol.Envelope, error) {
	events, err := t.store.Events(ctx, t.id, seq-1, seq, 1)
	if err != nil {
		return protocol.Envelope{}, err
	}
	if len(events) == 0 {
		return protocol.Envelope{}, t.missing(seq)
	}
	return protocol.ParseFrame(events[0].Frame), nil
}

// edits returns which of some items were changed, and where.
func (t *Thread) edits(ctx context.Context, items []string) (map[string]uint64, error) {
	items = slices.DeleteFunc(items, func(id string) bool { return !protocol.ValidID(protocol.PrefixItem, id) }) // imported ones may be named otherwise
	if len(items) == 0 {
		return nil, nil
	}
	return t.store.Edits(ctx, t.id, items...)
}

// changesAt returns what a thread/items/changed event says.
func (t *Thread) changesAt(ctx context.Context, seq uint64) ([]protocol.ItemChange, error) {
	env, err := t.eventAt(ctx, seq)
	if err != nil {
		return nil, err
	}
	var p protocol.ItemsChangedEvent
	if err := json.Unmarshal(env.Params, &p); err != nil {
		return nil, t.unreadable(seq, err)
	}
	return p.Changes, nil
}
