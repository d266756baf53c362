package thread

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// respond is the way of a method that answers an approval or a question. answer is called
// with the thread locked and the ask open; it commits, with prepare called on its change.
// Nothing says of which thread the id is once the daemon was restarted, so an idempotency
// key is kept with the id.
func (m *Manager) respond(c Call, id, key string, kind askKind, r Reply[protocol.ItemResult],
	answer func(t *Thread, a *ask, prepare func(*change, protocol.ItemResult), r Reply[protocol.ItemResult]),
) {
	if key != "" {
		key = id + " " + key
	}
	once(m, c, "", key, r, func(k *storage.KeyResult, r Reply[protocol.ItemResult]) {
		t, err := m.lockAsk(c, id, kind)
		if err != nil {
			r(protocol.ItemResult{}, err)
			return
		}
		defer t.mu.Unlock()
		a := t.openAsk(id, kind)
		if a == nil {
			over := m.askOver(kind, id)
			// Not before the resolution is kept.
			t.tell(effect{kind: call, ticket: t.lastTicket(), fn: func(err error) { r(protocol.ItemResult{}, cmp.Or(err, over)) }})
			return
		}
		if err := m.cannotKeep(); err != nil {
			r(protocol.ItemResult{}, err)
			return
		}
		answer(t, a, func(x *change, res protocol.ItemResult) { x.keep(k, res) }, r)
	})
}

// lockAsk returns the thread of an approval or a question locked, if the caller may change
// it. One that the caller may not see does not exist.
func (m *Manager) lockAsk(c Call, id string, kind askKind) (*Thread, error) {
	thread := m.asks.threadOf(id)
	if thread == "" {
		return nil, askNotFound(kind, id)
	}
	t, err := m.lockToChange(c, thread)
	if errors.Is(err, &protocol.Error{Code: protocol.CodeThreadNotFound}) {
		err = askNotFound(kind, id)
	}
	return t, err
}

// openAsk returns an ask of the running turn, nil if it is over.
func (t *Thread) openAsk(id string, kind askKind) *ask {
	if t.run == nil {
		return nil
	}
	for _, a := range t.run.asks {
		if a.id == id && a.kind == kind {
			return a
		}
	}
	return nil
}

func askNotFound(kind askKind, id string) error {
	return protocol.Errorf(protocol.CodeItemNotFound, "there is no %s %s", kind, quote(id))
}

// askOver says how an ask was resolved.
func (m *Manager) askOver(kind askKind, id string) error {
	past, ok := m.asks.past(id)
	if !ok {
		return askNotFound(kind, id)
	}
	e := protocol.Errorf(protocol.CodeAlreadyResolved, "%s %s is already resolved", kind, id)
	if past.decision == "timedOut" {
		e = protocol.Errorf(protocol.CodeApprovalExpired, "%s %s has expired", kind, id)
	}
	e.Data.Decision = past.decision
	return e
}

// ApprovalList returns the open approvals that the caller may see, oldest first.
func (m *Manager) ApprovalList(c Call, p protocol.ApprovalListParams, r Reply[protocol.PendingListResult]) {
	m.listOpen(c, p, askApproval, r)
}

// QuestionList returns the open questions that the caller may see, oldest first.
func (m *Manager) QuestionList(c Call, p protocol.ApprovalListParams, r Reply[protocol.PendingListResult]) {
	m.listOpen(c, p, askQuestion, r)
}

func (m *Manager) listOpen(c Call, p protocol.ApprovalListParams, kind askKind, r Reply[protocol.PendingListResult]) {
	res := protocol.PendingListResult{Data: []protocol.PendingItem{}}
	limit, err := limitOf(p.Paging)
	if err != nil {
		r(res, err)
		return
	}
	threads := m.asks.threads()
	if p.ThreadID != "" {
		t, err := m.lock(c.Context, p.ThreadID, c.Caller.User)
		if err != nil {
			r(res, err)
			return
		}
		t.mu.Unlock()
		threads = []*Thread{t}
	}
	for _, t := range threads {
		res.Data = append(res.Data, t.openFor(c.Caller.User, kind)...)
	}
	slices.SortFunc(res.Data, func(a, b protocol.PendingItem) int { return strings.Compare(a.Item.ID, b.Item.ID) })
	res.Data = slices.DeleteFunc(res.Data, func(i protocol.PendingItem) bool { return i.Item.ID <= p.Cursor })
	if len(res.Data) > limit {
		res.Data = res.Data[:limit]
		res.NextCursor = res.Data[limit-1].Item.ID
	}
	r(res, nil)
}

// openFor returns what is open and told of one kind, if the user may see the thread.
func (t *Thread) openFor(user string, kind askKind) []protocol.PendingItem {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone || t.deleted || t.run == nil || t.st.role(user) == "" {
		return nil
	}
	var items []protocol.PendingItem
	for _, a := range t.run.asks {
		if a.kind == kind && a.told {
			items = append(items, protocol.PendingItem{ThreadID: t.id, Item: a.it.snapshot()})
		}
	}
	return items
}
