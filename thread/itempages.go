package thread

import (
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
func (m *Manager) ItemsList(c Call, p protocol.ThreadItemsListParams, r Reply[Page]) {
	pager := itemPager{c: c, order: p.Order, room: int(m.limits.share(15))}
	if err := pager.seek(p.Cursor); err != nil {
		r(Page{}, err)
		return
	}
	v, limit, err := m.lister(c, p, pager.ofActive)
	if err != nil {
		r(Page{}, err)
		return
	}
	pager.v, pager.limit = v, limit
	if p.TurnID != "" {
		_, err = pager.turn(p.TurnID)
	} else {
		err = pager.all()
	}
	r(Page{Data: pager.data, NextCursor: pager.next}, m.storageErrorOf(err))
}

// itemPager collects a page of items from groups of them. A cursor is the group and an index
// in it: of the next item or, newest first, of the item that was given last.
type itemPager struct {
	v     *view
	c     Call
	limit int
	room  int // for bytes of data
	order protocol.ListOrder

	id   string // of the group where to begin: base, a turn, pending; "" for the first
	at   int
	data []json.RawMessage
	next string

	active     int // items of the running turn
	activeFrom int // the first of them that the view has
}

const (
	groupBase    = "base"
	groupPending = "pending"
)

func (g *itemPager) seek(cursor string) error {
	g.data = []json.RawMessage{}
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
func (g *itemPager) take(of group) (full bool, err error) {
	from, to, more := g.window(of.id, of.n, g.limit-len(g.data))
	back := g.order == protocol.OrderDesc
	items, err := g.v.read(g.c.Context, of, from, to, back, g.room)
	if err != nil {
		return false, err
	}
	if len(g.data) > 0 && len(items) > 0 && len(items[0]) >= g.room {
		items = nil // it alone would fit into a page of its own
	}
	for _, it := range items {
		g.room -= len(it) + len(",")
	}
	g.data = append(g.data, items...)
	if !more && len(items) == to-from {
		return false, nil
	}
	at := from + len(items)
	if back {
		at = to - len(items)
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
		return g.take(group{id: id, n: g.active, at: func(i int) (json.RawMessage, error) {
			return protocol.Marshal(v.active.Items[i-g.activeFrom])
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
	return g.take(of)
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
	items, err := g.v.loose(g.c.Context)
	if err != nil {
		return false, err
	}
	return g.take(inMemory(groupBase, items))
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
