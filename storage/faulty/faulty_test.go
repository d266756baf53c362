package faulty_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
	"github.com/spoolhq/spool/storage/faulty"
	"github.com/spoolhq/spool/storage/mem"
	"github.com/spoolhq/spool/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hooks that do nothing.
var quiet = faulty.Hooks{
	BeforeCommit: func(*storage.Batch) error { return nil },
	AfterCommit:  func(*storage.Batch, error) {},
	BeforeRead:   func(string) error { return nil },
}

func TestStoreMem(t *testing.T) {
	storagetest.Run(t, storagetest.Config{Brief: true, Open: func(t *testing.T) storage.Store {
		return closed(t, faulty.New(mem.New(), quiet))
	}})
}

func TestStoreBolt(t *testing.T) {
	paths := make(map[storage.Store]string)
	open := func(t *testing.T, path string) storage.Store {
		inner, err := bolt.Open(t.Context(), bolt.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		s := closed(t, faulty.New(inner, faulty.Hooks{}))
		paths[s] = path
		return s
	}
	storagetest.Run(t, storagetest.Config{
		Brief: true,
		Open:  func(t *testing.T) storage.Store { return open(t, filepath.Join(t.TempDir(), "spool.db")) },
		Reopen: func(t *testing.T, s storage.Store) storage.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, paths[s])
		},
	})
}

func closed(t *testing.T, s storage.Store) storage.Store {
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func batch(id string, seq uint64) *storage.Batch {
	return &storage.Batch{Thread: id, Events: []storage.Event{{Seq: seq}}}
}

func newThread() string { return "thr_" + ulid.Make().String() }

// TestFail checks fail-stop: what came before is kept and answered first, the failed
// batch and all later ones are not kept.
func TestFail(t *testing.T) {
	broken := errors.New("no disk")
	id := newThread()
	inner := mem.New()
	var asked, after []uint64
	s := closed(t, faulty.New(inner, faulty.Hooks{
		BeforeCommit: func(b *storage.Batch) error {
			asked = append(asked, b.Events[0].Seq)
			if b.Events[0].Seq == 3 {
				return broken
			}
			return nil
		},
		AfterCommit: func(b *storage.Batch, err error) { after = append(after, b.Events[0].Seq) },
	}))
	results := make(chan error, 5)
	for seq := uint64(1); seq <= 5; seq++ {
		s.Commit(batch(id, seq), func(err error) { results <- err })
	}
	for seq := 1; seq <= 5; seq++ {
		err := <-results
		var e *storage.Error
		switch failed := errors.Is(err, storage.ErrFailed) && errors.Is(err, broken) && errors.As(err, &e); {
		case seq < 3 && err != nil, seq >= 3 && !failed:
			t.Errorf("commit %d: %v", seq, err)
		}
	}
	if _, err := s.PruneKeys(t.Context(), 1); !errors.Is(err, storage.ErrFailed) {
		t.Errorf("PruneKeys: %v", err)
	}
	if head, err := s.Head(t.Context(), id); head != 2 || err != nil {
		t.Errorf("the journal ends at %d: %v", head, err)
	}
	if !slices.Equal(asked, []uint64{1, 2, 3}) || !slices.Equal(after, []uint64{1, 2}) {
		t.Errorf("hooks were called for %v before and %v after", asked, after)
	}
}

// TestHold checks that a hook that blocks holds up its commit and the later ones only.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := newThread()
		release := make(chan struct{})
		s := faulty.New(mem.New(), faulty.Hooks{BeforeCommit: func(b *storage.Batch) error {
			if b.Events[0].Seq == 2 {
				<-release
			}
			return nil
		}})
		done := 0
		for seq := uint64(1); seq <= 3; seq++ {
			s.Commit(batch(id, seq), func(err error) {
				if err != nil {
					t.Error(err)
				}
				done++
			})
		}
		synctest.Wait()
		if head, err := s.Head(context.Background(), id); head != 1 || done != 1 || err != nil {
			t.Errorf("while commit 2 is held, the journal ends at %d and %d are done: %v", head, done, err)
		}
		close(release)
		if err := s.Close(); err != nil || done != 3 {
			t.Errorf("in the end %d are done: %v", done, err)
		}
	})
}

// TestAfterCommit checks that the batch is kept when the hook runs, and done waits for
// it.
func TestAfterCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := newThread()
		release := make(chan struct{})
		inner := mem.New()
		var refused error
		s := faulty.New(inner, faulty.Hooks{AfterCommit: func(b *storage.Batch, err error) {
			refused = err
			<-release
		}})
		done := false
		s.Commit(batch(id, 1), func(error) { done = true })
		synctest.Wait()
		if head, _ := s.Head(context.Background(), id); head != 1 || done || refused != nil {
			t.Errorf("in the hook the journal ends at %d, done is %v, the error %v", head, done, refused)
		}
		close(release)
		s.Commit(batch(id, 9), func(error) {})
		synctest.Wait()
		if !done || !errors.Is(refused, storage.ErrConflict) {
			t.Errorf("done is %v, the error of a refused batch %v", done, refused)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestEarly checks that a lying store answers before a batch is kept.
func TestEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := newThread()
		release := make(chan struct{})
		s := faulty.New(mem.New(), faulty.Hooks{Early: true, BeforeCommit: func(*storage.Batch) error { <-release; return nil }})
		told := 0
		s.Commit(batch(id, 1), func(err error) {
			if told++; err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if head, err := s.Head(context.Background(), id); told != 1 || head != 0 || err != nil {
			t.Errorf("before the commit %d were told, and the journal ends at %d: %v", told, head, err)
		}
		close(release)
		synctest.Wait()
		if head, err := s.Head(context.Background(), id); told != 1 || head != 1 || err != nil {
			t.Errorf("after the commit %d were told, and the journal ends at %d: %v", told, head, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestFailedReads(t *testing.T) {
	broken := errors.New("no disk")
	seen := make(map[string]bool)
	s := closed(t, faulty.New(mem.New(), faulty.Hooks{BeforeRead: func(method string) error {
		seen[method] = true
		return broken
	}}))
	ctx, id := t.Context(), newThread()
	_, events := s.Events(ctx, id, 0, 0, 1)
	_, head := s.Head(ctx, id)
	_, thread := s.Thread(ctx, id)
	_, reusable := s.Reusable(ctx, "k")
	_, threads := s.Threads(ctx, storage.Query{Reader: "alice", Limit: 1})
	_, turn := s.Turn(ctx, id, id)
	_, turns := s.Turns(ctx, id, storage.TurnQuery{Limit: 1})
	_, edits := s.Edits(ctx, id)
	_, checkpoints := s.Checkpoints(ctx, id)
	_, key := s.Key(ctx, "alice", id, "k")
	errs := []error{events, head, thread, reusable, threads, turn, turns, edits, checkpoints, key}
	for _, err := range s.Busy(ctx) {
		errs = append(errs, err)
	}
	for i, err := range errs {
		if !errors.Is(err, broken) {
			t.Errorf("read %d: got error %v", i, err)
		}
	}
	if len(errs) != 11 || len(seen) != 11 {
		t.Errorf("%d reads failed, the hook saw %v", len(errs), seen)
	}
}
