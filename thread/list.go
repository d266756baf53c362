package thread

import (
	"strings"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// List returns a page of the threads that the caller may read, newest first; ephemeral
// ones stand before the durable ones.
func (m *Manager) List(c Call, p protocol.ThreadListParams, r Reply[protocol.ThreadListResult]) {
	res, err := m.list(c, p)
	r(res, m.storageErrorOf(err))
}

func (m *Manager) list(c Call, p protocol.ThreadListParams) (protocol.ThreadListResult, error) {
	res := protocol.ThreadListResult{Data: []protocol.Thread{}}
	limit, err := limitOf(p.Paging)
	if err != nil {
		return res, err
	}
	room := int(m.limits.share(10)) // the thread that fills it has at most 5/16 more
	kind, cursor, _ := strings.Cut(p.Cursor, ".")
	if !oneOf(kind, "", "e", "d") {
		return res, protocol.InvalidParams("cursor", "is not one that this list gave")
	}
	if kind != "d" {
		next, err := m.listStore(c, m.cfg.Ephemeral, p, cursor, limit, &room, &res)
		if err != nil {
			return res, err
		}
		if next != "" {
			res.NextCursor = "e." + next
			return res, nil
		}
		cursor = ""
	}
	if len(res.Data) == limit || room <= 0 {
		res.NextCursor = "d."
		return res, nil
	}
	next, err := m.listStore(c, m.cfg.Store, p, cursor, limit, &room, &res)
	if next != "" {
		res.NextCursor = "d." + next
	}
	return res, err
}

// listStore adds threads of one store until limit is reached or the room is filled, and returns
// where to go on.
func (m *Manager) listStore(c Call, s storage.Store, p protocol.ThreadListParams, cursor string, limit int, room *int, res *protocol.ThreadListResult) (string, error) {
	q := storage.Query{Reader: c.Caller.User, Sort: storage.SortUpdated, Cursor: cursor, Limit: limit - len(res.Data), Match: matcher(p), Bytes: *room}
	if p.Sort == protocol.SortCreated {
		q.Sort = storage.SortCreated
	}
	page, err := s.Threads(c.Context, q)
	if err != nil {
		return "", err
	}
	for _, row := range page.Rows {
		st, err := decodeState(row)
		if err != nil {
			return "", err
		}
		h := protocol.Thread{ThreadHeader: st.Thread, Runtime: m.runtimeOf(&st)}
		if h.HeadSeq, err = s.Head(c.Context, row.ID); err != nil {
			return "", err
		}
		res.Data = append(res.Data, h)
		*room -= len(row.Data)
	}
	return page.Next, nil
}

// runtimeOf is the runtime of a thread as stored, with what only a loaded thread knows.
func (m *Manager) runtimeOf(st *state) protocol.Runtime {
	r := st.runtime()
	if !r.Busy {
		return r
	}
	m.mu.Lock()
	t := m.threads[st.Thread.ID]
	m.mu.Unlock()
	if t == nil {
		return r
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.run != nil && t.run.turn.ID == r.ActiveTurnID {
		r.Interrupting, r.WaitingOn = t.run.interrupting, t.run.waitingOn()
	}
	return r
}

// matcher returns what a row must fulfil, nil for nothing.
func matcher(p protocol.ThreadListParams) func(storage.Row) bool {
	if len(p.Status) == 0 && p.Agent == "" && p.Query == "" && p.Identity == nil {
		return nil
	}
	query := strings.ToLower(p.Query)
	return func(row storage.Row) bool {
		if p.Agent != "" && row.Agent != p.Agent || len(p.Status) > 0 && !oneOf(protocol.ThreadStatus(row.Status), p.Status...) {
			return false
		}
		if query == "" && p.Identity == nil {
			return true
		}
		st, err := decodeState(row)
		if err != nil {
			return false
		}
		h := &st.Thread
		return matchesIdentity(h.Identity, p.Identity) &&
			(query == "" || strings.Contains(strings.ToLower(h.Title+"\n"+h.Preview), query))
	}
}

func matchesIdentity(id *protocol.Identity, f *protocol.IdentityFilter) bool {
	if f == nil {
		return true
	}
	return id != nil && (f.Channel == "" || f.Channel == id.Channel) && (f.User == "" || f.User == id.User) &&
		(f.Context == "" || f.Context == id.Context)
}
