package thread

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unique"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// loading is a thread on its way into memory. thread and err are read after done is closed.
type loading struct {
	done   chan struct{}
	thread *Thread
	err    error
}

// load returns the thread in memory, from the store if need be. One goroutine loads, the
// others wait for it.
func (m *Manager) load(ctx context.Context, id string) (*Thread, error) {
	if !protocol.ValidID(protocol.PrefixThread, id) {
		return nil, protocol.ThreadNotFound()
	}
	m.mu.Lock()
	if t := m.threads[id]; t != nil {
		m.mu.Unlock()
		return t, nil
	}
	if l := m.loading[id]; l != nil {
		m.mu.Unlock()
		select {
		case <-l.done:
			return l.thread, l.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	l := &loading{done: make(chan struct{}), thread: newThread(m, id)}
	m.loading[id] = l
	m.mu.Unlock()
	l.err = l.thread.read(context.WithoutCancel(ctx))
	m.mu.Lock()
	delete(m.loading, id)
	if l.err == nil {
		m.threads[id] = l.thread
	}
	m.mu.Unlock()
	close(l.done)
	return l.thread, l.err
}

// read loads the thread from the store that has it. Nobody else uses it yet.
func (t *Thread) read(ctx context.Context) error {
	row, err := t.store().Thread(ctx, t.id)
	if errors.Is(err, storage.ErrNotFound) {
		t.ephemeral = true
		row, err = t.store().Thread(ctx, t.id)
	}
	if err != nil {
		return t.m.storageError(err)
	}
	if t.st, err = decodeState(row); err != nil {
		return t.m.storageError(fmt.Errorf("row of %s: %w: %w", t.id, storage.ErrCorrupt, err))
	}
	t.st.share(t.id)
	if t.st.Thread.HeadSeq, err = t.store().Head(ctx, t.id); err != nil {
		return t.m.storageError(err)
	}
	t.flushed = t.st.Thread.HeadSeq
	protocol.RaiseIDs(t.st.LastID)
	if err := t.readQueue(ctx); err != nil {
		return t.m.storageError(err)
	}
	return nil
}

// share makes the state use texts that many threads have in common, so that one of many in
// memory is small.
func (s *state) share(id string) {
	h := &s.Thread
	h.ID = id
	for _, text := range []*string{
		&h.Owner, &h.Agent, (*string)(&h.Status), (*string)(&h.Lifetime.Mode), (*string)(&h.Lifetime.OnDisconnect),
		(*string)(&h.QueuePolicy.OnFailed), (*string)(&h.QueuePolicy.OnCancelled),
	} {
		*text = unique.Make(*text).Value()
	}
	for _, o := range []*protocol.Object{&h.Config, &h.Metadata} {
		if len(*o) == 0 {
			*o = noMembers
		}
	}
}

// noMembers is the config and the metadata of threads that have none. Objects are replaced and
// never changed.
var noMembers = protocol.Object{}

// readQueue brings the waiting turns into memory.
func (t *Thread) readQueue(ctx context.Context) error {
	for _, id := range t.st.Queue.Waiting {
		entry, err := t.store().Turn(ctx, t.id, id)
		if err != nil {
			return fmt.Errorf("queued turn %s: %w", id, err)
		}
		turn, err := t.turnAt(ctx, id, max(entry.Accepted, entry.Input))
		if err != nil {
			return err
		}
		t.hold(&turn, entry)
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
	raw, err := turnIn(env, id)
	if err == nil {
		err = json.Unmarshal(raw, &tn)
	}
	if err != nil {
		return tn, t.unreadable(seq, err)
	}
	return tn, nil
}

// eventAt returns one event.
func (t *Thread) eventAt(ctx context.Context, seq uint64) (protocol.Envelope, error) {
	events, err := t.store().Events(ctx, t.id, seq-1, seq, 1)
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
	return t.store().Edits(ctx, t.id, items...)
}

// changesAt returns what a thread/items/changed event says.
func (t *Thread) changesAt(ctx context.Context, seq uint64) ([]storedChange, error) {
	env, err := t.eventAt(ctx, seq)
	if err != nil {
		return nil, err
	}
	changes, err := changesIn(env)
	if err != nil {
		return nil, t.unreadable(seq, err)
	}
	return changes, nil
}
