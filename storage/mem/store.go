// Package mem keeps conversations in memory: those that are meant to end with the
// process, and those of tests.
//
// # Concurrency properties
//
// Batches are applied in the order of the Commit calls by a goroutine that lives only
// while there are some. Readers share a lock with it, so that each sees all of a batch
// or nothing. done is called with no lock held.
//
// A store never fails. It is not durable: what Commit reports as kept lives as long as
// the [Store].
package mem

import (
	"bytes"
	"context"
	"sync"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/internal/line"
)

// Store is a storage.Store in memory. Make one with [New].
type Store struct {
	line *line.Line[op]

	mu       sync.RWMutex // guards all below
	closed   bool
	threads  map[id]*thread
	deleted  map[id]struct{}
	lists    map[listKey]places
	reuse    map[string]places
	busy     ids
	keys     map[id]map[keyID]*storage.KeyResult // by thread; zero for requests that name none
	settings map[string][]byte
}

var _ storage.Store = (*Store)(nil)

type (
	// id is the ULID of a thread, a turn or an item.
	id [16]byte
	// listKey names one list of threads.
	listKey struct {
		reader string
		sort   storage.Sort
	}
	// keyID is what an idempotency key is found by among those of a thread.
	keyID struct{ owner, key string }
	// op is one piece of work for the committer: a batch, or something else to run.
	op struct {
		batch *storage.Batch
		run   func()
		err   error // what is wrong with the batch itself
		done  func(error)
	}
)

// thread is what is known of one thread. events has no holes.
type thread struct {
	row         *storage.Row
	events      []storage.Event
	turns       sorted[storage.TurnEntry]
	edits       map[id]storage.Edit
	checkpoints sorted[storage.Checkpoint]
}

// New makes an empty store.
func New() *Store {
	s := &Store{
		threads:  make(map[id]*thread),
		deleted:  make(map[id]struct{}),
		lists:    make(map[listKey]places),
		reuse:    make(map[string]places),
		keys:     make(map[id]map[keyID]*storage.KeyResult),
		settings: make(map[string][]byte),
	}
	s.line = line.New(s.work, func(o op) { o.done(storage.ErrClosed) })
	return s
}

// Commit implements storage.Store.
func (s *Store) Commit(b *storage.Batch, done func(error)) {
	s.line.Add(op{batch: b, err: b.Check(), done: done})
}

// Close implements storage.Store. Nothing can be read afterwards.
func (s *Store) Close() error {
	s.line.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// PruneKeys implements storage.Store.
func (s *Store) PruneKeys(ctx context.Context, before int64) (int, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	n := 0
	result := make(chan error, 1)
	s.line.Add(op{
		run:  func() { n = s.pruneKeys(before) },
		done: func(err error) { result <- err },
	})
	err := <-result
	return n, err
}

func (s *Store) work(ops []op) {
	s.mu.Lock()
	for i := range ops {
		switch o := &ops[i]; {
		case o.run != nil:
			o.run()
		case o.err == nil:
			o.err = s.apply(o.batch)
		}
	}
	s.mu.Unlock()
	for i := range ops {
		ops[i].done(ops[i].err)
	}
}

// read runs fn while nobody writes.
func (s *Store) read(ctx context.Context, fn func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return storage.ErrClosed
	}
	return fn()
}

func (t *thread) head() uint64 {
	if n := len(t.events); n > 0 {
		return t.events[n-1].Seq
	}
	return 0
}

// idOf is for ids that were checked before.
func idOf(s string) id {
	_, key, _ := storage.ParseID(s)
	return key
}

func compareIDs(a, b id) int { return bytes.Compare(a[:], b[:]) }
