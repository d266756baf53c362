//go:build spoolfault

package bolt

import (
	"reflect"
	"sync"
	"unsafe"

	"github.com/spoolhq/spool/storage"
)

// Points are the names that Hook is called with, in the order of a commit's way.
var Points = []string{pointBegin, pointPut, pointPages, pointWritten, pointCommitted, pointTold}

// Hook is called by the committer at each point of the way of a commit, with the batches
// that share the transaction; at the point told with the one that was told. A test sets it
// before the first commit. It exists in binaries with the build tag spoolfault only.
var Hook func(point string, group []*storage.Batch)

// watched holds the *watch of each store that has committed.
var watched sync.Map

// watch tells the writes of one transaction apart.
type watch struct {
	group []*storage.Batch
	pages int // writes of data pages so far
}

// reach calls the hook.
func (s *Store) reach(point string, ops []op) {
	if Hook == nil {
		return
	}
	group := make([]*storage.Batch, 0, len(ops))
	for i := range ops {
		if ops[i].batch != nil {
			group = append(group, ops[i].batch)
		}
	}
	if point == pointPut { // what is written from now on is of this group
		w := s.watchWrites()
		w.group, w.pages = group, 0
	}
	Hook(point, group)
}

// watchWrites has the hook called for what bbolt writes, once for a store. bbolt has no
// place for that, so the function with which it writes, DB.ops.writeAt, is replaced. Should
// a later bbolt have none this panics, and the test of the points fails.
func (s *Store) watchWrites() *watch {
	w := &watch{}
	if known, ok := watched.LoadOrStore(s, w); ok {
		return known.(*watch)
	}
	field := reflect.ValueOf(s.db).Elem().FieldByName("ops").FieldByName("writeAt")
	write := (*func([]byte, int64) (int, error))(unsafe.Pointer(field.UnsafeAddr()))
	inner, metaPages := *write, int64(2*s.db.Info().PageSize)
	*write = func(b []byte, at int64) (int, error) {
		switch {
		case at < metaPages:
			Hook(pointWritten, w.group)
			w.group = nil
		case w.pages > 0:
			Hook(pointPages, w.group)
		}
		w.pages++
		return inner(b, at)
	}
	return w
}
