package thread

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// ItemsReplace replaces all items of an idle thread. An item may belong to a turn that ran,
// or to none.
func (m *Manager) ItemsReplace(c Call, p protocol.ThreadItemsReplaceParams, r Reply[protocol.ThreadItemsReplaceResult]) {
	find := func() (ranTurns, error) {
		ran, err := m.turnsOf(c, p)
		return ran, m.storageErrorOf(err)
	}
	mutateFound(m, c, p.ThreadID, p.IdempotencyKey, r, find, func(t *Thread, x *change, ran ranTurns) (protocol.ThreadItemsReplaceResult, error) {
		var none protocol.ThreadItemsReplaceResult
		if err := m.refuseNew(); err != nil {
			return none, err
		}
		if err := t.mustNotBeEnded(); err != nil {
			return none, err
		}
		if t.run != nil {
			return none, t.inProgress()
		}
		if head := t.st.Thread.HeadSeq; head != p.ExpectedSeq || head != ran.at {
			e := protocol.Errorf(protocol.CodeConflict, "the thread has changed")
			e.Data.HeadSeq = &head
			return none, e
		}
		items, err := replacement(p.Items, ran.ids, x.at)
		if err == nil {
			err = m.checkItems("items", items)
		}
		if err != nil {
			return none, err
		}
		x.touchActive()
		t.forgetItems()
		t.st.Base = x.changed("replace", "", items, true)
		return protocol.ThreadItemsReplaceResult{HeadSeq: t.st.Thread.HeadSeq}, nil
	})
}

// replacement reads the items that a client puts in place of all others. turns are those
// that they may belong to.
func replacement(list []protocol.NewItem, turns map[string]bool, at protocol.Time) ([]protocol.Item, error) {
	items := make([]protocol.Item, 0, len(list))
	seen := map[string]bool{}
	for i, raw := range list {
		field := "items[" + itoa(i) + "]"
		it, err := newItem(raw, field, true, at)
		switch {
		case err != nil:
			return nil, err
		case seen[it.ID]:
			return nil, protocol.InvalidParams(field+".id", "is there twice")
		case it.TurnID != "" && !turns[it.TurnID]:
			return nil, protocol.InvalidParams(field+".turnId", "is not a turn of this thread that has run and ended; leave it out")
		}
		seen[it.ID] = true
		items = append(items, it)
	}
	return items, nil
}

// forgetItems drops what is in memory of items that are not part of the thread any more.
func (t *Thread) forgetItems() {
	t.st.Pending = waiting{}
	t.touched = nil
}

// ranTurns says which turns have run and ended when at was the head.
type ranTurns struct {
	ids map[string]bool
	at  uint64
}

// turnsOf returns which of the turns that the items name have run and ended.
func (m *Manager) turnsOf(c Call, p protocol.ThreadItemsReplaceParams) (ranTurns, error) {
	t, err := m.lock(c.Context, p.ThreadID, c.Caller.User)
	if err != nil {
		return ranTurns{}, err
	}
	v := t.view()
	t.mu.Unlock()
	if err := v.wait(c.Context); err != nil {
		return ranTurns{}, err
	}
	turns := map[string]bool{}
	for _, raw := range p.Items {
		var id string
		_ = json.Unmarshal(protocol.Member(raw, "turnId"), &id)
		if id == "" {
			continue
		}
		if _, known := turns[id]; !known {
			if turns[id], err = v.hasRun(c.Context, id); err != nil {
				return ranTurns{}, err
			}
		}
	}
	return ranTurns{turns, v.head}, nil
}

// hasRun reports whether the thread has such a turn, and it has run and ended.
func (v *view) hasRun(ctx context.Context, id string) (bool, error) {
	e, err := v.store.Turn(ctx, v.t.id, id)
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrBadID) {
		return false, nil
	}
	return e.Started > 0 && e.Ended > 0 && e.Ended <= v.head, err
}
