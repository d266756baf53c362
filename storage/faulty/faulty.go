// Package faulty wraps a store to watch it, to hold it up and to make it fail, for
// tests of what is built on a store.
//
// # Concurrency properties
//
// Hooks before a commit run one after another, in the order of the Commit calls, on a
// goroutine that lives only while there is something to commit. They may block: that
// holds up this commit and all later ones, and neither Commit nor a read. While one
// blocks, those before it go on. Hooks after a commit run in the same order, on the
// committer of the store inside; what they block is that committer.
package faulty

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/internal/line"
)

// Hooks are called at the edges of a store. Each may be nil.
type Hooks struct {
	// BeforeCommit is called before a batch is given to the store inside. An error is a
	// failed write: the batch is not kept, and neither it nor any later one is given
	// to the store inside (fail-stop).
	BeforeCommit func(*storage.Batch) error

	// AfterCommit is called when the store inside has kept or refused a batch, before
	// done is. Its error is that of the store inside. It is not called for a batch that
	// BeforeCommit failed.
	AfterCommit func(*storage.Batch, error)

	// Early makes the store a liar: done of each batch is called, without an error, before
	// anything else is done with the batch. It is for tests of tests.
	Early bool

	// BeforeRead is called before each read, with the name of the method. Its error
	// becomes that of the read. Any number of goroutines may call it.
	BeforeRead func(method string) error
}

// Store is a storage.Store with hooks. Make one with [New].
type Store struct {
	inner storage.Store
	hooks Hooks
	line  *line.Line[op]

	inside sync.WaitGroup        // batches that the store inside has not answered
	failed atomic.Pointer[error] // of the first failed write; set by the line only
}

var _ storage.Store = (*Store)(nil)

type op struct {
	batch *storage.Batch
	done  func(error)
}

// New wraps inner. Closing the wrapper closes inner.
func New(inner storage.Store, hooks Hooks) *Store {
	s := &Store{inner: inner, hooks: hooks}
	s.line = line.New(s.work, s.refuse)
	return s
}

// Commit implements storage.Store.
func (s *Store) Commit(b *storage.Batch, done func(error)) {
	s.line.Add(op{batch: b, done: done})
}

func (s *Store) work(ops []op) {
	for _, o := range ops {
		if s.hooks.Early {
			o.done(nil)
			o.done = func(error) {}
		}
		if s.failed.Load() == nil && s.hooks.BeforeCommit != nil {
			if err := s.hooks.BeforeCommit(o.batch); err != nil {
				s.fail(err)
			}
		}
		if failed := s.failed.Load(); failed != nil {
			s.inside.Wait() // their done comes first
			o.done(*failed)
			continue
		}
		s.inside.Add(1)
		s.inner.Commit(o.batch, func(err error) {
			defer s.inside.Done()
			if s.hooks.AfterCommit != nil {
				s.hooks.AfterCommit(o.batch, err)
			}
			o.done(err)
		})
	}
}

func (s *Store) fail(cause error) {
	var err error = &storage.Error{
		Op:   "commit",
		Err:  fmt.Errorf("%w: %w", storage.ErrFailed, cause),
		Hint: "a test made it fail",
	}
	s.failed.Store(&err)
}

// refuse answers what was committed after Close.
func (s *Store) refuse(o op) {
	s.inside.Wait()
	o.done(storage.ErrClosed)
}

// Close implements storage.Store. It waits for hooks that block.
func (s *Store) Close() error {
	s.line.Close()
	return s.inner.Close()
}

func (s *Store) before(method string) error {
	if s.hooks.BeforeRead == nil {
		return nil
	}
	return s.hooks.BeforeRead(method)
}

// Events implements storage.Store.
func (s *Store) Events(ctx context.Context, thread string, after, upTo uint64, maxBytes int) ([]storage.Event, error) {
	if err := s.before("Events"); err != nil {
		return nil, err
	}
	return s.inner.Events(ctx, thread, after, upTo, maxBytes)
}

// Head implements storage.Store.
func (s *Store) Head(ctx context.Context, thread string) (uint64, error) {
	if err := s.before("Head"); err != nil {
		return 0, err
	}
	return s.inner.Head(ctx, thread)
}

// Thread implements storage.Store.
func (s *Store) Thread(ctx context.Context, id string) (storage.Row, error) {
	if err := s.before("Thread"); err != nil {
		return storage.Row{}, err
	}
	return s.inner.Thread(ctx, id)
}

// Reusable implements storage.Store.
func (s *Store) Reusable(ctx context.Context, key string) (storage.Row, error) {
	if err := s.before("Reusable"); err != nil {
		return storage.Row{}, err
	}
	return s.inner.Reusable(ctx, key)
}

// Threads implements storage.Store.
func (s *Store) Threads(ctx context.Context, q storage.Query) (storage.Page, error) {
	if err := s.before("Threads"); err != nil {
		return storage.Page{}, err
	}
	return s.inner.Threads(ctx, q)
}

// Busy implements storage.Store.
func (s *Store) Busy(ctx context.Context) iter.Seq2[storage.Row, error] {
	return func(yield func(storage.Row, error) bool) {
		if err := s.before("Busy"); err != nil {
			yield(storage.Row{}, err)
			return
		}
		s.inner.Busy(ctx)(yield)
	}
}

// Turn implements storage.Store.
func (s *Store) Turn(ctx context.Context, thread, id string) (storage.TurnEntry, error) {
	if err := s.before("Turn"); err != nil {
		return storage.TurnEntry{}, err
	}
	return s.inner.Turn(ctx, thread, id)
}

// Turns implements storage.Store.
func (s *Store) Turns(ctx context.Context, thread string, q storage.TurnQuery) ([]storage.TurnEntry, error) {
	if err := s.before("Turns"); err != nil {
		return nil, err
	}
	return s.inner.Turns(ctx, thread, q)
}

// Edits implements storage.Store.
func (s *Store) Edits(ctx context.Context, thread string, items ...string) (map[string]uint64, error) {
	if err := s.before("Edits"); err != nil {
		return nil, err
	}
	return s.inner.Edits(ctx, thread, items...)
}

// Checkpoints implements storage.Store.
func (s *Store) Checkpoints(ctx context.Context, thread string) ([]storage.Checkpoint, error) {
	if err := s.before("Checkpoints"); err != nil {
		return nil, err
	}
	return s.inner.Checkpoints(ctx, thread)
}

// Key implements storage.Store.
func (s *Store) Key(ctx context.Context, owner, thread, key string) (storage.KeyResult, error) {
	if err := s.before("Key"); err != nil {
		return storage.KeyResult{}, err
	}
	return s.inner.Key(ctx, owner, thread, key)
}

// Settings implements storage.Store.
func (s *Store) Settings(ctx context.Context, prefix string) ([]storage.Setting, error) {
	if err := s.before("Settings"); err != nil {
		return nil, err
	}
	return s.inner.Settings(ctx, prefix)
}

// PruneKeys implements storage.Store. It has no hook, but fails where a commit has
// failed before.
func (s *Store) PruneKeys(ctx context.Context, before int64) (int, error) {
	if failed := s.failed.Load(); failed != nil {
		return 0, *failed
	}
	return s.inner.PruneKeys(ctx, before)
}
