package thread

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// ReadResult is a [protocol.ThreadReadResult] with the turns as the journal has them.
type ReadResult struct {
	Thread     protocol.Thread    `json:"thread"`
	Turns      *[]json.RawMessage `json:"turns,omitempty"`
	ActiveTurn *protocol.Turn     `json:"activeTurn,omitempty"`
	Pending    []protocol.Item    `json:"pending"`
}

// Read returns a thread, with all its turns if they are wanted. It changes nothing.
func (m *Manager) Read(c Call, p protocol.ThreadReadParams, r Reply[ReadResult]) {
	t, err := m.lock(c.Context, p.ThreadID, c.Caller.User)
	if err != nil {
		r(ReadResult{}, err)
		return
	}
	res := ReadResult{Thread: t.header(), ActiveTurn: t.activeTurn(), Pending: t.openItems()}
	v := t.view()
	t.mu.Unlock()
	if err := v.wait(c.Context); err != nil {
		r(ReadResult{}, m.storageErrorOf(err))
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
func (v *view) allTurns(c Call) ([]json.RawMessage, error) {
	turns := []json.RawMessage{}
	for after := ""; ; {
		page, err := v.store.Turns(c.Context, v.t.id, storage.TurnQuery{After: after, Limit: 200})
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			if (e.Ended == 0 || e.Ended > v.head) && e.ID != v.cut {
				continue
			}
			tn, err := v.stored(c.Context, e, true)
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
	now := v.waiting
	if v.active != nil {
		now = append([]protocol.Turn{*v.active}, now...)
	}
	for _, tn := range now {
		raw, err := protocol.Marshal(tn)
		if err != nil {
			return nil, err
		}
		turns = append(turns, raw)
	}
	return turns, nil
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
	e, err := v.endedTurn(c, id)
	if err != nil {
		return protocol.Turn{}, err
	}
	return v.turn(c.Context, e, items)
}

// endedTurn returns the index entry of a turn that ended, or that will get its end with the
// next start: of that there is what was kept.
func (v *view) endedTurn(c Call, id string) (storage.TurnEntry, error) {
	e, err := v.store.Turn(c.Context, v.t.id, id)
	if err == nil && id == v.cut {
		return e, nil
	}
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrBadID) || err == nil && e.Ended == 0 {
		if v.t.m.failed.Load() {
			return e, storage.ErrFailed // it may have been accepted and not kept
		}
		return e, turnNotFound(id)
	}
	return e, err
}

// listedTurn returns the turn of an index entry without its items.
func (v *view) listedTurn(c Call, e storage.TurnEntry) (json.RawMessage, error) {
	if e.Ended > 0 && e.Ended <= v.head {
		return v.stored(c.Context, e, false)
	}
	tn, err := v.oneTurn(c, e.ID, false)
	if err != nil {
		return nil, err
	}
	return protocol.Marshal(tn)
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

// lister is what the two lists of a thread's content have in common. active returns what the
// list needs of the running turn; it is called with the thread's lock held.
func (m *Manager) lister(c Call, p protocol.ThreadTurnsListParams, active func(t *Thread, limit int) *protocol.Turn) (*view, int, error) {
	limit, err := limitOf(p.Paging)
	if err != nil {
		return nil, 0, err
	}
	t, err := m.lock(c.Context, p.ThreadID, c.Caller.User)
	if err != nil {
		return nil, 0, err
	}
	v := t.viewWith(active(t, limit))
	t.mu.Unlock()
	return v, limit, m.storageErrorOf(v.wait(c.Context))
}

// Page is a page of turns or items as the journal has them: a [protocol.TurnListResult] or a
// [protocol.ItemListResult]. It is shorter than it might be where more would not fit into a
// message.
type Page struct {
	Data       []json.RawMessage `json:"data"`
	NextCursor string            `json:"nextCursor,omitempty"`
}

// TurnsList returns a page of turns in the order in which they were accepted.
func (m *Manager) TurnsList(c Call, p protocol.ThreadTurnsListParams, r Reply[Page]) {
	v, limit, err := m.lister(c, p, func(t *Thread, _ int) *protocol.Turn { return t.activeWith(0, 0) })
	if err != nil {
		r(Page{}, err)
		return
	}
	if p.TurnID != "" {
		tn, err := v.oneTurn(c, p.TurnID, false)
		raw, merr := protocol.Marshal(tn)
		r(Page{Data: []json.RawMessage{raw}}, m.storageErrorOf(errors.Join(err, merr)))
		return
	}
	if p.Cursor != "" && !protocol.ValidID(protocol.PrefixTurn, p.Cursor) {
		r(Page{}, protocol.InvalidParams("cursor", "is not one that this list gave"))
		return
	}
	res, err := v.turnsPage(c, p, limit)
	r(res, m.storageErrorOf(err))
}

func (v *view) turnsPage(c Call, p protocol.ThreadTurnsListParams, limit int) (Page, error) {
	res := Page{Data: []json.RawMessage{}}
	entries, err := v.entries(c, p.Cursor, limit+1, p.Order)
	if err != nil || len(entries) == 0 {
		return res, err
	}
	res.Data, err = fitting(int(v.t.m.limits.share(15)), min(limit, len(entries)), func(i int) (json.RawMessage, error) {
		return v.listedTurn(c, entries[i])
	})
	if n := len(res.Data); err == nil && n < len(entries) {
		res.NextCursor = entries[n-1].ID
	}
	return res, err
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

// Export returns a page of the journal, byte for byte.
func (m *Manager) Export(c Call, p protocol.ThreadExportParams, r Reply[protocol.ThreadExportResult]) {
	t, err := m.lock(c.Context, p.ThreadID, c.Caller.User)
	if err != nil {
		r(protocol.ThreadExportResult{}, err)
		return
	}
	upTo, store := t.flushed, t.store()
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
