package bolt

import (
	"context"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/spoolhq/spool/storage"
)

// What one transaction holds at most: so that those who come later do not wait for
// too long, and that a transaction fits into memory.
const (
	maxBatches = 4096
	maxBytes   = 16 << 20
)

// op is one piece of work for the committer: a batch, or something else to do in the
// write transaction.
type op struct {
	batch *storage.Batch
	run   func(*writer) error
	err   error // what is wrong with the batch itself
	done  func(error)
}

// Commit implements storage.Store.
func (s *Store) Commit(b *storage.Batch, done func(error)) {
	s.line.Add(op{batch: b, err: b.Check(), done: done})
}

// do runs fn in a write transaction, after all batches that wait.
func (s *Store) do(ctx context.Context, fn func(*writer) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	result := make(chan error, 1)
	s.line.Add(op{run: fn, done: func(err error) { result <- err }})
	return <-result
}

// work is the committer.
func (s *Store) work(ops []op) {
	for len(ops) > 0 {
		n, size := portion(ops)
		s.commit(ops[:n], size)
		ops = ops[n:]
	}
}

// portion says how many of the ops fit into one transaction, at least one.
func portion(ops []op) (n, size int) {
	for n < len(ops) && n < maxBatches {
		more := 0
		if b := ops[n].batch; b != nil {
			more = b.Size()
		}
		if n > 0 && size+more > maxBytes {
			break
		}
		size += more
		n++
	}
	return n, size
}

// commit makes ops durable in one transaction and tells the results.
func (s *Store) commit(ops []op, size int) {
	if s.failed == nil {
		s.dirty = true
		err := s.update(func(tx *bbolt.Tx) (bool, error) {
			s.reach(pointBegin, ops)
			changed, err := s.apply(tx, ops)
			s.reach(pointPut, ops)
			return changed, err
		})
		s.arena.reset()
		s.written.Add(int64(size))
		if err != nil {
			s.fail(err)
		} else {
			s.reach(pointCommitted, ops)
		}
	}
	for i := range ops {
		err := ops[i].err
		if s.failed != nil {
			err = s.failed
		}
		ops[i].done(err)
		s.reach(pointTold, ops[i:i+1])
	}
}

// apply writes ops into a transaction. Those that do not fit to what is stored are left
// out; an error is for all of them.
func (s *Store) apply(tx *bbolt.Tx, ops []op) (changed bool, err error) {
	w := &writer{store: s, tx: tx}
	for i := range ops {
		switch o := &ops[i]; {
		case o.run != nil:
			err = o.run(w)
		case o.err == nil:
			o.err, err = w.apply(o.batch)
		}
		if err != nil {
			return false, err
		}
	}
	return w.changed, nil
}

// fail stops all writing: nobody knows what of the last transaction is on the disk.
func (s *Store) fail(cause error) {
	e := &storage.Error{Op: "commit", Path: s.path, Err: fmt.Errorf("%w: %w", storage.ErrFailed, cause)}
	if isFull(cause) {
		e.Err = fmt.Errorf("%w: %w: %w", storage.ErrFailed, storage.ErrFull, cause)
		e.Hint = "free some space on the disk and start spool again; nothing that was acknowledged is lost"
	} else {
		e.Hint = "look at the disk and start spool again; nothing that was acknowledged is lost"
	}
	s.failed = e
	s.tips = nil
	s.logf("%v", e)
}
