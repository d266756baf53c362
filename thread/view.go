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
	waits   waiting                    // items
	kept    chan error                 // says that head is kept
	based   map[string][]protocol.Item // the items of base by their turns, once they were read
}

// view takes what is in memory of the thread. t.mu is held.
func (t *Thread) view() *view { return t.viewWith(t.activeTurn()) }

// viewWith is view, with as much of the running turn as is needed.
func (t *Thread) viewWith(active *protocol.Turn) *view {
	v := &view{
		t: t, store: t.store, head: t.st.Thread.HeadSeq, base: t.st.Base, edited: t.st.LastEdit > 0,
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

// replaced returns the items that the newest replacement left to a turn; "" for none.
func (v *view) replaced(ctx context.Context, turnID string) ([]protocol.Item, error) {
	if v.based == nil && v.base > 0 {
		env, err := v.t.eventAt(ctx, v.base)
		if err != nil {
			return nil, err
		}
		var p protocol.ItemsChangedEvent
		if err := json.Unmarshal(env.Params, &p); err != nil {
			return nil, v.t.unreadable(v.base, err)
		}
		v.based = map[string][]protocol.Item{}
		for _, c := range p.Changes {
			v.based[c.Item.TurnID] = append(v.based[c.Item.TurnID], c.Item)
		}
	}
	return slices.Clone(v.based[turnID]), nil
}

// loose returns the items that a replacement left without a turn.
func (v *view) loose(ctx context.Context) ([]protocol.Item, error) {
	items, err := v.replaced(ctx, "")
	if err != nil {
		return nil, err
	}
	return items, v.applyEdits(ctx, items)
}

// applyEdits puts newer states over items that were changed since.
func (v *view) applyEdits(ctx context.Context, items []protocol.Item) error {
	if !v.edited || len(items) == 0 {
		return nil
	}
	ids := make([]string, len(items))
	for i := range items {
		ids[i] = items[i].ID
	}
	edits, err := v.t.edits(ctx, ids)
	if err != nil {
		return err
	}
	var changes []protocol.ItemChange
	at := uint64(0) // their seq: one event may be the newest of many items
	for i := range items {
		seq := edits[items[i].ID]
		if seq < v.base || seq == 0 {
			continue // a replacement since says what the item is
		}
		if seq != at {
			if changes, err = v.t.changesAt(ctx, seq); err != nil {
				return err
			}
			at = seq
		}
		for j := range changes {
			if c := &changes[j]; c.ItemID == items[i].ID && c.Item.Revision > items[i].Revision {
				items[i] = c.Item
			}
		}
	}
	return nil
}

// turn returns one turn that endedTurn gives, with its items if they are wanted.
func (v *view) turn(ctx context.Context, e storage.TurnEntry, items bool) (protocol.Turn, error) {
	at := e.Ended
	if at == 0 {
		at = e.Started
	}
	tn, err := v.t.turnAt(ctx, e.ID, at)
	if err != nil || !items {
		return tn, err
	}
	tn.Items, err = v.turnItems(ctx, e)
	return tn, err
}

// turnItems returns the items of a turn that ended, in the order in which they began.
func (v *view) turnItems(ctx context.Context, e storage.TurnEntry) ([]protocol.Item, error) {
	g, err := v.itemsOf(ctx, e)
	if err != nil || g.n == 0 {
		return nil, err
	}
	return g.read(ctx, 0, g.n)
}

// findItem looks for an item of a turn that ended, or of none, newest turns first.
func (v *view) findItem(ctx context.Context, id string) (protocol.Item, error) {
	loose, err := v.loose(ctx)
	if err != nil {
		return protocol.Item{}, err
	}
	if i := slices.IndexFunc(loose, func(it protocol.Item) bool { return it.ID == id }); i >= 0 {
		return loose[i], nil
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
			for _, it := range items {
				if it.ID == id {
					return it, nil
				}
			}
		}
		if len(entries) < 100 {
			return protocol.Item{}, storage.ErrNotFound
		}
		before = entries[len(entries)-1].ID
	}
}
