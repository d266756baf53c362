//go:build spoolfault

package bolt_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
)

// TestHook checks that a commit comes by all points in their order.
func TestHook(t *testing.T) {
	var points []string
	bolt.Hook = func(point string, group []*storage.Batch) {
		if len(group) > 0 { // closing the file writes, too
			points = append(points, point)
		}
	}
	s, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "spool.db")})
	if err != nil {
		t.Fatal(err)
	}
	id := "thr_" + ulid.Make().String()
	var refused error
	s.Commit(&storage.Batch{
		Thread: id, Create: true, Row: &storage.Row{ID: id, Owner: "o"},
		Events: []storage.Event{{Seq: 1, Frame: make([]byte, 64<<10)}}, // more than a page
	}, func(err error) { refused = err })
	if err := errors.Join(s.Close(), refused); err != nil {
		t.Fatal(err)
	}
	if got := slices.Compact(points); !slices.Equal(got, bolt.Points) {
		t.Errorf("a commit came by %v, not by %v", got, bolt.Points)
	}
}
