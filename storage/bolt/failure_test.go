package bolt_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
)

// TestFailStop checks that after a failed write nothing more is written, that all are
// told so, and that what was acknowledged can still be read, now and after a restart.
func TestFailStop(t *testing.T) {
	path := dataFile(t)
	var logged sync.Map
	s, err := bolt.Open(t.Context(), bolt.Options{Path: path, Logf: func(format string, args ...any) {
		logged.Store(fmt.Sprintf(format, args...), true)
	}})
	if err != nil {
		t.Fatal(err)
	}
	ids := keep(t, s, 3)
	bolt.BreakDisk(s)
	late := newThread()
	first := commit(s, &storage.Batch{Thread: late, Row: &storage.Row{ID: late, Owner: "alice"}})
	var e *storage.Error
	if !errors.Is(first, storage.ErrFailed) || !errors.Is(first, fs.ErrClosed) || !errors.As(first, &e) || e.Path != path || e.Hint == "" {
		t.Errorf("got error %v", first)
	}
	if _, ok := logged.Load(first.Error()); !ok {
		t.Errorf("the failure was not logged")
	}
	for _, b := range []*storage.Batch{
		{Thread: newThread(), Events: []storage.Event{{Seq: 1}}},
		{Thread: ids[0], Create: true}, // also those that would have been refused
		{Thread: ids[0], Delete: true},
	} {
		if err := commit(s, b); !errors.Is(err, storage.ErrFailed) {
			t.Errorf("got error %v", err)
		}
	}
	if _, err := s.PruneKeys(t.Context(), 1); !errors.Is(err, storage.ErrFailed) {
		t.Errorf("got error %v", err)
	}
	checkThreads(t, s, ids)
	_ = s.Close() // of a file that is closed already

	s = openAt(t, path)
	checkThreads(t, s, ids)
	keep(t, s, 1)
}

// checkThreads checks that some threads of keep are there.
func checkThreads(t *testing.T, s *bolt.Store, ids []string) {
	t.Helper()
	for _, id := range ids {
		events, err := s.Events(t.Context(), id, 0, 0, 1<<30)
		if _, err2 := s.Thread(t.Context(), id); len(events) != 5 || err != nil || err2 != nil {
			t.Errorf("thread %s: %d events, %v, %v", id, len(events), err, err2)
		}
	}
}

func TestFullDisk(t *testing.T) {
	for err, want := range map[error]bool{
		syscall.ENOSPC: true,
		&fs.PathError{Op: "write", Path: "x", Err: syscall.EDQUOT}:             true,
		errors.New("file resize error: truncate x: " + syscall.ENOSPC.Error()): true,
		syscall.EIO: false,
	} {
		if bolt.IsFull(err) != want {
			t.Errorf("%v is a full disk: %v", err, !want)
		}
	}
}

// TestDamagedRecords changes records behind the store's back.
func TestDamagedRecords(t *testing.T) {
	path := dataFile(t)
	s, err := bolt.Open(t.Context(), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	ids := keep(t, s, 3)
	_, first, _ := storage.ParseID(ids[0])
	_, second, _ := storage.ParseID(ids[1])
	err = bolt.Raw(s, func(tx *bbolt.Tx) error {
		journal, threads := tx.Bucket([]byte("journal")), tx.Bucket([]byte("threads"))
		third := append(first[:], 0, 0, 0, 0, 0, 0, 0, 3)
		v := append([]byte(nil), journal.Get(third)...)
		v[len(v)-1] ^= 1
		gap := append(second[:], 0, 0, 0, 0, 0, 0, 0, 2)
		row := append([]byte(nil), threads.Get(second[:])...)
		row[5] ^= 1
		return errors.Join(journal.Put(third, v), journal.Delete(gap), threads.Put(second[:], row))
	})
	if err != nil {
		t.Fatal(err)
	}
	bolt.Abandon(s)

	s, err = bolt.Open(t.Context(), bolt.Options{Path: path}) // not checked at the end
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	corrupt := func(err error, texts ...string) {
		t.Helper()
		if !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("got error %v", err)
			return
		}
		for _, text := range texts {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("error %q does not say %q", err, text)
			}
		}
	}
	events, err := s.Events(t.Context(), ids[0], 0, 0, 1<<30)
	corrupt(err, ids[0], "event 3", path)
	if len(events) != 2 {
		t.Errorf("%d events came before the damaged one", len(events))
	}
	if events, err := s.Events(t.Context(), ids[0], 3, 0, 1<<30); err != nil || len(events) != 2 {
		t.Errorf("%d events come after the damaged one: %v", len(events), err)
	}
	_, err = s.Events(t.Context(), ids[1], 0, 0, 1<<30)
	corrupt(err, ids[1], "event 2", "missing")
	_, err = s.Events(t.Context(), ids[1], 1, 0, 1<<30)
	corrupt(err, ids[1], "event 2", "missing")
	_, err = s.Thread(t.Context(), ids[1])
	corrupt(err, ids[1][4:])
	_, err = s.Threads(t.Context(), storage.Query{Reader: "alice", Limit: 9})
	corrupt(err, ids[1][4:])
	corrupt(s.Check(t.Context()), ids[1][4:], "event 2: is missing", "threads")

	// A batch for the damaged row is refused alone.
	corrupt(commit(s, &storage.Batch{Thread: ids[1], Row: &storage.Row{ID: ids[1]}}), ids[1])
	keep(t, s, 1)
	if _, err := s.Thread(t.Context(), ids[2]); err != nil {
		t.Error(err)
	}
}

// TestMatchPanics checks that a panic of the caller's function is not taken for damage.
func TestMatchPanics(t *testing.T) {
	s := openAt(t, dataFile(t))
	keep(t, s, 1)
	defer func() {
		if p := recover(); p != "mine" {
			t.Errorf("got panic %v", p)
		}
		keep(t, s, 1) // nothing is locked
	}()
	_, _ = s.Threads(t.Context(), storage.Query{Reader: "alice", Limit: 1, Match: func(storage.Row) bool { panic("mine") }})
}

func TestFree(t *testing.T) {
	s := openAt(t, dataFile(t))
	for range 3 {
		if n, err := s.Free(); n <= 0 || err != nil {
			t.Errorf("%d bytes are free: %v", n, err)
		}
		keep(t, s, 1)
	}
}

// TestLargeTransactions commits more at once than one transaction takes.
func TestLargeTransactions(t *testing.T) {
	s := openAt(t, dataFile(t))
	id := newThread()
	var all sync.WaitGroup
	const batches = 60
	frame := make([]byte, 1<<20)
	all.Add(batches)
	for seq := range uint64(batches) {
		s.Commit(&storage.Batch{Thread: id, Events: []storage.Event{{Seq: seq + 1, Frame: frame}}}, func(err error) {
			if err != nil {
				t.Error(err)
			}
			all.Done()
		})
	}
	all.Wait()
	events, err := s.Events(t.Context(), id, 0, 0, 1<<20)
	if len(events) != 1 || err != nil {
		t.Errorf("a page of 1 MiB has %d events of 1 MiB: %v", len(events), err)
	}
	if head, err := s.Head(t.Context(), id); head != batches || err != nil {
		t.Errorf("%d of %d batches were kept: %v", head, batches, err)
	}
}
