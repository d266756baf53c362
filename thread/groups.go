package thread

import (
	"context"
	"encoding/json"
	"math"
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// group is a part of the items of a thread: those without a turn, those of a turn, those that
// wait. It reads none of them before they are wanted.
type group struct {
	id     string
	n      int
	at     func(i int) (json.RawMessage, error)                     // one that is in memory,
	places func(ctx context.Context, from, to int) ([]place, error) // or where some stand in the journal
}

// inMemory is a group of items that were read.
func inMemory(id string, items []json.RawMessage) group {
	return group{id: id, n: len(items), at: func(i int) (json.RawMessage, error) { return items[i], nil }}
}

// standing is a group of items that stand at some places.
func standing(id string, places []place) group {
	return group{id: id, n: len(places), places: func(_ context.Context, from, to int) ([]place, error) { return places[from:to], nil }}
}

// anyBytes is room for whatever there is.
const anyBytes = math.MaxInt

// read returns the items of a group from one index up to another, the last one first where back
// is set: as many as there is room for, in bytes, and one at least.
func (v *view) read(ctx context.Context, g group, from, to int, back bool, room int) ([]json.RawMessage, error) {
	if from >= to {
		return nil, nil
	}
	if g.places == nil {
		return fitting(room, to-from, func(i int) (json.RawMessage, error) {
			if back {
				return g.at(to - 1 - i)
			}
			return g.at(from + i)
		})
	}
	places, err := g.places(ctx, from, to)
	if err != nil {
		return nil, err
	}
	if back {
		places = slices.Clone(places)
		slices.Reverse(places)
	}
	items, err := v.t.itemsAt(places, room, func(seq uint64) (protocol.Envelope, error) { return v.eventAt(ctx, seq) })
	if err != nil {
		return nil, err
	}
	if err := v.applyEdits(ctx, items); err != nil {
		return nil, err
	}
	// An edit may have made them larger.
	return fitting(room, len(items), func(i int) (json.RawMessage, error) { return items[i], nil })
}

// fitting returns the first of n things for which there is room, and one at least.
func fitting(room, n int, at func(i int) (json.RawMessage, error)) ([]json.RawMessage, error) {
	fit := make([]json.RawMessage, 0, n)
	for i := range n {
		raw, err := at(i)
		if err != nil {
			return nil, err
		}
		if room -= len(raw) + len(","); room < 0 && i > 0 {
			break
		}
		fit = append(fit, raw)
	}
	return fit, nil
}

// A turn is short where its events can be kept while it is read: so many, and so many bytes.
const (
	shortTurn      = 64
	shortTurnBytes = 1 << 20
)

// itemsOf returns the items of a turn that endedTurn gives, in the order in which they began.
func (v *view) itemsOf(ctx context.Context, e storage.TurnEntry) (group, error) {
	if e.Ended == 0 {
		e.Ended = v.head
	}
	if e.Ended < v.base {
		items, err := v.replaced(ctx, e.ID)
		if err != nil {
			return group{}, err
		}
		return inMemory(e.ID, items), v.applyEdits(ctx, items)
	}
	if e.Started == 0 {
		return group{id: e.ID}, nil // cancelled while it waited
	}
	key := outlined{v.t.id, e.ID, e.Ended}
	places, ok := v.t.m.outlines.get(key)
	if !ok {
		var err error
		if places, err = v.outline(ctx, e); err != nil {
			return group{}, err
		}
		// That of a short turn is made again, unless its events tell of many items: one that
		// took what waited may have thousands.
		if v.recent.first == 0 || len(places) > 4*shortTurn {
			v.t.m.outlines.put(key, places)
		}
	}
	return standing(e.ID, places), nil
}

// outline makes the outline of a turn, and keeps the events of a short one for its readers.
func (v *view) outline(ctx context.Context, e storage.TurnEntry) ([]place, error) {
	v.recent = recentEvents{}
	if e.Ended-e.Started > shortTurn {
		return v.t.outlineOf(ctx, e.ID, e.Started, e.Ended, nil)
	}
	events, bytes := make([]protocol.Envelope, 0, e.Ended-e.Started), 0
	places, err := v.t.outlineOf(ctx, e.ID, e.Started, e.Ended, func(_ uint64, env protocol.Envelope) {
		if bytes += len(env.Params); bytes <= shortTurnBytes {
			events = append(events, env)
		}
	})
	if err == nil && bytes <= shortTurnBytes {
		v.recent = recentEvents{e.Started + 1, events}
	}
	return places, err
}
