package thread

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// Items that were appended to a thread and wait for its next turn stand in the journal and
// nowhere else: in the thread/items/changed events that append items of no turn. A turn takes
// them from the oldest on, so what waits are always the newest of them, and it takes a few
// numbers to say which. Neither the row nor the memory of a thread grows with what waits.

// waiting says which items wait for a turn: all that were appended by the events from First on.
type waiting struct {
	First uint64 `json:"first"`           // none before this seq waits
	Last  uint64 `json:"last"`            // seq of the event with the newest
	Items int    `json:"items"`           // how many they are
	Users int    `json:"users,omitempty"` // how many of them are messages of users
}

// add counts the items that an event appended.
func (w *waiting) add(seq uint64, items []protocol.Item) {
	if w.Items == 0 {
		w.First = seq
	}
	w.Last = seq
	w.Items += len(items)
	w.Users += usersIn(items)
}

// take takes the oldest items out, which are those of the events up to a seq.
func (w *waiting) take(through uint64, items []protocol.Item) {
	w.First = through + 1
	w.Items -= len(items)
	w.Users -= usersIn(items)
}

// has reports whether the items that an event appended wait.
func (w *waiting) has(seq uint64) bool { return w.Items > 0 && seq >= w.First }

func usersIn(items []protocol.Item) (n int) {
	for i := range items {
		if items[i].Type == protocol.ItemUserMessage {
			n++
		}
	}
	return n
}

// appends reports whether a change of an item is that it was appended and waits for a turn.
func appends(op, turnID string) bool { return op == "append" && turnID == "" }

// waitingIn returns the items that an event appends and that wait for a turn.
func (t *Thread) waitingIn(ev storage.Event) ([]json.RawMessage, error) {
	env := protocol.ParseFrame(ev.Frame)
	if env.Method != protocol.EventItemsChanged.Name {
		return nil, nil
	}
	changes, err := changesIn(env)
	if err != nil {
		return nil, t.unreadable(ev.Seq, err)
	}
	var items []json.RawMessage
	for _, c := range changes {
		if appends(c.Op, textOf(c.Item, "turnId")) {
			items = append(items, c.Item)
		}
	}
	return items, nil
}

// eachWaiting gives visit the items that wait, the oldest first, a page of the journal at a
// time: those of the events up to the seq through.
func (v *view) eachWaiting(ctx context.Context, visit func(through uint64, items []protocol.Item) error) error {
	return v.waitingEvents(ctx, func(events []storage.Event) error {
		var stored []json.RawMessage
		for _, ev := range events {
			more, err := v.t.waitingIn(ev)
			if err != nil {
				return err
			}
			stored = append(stored, more...)
		}
		items, err := v.asTheyAre(ctx, stored)
		if err != nil {
			return err
		}
		return visit(events[len(events)-1].Seq, items)
	})
}

// asTheyAre reads items with the changes that were made to them since.
func (v *view) asTheyAre(ctx context.Context, stored []json.RawMessage) ([]protocol.Item, error) {
	if err := v.applyEdits(ctx, stored); err != nil {
		return nil, err
	}
	return decoded[protocol.Item](v.t, stored)
}

// waitingEvents reads the events among which are those with the items that wait.
func (v *view) waitingEvents(ctx context.Context, visit func([]storage.Event) error) error {
	if v.waits.Items == 0 {
		return nil
	}
	for after := v.waits.First - 1; after < v.waits.Last; {
		events, err := v.store.Events(ctx, v.t.id, after, v.waits.Last, pageBytes)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return v.t.missing(after + 1)
		}
		if err := visit(events); err != nil {
			return err
		}
		after = events[len(events)-1].Seq
	}
	return nil
}

// waitingItems returns all items that wait.
func (v *view) waitingItems(ctx context.Context) ([]protocol.Item, error) {
	var all []protocol.Item
	err := v.eachWaiting(ctx, func(_ uint64, items []protocol.Item) error {
		all = append(all, items...)
		return nil
	})
	return all, err
}

// findWaiting looks for an item among those that wait. seq is that of the event which
// appended it, 0 where it is not among them.
func (v *view) findWaiting(ctx context.Context, id string) (item protocol.Item, seq uint64, err error) {
	var found []json.RawMessage
	err = v.waitingEvents(ctx, func(events []storage.Event) error {
		for _, ev := range events {
			if !bytes.Contains(ev.Frame, []byte(id)) {
				continue
			}
			items, err := v.t.waitingIn(ev)
			if err != nil {
				return err
			}
			if i := slices.IndexFunc(items, func(it json.RawMessage) bool { return textOf(it, "id") == id }); i >= 0 {
				found, seq = items[i:i+1], ev.Seq
				return nil
			}
		}
		return nil
	})
	if err != nil || seq == 0 {
		return item, 0, err
	}
	items, err := v.asTheyAre(ctx, found)
	if err != nil {
		return item, 0, err
	}
	return items[0], seq, nil
}

// waitingGroup is the items that wait.
func (v *view) waitingGroup() group {
	return group{id: groupPending, n: v.waits.Items, places: v.waitingPlaces}
}

// waitingPlaces says where the items from one index up to another stand. The newest are looked
// for from the end of the journal. Of the others it is kept where all up to them stand, as it is
// of the items of a turn.
func (v *view) waitingPlaces(ctx context.Context, from, to int) ([]place, error) {
	const newest, events = 400, 1024
	first, last := v.waits.First, v.waits.Last
	key := outlined{thread: v.t.id, ended: first}
	places, _ := v.t.m.outlines.get(key)
	if n := v.waits.Items - from; n <= newest && len(places) < to {
		near := min(uint64(2*n+64), last-first+1)
		end, err := v.t.outlineOf(ctx, "", last-near, last, nil)
		if err != nil {
			return nil, err
		}
		if at := len(end) - n; at >= 0 {
			return end[at : at+to-from], nil
		}
	}
	after := first - 1
	if n := len(places); n > 0 {
		after = places[n-1].seq
	}
	for len(places) < to {
		if after >= last {
			return nil, v.t.missing(last)
		}
		upTo := min(last, after+events)
		more, err := v.t.outlineOf(ctx, "", after, upTo, nil)
		if err != nil {
			return nil, err
		}
		places = append(places[:len(places):len(places)], more...)
		v.t.m.outlines.put(key, places)
		after = upTo
	}
	return places[from:to], nil
}
