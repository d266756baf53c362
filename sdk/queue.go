package sdk

import (
	"context"

	"github.com/spoolhq/spool/protocol"
)

// Queue edits the waiting turns of a thread. Each edit names the revision it is based on
// and returns the new one; if the queue changed meanwhile the error is a Conflict with
// the present queue in its data.
type Queue struct{ t *Thread }

// Queue gives access to the thread's waiting turns.
func (t *Thread) Queue() Queue { return Queue{t} }

// List returns the waiting turns in order.
func (q Queue) List(ctx context.Context) (*protocol.QueueListResult, error) {
	return callP(ctx, q.t.c, protocol.MethodTurnQueueList, protocol.ThreadParams{ThreadID: q.t.id})
}

// Update changes the input of a waiting turn.
func (q Queue) Update(ctx context.Context, turnID string, input protocol.Input, revision uint64) (uint64, error) {
	return newRevision(Call(ctx, q.t.c, protocol.MethodTurnQueueUpdate,
		protocol.QueueUpdateParams{ThreadID: q.t.id, TurnID: turnID, Input: input, ExpectedRevision: revision}))
}

// Remove takes a waiting turn out.
func (q Queue) Remove(ctx context.Context, turnID string, revision uint64) (uint64, error) {
	return newRevision(Call(ctx, q.t.c, protocol.MethodTurnQueueRemove,
		protocol.QueueRemoveParams{ThreadID: q.t.id, TurnID: turnID, ExpectedRevision: revision}))
}

// Reorder puts the waiting turns into another order, which names each of them once.
func (q Queue) Reorder(ctx context.Context, order []string, revision uint64) (uint64, error) {
	return newRevision(Call(ctx, q.t.c, protocol.MethodTurnQueueMove,
		protocol.QueueReorderParams{ThreadID: q.t.id, Order: append([]string{}, order...), ExpectedRevision: revision}))
}

// Clear takes all waiting turns out.
func (q Queue) Clear(ctx context.Context, revision uint64) (uint64, error) {
	return newRevision(Call(ctx, q.t.c, protocol.MethodTurnQueueClear,
		protocol.QueueClearParams{ThreadID: q.t.id, ExpectedRevision: revision}))
}

// Pause lets nothing start from the queue. It needs no revision.
func (q Queue) Pause(ctx context.Context) (uint64, error) {
	return newRevision(Call(ctx, q.t.c, protocol.MethodTurnQueuePause, protocol.QueueParams{ThreadID: q.t.id}))
}

// Resume lets the queue go on. It needs no revision.
func (q Queue) Resume(ctx context.Context) (uint64, error) {
	return newRevision(Call(ctx, q.t.c, protocol.MethodTurnQueueResume, protocol.QueueParams{ThreadID: q.t.id}))
}

func newRevision(r protocol.QueueResult, err error) (uint64, error) { return r.Revision, err }
