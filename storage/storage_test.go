package storage_test

import (
	"errors"
	"io/fs"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/spoolhq/spool/storage"
)

func TestIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.StringMatching("[a-z]{1,16}").Draw(t, "prefix")
		var key [16]byte
		copy(key[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "key"))
		key[15] |= 1 // not all zeros
		id := storage.FormatID(prefix, key)
		p, k, err := storage.ParseID(id)
		if p != prefix || k != key || err != nil {
			t.Fatalf("%s came back as %s, %x: %v", id, p, k, err)
		}
	})
}

// TestIDsAreExact checks that no two texts are the same id: what ParseID takes,
// FormatID gives back.
func TestIDsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.OneOf(
			rapid.String(),
			rapid.StringMatching("[a-zA-Z_]{0,18}_[0-9A-Za-z]{25,27}"),
			rapid.StringMatching("thr_[0-9A-Z]{26}"),
		).Draw(t, "id")
		prefix, key, err := storage.ParseID(id)
		if err != nil {
			if !errors.Is(err, storage.ErrBadID) {
				t.Fatal(err)
			}
			return
		}
		if again := storage.FormatID(prefix, key); again != id {
			t.Fatalf("%q is taken for %q", id, again)
		}
	})
}

func FuzzParseID(f *testing.F) {
	f.Add("thr_01JD3Z00000000000000000000")
	f.Add("_")
	f.Fuzz(func(t *testing.T, id string) {
		if prefix, key, err := storage.ParseID(id); err == nil && storage.FormatID(prefix, key) != id {
			t.Errorf("%q is taken for %q", id, storage.FormatID(prefix, key))
		}
	})
}

func TestCursors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := storage.Query{Reader: rapid.String().Draw(t, "reader"), Sort: storage.Sort(rapid.IntRange(0, 2).Draw(t, "sort")), Limit: 1}
		p := storage.Place{At: rapid.Int64().Draw(t, "at")}
		copy(p.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		q.Cursor = q.CursorAt(p)
		got, err := q.Place()
		if err != nil || *got != p {
			t.Fatalf("%v came back as %v: %v", p, got, err)
		}
		q.Reader += "x"
		if _, err := q.Place(); !errors.Is(err, storage.ErrCursor) {
			t.Fatalf("another reader's cursor: %v", err)
		}
	})
}

func FuzzCursor(f *testing.F) {
	q := storage.Query{Reader: "alice"}
	f.Add(q.CursorAt(storage.Place{At: 5}))
	f.Fuzz(func(t *testing.T, cursor string) {
		q := storage.Query{Reader: "alice", Cursor: cursor}
		if p, err := q.Place(); err == nil && p != nil && q.CursorAt(*p) != cursor {
			t.Errorf("%q is taken for %q", cursor, q.CursorAt(*p))
		}
	})
}

func TestPlaces(t *testing.T) {
	places := []storage.Place{ // rising
		{At: math.MinInt64},
		{At: -1},
		{At: -1, ID: [16]byte{1}},
		{At: 0},
		{At: 0, ID: [16]byte{15: 1}},
		{At: 0, ID: [16]byte{0xff}},
		{At: math.MaxInt64},
	}
	if !slices.IsSortedFunc(places, storage.Place.Compare) {
		t.Error("places are not in order")
	}
	for i, p := range places {
		for j, o := range places {
			if c := p.Compare(o); (c < 0) != (i < j) || (c > 0) != (i > j) {
				t.Errorf("place %d against %d is %d", i, j, c)
			}
		}
	}
}

func TestError(t *testing.T) {
	err := error(&storage.Error{Op: "open", Path: "/x", Err: storage.ErrLocked, Hint: "stop it"})
	if got := err.Error(); got != "storage: open /x: in use by another process (stop it)" {
		t.Errorf("got %q", got)
	}
	if !errors.Is(err, storage.ErrLocked) || errors.Is(err, fs.ErrExist) {
		t.Error("the cause is lost")
	}
	if got := (&storage.Error{Op: "commit", Err: storage.ErrFailed}).Error(); got != "storage: commit: the store has failed and takes no more writes" {
		t.Errorf("got %q", got)
	}
	if !errors.Is(storage.ErrDeleted, storage.ErrNotFound) {
		t.Error("ErrDeleted does not wrap ErrNotFound")
	}
}
