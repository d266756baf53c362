package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
)

// backupTo writes a backup to a new file.
func backupTo(t *testing.T, s *bolt.Store, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	n, err := s.Backup(t.Context(), f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() != n {
		t.Errorf("%d bytes were written: %v, %v", n, st, err)
	}
}

// TestBackupUnderLoad makes backups while writers commit all the time: each is whole and has
// all that was acknowledged before it began, and opens like any other file.
func TestBackupUnderLoad(t *testing.T) {
	s := openAt(t, dataFile(t))
	fillStore(t, s, 100)
	const writers = 4
	var acked [writers]atomic.Uint64
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	started := make(chan struct{}, writers)
	for n := range writers {
		all.Go(func() {
			for seq := uint64(1); ctx.Err() == nil; seq++ {
				if err := commit(s, crashBatch(crashThread(n), seq)); err != nil {
					t.Error(err)
					return
				}
				acked[n].Store(seq)
				if seq == 3 {
					started <- struct{}{}
				}
			}
		})
	}
	for range writers {
		<-started
	}
	dir := t.TempDir()
	for i := range 12 {
		var before [writers]uint64
		for n := range before {
			before[n] = acked[n].Load()
		}
		path := filepath.Join(dir, fmt.Sprintf("%d.db", i))
		backupTo(t, s, path)
		mustBeClean(t, path)
		b := openAt(t, path)
		for n, seq := range before {
			head, err := b.Head(t.Context(), crashThread(n))
			if err != nil || head < seq || seq == 0 {
				t.Errorf("backup %d: thread %d ends at event %d, %d was acknowledged before: %v", i, n, head, seq, err)
			}
			row, err := b.Thread(t.Context(), crashThread(n))
			if err != nil || row.Updated != int64(head) {
				t.Errorf("backup %d: thread %d has %d events and the row of %d: %v", i, n, head, row.Updated, err)
			}
		}
		keep(t, b, 1)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// slowWriter takes nothing more behind its first bytes until it may.
type slowWriter struct {
	begun chan struct{}
	rest  <-chan struct{}
	once  sync.Once
}

func (w *slowWriter) Write(b []byte) (int, error) {
	w.once.Do(func() { close(w.begun) })
	<-w.rest
	return len(b), nil
}

// TestBackupSlow checks that nobody waits for a backup that takes its time: neither commits,
// nor reads, nor other backups.
func TestBackupSlow(t *testing.T) {
	s := openAt(t, dataFile(t))
	fillStore(t, s, 20)
	rest := make(chan struct{})
	slow := &slowWriter{begun: make(chan struct{}), rest: rest}
	done := make(chan error, 1)
	go func() {
		_, err := s.Backup(context.Background(), slow)
		done <- err
	}()
	<-slow.begun
	frame := make([]byte, 1<<20)
	id := newThread()
	for seq := range uint64(64) { // several times what the file had
		if err := commit(s, &storage.Batch{Thread: id, Events: []storage.Event{{Seq: seq + 1, Frame: frame}}}); err != nil {
			t.Fatal(err)
		}
	}
	if head, err := s.Head(t.Context(), id); head != 64 || err != nil {
		t.Errorf("%d events are there: %v", head, err)
	}
	backupTo(t, s, filepath.Join(t.TempDir(), "b.db"))
	close(rest)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestBackupOfReader takes a backup of a file that nobody writes to.
func TestBackupOfReader(t *testing.T) {
	for _, clean := range []bool{true, false} {
		path, ids := filled(t, 50, clean)
		s, err := bolt.OpenReadOnly(t.Context(), bolt.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(t.TempDir(), "b.db")
		backupTo(t, s, to)
		size, err := s.Size(t.Context())
		st, statErr := os.Stat(to)
		if err := errors.Join(err, statErr, s.Close()); err != nil || st.Size() != size {
			t.Errorf("the size is %d: %v", size, err)
		}
		if r := mustBeClean(t, to); r.Threads != len(ids) {
			t.Errorf("%d of %d threads", r.Threads, len(ids))
		}
	}
}

// cutWriter takes so many bytes and then fails.
type cutWriter struct {
	left int
	err  error
}

func (w *cutWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, w.err
	}
	return len(b), nil
}

// TestBackupFails checks that a backup that fails says why, and leaves the store alone.
func TestBackupFails(t *testing.T) {
	s := openAt(t, dataFile(t))
	fillStore(t, s, 100)
	broken := errors.New("the stick was pulled out")
	if _, err := s.Backup(t.Context(), &cutWriter{100_000, broken}); !errors.Is(err, broken) {
		t.Errorf("got error %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("no longer wanted"))
	var out bytes.Buffer
	if _, err := s.Backup(ctx, &out); err == nil || out.Len() > 0 {
		t.Errorf("got error %v, %d bytes were written", err, out.Len())
	}
	keep(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Backup(t.Context(), &out); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("got error %v", err)
	}
}
