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

// Read returns a thread, with all its turns if they are wanted. It changes nothing.
func (m *Manager) Read(c Call, p protocol.ThreadReadParams, r Reply[protocol.ThreadReadResult]) {
	t, err := m.lock(c.Context, p.ThreadID, c.Caller.User)
	if err != nil {
		r(protocol.ThreadReadResult{}, err)
		return
	}
	res := protocol.ThreadReadResult{Thread: t.header(), ActiveTurn: t.activeTurn(), Pending: t.openItems()}
	v := t.view()
	t.mu.Unlock()
	if err := v.wait(c.Context); err != nil {
		r(protocol.ThreadReadResult{}, m.storageErrorOf(err))
		return
	}
	if !p.IncludeTurns {
		r(res, nil)
		return
	}
	turns, err := v.allTurns(c)
	res.Turns = &turns
	r(res, m.storageErrorOf(err))
}

// allTurns returns the turns that ended, the running one and those that wait.
func (v *view) allTurns(c Call) ([]protocol.Turn, error) {
	turns := []protocol.Turn{}
	for after := ""; ; {
		page, err := v.store.Turns(c.Context, v.t.id, storage.TurnQuery{After: after, Limit: 200})
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			if e.Ended == 0 || e.Ended > v.head {
				continue
			}
			tn, err := v.turn(c.Context, e, true)
			if err != nil {
				return nil, err
			}
			turns = append(turns, tn)
		}
		if len(page) < 200 {
			break
		}
		after = page[len(page)-1].ID
	}
	if v.active != nil {
		turns = append(turns, *v.active)
	}
	return append(turns, v.waiting...), nil
}

// TurnRead returns one turn.
func (m *Manager) TurnRead(c Call, p protocol.TurnReadParams, r Reply[protocol.TurnResult]) {
	t, err := m.lock(c.Context, p.ThreadID, c.Caller.User)
	if err != nil {
		r(protocol.TurnResult{}, err)
		return
	}
	v := t.view()
	t.mu.Unlock()
	if err := v.wait(c.Context); err != nil {
		r(protocol.TurnResult{}, m.storageErrorOf(err))
		return
	}
	tn, err := v.oneTurn(c, p.TurnID, p.IncludeItems)
	r(protocol.TurnResult{Turn: tn}, m.storageErrorOf(err))
}

// oneTurn returns a turn by its id, wherever it is in its life.
func (v *view) oneTurn(c Call, id string, items bool) (protocol.Turn, error) {
	if v.active != nil && v.active.ID == id {
		tn := *v.active
		if !items {
			tn.Items = nil
		}
		return tn, nil
	}
	if i := slices.IndexFunc(v.waiting, func(tn protocol.Turn) bool { return tn.ID == id }); i >= 0 {
		return v.waiting[i], nil
	}
	e, err := v.store.Turn(c.Context, v.t.id, id)
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrBadID) || err == nil && e.Ended == 0 {
		if v.t.m.failed.Load() {
			return protocol.Turn{}, storage.ErrFailed // it may have been accepted and not kept
		}
		return protocol.Turn{}, turnNotFound(id)
	}
	if err != nil {
		return protocol.Turn{}, err
	}
	return v.turn(c.Context, e, items)
}

// limitOf reads a page's limit.
func limitOf(p protocol.Paging) (int, error) {
	if p.Limit < 0 || p.Limit > 200 {
		return 0, protocol.InvalidParams("limit", "must be between 1 and 200")
	}
	if p.Limit == 0 {
		return 25, nil
	}
	return p.Limit, nil
}

// lister is what the two lists of a thread's content have in common.
func (m *Manager) lister(c Call, p protocol.ThreadTurnsListParams) (*view, int, error) {
	limit, err := limitOf(p.Paging)
	if err != nil {
		return nil, 0, err
	}
	t, err := m.lock(c.Context, p.ThreadID, c.Caller.User)
	if err != nil {
		return nil, 0, err
	}
	v := t.view()
	t.mu.Unlock()
	return v, limit, m.storageErrorOf(v.wait(c.Context))
}

// TurnsList returns a page of turns in the order in which they were accepted.
func (m *Manager) TurnsList(c Call, p protocol.ThreadTurnsListParams, r Reply[protocol.TurnListResult]) {
	v, limit, err := m.lister(c, p)
	if err != nil {
		r(protocol.TurnListResult{}, err)
		return
	}
	res := protocol.TurnListResult{Data: []protocol.Turn{}}
	if p.TurnID != "" {
		tn, err := v.oneTurn(c, p.TurnID, false)
		res.Data = append(res.Data, tn)
		r(res, m.storageErrorOf(err))
		return
	}
	if p.Cursor != "" && !protocol.ValidID(protocol.PrefixTurn, p.Cursor) {
		r(res, protocol.InvalidParams("cursor", "is not one that this list gave"))
		return
	}
	entries, err := v.entries(c, p.Cursor, limit+1, p.Order)
	if err != nil {
		r(res, m.storageErrorOf(err))
		return
	}
	if len(entries) > limit {
		entries = entries[:limit]
		res.NextCursor = entries[limit-1].ID
	}
	for _, e := range entries {
		tn, err := v.oneTurn(c, e.ID, false)
		if err != nil {
			r(res, m.storageErrorOf(err))
			return
		}
		res.Data = append(res.Data, tn)
	}
	r(res, nil)
}

// entries returns the index entries behind a cursor, a turn id: as many as limit where there
// are so many. Turns that came after the moment of the view are left out.
func (v *view) entries(c Call, cursor string, limit int, order protocol.ListOrder) ([]storage.TurnEntry, error) {
	var all []storage.TurnEntry
	for {
		q := storage.TurnQuery{Limit: limit - len(all), Desc: order == protocol.OrderDesc}
		if q.Desc {
			q.Before = cursor
		} else {
			q.After = cursor
		}
		page, err := v.store.Turns(c.Context, v.t.id, q)
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			if e.Accepted <= v.head {
				all = append(all, e)
			}
			cursor = e.ID
		}
		if len(page) < q.Limit || len(all) == limit {
			return all, nil
		}
	}
}

// ItemsList returns a page of items: turn after turn in the order in which they were
// accepted, then those that wait for a turn. Items that a thread/items/replace left
// without a turn come first.
func (m *Manager) ItemsList(c Call, p protocol.ThreadItemsListParams, r Reply[protocol.ItemListResult]) {
	v, limit, err := m.lister(c, p)
	if err != nil {
		r(protocol.ItemListResult{}, err)
		return
	}
	pager := itemPager{v: v, c: c, limit: limit, order: p.Order}
	if err := pager.seek(p.Cursor); err != nil {
		r(protocol.ItemListResult{}, err)
		return
	}
	if p.TurnID != "" {
		err = pager.oneTurn(p.TurnID)
	} else {
		err = pager.all()
	}
	r(protocol.ItemListResult{Data: pager.items(), NextCursor: pager.next}, m.storageErrorOf(err))
}

// itemPager collects a page of items from groups of them: those without a turn, each turn,
// those that wait. A cursor is the group and how many of its items were given.
type itemPager struct {
	v     *view
	c     Call
	limit int
	order protocol.ListOrder

	group string // where to begin: "", a turn id, or "pending"
	skip  int
	found bool // the group was reached
	data  []protocol.Item
	next  string
}

const (
	groupBase    = "base"
	groupPending = "pending"
)

func (g *itemPager) seek(cursor string) error {
	if cursor == "" {
		g.found = true
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	group, n, ok := strings.Cut(string(raw), " ")
	skip, nerr := strconv.Atoi(n)
	if err != nil || !ok || nerr != nil || skip < 0 || group != groupBase && group != groupPending && !protocol.ValidID(protocol.PrefixTurn, group) {
		return protocol.InvalidParams("cursor", "is not one that this list gave")
	}
	g.group, g.skip = group, skip
	return nil
}

func (g *itemPager) items() []protocol.Item {
	if g.data == nil {
		return []protocol.Item{}
	}
	return g.data
}

// take adds the items of one group; false: the page is full.
func (g *itemPager) take(group string, items []protocol.Item) bool {
	if g.order == protocol.OrderDesc {
		items = slices.Clone(items)
		slices.Reverse(items)
	}
	given := 0
	if group == g.group {
		given = min(g.skip, len(items))
	}
	for _, it := range items[given:] {
		if len(g.data) == g.limit {
			g.next = base64.RawURLEncoding.EncodeToString([]byte(group + " " + strconv.Itoa(given)))
			return false
		}
		g.data = append(g.data, it)
		given++
	}
	return true
}

func (g *itemPager) oneTurn(id string) error {
	tn, err := g.v.oneTurn(g.c, id, true)
	if err == nil {
		g.take(id, tn.Items)
	}
	return err
}

func (g *itemPager) all() error {
	if g.order == protocol.OrderDesc {
		if (g.group == "" || g.group == groupPending) && !g.take(groupPending, g.v.pending) {
			return nil
		}
		full, err := g.turns()
		if err == nil && !full {
			g.take(groupBase, g.loose())
		}
		return err
	}
	if (g.group == "" || g.group == groupBase) && !g.take(groupBase, g.loose()) {
		return nil
	}
	if g.group == groupPending {
		g.take(groupPending, g.v.pending)
		return nil
	}
	full, err := g.turns()
	if err == nil && !full {
		g.take(groupPending, g.v.pending)
	}
	return err
}

// loose returns the items that a replace left without a turn.
func (g *itemPager) loose() []protocol.Item {
	return slices.DeleteFunc(slices.Clone(g.v.based), func(it protocol.Item) bool { return it.TurnID != "" })
}

// turns takes the items of turns, from the one of the cursor on; true: the page is full.
func (g *itemPager) turns() (bool, error) {
	if g.group == groupBase && g.order == protocol.OrderDesc {
		return false, nil
	}
	cursor := ""
	if protocol.ValidID(protocol.PrefixTurn, g.group) {
		tn, err := g.v.oneTurn(g.c, g.group, true)
		if err == nil && !g.take(g.group, tn.Items) {
			return true, nil
		}
		if err != nil && !errors.Is(err, &protocol.Error{Code: protocol.CodeTurnNotFound}) {
			return false, err
		}
		cursor = g.group
	}
	for {
		entries, err := g.v.entries(g.c, cursor, 50, g.order)
		if err != nil {
			return false, err
		}
		for _, e := range entries {
			tn, err := g.v.oneTurn(g.c, e.ID, true)
			if err != nil {
				return false, err
			}
			if !g.take(e.ID, tn.Items) {
				return true, nil
			}
		}
		if len(entries) < 50 {
			return false, nil
		}
		cursor = entries[len(entries)-1].ID
	}
}

// Export returns a page of the journal, byte for byte.
func (m *Manager) Export(c Call, p protocol.ThreadExportParams, r Reply[protocol.ThreadExportResult]) {
	t, err := m.lock(c.Context, p.ThreadID, c.Caller.User)
	if err != nil {
		r(protocol.ThreadExportResult{}, err)
		return
	}
	upTo, store := t.flushed, t.store
	t.mu.Unlock()
	res := protocol.ThreadExportResult{Events: []json.RawMessage{}}
	if p.AfterSeq >= upTo {
		r(res, nil)
		return
	}
	events, err := store.Events(c.Context, p.ThreadID, p.AfterSeq, upTo, exportPage)
	if err != nil {
		r(res, m.storageErrorOf(err))
		return
	}
	for _, e := range events {
		res.Events = append(res.Events, json.RawMessage(e.Frame))
		res.NextSeq = e.Seq
	}
	if res.NextSeq >= upTo {
		res.NextSeq = 0
	}
	r(res, nil)
}

// exportPage bounds a page of an export; one event alone may be larger.
const exportPage = 1 << 20
