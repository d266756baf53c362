package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/spoolhq/spool/storage"
)

// Compact and Rebuild write a new file beside the old one, check it, and put it in place of
// the old one by one rename: whenever the machine dies, the name stands for the whole old
// file or for the whole new one.

// Rewritten tells what Compact or Rebuild did.
type Rewritten struct {
	Before, After int64  // bytes of the file
	Old           string // where the old file is kept; empty: it is gone
}

// Compact makes the file of a store that nobody has open as small as its records are. It
// refuses a damaged one. progress, which may be nil, is told how many bytes were read since
// it was told last; all of the file is read about three times.
func Compact(ctx context.Context, o Options, progress func(bytes int64)) (Rewritten, error) {
	w := &rewriter{ctx: ctx, o: o, op: "compact", progress: progress}
	return w.run(func(src *Store) error {
		r, err := src.Verify(ctx, progress)
		if err != nil {
			return err
		}
		if err := src.corrupt("compact", r); err != nil {
			return err
		}
		return w.fill(src, w.copyAll)
	}, false)
}

// rewriter writes the file of a store anew.
type rewriter struct {
	ctx      context.Context
	o        Options
	op       string
	progress func(int64)
	tmp      string // the new file
	dst      *bbolt.DB
	tx       *bbolt.Tx
	size     int           // of what was put into tx
	broken   [buckets]bool // indexes of the old file that cannot be read
}

// run makes the new file with write and puts it in place.
func (w *rewriter) run(write func(src *Store) error, keep bool) (done Rewritten, err error) {
	if w.progress == nil {
		w.progress = func(int64) {}
	}
	defer func() {
		if err != nil {
			err = explain(w.op, w.o.Path, err)
		}
	}()
	src, err := OpenReadOnly(w.ctx, w.o)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	old, err := src.alone()
	if err != nil {
		return done, err
	}
	done.Before = old.Size()
	if err := w.create(old); err != nil {
		return done, err
	}
	defer func() {
		if w.tmp != "" {
			err = errors.Join(err, os.Remove(w.tmp))
		}
	}()
	if err := write(src); err != nil {
		return done, err
	}
	return w.replace(done, keep)
}

// alone makes sure that nobody else has the file open, and goes on to until Close.
func (s *Store) alone() (os.FileInfo, error) {
	ok, err := tryLock(s.file, true)
	if err != nil {
		return nil, err
	}
	locked, err := s.file.Stat()
	if err != nil {
		return nil, err
	}
	// The lock was shared until now: somebody may have replaced the file under it.
	named, err := os.Stat(s.path)
	if err != nil {
		return nil, err
	}
	if !ok || !os.SameFile(locked, named) {
		return nil, storage.ErrLocked
	}
	return locked, nil
}

// create makes the empty new file, and removes what was left by a rewrite that was cut off.
// The lock on the old file says that there is no other.
func (w *rewriter) create(old os.FileInfo) error {
	dir, name := filepath.Split(w.o.Path)
	pattern := "." + name + ".rewrite-"
	left, err := filepath.Glob(filepath.Join(dir, pattern+"*"))
	if err != nil {
		return err
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	f, err := os.CreateTemp(filepath.Clean(dir+"."), pattern+"*")
	if err != nil {
		return err
	}
	w.tmp = f.Name()
	return errors.Join(f.Close(), sameOwner(w.tmp, old))
}

// fill opens the new file, has it written by write, and makes it durable.
func (w *rewriter) fill(src *Store, write func(src *bbolt.Tx) error) (err error) {
	w.dst, err = bbolt.Open(w.tmp, 0o600, &bbolt.Options{
		Timeout: time.Second, FreelistType: bbolt.FreelistMapType, NoSync: true, NoGrowSync: true, NoStatistics: true,
	})
	if err != nil {
		return err
	}
	err = src.view(w.ctx, func(tx *bbolt.Tx) error {
		if err := w.next(); err != nil {
			return err
		}
		if err := write(tx); err != nil {
			return err
		}
		return w.tx.Commit() // here, as what it writes lies in src
	})
	if w.tx != nil {
		_ = w.tx.Rollback() // does nothing after a commit
	}
	if err == nil {
		err = w.dst.Sync()
	}
	return errors.Join(err, w.dst.Close())
}

// next commits what was put and begins another transaction.
func (w *rewriter) next() (err error) {
	if w.tx != nil {
		tx := w.tx
		w.tx = nil
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	w.size = 0
	w.tx, err = w.dst.Begin(true)
	return err
}

// compactFill is how full pages are made that may be written to again.
const compactFill = 0.95

// put writes a record into the new file. v must stay as it is until the end.
func (w *rewriter) put(bucket, k, v []byte) error {
	if w.size += len(k) + len(v) + pageElement; w.size > maxBytes {
		w.progress(int64(w.size))
		if err := w.next(); err != nil {
			return err
		}
	}
	b := w.tx.Bucket(bucket)
	b.FillPercent = compactFill
	return b.Put(k, v)
}

// copyAll copies all buckets, also those that this program does not know.
func (w *rewriter) copyAll(src *bbolt.Tx) error {
	return src.ForEach(func(name []byte, b *bbolt.Bucket) error {
		return w.copy(name, b, func([]byte) bool { return true })
	})
}

// copy copies the records of a bucket whose keys are wanted.
func (w *rewriter) copy(name []byte, b *bbolt.Bucket, wanted func(k []byte) bool) error {
	if _, err := w.tx.CreateBucketIfNotExists(name); err != nil {
		return err
	}
	return b.ForEach(func(k, v []byte) error {
		switch {
		case v == nil:
			return fmt.Errorf("%w: bucket %s holds another bucket", storage.ErrCorrupt, name)
		case !wanted(k):
			return nil
		}
		return w.put(name, k, v)
	})
}

// replace checks the new file and gives it the name of the old one.
func (w *rewriter) replace(done Rewritten, keep bool) (Rewritten, error) {
	o := w.o
	o.Path = w.tmp
	made, err := OpenReadOnly(w.ctx, o)
	if err != nil {
		return done, err
	}
	r, err := made.Verify(w.ctx, w.progress)
	if err = errors.Join(err, made.Close()); err != nil {
		return done, err
	}
	for _, p := range r.Problems {
		if w.op == "compact" || p.Repairable() || p.Kind == storage.ProblemStructure {
			return done, fmt.Errorf("the new file is not right, so the old one was left as it is: %s", p)
		}
	}
	done.After = r.Bytes
	if w.ctx.Err() != nil {
		return done, context.Cause(w.ctx)
	}
	if keep {
		if done.Old, err = keepOld(w.o.Path); err != nil {
			return done, err
		}
	}
	if err := os.Rename(w.tmp, w.o.Path); err != nil {
		return done, err
	}
	w.tmp = ""
	return done, syncDir(filepath.Dir(w.o.Path))
}

// keepOld gives the old file a second name.
func keepOld(path string) (string, error) {
	old := path + ".before-rebuild-" + time.Now().UTC().Format("20060102T150405.000")
	if err := os.Link(path, old); err != nil {
		return "", fmt.Errorf("the old file cannot be kept under another name: %w", err)
	}
	return old, syncDir(filepath.Dir(path))
}
