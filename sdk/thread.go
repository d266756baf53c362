package sdk

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/spoolhq/spool/protocol"
)

// Thread is a handle on one conversation. It holds no state of its own: two handles with
// the same id are the same.
//
// Methods that take params of the protocol fill in ThreadID themselves; nil params are
// defaults.
type Thread struct {
	c    *Client
	id   string
	info protocol.Thread
}

// ID returns the thread's id.
func (t *Thread) ID() string { return t.id }

// Info returns the thread's header as it was in the answer that gave this handle; it is
// zero for one from [Threads.Get]. [Thread.Read] gives the present one.
func (t *Thread) Info() protocol.Thread { return t.info }

// Read returns the thread as it is now. It changes nothing.
func (t *Thread) Read(ctx context.Context, params *protocol.ThreadReadParams) (*protocol.ThreadReadResult, error) {
	p := deref(params)
	p.ThreadID = t.id
	return callP(ctx, t.c, protocol.MethodThreadRead, p)
}

// Turns yields the thread's turns without their items. params may be nil.
func (t *Thread) Turns(ctx context.Context, params *protocol.ThreadTurnsListParams) iter.Seq2[protocol.Turn, error] {
	p := deref(params)
	p.ThreadID = t.id
	return pages(func(cursor string) ([]protocol.Turn, string, error) {
		if cursor != "" {
			p.Cursor = cursor
		}
		r, err := Call(ctx, t.c, protocol.MethodThreadTurnsList, p)
		return r.Data, r.NextCursor, err
	})
}

// Turn returns one turn, with its items where includeItems is set.
func (t *Thread) Turn(ctx context.Context, turnID string, includeItems bool) (*protocol.Turn, error) {
	r, err := Call(ctx, t.c, protocol.MethodTurnRead,
		protocol.TurnReadParams{ThreadID: t.id, TurnID: turnID, IncludeItems: includeItems})
	if err != nil {
		return nil, err
	}
	return &r.Turn, nil
}

// Rename sets the title.
func (t *Thread) Rename(ctx context.Context, title string) (*protocol.Thread, error) {
	return header(Call(ctx, t.c, protocol.MethodThreadRename, protocol.ThreadRenameParams{ThreadID: t.id, Title: title}))
}

// SetMode sets the mode, from the next turn on; empty is none.
func (t *Thread) SetMode(ctx context.Context, mode string) (*protocol.Thread, error) {
	return header(Call(ctx, t.c, protocol.MethodThreadModeSet, protocol.ThreadModeSetParams{ThreadID: t.id, Mode: mode}))
}

// UpdateConfig changes the config by a merge patch (RFC 7396), from the next turn on.
// patch is anything that encoding/json writes as an object; a null in it removes a key.
func (t *Thread) UpdateConfig(ctx context.Context, patch any) (*protocol.Thread, error) {
	raw, err := protocol.Marshal(patch)
	if err != nil {
		return nil, err
	}
	return header(Call(ctx, t.c, protocol.MethodThreadConfigUpdate, protocol.ThreadConfigUpdateParams{ThreadID: t.id, Config: raw}))
}

// UpdateMetadata changes the metadata by a merge patch, as UpdateConfig does the config.
func (t *Thread) UpdateMetadata(ctx context.Context, patch any) (*protocol.Thread, error) {
	raw, err := protocol.Marshal(patch)
	if err != nil {
		return nil, err
	}
	return header(Call(ctx, t.c, protocol.MethodThreadMetadataUpdate, protocol.ThreadMetadataUpdateParams{ThreadID: t.id, Metadata: raw}))
}

// Pause stops starting turns until [Threads.Resume].
func (t *Thread) Pause(ctx context.Context, params *protocol.ThreadChangeParams) (*protocol.Thread, error) {
	return t.change(ctx, protocol.MethodThreadPause, params)
}

// Archive puts the thread away.
func (t *Thread) Archive(ctx context.Context, params *protocol.ThreadChangeParams) (*protocol.Thread, error) {
	return t.change(ctx, protocol.MethodThreadArchive, params)
}

// Unarchive brings an archived thread back.
func (t *Thread) Unarchive(ctx context.Context, params *protocol.ThreadChangeParams) (*protocol.Thread, error) {
	return t.change(ctx, protocol.MethodThreadUnarchive, params)
}

// End makes the thread final. It stays readable. Ending it again changes nothing and is
// no error.
func (t *Thread) End(ctx context.Context, params *protocol.ThreadChangeParams) (*protocol.Thread, error) {
	return t.change(ctx, protocol.MethodThreadEnd, params)
}

func (t *Thread) change(ctx context.Context, m protocol.Request[protocol.ThreadChangeParams, protocol.ThreadResult], params *protocol.ThreadChangeParams) (*protocol.Thread, error) {
	p := deref(params)
	p.ThreadID = t.id
	return header(Call(ctx, t.c, m, p))
}

// Delete removes the thread and all it holds.
func (t *Thread) Delete(ctx context.Context, params *protocol.ThreadChangeParams) error {
	p := deref(params)
	p.ThreadID = t.id
	_, err := Call(ctx, t.c, protocol.MethodThreadDelete, p)
	return err
}

// Reset removes all turns and items; id, owner, config and metadata stay.
func (t *Thread) Reset(ctx context.Context, params *protocol.ThreadResetParams) (*protocol.ThreadResetResult, error) {
	p := deref(params)
	p.ThreadID = t.id
	return callP(ctx, t.c, protocol.MethodThreadReset, p)
}

// Fork begins a thread with the history of this one and returns a handle on it. As in
// [Threads.Start], params.Subscribe means false if it is absent.
func (t *Thread) Fork(ctx context.Context, params *protocol.ThreadForkParams) (*Thread, error) {
	p := deref(params)
	p.ThreadID = t.id
	p.Subscribe = orFalse(p.Subscribe)
	r, err := Call(ctx, t.c, protocol.MethodThreadFork, p)
	if err != nil {
		return nil, err
	}
	t.c.bound(r.Thread.ID, p.Tools)
	return t.c.Threads().handle(r.Thread), nil
}

// Rollback removes the newest ended turns of the thread, which must be idle.
func (t *Thread) Rollback(ctx context.Context, turns int) (*protocol.Thread, error) {
	return header(Call(ctx, t.c, protocol.MethodThreadRollback, protocol.ThreadRollbackParams{ThreadID: t.id, Turns: turns}))
}

// Export yields the thread's journal, one message after another as it was first sent,
// for [Threads.Import].
func (t *Thread) Export(ctx context.Context) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		for after := uint64(0); ; {
			r, err := Call(ctx, t.c, protocol.MethodThreadExport, protocol.ThreadExportParams{ThreadID: t.id, AfterSeq: after})
			if err != nil {
				yield(nil, err)
				return
			}
			for _, e := range r.Events {
				if !yield(e, nil) {
					return
				}
			}
			if after = r.NextSeq; after == 0 {
				return
			}
		}
	}
}

// Presence lists who is subscribed to the thread.
func (t *Thread) Presence(ctx context.Context) ([]protocol.Presence, error) {
	r, err := Call(ctx, t.c, protocol.MethodThreadPresenceList, protocol.ThreadParams{ThreadID: t.id})
	return r.Data, err
}

// Share says who else may use the thread: all of them, those not named lose access.
func (t *Thread) Share(ctx context.Context, grants []protocol.Grant) (*protocol.Thread, error) {
	return header(Call(ctx, t.c, protocol.MethodThreadAccessUpdate, protocol.ThreadAccessUpdateParams{ThreadID: t.id, Grants: append([]protocol.Grant{}, grants...)}))
}

func header(r protocol.ThreadResult, err error) (*protocol.Thread, error) {
	if err != nil {
		return nil, err
	}
	return &r.Thread, nil
}
