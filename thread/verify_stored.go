package thread

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// What is stored of a thread beside its journal, compared with what the journal says.

// compareRow compares the row.
func (v *verifier) compareRow(row storage.Row, st *state) {
	for _, f := range append(v.headerFields(&st.Thread), v.queueFields(st)...) {
		if a, b := asJSON(f.stored), asJSON(f.events); !bytes.Equal(a, b) {
			v.problem(storage.ProblemRow, "%s: the row says %.200s, the journal %.200s", f.name, a, b)
		}
	}
	v.compareMarks(st)
	v.compareColumns(row, st)
}

// comparedField is a value that row and journal must agree on.
type comparedField struct {
	name           string
	stored, events any
}

// headerFields leaves out the owner: that of an imported journal is not the one in it.
func (v *verifier) headerFields(h *protocol.ThreadHeader) []comparedField {
	j := &v.header
	return []comparedField{
		{"id", h.ID, j.ID},
		{"agent", h.Agent, j.Agent},
		{"status", h.Status, j.Status},
		{"title", h.Title, j.Title},
		{"identity", h.Identity, j.Identity},
		{"createdAt", h.CreatedAt, j.CreatedAt},
		{"lifetime", h.Lifetime, j.Lifetime},
		{"queuePolicy", h.QueuePolicy, j.QueuePolicy},
		{"mode", h.Mode, j.Mode},
		{"config", h.Config, j.Config},
		{"metadata", h.Metadata, j.Metadata},
		{"forkedFrom", h.ForkedFrom, j.ForkedFrom},
		{"generation", h.Generation, j.Generation},
		{"endReason", h.EndReason, j.EndReason},
		{"usage", h.Usage, v.usage},
	}
}

func (v *verifier) queueFields(st *state) []comparedField {
	q := &st.Queue
	return []comparedField{
		{"running turn", q.Running, v.running},
		{"queue", list(q.Waiting), list(v.queue)},
		{"queue revision", q.Revision, v.revision},
		{"queue paused", q.Paused, v.paused},
		{"pause reason", q.Reason, v.reason},
		{"number of turns", st.Turns, len(v.out.Turns)},
		{"items replaced by event", st.Base, v.base},
	}
}

// compareMarks checks what the row holds beside header and queue.
func (v *verifier) compareMarks(st *state) {
	lastEdit, lastID := uint64(0), ""
	for _, seq := range v.edits {
		lastEdit = max(lastEdit, seq)
	}
	for _, tn := range v.out.Turns {
		lastID = max(lastID, tn.ID)
	}
	waits, whole := v.waits.waiting()
	switch {
	case !whole:
		v.problem(storage.ProblemRow, "a turn took some items of event %d, and others of it wait", waits.First)
	case !v.waits.agrees(st.Pending):
		v.problem(storage.ProblemRow, "waiting items: the row says %s, the journal %s", asJSON(st.Pending), asJSON(waits))
	case st.Handed != "" && st.Handed != st.Queue.Running:
		v.problem(storage.ProblemRow, "turn %s was handed to its agent, but does not run", st.Handed)
	case st.Stopped != nil && st.Stopped.TurnID != st.Queue.Running:
		v.problem(storage.ProblemRow, "turn %s is to be interrupted, but does not run", st.Stopped.TurnID)
	case st.Queue.Running == "" && len(st.Steers)+len(st.After) > 0:
		v.problem(storage.ProblemRow, "something waits for the running turn, but none runs")
	case st.Queue.First > len(st.Queue.Waiting):
		v.problem(storage.ProblemRow, "%d turns are to run first, but %d wait", st.Queue.First, len(st.Queue.Waiting))
	case st.LastEdit < lastEdit:
		v.problem(storage.ProblemRow, "the row says that items were last changed by event %d, but event %d changed one", st.LastEdit, lastEdit)
	case st.LastID < lastID:
		v.problem(storage.ProblemRow, "the row says that the newest turn is %q, but there is turn %s", st.LastID, lastID)
	}
}

// compareColumns compares what lists and indexes are made of with the state in the row.
func (v *verifier) compareColumns(row storage.Row, st *state) {
	want := (&Thread{st: *st}).row()
	slices.Sort(want.Readers)
	got := row
	got.Readers = slices.Sorted(slices.Values(row.Readers))
	got.Data, want.Data = nil, nil
	if a, b := asJSON(got), asJSON(want); !bytes.Equal(a, b) {
		v.problem(storage.ProblemRow, "what lists show is not what the row says: %.300s, and not %.300s", a, b)
	}
}

// list is a slice that is written as JSON like another without elements.
func list[T any](s []T) []T { return append([]T{}, s...) }

func asJSON(value any) []byte {
	b, err := protocol.Marshal(value)
	if err != nil {
		return []byte(err.Error())
	}
	return b
}

// compareBeside compares the indexes of turns and edits, and the checkpoints.
func (v *verifier) compareBeside(look Beside) error {
	for _, step := range []struct {
		wanted  bool
		compare func() error
	}{{look.Turns, v.compareTurns}, {look.Edits, v.compareEdits}, {look.Checkpoints, v.compareCheckpoints}} {
		if !step.wanted {
			continue
		}
		if err := step.compare(); err != nil {
			if v.ctx.Err() != nil || !errors.Is(err, storage.ErrCorrupt) {
				return err
			}
			v.problem(storage.ProblemIndex, "what is stored beside its journal cannot be read: %s", publicCause(err))
		}
	}
	return nil
}

func (v *verifier) compareTurns() error {
	missing := map[string]storage.TurnEntry{}
	for _, e := range v.out.Turns {
		missing[e.ID] = e
	}
	after := ""
	for {
		page, err := v.store.Turns(v.ctx, v.id, storage.TurnQuery{After: after, Limit: storage.MaxScan})
		if err != nil {
			return err
		}
		for _, got := range page {
			want, ok := missing[got.ID]
			delete(missing, got.ID)
			switch {
			case !ok:
				v.problem(storage.ProblemIndex, "the index of turns has turn %s, the journal does not", got.ID)
			case got != want:
				v.problem(storage.ProblemIndex, "the index of turns says of turn %s: accepted, started, ended and changed by events %d, %d, %d, %d; the journal says %d, %d, %d, %d",
					got.ID, got.Accepted, got.Started, got.Ended, got.Input, want.Accepted, want.Started, want.Ended, want.Input)
			}
		}
		if len(page) < storage.MaxScan {
			break
		}
		after = page[len(page)-1].ID
	}
	for _, id := range sortedKeys(missing) {
		v.problem(storage.ProblemIndex, "the index of turns lacks turn %s", id)
	}
	return nil
}

// compareEdits also takes an entry for the update with which an item joined its turn: an
// import makes them.
func (v *verifier) compareEdits() error {
	got, err := v.store.Edits(v.ctx, v.id)
	if err != nil {
		return err
	}
	for _, item := range sortedKeys(got) {
		if seq := got[item]; seq != v.edits[item] && seq != v.joined[item] || seq == 0 {
			v.problem(storage.ProblemIndex, "the index of edits says that event %d has the newest state of item %s; the journal says event %d", seq, item, v.edits[item])
		}
	}
	for _, item := range sortedKeys(v.edits) {
		if got[item] == 0 {
			v.problem(storage.ProblemIndex, "the index of edits lacks item %s (event %d)", item, v.edits[item])
		}
	}
	return nil
}

// compareCheckpoints checks that each belongs to an open item of the running turn.
func (v *verifier) compareCheckpoints() error {
	saved, err := v.store.Checkpoints(v.ctx, v.id)
	if err != nil {
		return err
	}
	for _, c := range saved {
		var p piece
		switch err := json.Unmarshal(c.Data, &p); {
		case err != nil:
			v.problem(storage.ProblemRecord, "checkpoint %s cannot be read: %v", c.Item, err)
		case v.items[p.ItemID] != itemOpen:
			v.problem(storage.ProblemLeftover, "checkpoint %s is of item %s, which is not open", c.Item, p.ItemID)
			v.out.Leftover = append(v.out.Leftover, c.Item)
		}
	}
	return nil
}
