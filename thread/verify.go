package thread

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// Verified is what the journal of a thread says, and what of it is wrong.
type Verified struct {
	Problems []storage.Problem
	// Turns and Edits are what the indexes must hold. Leftover are the checkpoints that
	// belong to nothing.
	Turns    []storage.TurnEntry
	Edits    []storage.Edit
	Leftover []string
	// Cut says that the journal cannot be read to its end; then Turns and Edits are not all.
	Cut bool
}

// Verify reads the journal of a thread from a store that nobody writes to and checks that it
// obeys the rules: every event is a durable notification of this thread with its seq; each
// turn goes from queued to running to exactly one end, one runs at a time, and nothing of a
// turn comes after its end; each item begins before it is completed, once; the queue is what
// its events say. Then it compares the row, and what else of the thread is to be looked at,
// with what the journal says. The error says that ctx ended.
func Verify(ctx context.Context, s storage.Store, row storage.Row, look Beside) (Verified, error) {
	v := &verifier{ctx: ctx, store: s, id: row.ID, length: -1}
	v.clear()
	if err := v.journal(); err != nil {
		return v.out, err
	}
	v.settled()
	v.out.Turns, v.out.Edits = v.derived()
	v.seq = 0 // what follows is about no event
	st, err := decodeState(row)
	switch {
	case err != nil:
		v.problem(storage.ProblemRow, "its row cannot be read: %v", err)
	case !v.out.Cut:
		v.compareRow(row, &st)
	}
	if !v.out.Cut {
		if err := v.compareBeside(look); err != nil {
			return v.out, err
		}
	}
	return v.out, context.Cause(ctx)
}

// Beside says what of a thread is to be compared with its journal, besides its row.
type Beside struct{ Turns, Edits, Checkpoints bool }

// verifier holds what the journal of one thread has said so far.
type verifier struct {
	ctx   context.Context
	store storage.Store
	id    string
	out   Verified
	seq   uint64 // of the event at hand
	begun bool   // there was an event

	header protocol.Thread
	turns  map[string]*verifiedTurn
	items  map[string]itemState // of the running turn
	usage  protocol.Usage

	running  string
	queue    []string
	revision uint64
	paused   bool
	reason   protocol.PauseReason
	length   int // what the event with this revision said of the queue; -1: nothing
	retold   int // turns that a reset kept and that are told again

	base   uint64            // of the newest replacement of all items
	edits  map[string]uint64 // seq of the newest update, by item
	joined map[string]uint64 // seq of the update with which an item joined its turn
	waits  waitlist
}

// verifiedTurn is a turn as the journal has it.
type verifiedTurn struct {
	storage.TurnEntry
	attempt int
	removed bool // by a rollback
}

type itemState uint8

const (
	itemOpen   itemState = 1
	itemClosed itemState = 2
)

// clear forgets what a reset removes.
func (v *verifier) clear() {
	v.turns, v.items = map[string]*verifiedTurn{}, map[string]itemState{}
	v.edits, v.joined = map[string]uint64{}, map[string]uint64{}
	v.usage, v.running, v.queue, v.base = protocol.Usage{}, "", nil, 0
	v.waits.clear(v.seq)
}

func (v *verifier) problem(kind storage.ProblemKind, format string, args ...any) {
	v.out.Problems = append(v.out.Problems, storage.Problem{Kind: kind, Thread: v.id, Seq: v.seq, Text: fmt.Sprintf(format, args...)})
}

// wrong notes an event that breaks a rule.
func (v *verifier) wrong(format string, args ...any) {
	v.problem(storage.ProblemJournal, format, args...)
}

// journal reads all events.
func (v *verifier) journal() error {
	after := uint64(0)
	for {
		events, err := v.store.Events(v.ctx, v.id, after, 0, pageBytes)
		for _, ev := range events {
			v.seq = ev.Seq
			v.event(ev.Frame)
			v.begun = true
			after = ev.Seq
		}
		switch {
		case v.ctx.Err() != nil:
			return context.Cause(v.ctx)
		case errors.Is(err, storage.ErrCorrupt):
			v.seq = after + 1
			v.wrong("is damaged or missing, so the events from here on were not compared with the rules")
			v.out.Cut = true
			return nil
		case err != nil:
			return err
		case len(events) == 0:
			return nil
		}
	}
}

// event checks one event and applies it.
func (v *verifier) event(frame protocol.Frame) {
	if bytes.ContainsAny(frame, "\r\n") || !utf8.Valid(frame) || !json.Valid(frame) {
		v.wrong("is not one line of JSON in UTF-8")
		return
	}
	env := protocol.ParseFrame(frame)
	if !durable[env.Method] || frame.Method() != env.Method || len(env.ID)+len(env.Result)+len(env.Error) > 0 {
		v.wrong("is not a durable notification (method %.60q)", env.Method)
		return
	}
	var e importedEvent
	if err := json.Unmarshal(env.Params, &e); err != nil {
		v.wrong("%s cannot be read: %v", env.Method, err)
		return
	}
	switch {
	case e.ThreadID != v.id:
		v.wrong("%s is about thread %.60q", env.Method, e.ThreadID)
		return
	case e.Seq != v.seq:
		v.wrong("%s says that it is event %d", env.Method, e.Seq)
	case v.header.Status == protocol.StatusEnded:
		v.wrong("%s comes after the end of the thread", env.Method)
	case !v.begun && (v.seq != 1 || env.Method != protocol.EventThreadStarted.Name) && (v.seq == 1 || env.Method != protocol.EventThreadReset.Name):
		v.wrong("%s cannot be the first event: that is thread/started with seq 1, or thread/reset", env.Method)
	}
	v.apply(env.Method, e)
}

// apply does to the state what the event says.
func (v *verifier) apply(method string, e importedEvent) {
	if e.Thread != nil && e.Thread.ID != v.id {
		v.wrong("%s holds the header of thread %.60q", method, e.Thread.ID)
		return
	}
	v.queueState(method, e.Queue)
	switch method {
	case protocol.EventThreadStarted.Name, protocol.EventThreadUpdated.Name, protocol.EventThreadStatusChanged.Name,
		protocol.EventThreadEnded.Name, protocol.EventThreadReset.Name:
		v.applyHeader(method, e)
	case protocol.EventThreadRolledBack.Name:
		v.rolledBack(e.RemovedTurnIDs)
	case protocol.EventQueueUpdated.Name:
		v.queueUpdated(e)
	case protocol.EventItemsChanged.Name:
		v.itemsChanged(e)
	case protocol.EventPlanUpdated.Name:
		if v.ofRunning(method, e.TurnID) && v.items[e.ItemID] != itemOpen {
			v.wrong("%s is about item %s, which is not open", method, e.ItemID)
		}
	case protocol.EventTurnQueued.Name, protocol.EventTurnStarted.Name, protocol.EventTurnCompleted.Name,
		protocol.EventTurnFailed.Name, protocol.EventTurnCancelled.Name:
		v.turnStep(method, e)
	default:
		v.itemStep(method, e)
	}
}

// applyHeader takes the header of the thread that an event holds.
func (v *verifier) applyHeader(method string, e importedEvent) {
	if e.Thread == nil {
		v.wrong("%s holds no header", method)
		return
	}
	if err := checkHeader(*e.Thread); err != nil {
		v.wrong("%s %v", method, err)
	}
	h := v.header
	v.header = *e.Thread
	switch method {
	case protocol.EventThreadStarted.Name:
		if v.begun {
			v.wrong("begins the thread a second time")
		}
	case protocol.EventThreadReset.Name:
		if v.begun && v.header.Generation != h.Generation+1 {
			v.wrong("begins generation %d after %d", v.header.Generation, h.Generation)
		}
		v.reset()
	case protocol.EventThreadEnded.Name:
		if v.running != "" || len(v.queue) > 0 || v.header.Status != protocol.StatusEnded {
			v.wrong("ends the thread, but turns run or wait (%d), or its status is %s", len(v.queue)+len(v.running), v.header.Status)
		}
	default:
	}
}

// reset drops everything but the queue, whose turns are told again.
func (v *verifier) reset() {
	v.clear()
	r := v.header.Runtime
	v.revision, v.paused, v.reason = r.QueueRevision, r.QueuePaused, r.PauseReason
	v.length, v.retold = r.QueueLength, r.QueueLength
}

// derived returns what the indexes must hold.
func (v *verifier) derived() ([]storage.TurnEntry, []storage.Edit) {
	var turns []storage.TurnEntry
	for _, id := range sortedKeys(v.turns) {
		if tn := v.turns[id]; !tn.removed {
			turns = append(turns, tn.TurnEntry)
		}
	}
	var edits []storage.Edit
	for _, id := range sortedKeys(v.edits) {
		edits = append(edits, storage.Edit{Item: id, Seq: v.edits[id]})
	}
	return turns, edits
}

func without(list []string, s string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(o string) bool { return o == s })
}
