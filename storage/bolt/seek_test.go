package bolt_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
)

// The last key below another is found also where the same transaction has emptied pages.
func TestSeekBefore(t *testing.T) {
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "db"), 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	key := func(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	const keys = 400 // some forty pages
	if err := db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		for n := range keys {
			if err == nil {
				err = b.Put(key(n), make([]byte, 400))
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		tx, err := db.Begin(true)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		b, there := tx.Bucket([]byte("b")), make([]bool, keys)
		for n := range there {
			there[n] = true
		}
		for range rapid.IntRange(0, 4).Draw(t, "ranges") {
			from := rapid.IntRange(0, keys).Draw(t, "from")
			for n := from; n < min(keys, from+rapid.IntRange(0, 150).Draw(t, "n")); n++ {
				there[n] = false
				if err := b.Delete(key(n)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 50 {
			below := rapid.IntRange(0, keys+1).Draw(t, "below")
			var want []byte
			for n := min(below, keys) - 1; n >= 0 && want == nil; n-- {
				if there[n] {
					want = key(n)
				}
			}
			if got, _ := bolt.SeekBefore(b.Cursor(), key(below)); !bytes.Equal(got, want) {
				t.Fatalf("below %d is %x, want %x", below, got, want)
			}
		}
	})
}

// A thread takes events in the same transaction in which its neighbour goes.
func TestCommitBesideADeletion(t *testing.T) {
	path := dataFile(t)
	s := openAt(t, path)
	const first, gone, last = "thr_01JD3Z00000000000000000001", "thr_01JD3Z00000000000000000002", "thr_01JD3Z00000000000000000003"
	for seq := range uint64(100) {
		for _, id := range []string{first, gone, last} {
			if err := commit(s, crashBatch(id, seq+1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path) // which has forgotten the ends of the journals
	results := make(chan error, 4)
	told := func(err error) { results <- err }
	bolt.Together(s, func() {
		s.Commit(&storage.Batch{Thread: gone, Delete: true}, told)
		for _, id := range []string{first, last} {
			s.Commit(crashBatch(id, 101), told)
		}
	})
	for range 3 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	for _, id := range []string{first, last} {
		if head, err := s.Head(context.Background(), id); head != 101 || err != nil {
			t.Errorf("%s: head %d: %v", id, head, err)
		}
	}
}
