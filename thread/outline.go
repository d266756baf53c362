package thread

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// The items of a turn that ended stand in the events between its start and its end, in most
// cases more than once: as they began and as they were completed. An outline says which event
// has the last word on each, so that a page of a long turn reads what it gives and no more.
// What it says of a turn that ended stays true for ever.

// place is where the newest state of an item stands.
type place struct {
	seq  uint64
	nth  int    // of the changes of a thread/items/changed
	plan uint64 // a later plan/updated, 0: none
}

// outline finds the items of one turn in its events, in the order in which they began. For no
// turn it finds those that were appended and wait for one.
type outline struct {
	turn   string
	places []place
	at     map[string]int // item -> index of places
}

func newOutline(turn string) *outline { return &outline{turn: turn, at: map[string]int{}} }

// add takes the next event.
func (o *outline) add(seq uint64, env protocol.Envelope) error {
	switch env.Method {
	case protocol.EventItemStarted.Name, protocol.EventItemCompleted.Name,
		protocol.EventApprovalRequested.Name, protocol.EventApprovalResolved.Name,
		protocol.EventQuestionRequested.Name, protocol.EventQuestionResolved.Name:
		if o.turn != "" && textOf(env.Params, "turnId") == o.turn {
			o.put(textOf(env.Params, "itemId"), place{seq: seq})
		}
	case protocol.EventItemsChanged.Name:
		var p struct {
			Changes []struct {
				Op   string `json:"op"`
				Item struct {
					ID     string `json:"id"`
					TurnID string `json:"turnId"`
				} `json:"item"`
			} `json:"changes"`
		}
		if err := json.Unmarshal(env.Params, &p); err != nil {
			return err
		}
		for i, c := range p.Changes {
			if appends(c.Op, c.Item.TurnID) && o.turn == "" || o.turn != "" && c.Item.TurnID == o.turn {
				o.put(c.Item.ID, place{seq: seq, nth: i})
			}
		}
	case protocol.EventPlanUpdated.Name:
		if i, ok := o.at[textOf(env.Params, "itemId")]; ok && textOf(env.Params, "turnId") == o.turn {
			o.places[i].plan = seq
		}
	}
	return nil
}

func (o *outline) put(item string, p place) {
	if i, ok := o.at[item]; ok {
		o.places[i] = p
		return
	}
	o.at[item] = len(o.places)
	o.places = append(o.places, p)
}

// textOf returns a member that is a string.
func textOf(params json.RawMessage, key string) string {
	raw := protocol.Member(params, key)
	if n := len(raw); n >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : n-1])
	}
	var s string
	_ = json.Unmarshal(raw, &s) // what is no string is nobody's id
	return s
}

// outlineOf makes the outline of a turn from the events after one seq up to another. each,
// which may be nil, is given them.
func (t *Thread) outlineOf(ctx context.Context, turn string, after, upTo uint64, each func(seq uint64, env protocol.Envelope)) ([]place, error) {
	o := newOutline(turn)
	for after < upTo {
		events, err := t.store().Events(ctx, t.id, after, upTo, pageBytes)
		if err != nil {
			return nil, err
		}
		if len(events) == 0 {
			return nil, t.missing(after + 1)
		}
		for _, ev := range events {
			env := protocol.ParseFrame(ev.Frame)
			if err := o.add(ev.Seq, env); err != nil {
				return nil, t.unreadable(ev.Seq, err)
			}
			if each != nil {
				each(ev.Seq, env)
			}
		}
		after = events[len(events)-1].Seq
	}
	return o.places, nil
}

func (t *Thread) unreadable(seq uint64, err error) error {
	return fmt.Errorf("event %d of %s: %w: %w", seq, t.id, storage.ErrCorrupt, err)
}

func (t *Thread) missing(seq uint64) error {
	return fmt.Errorf("event %d of %s is missing: %w", seq, t.id, storage.ErrCorrupt)
}

// itemReader reads items at their places. eventAt finds an event; one with several items is
// taken apart once.
type itemReader struct {
	eventAt func(seq uint64) (protocol.Envelope, error)
	seq     uint64 // of changes
	changes []storedChange
}

func (r *itemReader) item(p place) (json.RawMessage, error) {
	it, err := r.itemIn(p)
	if err != nil || p.plan == 0 {
		return it, err
	}
	env, err := r.eventAt(p.plan)
	if err != nil {
		return nil, err
	}
	return withEntries(it, env)
}

// itemIn returns the item of the event at a place.
func (r *itemReader) itemIn(p place) (json.RawMessage, error) {
	if p.seq != r.seq {
		env, err := r.eventAt(p.seq)
		if err != nil {
			return nil, err
		}
		if it := protocol.Member(env.Params, "item"); it != nil {
			return it, nil
		}
		if r.changes, err = changesIn(env); err != nil {
			return nil, err
		}
		r.seq = p.seq
	}
	if p.nth >= len(r.changes) {
		return nil, errNotThere
	}
	return r.changes[p.nth].Item, nil
}

// itemsAt returns the items at some places: as many as there is room for, in bytes, and one at
// least.
func (t *Thread) itemsAt(places []place, room int, eventAt func(seq uint64) (protocol.Envelope, error)) ([]json.RawMessage, error) {
	r := itemReader{eventAt: eventAt}
	return fitting(room, len(places), func(i int) (json.RawMessage, error) {
		item, err := r.item(places[i])
		if err != nil {
			err = t.unreadable(places[i].seq, err)
		}
		return item, err
	})
}

// outlines keeps the outlines of turns that were read lately.
type outlines struct {
	mu     sync.Mutex
	places int // in all of them
	of     map[outlined][]place
}

type outlined struct {
	thread, turn string
	ended        uint64
}

// What is kept is bounded: 24 bytes a place. A turn with more of them is kept alone.
const (
	maxPlaces   = 1 << 17
	maxOutlines = 1 << 12
)

func (o *outlines) get(k outlined) ([]place, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	places, ok := o.of[k]
	return places, ok
}

func (o *outlines) put(k outlined, places []place) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of = map[outlined][]place{}
	}
	o.places += len(places) - len(o.of[k])
	o.of[k] = places
	for old, kept := range o.of { // in no order: whatever goes can be made again
		if o.places <= maxPlaces && len(o.of) <= maxOutlines {
			break
		}
		if old != k {
			o.places -= len(kept)
			delete(o.of, old)
		}
	}
}
