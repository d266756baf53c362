package thread

import (
	"context"
	"encoding/json"
	"fmt"
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
	waiting []protocol.Turn
	pending []protocol.Item
	kept    chan error // says that head is kept
	edits   map[string]uint64
	based   []protocol.Item // the items of base
}

// view takes what is in memory of the thread. t.mu is held.
func (t *Thread) view() *view {
	v := &view{
		t: t, store: t.store, head: t.st.Thread.HeadSeq, base: t.st.Base, edited: t.st.LastEdit > 0,
		active: t.activeTurn(), waiting: t.waiting(), pending: slices.Clone(t.pending), kept: make(chan error, 1),
	}
	t.tell(effect{kind: call, ticket: t.lastTicket(), fn: func(err error) { v.kept <- err }})
	return v
}

// wait waits until everything that the view shows is kept.
func (v *view) wait(ctx context.Context) error {
	select {
	case err := <-v.kept:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var err error
	if v.edited {
		if v.edits, err = v.store.Edits(ctx, v.t.id); err != nil {
			return err
		}
	}
	if v.base > 0 {
		v.based, err = v.itemsOf(ctx, v.base)
	}
	return err
}

// itemsOf returns the items that a thread/items/changed event holds.
func (v *view) itemsOf(ctx context.Context, seq uint64) ([]protocol.Item, error) {
	params, err := v.t.eventAt(ctx, seq)
	if err != nil {
		return nil, err
	}
	var p protocol.ItemsChangedEvent
	if err := json.Unmarshal(params, &p); err != nil {
		return nil, fmt.Errorf("event %d of %s: %w: %w", seq, v.t.id, storage.ErrCorrupt, err)
	}
	items := make([]protocol.Item, len(p.Changes))
	for i, c := range p.Changes {
		items[i] = c.Item
	}
	return items, v.applyEdits(ctx, items)
}

// applyEdits puts newer states over items that were changed since.
func (v *view) applyEdits(ctx context.Context, items []protocol.Item) error {
	for i := range items {
		seq := v.edits[items[i].ID]
		if seq < v.base || seq == 0 || seq > v.head {
			continue // a replacement since says what the item is
		}
		newer, ok, err := v.t.changedItem(ctx, seq, items[i].ID)
		if err != nil {
			return err
		}
		if ok && newer.Revision > items[i].Revision {
			items[i] = newer
		}
	}
	return nil
}

// turn returns one turn that ended, with its items if they are wanted.
func (v *view) turn(ctx context.Context, e storage.TurnEntry, items bool) (protocol.Turn, error) {
	tn, err := v.t.turnAt(ctx, e.ID, e.Ended)
	if err != nil || !items {
		return tn, err
	}
	tn.Items, err = v.turnItems(ctx, e)
	return tn, err
}

// turnItems returns the items of a turn that ended, in the order in which they began.
func (v *view) turnItems(ctx context.Context, e storage.TurnEntry) ([]protocol.Item, error) {
	if e.Ended < v.base {
		var items []protocol.Item
		for _, it := range v.based {
			if it.TurnID == e.ID {
				items = append(items, it)
			}
		}
		return items, nil
	}
	if e.Started == 0 {
		return nil, nil // cancelled while it waited
	}
	f := folder{turn: e.ID}
	for after := e.Started; after < e.Ended; {
		events, err := v.store.Events(ctx, v.t.id, after, e.Ended, pageBytes)
		if err != nil {
			return nil, err
		}
		if len(events) == 0 {
			break
		}
		for _, ev := range events {
			if err := f.add(ev.Frame); err != nil {
				return nil, fmt.Errorf("event %d of %s: %w: %w", ev.Seq, v.t.id, storage.ErrCorrupt, err)
			}
		}
		after = events[len(events)-1].Seq
	}
	return f.items, v.applyEdits(ctx, f.items)
}

// folder builds the items of one turn from the events of a thread.
type folder struct {
	turn  string
	items []protocol.Item
	at    map[string]int
}

func (f *folder) add(frame protocol.Frame) error {
	env := protocol.ParseFrame(frame)
	switch env.Method {
	case protocol.EventItemStarted.Name, protocol.EventItemCompleted.Name,
		protocol.EventApprovalRequested.Name, protocol.EventApprovalResolved.Name,
		protocol.EventQuestionRequested.Name, protocol.EventQuestionResolved.Name:
		var p struct {
			TurnID string        `json:"turnId"`
			Item   protocol.Item `json:"item"`
		}
		if err := json.Unmarshal(env.Params, &p); err != nil || p.TurnID != f.turn {
			return err
		}
		f.put(p.Item)
	case protocol.EventItemsChanged.Name:
		var p protocol.ItemsChangedEvent
		if err := json.Unmarshal(env.Params, &p); err != nil {
			return err
		}
		for _, c := range p.Changes {
			if c.Item.TurnID == f.turn {
				f.put(c.Item)
			}
		}
	case protocol.EventPlanUpdated.Name:
		var p protocol.PlanUpdatedEvent
		if err := json.Unmarshal(env.Params, &p); err != nil || p.TurnID != f.turn {
			return err
		}
		if i, ok := f.at[p.ItemID]; ok {
			f.items[i].Entries = p.Entries
		}
	}
	return nil
}

func (f *folder) put(it protocol.Item) {
	if f.at == nil {
		f.at = map[string]int{}
	}
	if i, ok := f.at[it.ID]; ok {
		f.items[i] = it
		return
	}
	f.at[it.ID] = len(f.items)
	f.items = append(f.items, it)
}

// findItem looks for an item through the whole history, newest turns first.
func (v *view) findItem(ctx context.Context, id string) (protocol.Item, error) {
	for _, it := range v.based {
		if it.ID == id && it.TurnID == "" {
			return it, nil
		}
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
