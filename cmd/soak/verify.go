package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spoolhq/spool/protocol"
)

// journal is what the events of a thread build up.
type journal struct {
	book  ledger
	turns map[string]protocol.Turn
	items map[string]protocol.Item
}

// verify compares what is known of a thread that has ended: the journal, what is read, and
// what became of each input. The journal's ledger becomes that of the thread.
func (h *hand) verify(ctx context.Context) error {
	j, err := h.journal(ctx)
	if err != nil {
		return err
	}
	h.life.book = j.book
	r, err := h.thread.Read(ctx, &protocol.ThreadReadParams{IncludeTurns: true})
	if err != nil {
		return err
	}
	if r.Thread.HeadSeq != j.book.head {
		return fmt.Errorf("thread/read says that the journal ends at %d, and it does at %d", r.Thread.HeadSeq, j.book.head)
	}
	if r.Turns == nil || len(*r.Turns) != len(h.life.want) || r.ActiveTurn != nil {
		return fmt.Errorf("%d turns were given, and others are read: %v", len(h.life.want), r.Turns)
	}
	for _, tn := range *r.Turns {
		if err := h.verifyTurn(j, tn); err != nil {
			return err
		}
	}
	return nil
}

// verifyTurn compares a turn that was read with its events and with what it must be.
func (h *hand) verifyTurn(j *journal, tn protocol.Turn) error {
	want, ok := h.life.want[tn.ID]
	if !ok || !j.book.ended[tn.ID] {
		return fmt.Errorf("turn %s is read, and was given %t and ended %t", tn.ID, ok, j.book.ended[tn.ID])
	}
	if err := want.check(tn.ID, tn.Status, tn.Text); err != nil {
		return err
	}
	for _, it := range tn.Items {
		if err := same("item "+it.ID, j.items[it.ID], it); err != nil {
			return err
		}
		delete(j.items, it.ID)
	}
	for _, it := range j.items {
		if it.TurnID == tn.ID {
			return fmt.Errorf("item %s of turn %s is in the journal and is not read", it.ID, tn.ID)
		}
	}
	tn.Items = nil
	return same("turn "+tn.ID, j.turns[tn.ID], tn)
}

// same compares what events build up with what is read.
func same(what string, built, read any) error {
	a, err1 := json.Marshal(built)
	b, err2 := json.Marshal(read)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if string(a) != string(b) {
		return fmt.Errorf("%s:\nthe events say %s\nand is read    %s", what, a, b)
	}
	return nil
}

// journal reads the journal as it is kept.
func (h *hand) journal(ctx context.Context) (*journal, error) {
	j := &journal{}
	j.forget()
	for raw, err := range h.thread.Export(ctx) {
		if err != nil {
			return nil, err
		}
		e, err := parseEntry(raw)
		if err != nil {
			return nil, err
		}
		if e.method == protocol.EventThreadReset.Name {
			j.forget()
		}
		if err := j.book.durable(raw, e.method, e.Seq, e.TurnID); err != nil {
			return nil, fmt.Errorf("the journal: %w", err)
		}
		if e.Turn != nil {
			j.turns[e.TurnID] = *e.Turn
		}
		if e.Item != nil {
			j.items[e.Item.ID] = *e.Item
		}
		for _, c := range e.Changes {
			j.items[c.ItemID] = c.Item
		}
	}
	return j, nil
}

func (j *journal) forget() {
	j.turns, j.items = map[string]protocol.Turn{}, map[string]protocol.Item{}
}
