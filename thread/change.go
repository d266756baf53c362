package thread

import (
	"context"
	"errors"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/turn"
)

// change collects what one decision does to a thread: events, the row, indexes. It lives
// from begin to commit, all under t.mu.
type change struct {
	t     *Thread
	at    protocol.Time
	batch *storage.Batch
	out   []effect
	row   bool               // the row changes
	key   *storage.KeyResult // of the request that makes the change, nil for none; its result comes last
	was   protocol.Runtime   // before the change
	quiet bool               // no thread/runtimeChanged: the thread is being made or removed
	then  func()             // done right after commit, still under t.mu
}

func (t *Thread) begin() *change {
	return &change{t: t, at: protocol.Now(), batch: &storage.Batch{Thread: t.id}, was: t.runtime()}
}

// next numbers the next durable event.
func (x *change) next(turnID, itemID, traceID string) protocol.Header {
	x.t.st.Thread.HeadSeq++
	return protocol.Header{
		ThreadID: x.t.id, TurnID: turnID, ItemID: itemID, TraceID: traceID,
		Seq: x.t.st.Thread.HeadSeq, At: x.at,
	}
}

// emit adds a durable event. Its payload holds a header that next gave.
func emit[P any](x *change, n protocol.Notification[P], payload P) {
	frame, err := protocol.Encode(n, payload)
	if err != nil {
		panic("thread: " + n.Name + " cannot be encoded: " + err.Error()) // raw JSON is checked where it comes in
	}
	seq := x.t.st.Thread.HeadSeq
	x.batch.Events = append(x.batch.Events, storage.Event{Seq: seq, Frame: frame})
	x.out = append(x.out, effect{kind: tellDurable, frame: frame, method: n.Name, seq: seq, list: n.List})
}

// turnEntry changes the index entry of a turn.
func (x *change) turnEntry(e storage.TurnEntry) { x.batch.Turns = append(x.batch.Turns, e) }

// touchActive notes that the thread was used, which moves it in lists.
func (x *change) touchActive() {
	x.t.st.Thread.LastActiveAt = x.at
	x.t.st.Thread.UpdatedAt = x.at
	x.row = true
}

// commit gives the change to the store. done, which may be nil, is called before the
// change's events are told, with a typed error where it was not kept; t.mu is held then.
func (x *change) commit(done func(error)) {
	t := x.t
	if x.row && !x.batch.Delete {
		x.batch.Row = t.row()
	}
	tk := x.ticket()
	if done != nil {
		t.add(effect{kind: call, ticket: tk, fn: done})
	}
	for _, e := range x.out {
		e.ticket = tk
		t.add(e)
	}
	if !x.quiet {
		t.tellRuntime(x.was, tk)
	}
	t.touch()
	defer func() {
		if x.then != nil {
			x.then()
		}
	}()
	if empty(x.batch) {
		t.flush()
		return
	}
	t.store().Commit(x.batch, func(err error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		tk.done, tk.err = true, t.m.storageError(err)
		if tk.err != nil && !t.gone {
			t.abandon(tk.err)
		}
		t.flush()
	})
}

// ticket is what the change's effects wait for. A change with nothing to keep is kept when
// all before it is.
func (x *change) ticket() *ticket {
	if !empty(x.batch) {
		return &ticket{}
	}
	if last := x.t.lastTicket(); last != nil {
		return last
	}
	return &ticket{done: true}
}

func empty(b *storage.Batch) bool {
	return len(b.Events) == 0 && b.Row == nil && len(b.Turns) == 0 && len(b.DropTurns) == 0 && len(b.Edits) == 0 &&
		len(b.Checkpoints) == 0 && len(b.Closed) == 0 && b.Key == nil && b.EraseBefore == 0 && !b.Delete && len(b.Settings) == 0
}

// abandon gives the thread up after a write that failed: what is in memory is ahead of
// what is kept. The agent is stopped; readers load what is kept. t.mu is held.
func (t *Thread) abandon(cause error) {
	t.gone = true
	if r := t.run; r != nil {
		t.run = nil
		t.dropAsks(r)
		r.stop(errStorage)
		r.detach(turn.Outcome{})
	}
	for id, waiting := range t.waiters {
		delete(t.waiters, id)
		for _, w := range waiting {
			w.answer(protocol.Turn{}, cause)
		}
	}
}

var errStorage = errors.New("the store has failed")

// storageError turns an error of the store into the one that clients see, and notes a
// failure of the store as a whole.
func (m *Manager) storageError(err error) error {
	switch {
	case err == nil:
		return nil
	case isCause(err):
		return err // the request was given up, which says nothing about the store
	case errors.Is(err, storage.ErrExists):
		return protocol.Errorf(protocol.CodeThreadExists, "the thread id is in use; choose another or leave threadId out")
	case errors.Is(err, storage.ErrNotFound):
		return protocol.ThreadNotFound()
	case errors.Is(err, storage.ErrBadID):
		return protocol.ThreadNotFound()
	case errors.Is(err, storage.ErrCursor):
		return protocol.InvalidParams("cursor", "is not one that this list gave")
	}
	if m.failed.CompareAndSwap(false, errors.Is(err, storage.ErrFailed)) && m.failed.Load() {
		m.log.Error().Err(err).Msg("the store failed; nothing more is written, reading goes on")
	}
	if errors.Is(err, storage.ErrCorrupt) {
		m.log.Error().Err(err).Msg("the store found damage")
	}
	e := protocol.Errorf(protocol.CodeStorageUnavailable, "the conversation store does not work: %s", publicCause(err))
	e.Data.Hint = "nothing that was acknowledged is lost; free disk space or mend the disk, then restart the daemon"
	if serr, ok := errors.AsType[*storage.Error](err); ok && serr.Hint != "" {
		e.Data.Hint = serr.Hint
	}
	return e
}

// isCause reports whether err is why a context ended, rather than of the store.
func isCause(err error) bool {
	wire, ok := errors.AsType[*protocol.Error](err)
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || ok && wire.Code == protocol.CodeRequestCancelled
}

// publicCause says what happened without paths of the machine.
func publicCause(err error) string {
	switch {
	case errors.Is(err, storage.ErrFull):
		return "the disk is full"
	case errors.Is(err, storage.ErrCorrupt):
		return "a record is damaged"
	case errors.Is(err, storage.ErrClosed):
		return "the daemon is stopping"
	default:
		return "a write or read failed"
	}
}
