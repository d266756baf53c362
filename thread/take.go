package thread

import (
	"errors"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// A turn takes the items that wait when it begins, before its own input. They may be many
// thousands, so they are read, told and kept a page of the journal at a time: no other thread
// waits for more than a page. The first page marks the turn as handed over. What it had not taken
// when it ends, because it was interrupted or the daemon died, waits for the next one; so do items
// that are appended meanwhile.

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
	t.st.Handed = r.turn.ID
	t.st.Pending.take(through, items)
	if last {
		t.st.Pending = r.later
	}
	x.row = true
	x.attachAs("update", r, items)
	if last {
		r.handOver(x)
	} else {
		x.commit(nil)
	}
	return nil
}
