package thread

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// view reads a thread's history as it was at one moment: up to head, whose commit wait
// waits for. It holds no lock while it reads; a page costs what it holds.
type view struct {
	t       *Thread
	store   storage.Store
	head    uint64
	base    uint64 // seq of the newest thread/items/replace
	edited  bool
	active  *protocol.Turn
	cut     string // the turn that ran when the store failed
	waiting []protocol.Turn
	waits   waiting                      // items
	kept    chan error                   // says that head is kept
	based   map[string][]json.RawMessage // the items of base by their turns, once they were read
	recent  recentEvents
}

// recentEvents are those of the short turn that was read last.
type recentEvents struct {
	first  uint64 // seq of the first
	events []protocol.Envelope
}

// view takes what is in memory of the thread. t.mu is held.
func (t *Thread) view() *view { return t.viewWith(t.activeTurn()) }

// viewWith is view, with as much of the running turn as is needed.
func (t *Thread) viewWith(active *protocol.Turn) *view {
	v := &view{
		t: t, store: t.store(), head: t.st.Thread.HeadSeq, base: t.st.Base, edited: t.st.LastEdit > 0,
		active: active, cut: t.cutOff(), waiting: t.waiting(), waits: t.st.Pending, kept: make(chan error, 1),
	}
	t.tell(effect{kind: call, ticket: t.lastTicket(), fn: func(err error) { v.kept <- err }})
	return v
}

// wait waits until everything that the view shows is kept.
func (v *view) wait(ctx context.Context) error {
	select {
	case err := <-v.kept:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// eventAt returns one event.
func (v *view) eventAt(ctx context.Context, seq uint64) (protocol.Envelope, error) {
	if r := v.recent; seq >= r.first && seq-r.first < uint64(len(r.events)) {
		return r.events[seq-r.first], nil
	}
	return v.t.eventAt(ctx, seq)
}

// replaced returns the items that the newest replacement left to a turn; "" for none.
func (v *view) replaced(ctx context.Context, turnID string) ([]json.RawMessage, error) {
	if v.based == nil && v.base > 0 {
		env, err := v.t.eventAt(ctx, v.base)
		if err != nil {
			return nil, err
		}
		changes, err := changesIn(env)
		if err != nil {
			return nil, v.t.unreadable(v.base, err)
		}
		v.based = map[string][]json.RawMessage{}
		for _, c := range changes {
			turn := textOf(c.Item, "turnId")
			v.based[turn] = append(v.based[turn], c.Item)
		}
	}
	return slices.Clone(v.based[turnID]), nil
}

// loose returns the items that a replacement left without a turn.
func (v *view) loose(ctx context.Context) ([]json.RawMessage, error) {
	items, err := v.replaced(ctx, "")
	if err != nil {
		return nil, err
	}
	return items, v.applyEdits(ctx, items)
}

// applyEdits puts newer states over items that were changed since.
func (v *view) applyEdits(ctx context.Context, items []json.RawMessage) error {
	if !v.edited || len(items) == 0 {
		return nil
	}
	ids := make([]string, len(items))
	for i := range items {
		ids[i] = textOf(items[i], "id")
	}
	edits, err := v.t.edits(ctx, ids)
	if err != nil {
		return err
	}
	var changes []storedChange
	at := uint64(0) // their seq: one event may be the newest of many items
	for i, item := range items {
		id := textOf(item, "id")
		seq := edits[id]
		if seq < v.base || seq == 0 {
			continue // a replacement since says what the item is
		}
		if seq != at {
			if changes, err = v.t.changesAt(ctx, seq); err != nil {
				return err
			}
			at = seq
		}
		for _, c := range changes {
			if c.ItemID == id && revisionOf(c.Item) > revisionOf(item) {
				items[i] = c.Item
			}
		}
	}
	return nil
}

// turn returns one turn that endedTurn gives, with its items if they are wanted.
func (v *view) turn(ctx context.Context, e storage.TurnEntry, items bool) (protocol.Turn, error) {
	var tn protocol.Turn
	raw, err := v.stored(ctx, e, items)
	if err != nil {
		return tn, err
	}
	if err := json.Unmarshal(raw, &tn); err != nil {
		return tn, v.t.unreadable(max(e.Ended, e.Started), err)
	}
	return tn, nil
}

// stored is turn, as the journal has it.
func (v *view) stored(ctx context.Context, e storage.TurnEntry, items bool) (json.RawMessage, error) {
	var of []json.RawMessage
	if items {
		var err error
		if of, err = v.turnItems(ctx, e); err != nil {
			return nil, err
		}
	}
	at := e.Ended
	if at == 0 {
		at = e.Started
	}
	env, err := v.eventAt(ctx, at)
	if err != nil {
		return nil, err
	}
	tn, err := turnIn(env, e.ID)
	if err == nil && tn == nil {
		err = errNotThere
	}
	if err != nil {
		return nil, v.t.unreadable(at, err)
	}
	return withItems(tn, of), nil
}

// turnItems returns the items of a turn that ended, in the order in which they began.
func (v *view) turnItems(ctx context.Context, e storage.TurnEntry) ([]json.RawMessage, error) {
	g, err := v.itemsOf(ctx, e)
	if err != nil || g.n == 0 {
		return nil, err
	}
	return v.read(ctx, g, 0, g.n, false, anyBytes)
}

// pick returns the item with an id, if it is one of some.
func (v *view) pick(items []json.RawMessage, id string) (it protocol.Item, ok bool, err error) {
	i := slices.IndexFunc(items, func(raw json.RawMessage) bool { return textOf(raw, "id") == id })
	if i < 0 {
		return it, false, nil
	}
	one, err := decoded[protocol.Item](v.t, items[i:i+1])
	if err != nil {
		return it, false, err
	}
	return one[0], true, nil
}

// findItem looks for an item of a turn that ended, or of none, newest turns first.
func (v *view) findItem(ctx context.Context, id string) (protocol.Item, error) {
	loose, err := v.loose(ctx)
	if err != nil {
		return protocol.Item{}, err
	}
	if it, ok, err := v.pick(loose, id); ok || err != nil {
		return it, err
	}
	before := ""
	for {
		entries, err := v.store.Turns(ctx, v.t.id, storage.TurnQuery{Before: before, Limit: 100, Desc: true})
		if err != nil {
			return protocol.Item{}, err
		}
		for _, e := range entries {
			if e.Ended == 0 || e.Ended > v.head {
				continue
			}
			items, err := v.turnItems(ctx, e)
			if err != nil {
				return protocol.Item{}, err
			}
			if it, ok, err := v.pick(items, id); ok || err != nil {
				return it, err
			}
		}
		if len(entries) < 100 {
			return protocol.Item{}, storage.ErrNotFound
		}
		before = entries[len(entries)-1].ID
	}
}
