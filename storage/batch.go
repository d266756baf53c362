package storage

import (
	"fmt"
	"math"
)

// Check reports what is wrong with a batch whatever the store holds: ErrBadID for an
// id that is none, ErrBadBatch for the rest. A store refuses such a batch through
// done, and goes on. It is for implementations of Store.
func (b *Batch) Check() error {
	if b.ofNoThread() {
		return b.checkKey()
	}
	if _, _, err := ParseID(b.Thread); err != nil {
		return err
	}
	if b.Delete {
		return b.checkKey()
	}
	for i, e := range b.Events {
		switch {
		case e.Seq == 0 || e.Seq == math.MaxUint64:
			return fmt.Errorf("%w: an event of %s has seq %d", ErrBadBatch, b.Thread, e.Seq)
		case i > 0 && e.Seq != b.Events[i-1].Seq+1:
			return fmt.Errorf("%w: in %s event %d follows event %d", ErrBadBatch, b.Thread, e.Seq, b.Events[i-1].Seq)
		}
	}
	if b.Row != nil && b.Row.ID != b.Thread {
		return fmt.Errorf("%w: a batch for %s has the row of %s", ErrBadBatch, b.Thread, b.Row.ID)
	}
	if err := b.checkKey(); err != nil {
		return err
	}
	return b.checkIndexes()
}

// ofNoThread reports whether the batch changes nothing of a thread.
func (b *Batch) ofNoThread() bool {
	return b.Thread == "" && (b.Key != nil || len(b.Settings) > 0) && !b.Create && !b.Delete && b.EraseBefore == 0 && b.Row == nil && len(b.Events) == 0 && len(b.Turns) == 0 &&
		len(b.DropTurns) == 0 && len(b.Edits) == 0 && len(b.Checkpoints) == 0 && len(b.Closed) == 0
}

func (b *Batch) checkKey() error {
	if b.Key == nil || b.Key.Thread == "" {
		return nil
	}
	_, _, err := ParseID(b.Key.Thread)
	return err
}

func (b *Batch) checkIndexes() error {
	for i := range b.Turns {
		if _, _, err := ParseID(b.Turns[i].ID); err != nil {
			return err
		}
	}
	for _, id := range b.DropTurns {
		if _, _, err := ParseID(id); err != nil {
			return err
		}
	}
	for i := range b.Edits {
		if _, _, err := ParseID(b.Edits[i].Item); err != nil {
			return err
		}
	}
	for i := range b.Checkpoints {
		if _, _, err := ParseID(b.Checkpoints[i].Item); err != nil {
			return err
		}
	}
	for _, id := range b.Closed {
		if _, _, err := ParseID(id); err != nil {
			return err
		}
	}
	return nil
}

// Follows reports whether the events go on where the journal ends, with head its last seq,
// or bring one whose beginning was erased. It is for implementations of Store.
func (b *Batch) Follows(head uint64) bool {
	if len(b.Events) == 0 {
		return true
	}
	first := b.Events[0].Seq
	return first == head+1 || b.Create && first == b.EraseBefore
}

// End returns the last seq of the journal after the batch, where head was the last before
// it. It is for implementations of Store.
func (b *Batch) End(head uint64) uint64 {
	if n := len(b.Events); n > 0 {
		return b.Events[n-1].Seq
	}
	return head
}

// Size is about how many bytes the batch adds to a store.
func (b *Batch) Size() int {
	n := 256
	for i := range b.Events {
		n += len(b.Events[i].Frame) + 48
	}
	for i := range b.Checkpoints {
		n += len(b.Checkpoints[i].Data) + 48
	}
	n += 96 * (len(b.Turns) + len(b.Edits))
	if b.Row != nil {
		n += len(b.Row.Data)
	}
	if b.Key != nil {
		n += len(b.Key.Result)
	}
	for i := range b.Settings {
		n += len(b.Settings[i].Key) + len(b.Settings[i].Value)
	}
	return n
}
