package sdk

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/spoolhq/spool/protocol"
)

// Threads begins, finds and lists threads.
type Threads struct{ c *Client }

// Threads gives access to the threads of the daemon.
func (c *Client) Threads() Threads { return Threads{c} }

// Get returns a handle on a thread without asking the daemon whether it exists.
func (ts Threads) Get(id string) *Thread { return &Thread{c: ts.c, id: id} }

// Start begins a thread. params may be nil. The handle subscribes by itself when it is
// used, so params.Subscribe means false if it is absent.
func (ts Threads) Start(ctx context.Context, params *protocol.ThreadStartParams) (*Thread, error) {
	p := deref(params)
	p.Subscribe = orFalse(p.Subscribe)
	r, err := Call(ctx, ts.c, protocol.MethodThreadStart, p)
	if err != nil {
		return nil, err
	}
	ts.c.bound(r.Thread.ID, p.Tools)
	return ts.handle(r.Thread), nil
}

// GetOrCreate finds the active or paused thread of params.Identity, which is required, or
// begins one. The result says which it was.
func (ts Threads) GetOrCreate(ctx context.Context, params *protocol.ThreadStartParams) (*Thread, *protocol.ThreadGetOrCreateResult, error) {
	p := deref(params)
	p.Subscribe = orFalse(p.Subscribe)
	r, err := Call(ctx, ts.c, protocol.MethodThreadGetOrCreate, p)
	if err != nil {
		return nil, nil, err
	}
	ts.c.bound(r.Thread.ID, p.Tools)
	return ts.handle(r.Thread), &r, nil
}

// Resume takes a thread up again: a paused one becomes active. The snapshot holds the
// turn that runs and what it waits for. An archived or ended thread is refused with
// ThreadNotActive.
func (ts Threads) Resume(ctx context.Context, params *protocol.ThreadResumeParams) (*Thread, *protocol.ThreadSnapshot, error) {
	p := deref(params)
	p.Subscribe = orFalse(p.Subscribe)
	r, err := Call(ctx, ts.c, protocol.MethodThreadResume, p)
	if err != nil {
		return nil, nil, err
	}
	ts.c.bound(r.Thread.ID, p.Tools)
	return ts.handle(r.Thread), &r, nil
}

// List yields the threads that fit params, which may be nil, newest first. It asks for
// the next page when it is needed; params.Limit is the size of a page. After an error it
// ends.
func (ts Threads) List(ctx context.Context, params *protocol.ThreadListParams) iter.Seq2[protocol.Thread, error] {
	p := deref(params)
	return pages(func(cursor string) ([]protocol.Thread, string, error) {
		if cursor != "" {
			p.Cursor = cursor
		}
		r, err := Call(ctx, ts.c, protocol.MethodThreadList, p)
		return r.Data, r.NextCursor, err
	})
}

// Import stores a journal that [Thread.Export] gave, whole and in order, as a thread with
// the id it had. If that is taken the error is ThreadExists.
func (ts Threads) Import(ctx context.Context, events []json.RawMessage) (*Thread, error) {
	r, err := Call(ctx, ts.c, protocol.MethodThreadImport, protocol.ThreadImportParams{Events: events})
	if err != nil {
		return nil, err
	}
	return ts.handle(r.Thread), nil
}

// EndAll ends several threads and tells of each what became of it.
func (ts Threads) EndAll(ctx context.Context, params *protocol.ThreadEndAllParams) (*protocol.ThreadEndAllResult, error) {
	return callP(ctx, ts.c, protocol.MethodThreadEndAll, deref(params))
}

func (ts Threads) handle(t protocol.Thread) *Thread { return &Thread{c: ts.c, id: t.ID, info: t} }

// pages yields the entries of a list, page after page.
func pages[T any](next func(cursor string) ([]T, string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for cursor := ""; ; {
			data, following, err := next(cursor)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, v := range data {
				if !yield(v, nil) {
					return
				}
			}
			if following == "" {
				return
			}
			cursor = following
		}
	}
}

func deref[P any](p *P) P {
	if p == nil {
		return *new(P)
	}
	return *p
}

func orFalse(b *bool) *bool {
	if b == nil {
		return new(bool)
	}
	return b
}
