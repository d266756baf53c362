package bolt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/internal/line"
)

// Store is a storage.Store in a file. Make one with [Open].
type Store struct {
	db   *bbolt.DB
	file *os.File // the one that db uses
	path string
	logf func(string, ...any)
	line *line.Line[op]

	clean bool // it had been closed properly when it was opened

	// The rest up to here belongs to the committer.
	dirty  bool        // a commit was made since the list of free pages was written
	failed error       // of the first failed write
	tips   map[id]*tip // of the threads that were written last
	arena  arena

	closing  sync.Once
	closeErr error

	written  atomic.Int64 // bytes since the space was looked at, about
	freeMu   sync.Mutex
	freeAt   time.Time
	freeSize int64
}

var _ storage.Store = (*Store)(nil)

// Path is the data file.
func (s *Store) Path() string { return s.path }

// Close implements storage.Store. It also writes the list of free pages, which makes
// the next Open quick.
func (s *Store) Close() error {
	s.line.Close()
	s.closing.Do(func() {
		var err error
		if s.dirty && s.failed == nil && !s.db.IsReadOnly() {
			s.db.NoFreelistSync = false
			err = s.update(func(*bbolt.Tx) (bool, error) { return true, nil })
		}
		if err = errors.Join(err, s.db.Close()); err != nil {
			s.closeErr = explain("close", s.path, err)
		}
	})
	return s.closeErr
}

// view runs fn in a read transaction. Damage that bbolt meets is an error.
func (s *Store) view(ctx context.Context, fn func(*bbolt.Tx) error) (err error) {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		if foreign, ok := p.(foreignPanic); ok {
			panic(foreign.value)
		}
		if p != nil {
			err = s.damage("the file: %v", p)
		}
	}()
	err = s.db.View(fn)
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return storage.ErrClosed
	}
	return err
}

// update runs fn in the write transaction and commits, unless fn says that there is
// nothing to keep. bbolt's own Update is not used: after a panic it goes through all
// pages, damaged ones included, on another goroutine.
func (s *Store) update(fn func(*bbolt.Tx) (bool, error)) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	tx, err := s.db.Begin(true)
	if err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", storage.ErrCorrupt, p)
		}
		_ = tx.Rollback() // does nothing after a commit
	}()
	changed, err := fn(tx)
	if err != nil || !changed {
		return err
	}
	return tx.Commit()
}

// damage is the error for a record, or a part of the file, that cannot be read.
func (s *Store) damage(format string, args ...any) error {
	return explain("read", s.path, fmt.Errorf("%w: %s", storage.ErrCorrupt, fmt.Sprintf(format, args...)))
}

const (
	freeMaxAge   = time.Second
	freeMaxBytes = 1 << 20
)

// Free is the space in bytes that the disk has left for the store. It is cheap enough
// to be asked before each turn: what it says is at most a second and a MiB of commits
// old. Where the system cannot say it, it is the largest number.
func (s *Store) Free() (int64, error) {
	s.freeMu.Lock()
	defer s.freeMu.Unlock()
	if !s.freeAt.IsZero() && time.Since(s.freeAt) < freeMaxAge && s.written.Load() < freeMaxBytes {
		return s.freeSize, nil
	}
	s.written.Store(0)
	n, err := freeBytes(s.path)
	if err != nil {
		return 0, explain("stat", s.path, err)
	}
	s.freeAt, s.freeSize = time.Now(), max(0, min(n, math.MaxInt64))
	return s.freeSize, nil
}
