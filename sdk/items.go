package sdk

import (
	"context"
	"iter"

	"github.com/spoolhq/spool/protocol"
)

// Items reads and changes the items of a thread outside its turns.
type Items struct{ t *Thread }

// Items gives access to the thread's items.
func (t *Thread) Items() Items { return Items{t} }

// List yields the items of the thread, or those of params.TurnID. params may be nil.
func (is Items) List(ctx context.Context, params *protocol.ThreadItemsListParams) iter.Seq2[protocol.Item, error] {
	p := deref(params)
	p.ThreadID = is.t.id
	return pages(func(cursor string) ([]protocol.Item, string, error) {
		if cursor != "" {
			p.Cursor = cursor
		}
		r, err := Call(ctx, is.t.c, protocol.MethodThreadItemsList, p)
		return r.Data, r.NextCursor, err
	})
}

// Append stores params.Items or params.Input without running a turn.
func (is Items) Append(ctx context.Context, params *protocol.ThreadItemsAppendParams) ([]protocol.Item, error) {
	p := deref(params)
	p.ThreadID = is.t.id
	r, err := Call(ctx, is.t.c, protocol.MethodThreadItemsAppend, p)
	return r.Items, err
}

// Update changes one item by the merge patch params.Patch if its revision still is
// params.ExpectedRevision; else the error is a Conflict with the item in its data.
func (is Items) Update(ctx context.Context, params *protocol.ThreadItemsUpdateParams) (*protocol.Item, error) {
	p := deref(params)
	p.ThreadID = is.t.id
	r, err := Call(ctx, is.t.c, protocol.MethodThreadItemsUpdate, p)
	if err != nil {
		return nil, err
	}
	return &r.Item, nil
}

// Replace puts items in the place of all items of the thread, which must be idle and
// still be at expectedSeq. It returns the new head.
func (is Items) Replace(ctx context.Context, items []protocol.NewItem, expectedSeq uint64) (uint64, error) {
	r, err := Call(ctx, is.t.c, protocol.MethodThreadItemsReplace, protocol.ThreadItemsReplaceParams{
		ThreadID: is.t.id, Items: append([]protocol.NewItem{}, items...), ExpectedSeq: expectedSeq,
	})
	return r.HeadSeq, err
}
