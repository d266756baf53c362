package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/internal/line"
)

// Options say where a store is and how it is opened.
type Options struct {
	// Path is the data file. It is made, with mode 0600, where there is none, and its
	// folder with mode 0700.
	Path string
	// LockTimeout is how long Open waits for another process that has the file open.
	// Default 200 ms.
	LockTimeout time.Duration
	// Logf is told what an operator should know: a crash found at open, a failed
	// write. It may be called from any goroutine. nil: nobody is told.
	Logf func(format string, args ...any)
}

const (
	defaultLockTimeout = 200 * time.Millisecond
	lockRetry          = 10 * time.Millisecond
)

// Open opens the store at o.Path, or makes a new one. Its error is a *storage.Error
// that wraps storage.ErrLocked where another process has it, ErrNewer or ErrOlder where
// another version of the program wrote it, ErrNotStore or ErrCorrupt where it is no data file or a damaged
// one, ErrFull where there is no room to make it. A refused file is left as it is. ctx
// bounds the opening only.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.LockTimeout <= 0 {
		o.LockTimeout = defaultLockTimeout
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	s, err := open(ctx, o)
	if err != nil {
		return nil, explain("open", o.Path, err)
	}
	return s, nil
}

// OpenReadOnly opens the store of a file that exists, to look at it: nothing is written,
// and others may look at it at the same time. Unlike Open it takes a file with damaged
// pages, as long as the buckets can be found. A Commit is answered with ErrFailed.
func OpenReadOnly(ctx context.Context, o Options) (*Store, error) {
	if o.LockTimeout <= 0 {
		o.LockTimeout = defaultLockTimeout
	}
	o.Logf = func(string, ...any) {} // Verify tells
	s, err := openFile(&opening{ctx: ctx, o: o, readOnly: true})
	if err != nil {
		return nil, explain("open", o.Path, err)
	}
	return s, nil
}

func open(ctx context.Context, o Options) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o700); err != nil {
		return nil, err
	}
	_, err := os.Stat(o.Path)
	if errors.Is(err, fs.ErrNotExist) {
		err = create(o.Path)
	}
	if err != nil {
		return nil, err
	}
	return openFile(&opening{ctx: ctx, o: o})
}

func openFile(f *opening) (*Store, error) {
	db, err := f.open()
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, file: f.file, path: f.o.Path, logf: f.o.Logf, clean: f.clean, dirty: !f.clean, tips: make(map[id]*tip)}
	s.line = line.New(s.work, func(op op) { op.done(storage.ErrClosed) })
	if err := s.readMeta(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// opening opens a file that exists.
type opening struct {
	ctx      context.Context
	o        Options
	readOnly bool
	file     *os.File
	clean    bool
}

// open never panics, whatever is in the file.
func (f *opening) open() (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", storage.ErrCorrupt, p)
		}
		if err != nil && f.file != nil {
			_ = f.file.Close() // bbolt may have left it open, and locked
		}
	}()
	opts := settings(f.o.LockTimeout)
	opts.ReadOnly = f.readOnly
	opts.OpenFile = func(path string, _ int, _ os.FileMode) (*os.File, error) {
		size, err := f.lockAndInspect(path)
		if err == nil && strconv.IntSize == 64 {
			opts.InitialMmapSize = int(size + mapAhead)
		}
		return f.file, err
	}
	return bbolt.Open(f.o.Path, 0o600, opts)
}

func settings(lockTimeout time.Duration) *bbolt.Options {
	return &bbolt.Options{
		Timeout:        lockTimeout,
		FreelistType:   bbolt.FreelistMapType,
		NoFreelistSync: true, // a commit does not write the list of free pages; Close does
		NoStatistics:   true,
	}
}

// lockAndInspect opens the file for bbolt, after a look at what is in it, and returns its
// size.
func (f *opening) lockAndInspect(path string) (size int64, err error) {
	st, err := f.lockFile(path)
	if err != nil {
		return 0, err
	}
	if !st.Mode().IsRegular() {
		return 0, fmt.Errorf("%w: it is not a regular file", storage.ErrNotStore)
	}
	look := inspect
	if f.readOnly {
		look = inspectStart
	}
	start := time.Now()
	clean, torn, err := look(f.ctx, f.file, st.Size())
	if err != nil {
		return 0, err
	}
	f.clean = clean
	if torn {
		f.o.Logf("storage: %s: the last commit was not finished; going on with the one before", path)
	}
	if !clean {
		f.o.Logf("storage: %s was not closed properly; all of its %d MiB were checked in %v", path, st.Size()>>20, time.Since(start).Round(time.Millisecond))
	}
	return st.Size(), nil
}

// lockFile opens and locks the file. One that was replaced while its lock was awaited, as
// by Compact, is not the store any more.
func (f *opening) lockFile(path string) (os.FileInfo, error) {
	mode := os.O_RDWR
	if f.readOnly {
		mode = os.O_RDONLY
	}
	for {
		file, err := os.OpenFile(path, mode, 0)
		if err != nil {
			return nil, err
		}
		f.file = file
		if err := f.lock(); err != nil {
			return nil, err
		}
		locked, err := file.Stat()
		if err != nil {
			return nil, err
		}
		named, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if os.SameFile(locked, named) {
			return locked, nil
		}
		if err := file.Close(); err != nil {
			return nil, err
		}
	}
}

func (f *opening) lock() error {
	deadline := time.NewTimer(f.o.LockTimeout)
	defer deadline.Stop()
	retry := time.NewTicker(lockRetry)
	defer retry.Stop()
	for {
		if ok, err := tryLock(f.file, !f.readOnly); ok || err != nil {
			return err
		}
		select {
		case <-retry.C:
		case <-deadline.C:
			return storage.ErrLocked
		case <-f.ctx.Done():
			return context.Cause(f.ctx)
		}
	}
}

// create makes a whole new file under another name first, so that there is never an
// empty or unfinished one under path, not even after a crash. A file that somebody
// else made meanwhile stays.
func create(path string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	if err := tmp.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(tmp.Name(), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error { return initialise(tx, time.Now().UnixMilli()) })
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	// A link never replaces a file; a file system without links has to do with less.
	err = os.Link(tmp.Name(), path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		if _, statErr := os.Lstat(path); !errors.Is(statErr, fs.ErrNotExist) {
			return err
		}
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a folder durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readMeta checks that the file is Spool's and of a format that this program knows.
func (s *Store) readMeta() error {
	return s.view(context.Background(), func(tx *bbolt.Tx) error {
		m := meta.in(tx)
		if m == nil || string(m.Get(keyMagic)) != magic || len(m.Get(keyFormat)) != 4 {
			return fmt.Errorf("%w: it is a database of another program", storage.ErrNotStore)
		}
		if v := binary.BigEndian.Uint32(m.Get(keyFormat)); v > format {
			return fmt.Errorf("%w: its format is %d, this program knows %d", storage.ErrNewer, v, format)
		} else if v < format {
			return fmt.Errorf("%w: its format is %d, this program knows %d", storage.ErrOlder, v, format)
		}
		for b := range buckets {
			if b.in(tx) == nil {
				return fmt.Errorf("%w: bucket %s is missing", storage.ErrCorrupt, schema[b].name)
			}
		}
		return nil
	})
}

// explain puts an error into words for people. One that was put into words before
// stays as it is.
func explain(op, path string, err error) error {
	if _, ok := errors.AsType[*storage.Error](err); ok {
		return err
	}
	e := &storage.Error{Op: op, Path: path, Err: err}
	switch {
	case errors.Is(err, storage.ErrLocked), errors.Is(err, berrors.ErrTimeout):
		e.Err = storage.ErrLocked
		e.Hint = "another spool daemon has it open, or spool verify or compact is at work on it; stop the daemon with `spool stop` or give --data another folder"
	case errors.Is(err, storage.ErrNewer):
		e.Hint = "use the newer spool that wrote it, or give --data another folder"
	case errors.Is(err, storage.ErrOlder):
		e.Hint = "export its threads with the older spool that wrote it and import them here, or give --data another folder"
	case errors.Is(err, storage.ErrNotStore):
		e.Hint = "give --data another folder, or restore the file from a backup"
	case errors.Is(err, storage.ErrCorrupt):
		e.Hint = "keep a copy of the file and restore it from a backup; `spool verify` says what is damaged"
	case isFull(err):
		e.Err = fmt.Errorf("%w: %w", storage.ErrFull, err)
		e.Hint = "free some space on the disk and start spool again"
	case errors.Is(err, fs.ErrPermission), isReadOnly(err):
		e.Hint = "spool must be able to write to the file and to its folder; see their owner and mode, or give --data another folder"
	}
	return e
}
