package bolt_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"
	"go.etcd.io/bbolt"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
)

// fillStore makes n threads that have something in every bucket, and returns their ids.
func fillStore(t testing.TB, s *bolt.Store, n int) (ids []string) {
	t.Helper()
	for i := range n {
		id := newThread()
		ids = append(ids, id)
		item := "itm_" + ulid.Make().String()
		b := &storage.Batch{
			Thread: id, Create: true,
			Row:         &storage.Row{ID: id, Owner: "alice", Readers: []string{"bob"}, Created: int64(i), Updated: int64(2 * i), Reuse: fmt.Sprint("key", i), Busy: i%2 == 0, Data: make([]byte, 300)},
			Turns:       []storage.TurnEntry{{ID: "trn_" + ulid.Make().String(), Accepted: 1, Started: 2, Ended: 3}},
			Edits:       []storage.Edit{{Item: item, Seq: 4}},
			Checkpoints: []storage.Checkpoint{{Item: item, Data: []byte(`{"text":"so far"}`)}},
			Key:         &storage.KeyResult{Owner: "alice", Thread: id, Key: "k", At: int64(i), Result: []byte("{}")},
			Settings:    []storage.Setting{{Key: fmt.Sprint("rule/", i), Value: []byte("{}")}},
		}
		for seq := range uint64(4 + i%5) {
			b.Events = append(b.Events, storage.Event{Seq: seq + 1, Frame: fmt.Appendf(nil, "%s event %d %s", id, seq+1, strings.Repeat("x", i*7%300))})
		}
		if err := commit(s, b); err != nil {
			t.Fatal(err)
		}
	}
	for _, batch := range []*storage.Batch{
		{Thread: ids[0], Delete: true, Key: deletion(ids[0])},
		{Thread: ids[1], Events: []storage.Event{{Seq: 6, Frame: []byte("reset")}}, EraseBefore: 6},
	} {
		if err := commit(s, batch); err != nil {
			t.Fatal(err)
		}
	}
	return ids[1:]
}

// deletion is the key of a request that deleted a thread.
func deletion(thread string) *storage.KeyResult {
	return &storage.KeyResult{Owner: "alice", Thread: thread, Key: "delete", At: 1, Result: []byte("{}")}
}

// filled makes a file with n threads, closed properly or as by a crash.
func filled(t testing.TB, n int, clean bool) (path string, ids []string) {
	t.Helper()
	path = dataFile(t)
	s, err := bolt.Open(t.Context(), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	ids = fillStore(t, s, n)
	if !clean {
		bolt.Abandon(s)
	} else if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path, ids
}

// verifyFile checks a file that nobody has open.
func verifyFile(t testing.TB, path string) (*bolt.Report, error) {
	t.Helper()
	s, err := bolt.OpenReadOnly(context.Background(), bolt.Options{Path: path})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Verify(context.Background(), nil)
}

// mustBeClean demands that nothing is wrong with a file.
func mustBeClean(t testing.TB, path string) *bolt.Report {
	t.Helper()
	r, err := verifyFile(t, path)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		t.Errorf("%s: %s: %s", path, p.Kind, p)
	}
	return r
}

func TestVerify(t *testing.T) {
	for _, clean := range []bool{true, false} {
		path, ids := filled(t, 50, clean)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r := mustBeClean(t, path)
		if r.Threads != len(ids) || r.Events < 4*len(ids)-3 || r.EventBytes == 0 || r.IndexEntries < 7*len(ids) || r.Clean != clean || r.Bytes != int64(len(before)) {
			t.Errorf("%d threads, clean %v: the report is %+v", len(ids), clean, r)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
			t.Errorf("a look at the file has changed it: %v", err)
		}
	}
}

// rewritten makes a file with the bytes of another, changed.
func rewritten(t *testing.T, whole []byte, change func(file []byte)) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "spool.db")
	file := bytes.Clone(whole)
	change(file)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestVerifyMetaPages writes over each of the pages that say where all others are, or over
// their beginning: verify says so in words of its own and looks at all the rest, and a
// backup of what is there is whole.
func TestVerifyMetaPages(t *testing.T) {
	path, ids := filled(t, 10, true)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page, which := range []string{"first", "second"} {
		for _, length := range []int{8, 16, os.Getpagesize()} {
			path := rewritten(t, whole, func(file []byte) {
				copy(file[page*os.Getpagesize():], bytes.Repeat([]byte("X"), length))
			})
			s, err := bolt.OpenReadOnly(t.Context(), bolt.Options{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.Verify(t.Context(), nil)
			backupTo(t, s, path+".backup")
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
			if len(r.Problems) != 1 || r.Threads != len(ids) || !r.Journals {
				t.Fatalf("%d bytes of the %s: the report is %+v", length, which, r)
			}
			p := r.Problems[0]
			if text := p.String(); p.Kind != storage.ProblemStructure || !strings.Contains(text, fmt.Sprintf("page %d: the %s of the two meta pages", page, which)) || !strings.Contains(text, "6365935209750747224") {
				t.Errorf("%d bytes of the %s: %s: %s", length, which, p.Kind, text)
			}
			mustBeClean(t, path+".backup")
		}
	}
}

// TestVerifyLostPage takes a page out of the list of free ones.
func TestVerifyLostPage(t *testing.T) {
	path, _ := filled(t, 10, true)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	path = rewritten(t, whole, func(file []byte) {
		ne, size := binary.NativeEndian, os.Getpagesize()
		head := file[16:]
		if second := file[size+16:]; ne.Uint64(second[48:]) > ne.Uint64(head[48:]) {
			head = second
		}
		free := file[int(ne.Uint64(head[32:]))*size:]
		ne.PutUint16(free[10:], ne.Uint16(free[10:])-1)
	})
	r, err := verifyFile(t, path)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Problems) != 1 || !strings.HasPrefix(r.Problems[0].Text, "the pages and the list of free ones do not fit together; bbolt says: page ") {
		t.Errorf("the report is %+v", r)
	}
}

func TestVerifyLocked(t *testing.T) {
	path := dataFile(t)
	s := openAt(t, path)
	if _, err := verifyFile(t, path); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("a file in use: %v", err)
	}
	keep(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	first, err := bolt.OpenReadOnly(t.Context(), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := verifyFile(t, path); err != nil {
		t.Errorf("two look at once: %v", err)
	}
	if err := commit(first, &storage.Batch{Thread: newThread(), Events: []storage.Event{{Seq: 1}}}); !errors.Is(err, storage.ErrFailed) {
		t.Errorf("a commit to a store that is only read: %v", err)
	}
	refuse(t, path, storage.ErrLocked, "spool verify")
	if _, err := bolt.OpenReadOnly(t.Context(), bolt.Options{Path: path + "x"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestVerifyRecords breaks records behind the store's back, each of which must be told of
// precisely.
func TestVerifyRecords(t *testing.T) {
	type edit func(tx *bbolt.Tx, thread []byte) error
	in := func(tx *bbolt.Tx, name string) *bbolt.Bucket { return tx.Bucket([]byte(name)) }
	event := func(thread []byte, seq uint64) []byte {
		return binary.BigEndian.AppendUint64(slices.Clone(thread), seq)
	}
	change := func(b *bbolt.Bucket, k []byte) error {
		v := slices.Clone(b.Get(k))
		v[len(v)-1] ^= 1
		return b.Put(k, v)
	}
	first := func(b *bbolt.Bucket, thread []byte) []byte { k, _ := b.Cursor().Seek(thread); return slices.Clone(k) }
	entry := func(b *bbolt.Bucket, thread []byte) []byte {
		c := b.Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			if string(k[len(k)-16:]) == string(thread) {
				return slices.Clone(k)
			}
		}
		return nil
	}
	for name, c := range map[string]struct {
		break_ edit
		kind   storage.ProblemKind
		seq    uint64
		text   string
	}{
		"missing event":      {func(tx *bbolt.Tx, th []byte) error { return in(tx, "journal").Delete(event(th, 2)) }, storage.ProblemJournal, 2, "is missing"},
		"missing last event": {func(tx *bbolt.Tx, th []byte) error { return in(tx, "journal").Delete(event(th, 6)) }, storage.ProblemJournal, 6, "is missing: the journal ends before it"},
		"checksum":           {func(tx *bbolt.Tx, th []byte) error { return change(in(tx, "journal"), event(th, 3)) }, storage.ProblemRecord, 3, "its checksum is wrong"},
		"row":                {func(tx *bbolt.Tx, th []byte) error { return change(in(tx, "threads"), th) }, storage.ProblemRecord, 0, "its row (bucket threads) is damaged"},
		"no row":             {func(tx *bbolt.Tx, th []byte) error { return in(tx, "threads").Delete(th) }, storage.ProblemRow, 0, "it has a journal and no row"},
		"turn":               {func(tx *bbolt.Tx, th []byte) error { b := in(tx, "turns"); return change(b, first(b, th)) }, storage.ProblemIndex, 0, "a record in bucket turns is damaged"},
		"checkpoint":         {func(tx *bbolt.Tx, th []byte) error { b := in(tx, "checkpoints"); return change(b, first(b, th)) }, storage.ProblemRecord, 0, "a record in bucket checkpoints is damaged"},
		"missing in list":    {func(tx *bbolt.Tx, th []byte) error { b := in(tx, "byUpdated"); return b.Delete(entry(b, th)) }, storage.ProblemIndex, 0, "index byUpdated lacks an entry"},
		"missing in busy":    {func(tx *bbolt.Tx, th []byte) error { return in(tx, "busy").Delete(th) }, storage.ProblemIndex, 0, "index busy lacks an entry"},
		"extra in list": {func(tx *bbolt.Tx, th []byte) error {
			return in(tx, "byCreated").Put(append(make([]byte, 24), th...), []byte{0})
		}, storage.ProblemIndex, 0, "index byCreated has an entry"},
		"extra key":         {func(tx *bbolt.Tx, _ []byte) error { return in(tx, "keysByTime").Put(make([]byte, 40), []byte{0}) }, storage.ProblemIndex, 0, "index keysByTime has an entry"},
		"left by a deleted": {func(tx *bbolt.Tx, th []byte) error { return in(tx, "deleted").Put(th, []byte{0}) }, storage.ProblemLeftover, 0, "it was deleted, but bucket journal has records"},
		"turn of no thread": {func(tx *bbolt.Tx, th []byte) error {
			return in(tx, "edits").Put(append(make([]byte, 31), 1), []byte("x"))
		}, storage.ProblemLeftover, 0, "there is no such thread"},
		"unknown in meta":       {func(tx *bbolt.Tx, _ []byte) error { return in(tx, "meta").Put([]byte("made"), make([]byte, 8)) }, storage.ProblemRecord, 0, `record "made" in bucket meta`},
		"missing in meta":       {func(tx *bbolt.Tx, _ []byte) error { return in(tx, "meta").Delete([]byte("created")) }, storage.ProblemRecord, 0, `record "created" is missing`},
		"journal's first event": {func(tx *bbolt.Tx, th []byte) error { return in(tx, "journal").Delete(event(th, 1)) }, storage.ProblemJournal, 1, "is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			path, ids := filled(t, 10, true)
			_, key, err := storage.ParseID(ids[1]) // the one with 6 events, and busy
			if err != nil {
				t.Fatal(err)
			}
			s, err := bolt.Open(t.Context(), bolt.Options{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			err = bolt.Raw(s, func(tx *bbolt.Tx) error { return c.break_(tx, key[:]) })
			if err = errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
			r, err := verifyFile(t, path)
			if err != nil {
				t.Fatal(err)
			}
			found := slices.ContainsFunc(r.Problems, func(p storage.Problem) bool {
				return p.Kind == c.kind && p.Seq == c.seq && strings.Contains(p.Text, c.text) && (p.Thread == "" || p.Thread == ids[1] || !strings.HasPrefix(name, "missing"))
			})
			if !found {
				t.Errorf("it is not told of: %v", r.Problems)
			}
		})
	}
}

// TestVerifyFlips changes single bytes of every page. Each is found, or nothing that can be
// read has changed.
func TestVerifyFlips(t *testing.T) {
	for _, clean := range []bool{true, false} {
		path, _ := filled(t, 40, clean)
		wipeFree(t, path)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		whole = whole[:usedBytes(t, whole)]
		want := dump(t, path)
		size := int(binary.NativeEndian.Uint32(whole[16+8:]))
		found := 0
		for page := range len(whole) / size {
			offsets := []int{rand.IntN(16), rand.IntN(16), rand.IntN(16), rand.IntN(128), rand.IntN(128), rand.IntN(size), rand.IntN(size)}
			for _, at := range offsets {
				at += page * size
				old := whole[at]
				changed := old ^ byte(1+rand.IntN(255))
				poke(t, path, at, changed)
				r, err := verifyFile(t, path)
				switch {
				case err != nil && !errors.Is(err, storage.ErrCorrupt) && !errors.Is(err, storage.ErrNotStore) && !errors.Is(err, storage.ErrNewer) && !errors.Is(err, storage.ErrOlder):
					t.Errorf("page %d, byte %d: %v", page, at%size, err)
				case err != nil || r.Torn || len(r.Problems) > 0:
					found++
				case !maps.Equal(dump(t, path), want):
					t.Errorf("page %d, byte %d: from %d to %d was not found", page, at%size, old, changed)
				}
				poke(t, path, at, old)
			}
		}
		t.Logf("clean %v: %d pages, %d changes found", clean, len(whole)/size, found)
	}
}

// TestVerifyCounts takes all elements of each leaf away, by a count of 0.
func TestVerifyCounts(t *testing.T) {
	for _, clean := range []bool{true, false} {
		path, _ := filled(t, 40, clean)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := dump(t, path)
		size := int(binary.NativeEndian.Uint32(whole[16+8:]))
		for at := 0; at < usedBytes(t, whole); at += size {
			if whole[at+11] != 0 { // more than 255
				continue
			}
			poke(t, path, at+10, 0)
			if unseen(t, path, want) {
				t.Errorf("page %d with %d elements, none by its count, was not found", at/size, whole[at+10])
			}
			poke(t, path, at+10, whole[at+10])
		}
		mustBeClean(t, path)
	}
}

// wipeFree overwrites the free pages of a file: where there is no list of them, a changed
// page number could name the older state of a page, which nothing tells from the newer one.
func wipeFree(t *testing.T, path string) {
	t.Helper()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	free, err := bolt.FreePages(bytes.NewReader(whole), int64(len(whole)))
	if err != nil || len(free) == 0 {
		t.Fatalf("%d free pages: %v", len(free), err)
	}
	size := int(binary.NativeEndian.Uint32(whole[16+8:]))
	for _, page := range free {
		copy(whole[int(page)*size:], bytes.Repeat([]byte{0x5a}, size))
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
}

// unseen reports whether a file that is damaged, so that other things are read from it than
// should be, is whole to a check.
func unseen(t *testing.T, path string, want map[string]string) bool {
	t.Helper()
	r, err := verifyFile(t, path)
	return err == nil && !r.Torn && len(r.Problems) == 0 && !maps.Equal(dump(t, path), want)
}

// poke changes one byte of a file.
func poke(t *testing.T, path string, at int, value byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte{value}, int64(at))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// dump returns what can be read of a file, but for what has no checksum and no copy: when
// it was made, and the ids of deleted threads.
func dump(t *testing.T, path string) map[string]string {
	t.Helper()
	s, err := bolt.OpenReadOnly(t.Context(), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all, err := bolt.Dump(s)
	if err != nil {
		t.Error(err)
	}
	maps.DeleteFunc(all, func(k, _ string) bool { return strings.HasPrefix(k, "deleted ") || strings.HasPrefix(k, "meta 63") })
	return all
}

// TestVerifyTorn damages whole pages and cuts the file: all is told of, nothing panics.
func TestVerifyTorn(t *testing.T) {
	path, _ := filled(t, 40, true)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole = whole[:usedBytes(t, whole)]
	want := dump(t, path)
	size := int(binary.NativeEndian.Uint32(whole[16+8:]))
	check := func(what string, content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if unseen(t, path, want) {
			t.Errorf("%s was not found", what)
		}
	}
	for page := range len(whole) / size {
		for name, value := range map[string]func() byte{"zeros": func() byte { return 0 }, "ones": func() byte { return 255 }, "noise": func() byte { return byte(rand.Uint32()) }} {
			torn := slices.Clone(whole)
			for i := page * size; i < (page+1)*size; i++ {
				torn[i] = value()
			}
			check(fmt.Sprintf("page %d of %s", page, name), torn)
		}
		if other := 2 + rand.IntN(len(whole)/size-2); page >= 2 && other != page {
			torn := slices.Clone(whole)
			copy(torn[page*size:], whole[other*size:(other+1)*size])
			check(fmt.Sprintf("page %d in the place of page %d", other, page), torn)
		}
		check(fmt.Sprintf("cut after page %d", page), whole[:page*size])
		check(fmt.Sprintf("cut in page %d", page), whole[:page*size+rand.IntN(size)])
	}
}

// TestVerifyTornHead tells of a last commit that a power failure cut off, which is no damage:
// the state before it is whole.
func TestVerifyTornHead(t *testing.T) {
	path, _ := filled(t, 20, false)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := int(binary.NativeEndian.Uint32(whole[16+8:]))
	newest := 0
	if binary.NativeEndian.Uint64(whole[size+16+48:]) > binary.NativeEndian.Uint64(whole[16+48:]) {
		newest = 1
	}
	poke(t, path, newest*size+16+20, 0xff)
	r, err := verifyFile(t, path)
	if err != nil || !r.Torn || len(r.Problems) > 0 {
		t.Errorf("the report is %+v: %v", r, err)
	}
	if _, err := bolt.Compact(t.Context(), bolt.Options{Path: path}, nil); err != nil {
		t.Fatal(err)
	}
	if r := mustBeClean(t, path); r.Torn || !r.Clean {
		t.Errorf("after a compaction the report is %+v", r)
	}
}
