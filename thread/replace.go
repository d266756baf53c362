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
	turns, looked, err := m.turnsOf(c, p)
	if err != nil {
		r(protocol.ThreadItemsReplaceResult{}, m.storageErrorOf(err))
		return
	}
	mutate(m, c, p.ThreadID, p.IdempotencyKey, r, func(t *Thread, x *change) (protocol.ThreadItemsReplaceResult, error) {
		var none protocol.ThreadItemsReplaceResult
		if err := t.mustNotBeEnded(); err != nil {
			return none, err
		}
		if t.run != nil {
			return none, t.inProgress()
		}
		if head := t.st.Thread.HeadSeq; head != p.ExpectedSeq || head != looked {
			e := protocol.Errorf(protocol.CodeConflict, "the thread has changed")
			e.Data.HeadSeq = &head
			return none, e
		}
		items, err := replacement(p.Items, turns, x.at)
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
	t.pending, t.st.Pending = nil, nil
	t.touched, t.latest = nil, nil
}

// turnsOf returns which of the turns that the items name have run and ended, and the head
// that this is true of.
func (m *Manager) turnsOf(c Call, p protocol.ThreadItemsReplaceParams) (map[string]bool, uint64, error) {
	t, err := m.lock(c.Context, p.ThreadID, c.Caller.User)
	if err != nil {
		return nil, 0, err
	}
	v := t.view()
	t.mu.Unlock()
	if err := v.wait(c.Context); err != nil {
		return nil, 0, err
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
				return nil, 0, err
			}
		}
	}
	return turns, v.head, nil
}

// hasRun reports whether the thread has such a turn, and it has run and ended.
func (v *view) hasRun(ctx context.Context, id string) (bool, error) {
	e, err := v.store.Turn(ctx, v.t.id, id)
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrBadID) {
		return false, nil
	}
	return e.Started > 0 && e.Ended > 0 && e.Ended <= v.head, err
}
