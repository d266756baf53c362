package bolt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
)

// stored makes a file with n threads, closed properly or as by a crash, and returns
// its path.
func stored(t *testing.T, n int, clean bool) string {
	t.Helper()
	path := dataFile(t)
	s, err := bolt.Open(t.Context(), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	keep(t, s, n)
	if clean {
		err = s.Close()
	} else {
		bolt.Abandon(s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTruncated cuts a file at many places. Whatever is left, it is refused, or nothing
// is missing.
func TestTruncated(t *testing.T) {
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprint("clean ", clean), func(t *testing.T) {
			const n = 40
			path := stored(t, n, clean)
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for range 40 {
				size := rand.IntN(usedBytes(t, whole) + 8192)
				if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
					t.Fatal(err)
				}
				s, err := bolt.Open(t.Context(), bolt.Options{Path: path})
				if err != nil {
					continue
				}
				page, err := s.Threads(t.Context(), storage.Query{Reader: "alice", Limit: 2 * n})
				if len(page.Rows) != n || err != nil {
					t.Errorf("cut at %d of %d: %d of %d threads, error %v", size, len(whole), len(page.Rows), n, err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			used := usedBytes(t, whole)
			if err := os.WriteFile(path, whole[:used-1], 0o600); err != nil {
				t.Fatal(err)
			}
			refuse(t, path, storage.ErrCorrupt, "the file was cut off", "backup")
		})
	}
}

// usedBytes is the high-water mark of a file, as its newer meta page has it.
func usedBytes(t *testing.T, whole []byte) int {
	t.Helper()
	size := int(binary.NativeEndian.Uint32(whole[16+8:]))
	pages := uint64(0)
	newest := uint64(0)
	for _, m := range [][]byte{whole[16:], whole[size+16:]} {
		if tx := binary.NativeEndian.Uint64(m[48:]); tx >= newest {
			newest, pages = tx, binary.NativeEndian.Uint64(m[40:])
		}
	}
	return int(pages) * size
}

// TestTorn damages pages of a file, one after the other. Open and all reads must end
// with an error or with what was written, never with a panic and never with less.
func TestTorn(t *testing.T) {
	tears := map[string]func([]byte){
		"zeros": func(p []byte) { clear(p) },
		"half":  func(p []byte) { clear(p[len(p)/2:]) },
		"ones":  func(p []byte) { copy(p, bytes.Repeat([]byte{0xff}, len(p))) },
		"noise": func(p []byte) {
			for i := range p {
				p[i] = byte(rand.Uint32())
			}
		},
		"body": func(p []byte) {
			for i := 16; i < len(p); i++ {
				p[i] = byte(rand.Uint32())
			}
		},
	}
	for _, clean := range []bool{true, false} {
		path := stored(t, 40, clean)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		size := int(binary.NativeEndian.Uint32(whole[16+8:]))
		whole = whole[:usedBytes(t, whole)] // without the megabytes that bbolt keeps ready
		last := len(whole)/size - 1
		for name, tear := range tears {
			for page := 2; page <= last; page += 1 + rand.IntN(3) {
				torn := bytes.Clone(whole)
				tear(torn[page*size : (page+1)*size])
				if err := os.WriteFile(path, torn, 0o600); err != nil {
					t.Fatal(err)
				}
				use(t, path, fmt.Sprintf("clean %v, page %d of %s", clean, page, name))
			}
		}
	}
}

// use opens a damaged store, if that goes, and reads and writes what it can.
func use(t *testing.T, path, what string) {
	t.Helper()
	s, err := bolt.Open(t.Context(), bolt.Options{Path: path})
	if err != nil {
		var e *storage.Error
		if !errors.As(err, &e) || e.Hint == "" {
			t.Errorf("%s: error without a hint: %v", what, err)
		}
		return
	}
	page, err := s.Threads(t.Context(), storage.Query{Reader: "alice", Limit: 100})
	if err != nil && !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("%s: %v", what, err)
	}
	for _, r := range page.Rows {
		events, err := s.Events(t.Context(), r.ID, 0, 0, 1<<30)
		if err != nil && !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
		if err == nil && len(events) != 5 {
			t.Errorf("%s: %d of 5 events of %s", what, len(events), r.ID)
		}
		if head, err := s.Head(t.Context(), r.ID); err == nil && head != 5 {
			t.Errorf("%s: %s ends at %d", what, r.ID, head)
		}
		for i, e := range events {
			if e.Seq != uint64(i+1) || !bytes.Equal(e.Frame, make([]byte, 200)) {
				t.Errorf("%s: event %d of %s is not what was written", what, e.Seq, r.ID)
			}
		}
	}
	id := newThread()
	_ = commit(s, &storage.Batch{Thread: id, Events: []storage.Event{{Seq: 1}}, Row: &storage.Row{ID: id, Owner: "alice", Updated: 1}})
	_ = s.Check(t.Context())
	_ = s.Close()
}
