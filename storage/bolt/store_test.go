package bolt_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/oklog/ulid/v2"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
	"github.com/spoolhq/spool/storage/storagetest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		crashChild(path)
	}
	if path := os.Getenv(rewriteEnv); path != "" {
		rewriteChild(path)
	}
	goleak.VerifyTestMain(m)
}

func TestStore(t *testing.T) {
	storagetest.Run(t, storagetest.Config{
		Open: func(t *testing.T) storage.Store { return openAt(t, dataFile(t)) },
		Reopen: func(t *testing.T, s storage.Store) storage.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return openAt(t, s.(*bolt.Store).Path())
		},
	})
}

// dataFile is a path for a new store.
func dataFile(t testing.TB) string { return filepath.Join(t.TempDir(), "data", "spool.db") }

// openAt opens a store. At the end of the test it is closed, and its file is checked.
func openAt(t testing.TB, path string) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(t.Context(), bolt.Options{Path: path, Logf: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.Close()
		checkFile(t, path)
	})
	return s
}

// checkFile checks the structure of a file that nobody has open. A damaged one must
// have been removed by its test.
func checkFile(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		return
	}
	ctx := context.Background() // that of the test has ended when it is cleaned up
	s, err := bolt.Open(ctx, bolt.Options{Path: path})
	if err != nil {
		t.Errorf("after the test: %v", err)
		return
	}
	if err := s.Check(ctx); err != nil {
		t.Errorf("after the test: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func newThread() string { return "thr_" + ulid.Make().String() }

// commit waits for the end of a commit.
func commit(s storage.Store, b *storage.Batch) error {
	result := make(chan error, 1)
	s.Commit(b, func(err error) { result <- err })
	return <-result
}

// keep makes n threads, each with a few events and a row.
func keep(t testing.TB, s storage.Store, n int) (ids []string) {
	t.Helper()
	for range n {
		id := newThread()
		ids = append(ids, id)
		b := &storage.Batch{Thread: id, Create: true, Row: &storage.Row{ID: id, Owner: "alice", Updated: 1, Data: make([]byte, 300)}}
		for seq := range uint64(5) {
			b.Events = append(b.Events, storage.Event{Seq: seq + 1, Frame: make([]byte, 200)})
		}
		if err := commit(s, b); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}
