package thread

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// ItemsList returns a page of items: turn after turn in the order in which they were
// accepted, then those that wait for a turn. Items that a thread/items/replace left
// without a turn come first.
func (m *Manager) ItemsList(c Call, p protocol.ThreadItemsListParams, r Reply[protocol.ItemListResult]) {
	pager := itemPager{c: c, order: p.Order}
	if err := pager.seek(p.Cursor); err != nil {
		r(protocol.ItemListResult{}, err)
		return
	}
	v, limit, err := m.lister(c, p, pager.ofActive)
	if err != nil {
		r(protocol.ItemListResult{}, err)
		return
	}
	pager.v, pager.limit = v, limit
	if p.TurnID != "" {
		_, err = pager.turn(p.TurnID)
	} else {
		err = pager.all()
	}
	r(protocol.ItemListResult{Data: pager.data, NextCursor: pager.next}, m.storageErrorOf(err))
}

// group is a part of the items of a thread: those without a turn, those of a turn, those that
// wait. read returns the items from one index up to another.
type group[T protocol.Item | json.RawMessage] struct {
	id   string
	n    int
	read func(ctx context.Context, from, to int) ([]T, error)
}

func groupOf[T protocol.Item | json.RawMessage](id string, items []T) group[T] {
	return group[T]{id, len(items), func(_ context.Context, from, to int) ([]T, error) { return items[from:to], nil }}
}

// longTurn is the number of events of a turn above which its outline is worth keeping; those
// of shorter ones are read, unless they tell of many items.
const longTurn = 64

// itemsOf returns the items of a turn that endedTurn gives, in the order in which they began.
func (v *view) itemsOf(ctx context.Context, e storage.TurnEntry) (group[json.RawMessage], error) {
	if e.Ended == 0 {
		e.Ended = v.head
	}
	if e.Ended < v.base {
		items, err := v.replaced(ctx, e.ID)
		if err != nil {
			return group[json.RawMessage]{}, err
		}
		return groupOf(e.ID, items), v.applyEdits(ctx, items)
	}
	if e.Started == 0 {
		return group[json.RawMessage]{id: e.ID}, nil // cancelled while it waited
	}
	key := outlined{v.t.id, e.ID, e.Ended}
	places, ok := v.t.m.outlines.get(key)
	if !ok && e.Ended-e.Started <= longTurn {
		items, err := v.shortTurn(ctx, e)
		if err != nil || len(items) <= 4*longTurn { // one that took what waited may have thousands
			return groupOf(e.ID, items), err
		}
	}
	if !ok {
		var err error
		if places, err = v.t.outlineOf(ctx, e.ID, e.Started, e.Ended, nil); err != nil {
			return group[json.RawMessage]{}, err
		}
		v.t.m.outlines.put(key, places)
	}
	return group[json.RawMessage]{e.ID, len(places), func(ctx context.Context, from, to int) ([]json.RawMessage, error) {
		items, err := v.t.itemsAt(places[from:to], func(seq uint64) (protocol.Envelope, error) { return v.eventAt(ctx, seq) })
		if err != nil {
			return nil, err
		}
		return items, v.applyEdits(ctx, items)
	}}, nil
}

// shortTurn reads the events of a turn at once.
func (v *view) shortTurn(ctx context.Context, e storage.TurnEntry) ([]json.RawMessage, error) {
	events := make([]protocol.Envelope, 0, e.Ended-e.Started)
	places, err := v.t.outlineOf(ctx, e.ID, e.Started, e.Ended, func(_ uint64, env protocol.Envelope) { events = append(events, env) })
	if err != nil {
		return nil, err
	}
	v.recent = recentEvents{e.Started + 1, events}
	items, err := v.t.itemsAt(places, func(seq uint64) (protocol.Envelope, error) { return v.eventAt(ctx, seq) })
	if err != nil {
		return nil, err
	}
	return items, v.applyEdits(ctx, items)
}

// itemPager collects a page of items from groups of them. A cursor is the group and an index
// in it: of the next item or, newest first, of the item that was given last.
type itemPager struct {
	v     *view
	c     Call
	limit int
	order protocol.ListOrder

	id   string // of the group where to begin: base, a turn, pending; "" for the first
	at   int
	data []protocol.Item
	next string

	active     int // items of the running turn
	activeFrom int // the first of them that the view has
}

const (
	groupBase    = "base"
	groupPending = "pending"
)

func (g *itemPager) seek(cursor string) error {
	g.data = []protocol.Item{}
	if cursor == "" {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	id, n, ok := strings.Cut(string(raw), " ")
	at, nerr := strconv.Atoi(n)
	if err != nil || !ok || nerr != nil || at < 0 || id != groupBase && id != groupPending && !protocol.ValidID(protocol.PrefixTurn, id) {
		return protocol.InvalidParams("cursor", "is not one that this list gave")
	}
	g.id, g.at = id, at
	return nil
}

// window returns which items of a group of n the page holds where it has room for some, and
// whether there are more of them.
func (g *itemPager) window(id string, n, room int) (from, to int, more bool) {
	if g.order == protocol.OrderDesc {
		to = n
		if id == g.id {
			to = min(g.at, n)
		}
		from = max(0, to-room)
		return from, to, from > 0
	}
	if id == g.id {
		from = min(g.at, n)
	}
	to = min(n, from+room)
	return from, to, to < n
}

// take adds the items of one group; full says that the page holds no more.
func (g *itemPager) take(of group[protocol.Item]) (full bool, err error) {
	from, to, more := g.window(of.id, of.n, g.limit-len(g.data))
	if from < to {
		items, err := of.read(g.c.Context, from, to)
		if err != nil {
			return false, err
		}
		if g.order == protocol.OrderDesc {
			items = slices.Clone(items)
			slices.Reverse(items)
		}
		g.data = append(g.data, items...)
	}
	if !more {
		return false, nil
	}
	at := to
	if g.order == protocol.OrderDesc {
		at = from
	}
	g.next = base64.RawURLEncoding.EncodeToString([]byte(of.id + " " + strconv.Itoa(at)))
	return true, nil
}

// ofActive returns the running turn with the items that the page may hold.
func (g *itemPager) ofActive(t *Thread, limit int) *protocol.Turn {
	if t.run == nil {
		return nil
	}
	g.active = len(t.run.items)
	from, to, _ := g.window(t.run.turn.ID, g.active, limit)
	g.activeFrom = from
	return t.activeWith(from, to)
}

// turn takes the items of one turn.
func (g *itemPager) turn(id string) (full bool, err error) {
	v := g.v
	if v.active != nil && v.active.ID == id {
		return g.take(group[protocol.Item]{id, g.active, func(_ context.Context, from, to int) ([]protocol.Item, error) {
			return v.active.Items[from-g.activeFrom : to-g.activeFrom], nil
		}})
	}
	if slices.ContainsFunc(v.waiting, func(tn protocol.Turn) bool { return tn.ID == id }) {
		return false, nil
	}
	e, err := v.endedTurn(g.c, id)
	if err != nil {
		return false, err
	}
	return g.history(e)
}

// history takes the items of a turn that endedTurn gives.
func (g *itemPager) history(e storage.TurnEntry) (full bool, err error) {
	of, err := g.v.itemsOf(g.c.Context, e)
	if err != nil {
		return false, err
	}
	return g.take(group[protocol.Item]{of.id, of.n, func(ctx context.Context, from, to int) ([]protocol.Item, error) {
		items, err := of.read(ctx, from, to)
		if err != nil {
			return nil, err
		}
		return decoded[protocol.Item](g.v.t, items)
	}})
}

// entry takes the items of the turn of an index entry.
func (g *itemPager) entry(e storage.TurnEntry) (full bool, err error) {
	if e.Ended == 0 || e.Ended > g.v.head {
		return g.turn(e.ID)
	}
	return g.history(e)
}

// all takes groups, from that of the cursor on, until the page is full.
func (g *itemPager) all() error {
	parts := []func() (full bool, err error){g.base, g.turns, g.pending}
	ids := []string{groupBase, "", groupPending}
	if g.order == protocol.OrderDesc {
		slices.Reverse(parts)
		slices.Reverse(ids)
	}
	begin := 0
	if g.id != "" {
		if begin = slices.Index(ids, g.id); begin < 0 {
			begin = 1 // a turn
		}
	}
	for _, take := range parts[begin:] {
		if full, err := take(); full || err != nil {
			return err
		}
	}
	return nil
}

func (g *itemPager) base() (bool, error) {
	stored, err := g.v.loose(g.c.Context)
	if err != nil {
		return false, err
	}
	items, err := decoded[protocol.Item](g.v.t, stored)
	if err != nil {
		return false, err
	}
	return g.take(groupOf(groupBase, items))
}

func (g *itemPager) pending() (bool, error) { return g.take(g.v.waitingGroup()) }

// turns takes the items of turns, from the one of the cursor on.
func (g *itemPager) turns() (full bool, err error) {
	cursor := ""
	if protocol.ValidID(protocol.PrefixTurn, g.id) {
		full, err := g.turn(g.id)
		if full || err != nil && !errors.Is(err, &protocol.Error{Code: protocol.CodeTurnNotFound}) {
			return full, err
		}
		cursor = g.id
	}
	for {
		entries, err := g.v.entries(g.c, cursor, 50, g.order)
		if err != nil {
			return false, err
		}
		for _, e := range entries {
			if full, err := g.entry(e); full || err != nil {
				return full, err
			}
		}
		if len(entries) < 50 {
			return false, nil
		}
		cursor = entries[len(entries)-1].ID
	}
}
