package thread

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// newItem reads an item as a client wrote it and fills in what the daemon sets. keepID
// allows an id.
func newItem(raw json.RawMessage, field string, keepID bool, at protocol.Time) (protocol.Item, error) {
	var it protocol.Item
	if err := protocol.DecodeItem(raw, field, &it); err != nil {
		return it, err
	}
	if !keepID && it.ID != "" {
		return it, protocol.InvalidParams(field+".id", "is given by the daemon; leave it out")
	}
	if !oneOf(it.Origin, "", protocol.OriginInjected, protocol.OriginImported) && !keepID {
		return it, protocol.InvalidParams(field+".origin", "must be injected or imported")
	}
	if oneOf(it.Type, protocol.ItemApproval, protocol.ItemQuestion) && !keepID {
		return it, protocol.InvalidParams(field+".type", "cannot be appended: only a turn can ask")
	}
	if it.Status == protocol.ItemInProgress {
		return it, protocol.InvalidParams(field+".status", "must be final")
	}
	if it.Status == "" {
		it.Status = protocol.ItemCompleted
	}
	if it.Origin == "" {
		it.Origin = protocol.OriginInjected
	}
	if it.CreatedAt == 0 {
		it.CreatedAt = at
	}
	if it.CompletedAt == 0 {
		it.CompletedAt = it.CreatedAt
	}
	if it.Type == protocol.ItemDeveloperMessage && it.Visibility == "" {
		it.Visibility = "hidden"
	}
	if it.Type == protocol.ItemUserMessage && (!keepID || it.Delivery == "") {
		it.Delivery = protocol.DeliveryPending
	}
	if it.Revision == 0 {
		it.Revision = 1
	}
	if it.ID == "" {
		it.ID = protocol.NewID(protocol.PrefixItem)
	} else if !protocol.ValidID(protocol.PrefixItem, it.ID) {
		return it, protocol.InvalidParams(field+".id", "is not the id of an item")
	}
	return it, nil
}

// ItemsAppend stores items without running a turn. They wait for the next turn, or go into
// the running one with deliver:steer.
func (m *Manager) ItemsAppend(c Call, p protocol.ThreadItemsAppendParams, r Reply[protocol.ThreadItemsAppendResult]) {
	mutate(m, c, p.ThreadID, p.IdempotencyKey, r, func(t *Thread, x *change) (protocol.ThreadItemsAppendResult, error) {
		var none protocol.ThreadItemsAppendResult
		if err := m.refuseNew(); err != nil {
			return none, err
		}
		if err := t.mustNotBeEnded(); err != nil {
			return none, err
		}
		items, err := appended(p, x.at)
		if err != nil {
			return none, err
		}
		if err := m.checkItems("items", items); err != nil {
			return none, err
		}
		if p.Deliver == protocol.DeliverSteer && t.run != nil {
			if err := t.giveSteer(steer{Items: items, By: c.Caller.By(), At: x.at}); err != nil {
				return none, err
			}
		} else {
			x.pend(items)
		}
		x.touchActive()
		return protocol.ThreadItemsAppendResult{Items: items}, nil
	})
}

// appended returns the items that a client wants to append.
func appended(p protocol.ThreadItemsAppendParams, at protocol.Time) ([]protocol.Item, error) {
	if (len(p.Items) == 0) == (len(p.Input) == 0) {
		return nil, protocol.InvalidParams("items", "or input is required, and not both")
	}
	var items []protocol.Item
	for i, raw := range p.Items {
		it, err := newItem(raw, "items["+itoa(i)+"]", false, at)
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	for _, msg := range p.Input {
		it := messageItem(msg, protocol.DeliveryPending)
		it.ID, it.Status, it.Origin, it.Revision = protocol.NewID(protocol.PrefixItem), protocol.ItemCompleted, protocol.OriginInjected, 1
		it.CreatedAt, it.CompletedAt = at, at
		items = append(items, it)
	}
	return items, nil
}

// changed emits thread/items/changed and returns its seq.
func (x *change) changed(op string, turnID string, items []protocol.Item, replaced bool) uint64 {
	changes := make([]protocol.ItemChange, len(items))
	for i, it := range items {
		changes[i] = protocol.ItemChange{Op: op, ItemID: it.ID, Item: it}
	}
	h := x.next(turnID, "", "")
	emit(x, protocol.EventItemsChanged, protocol.ItemsChangedEvent{Header: h, Changes: changes, Replaced: replaced})
	x.row = true
	return h.Seq
}

// partBytes is about how much one of the events holds that tell of many items: an event is a
// message, whose length has a limit.
const partBytes = 256 << 10

// parts cuts a list of items into pieces that one event can tell.
func parts(items []protocol.Item) iter.Seq[[]protocol.Item] {
	return func(yield func([]protocol.Item) bool) {
		from, bytes := 0, 0
		for i := range items {
			more := size(&items[i]) + itemMembers
			if i > from && bytes+more > partBytes {
				if !yield(items[from:i]) {
					return
				}
				from, bytes = i, 0
			}
			bytes += more
		}
		if from < len(items) {
			yield(items[from:])
		}
	}
}

// pend appends items that wait for the next turn.
func (x *change) pend(items []protocol.Item) {
	t := x.t
	for part := range parts(items) {
		seq := x.changed("append", "", part, false)
		t.st.Pending.add(seq, part)
		if t.run != nil && t.run.takes {
			t.run.later.add(seq, part)
		}
	}
}

// attach appends items that were steered into the running turn; the last is returned.
func (x *change) attach(r *run, items []protocol.Item) protocol.Item {
	items = slices.Clone(items) // they were the answer of a request, too
	for i := range items {
		if items[i].Type == protocol.ItemUserMessage {
			items[i].Delivery = protocol.DeliverySteer
		}
	}
	x.attachAs("append", r, items)
	return items[len(items)-1]
}

// attachAs tells that items belong to the running turn now, and returns the seq of that.
func (x *change) attachAs(op string, r *run, items []protocol.Item) uint64 {
	for i := range items {
		items[i].TurnID = r.turn.ID
		r.items = append(r.items, &openItem{r: r, item: items[i], closed: true})
		delete(x.t.touched, items[i].ID) // it is in the turn's items now
	}
	return x.changed(op, r.turn.ID, items, false)
}

// ItemsUpdate changes one item by a merge patch, if it is still at the expected revision.
func (m *Manager) ItemsUpdate(c Call, p protocol.ThreadItemsUpdateParams, r Reply[protocol.ThreadItemsUpdateResult]) {
	find := func() (foundItem, error) { return m.findItem(c, p.ThreadID, p.ItemID) }
	mutateFound(m, c, p.ThreadID, p.IdempotencyKey, r, find, func(t *Thread, x *change, found foundItem) (protocol.ThreadItemsUpdateResult, error) {
		var none protocol.ThreadItemsUpdateResult
		if err := m.refuseNew(); err != nil {
			return none, err
		}
		if err := t.mustNotBeEnded(); err != nil {
			return none, err
		}
		item, inMemory := t.itemNow(p.ItemID)
		if !inMemory {
			if !t.isNow(found) {
				return none, errLookAgain
			}
			item = found.item
		}
		if item.Status == protocol.ItemInProgress {
			return none, protocol.InvalidParams("itemId", "names an item in progress; wait until it is completed")
		}
		if item.Revision != p.ExpectedRevision {
			return none, itemConflict(item)
		}
		updated, err := patchItem(item, p.Patch, m.limits.MaxItemBytes)
		if err != nil {
			return none, err
		}
		x.edit(updated)
		return protocol.ThreadItemsUpdateResult{Item: updated}, nil
	})
}

func itemConflict(item protocol.Item) error {
	e := protocol.Errorf(protocol.CodeConflict, "item %s has changed", item.ID)
	e.Data.Item = &item
	return e
}

// patchItem applies a client's merge patch. What says which item it is and where it comes
// from stays.
func patchItem(item protocol.Item, patch json.RawMessage, most int64) (protocol.Item, error) {
	if len(patch) == 0 || patch[0] != '{' {
		return item, protocol.InvalidParams("patch", "must be an object")
	}
	for _, fixed := range []string{"id", "turnId", "type", "status", "createdAt", "completedAt", "revision", "origin"} {
		if protocol.Member(patch, fixed) != nil {
			return item, protocol.InvalidParams("patch."+fixed, "cannot be changed")
		}
	}
	base, err := protocol.Marshal(item)
	if err != nil {
		return item, err
	}
	merged, err := protocol.MergePatch(base, patch)
	if err != nil {
		return item, protocol.InvalidParams("patch", err.Error())
	}
	var out protocol.Item
	if err := protocol.DecodeItem(merged, "patch", &out); err != nil {
		return item, err
	}
	if int64(size(&out)) > most {
		return item, protocol.InvalidParams("patch", "makes the item larger than limits.maxItemBytes")
	}
	out.Revision = item.Revision + 1
	return out, nil
}

// touchedItem is what an item is by a change that is not told yet.
type touchedItem struct {
	seq  uint64 // of the change
	item protocol.Item
}

// edit stores a new state of an item.
func (x *change) edit(item protocol.Item) {
	t := x.t
	if t.run != nil {
		if t.run.takes && item.TurnID == "" {
			t.run.changed[item.ID] = item
		}
		for _, it := range t.run.items {
			if it.item.ID == item.ID {
				it.item = item
			}
		}
	}
	x.touchActive()
	seq := x.changed("update", item.TurnID, []protocol.Item{item}, false)
	t.st.LastEdit = seq
	x.batch.Edits = append(x.batch.Edits, storage.Edit{Item: item.ID, Seq: seq})
	if t.touched == nil {
		t.touched = map[string]touchedItem{}
	}
	t.touched[item.ID] = touchedItem{seq, item}
	x.out = append(x.out, effect{kind: call, fn: func(error) {
		if t.touched[item.ID].seq == seq {
			delete(t.touched, item.ID)
		}
	}})
}

// itemNow returns an item that is in memory: of the running turn, or with a change that is
// not told yet. t.mu is held.
func (t *Thread) itemNow(id string) (protocol.Item, bool) {
	if it, ok := t.touched[id]; ok {
		return it.item, true
	}
	if t.run != nil {
		for _, it := range t.run.items {
			if it.item.ID == id {
				return it.snapshot(), true
			}
		}
	}
	return protocol.Item{}, false
}

// foundItem is an item as the journal had it up to the seq at.
type foundItem struct {
	item  protocol.Item
	at    uint64
	waits uint64 // seq of the event that appended it, where it waits for a turn
}

// isNow reports whether an item is still what was found. t.mu is held.
func (t *Thread) isNow(f foundItem) bool {
	return f.at > 0 && max(t.st.LastEdit, t.st.Base) <= f.at && (f.waits == 0 || t.st.Pending.has(f.waits))
}

// findItem looks an item up that waits for a turn or is history. One that is in memory is not
// looked for: the caller asks itemNow under the lock.
func (m *Manager) findItem(c Call, threadID, id string) (foundItem, error) {
	t, err := m.lock(c.Context, threadID, c.Caller.User)
	if err != nil {
		return foundItem{}, err
	}
	if _, ok := t.itemNow(id); ok {
		t.mu.Unlock()
		return foundItem{}, nil
	}
	head := t.st.Thread.HeadSeq
	v := t.view()
	t.mu.Unlock()
	if err := v.wait(c.Context); err != nil {
		return foundItem{}, err
	}
	item, waits, err := v.findWaiting(c.Context, id)
	if err == nil && waits == 0 {
		item, err = v.findItem(c.Context, id)
	}
	if errors.Is(err, storage.ErrNotFound) {
		return foundItem{}, protocol.Errorf(protocol.CodeItemNotFound, "the thread has no item %s", quote(id))
	}
	return foundItem{item, head, waits}, m.storageErrorOf(err)
}

func (m *Manager) storageErrorOf(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if wire, ok := errors.AsType[*protocol.Error](err); ok {
		return wire // a refusal, such as TurnNotFound, not a failure of the store
	}
	return m.storageError(err)
}
