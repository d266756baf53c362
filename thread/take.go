package thread

import (
	"errors"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/turn"
)

// A turn takes the items that wait when it begins, before its own input. They may be many
// thousands, so they are read, told and kept a page of the journal at a time: no other thread
// waits for more than a page. With the last page the input is handed over. What a turn had not
// taken when it was interrupted waits for the next one, and so do items that are appended while
// it takes. Where the daemon died meanwhile the turn runs again, keeps what it had and takes
// the rest.

// errTurnOver ends the reading of what waits.
var errTurnOver = errors.New("the turn is over")

// take makes the items that v has waiting items of the turn, then hands the input over. It
// is the turn's goroutine until the agent is called.
func (r *run) take(v *view) {
	err := v.wait(r.ctx)
	if err == nil {
		err = v.eachWaiting(r.ctx, func(through uint64, items []protocol.Item) error {
			return r.takePage(through, items, through == v.waits.Last)
		})
	}
	if err == nil {
		return
	}
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.run != r {
		return
	}
	if out, ended := turn.Ended(r.ctx); ended {
		t.finish(r, out)
		return
	}
	t.m.log.Error().Err(err).Str("thread", t.id).Str("turn", r.turn.ID).Msg("the items that wait for a turn cannot be read")
	t.finish(r, turn.Outcome{Status: protocol.TurnFailed, Error: &protocol.TurnError{
		Code: protocol.TurnErrAgent, Message: "the items that wait for the turn cannot be read: " + publicCause(err),
	}})
}

// takePage makes some of the items that wait items of the turn: those of the events up to a
// seq. With the last of them the input is handed over.
func (r *run) takePage(through uint64, items []protocol.Item, last bool) error {
	t := r.lockForRoom()
	defer t.mu.Unlock()
	if !r.goesOn() {
		return errTurnOver
	}
	for i := range items {
		if now, ok := r.changed[items[i].ID]; ok {
			items[i] = now
		}
	}
	x := t.begin()
	t.st.Pending.take(through, items)
	if last {
		t.st.Pending = r.later
	}
	x.row = true
	for part := range parts(items) {
		x.attachAs("update", r, part)
	}
	if last {
		r.handOver(x)
	} else {
		x.commit(nil)
	}
	return nil
}

// keepItems makes the items that a turn had taken before the daemon died items of the turn
// that runs again. They are told again: what a turn holds stands behind its newest start.
func (x *change) keepItems(r *run, had []*openItem) {
	t := x.t
	items := make([]protocol.Item, len(had))
	for i, it := range had {
		items[i] = it.item
	}
	for part := range parts(items) {
		t.st.LastEdit = x.attachAs("update", r, part)
		for i := range part {
			if protocol.ValidID(protocol.PrefixItem, part[i].ID) {
				x.batch.Edits = append(x.batch.Edits, storage.Edit{Item: part[i].ID, Seq: t.st.LastEdit})
			}
		}
	}
}
