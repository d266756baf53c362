package storagetest

import (
	"fmt"

	"github.com/spoolhq/spool/storage"
)

var keyTests = []test{
	{name: "a key belongs to its owner and thread", run: keyScopes},
	{name: "a key is remembered with the last answer", run: keyReplaced},
	{name: "PruneKeys forgets what is older", run: keyPrune},
	{name: "PruneKeys forgets any number", run: keyPruneMany},
	{name: "Delete takes the keys of the thread", run: keyDelete},
	{name: "Delete keeps its own key", run: keyOfDelete},
	{name: "settings belong to no thread", run: settingsApart},
}

func key(owner, thread, name string, at int64) *storage.KeyResult {
	return &storage.KeyResult{Owner: owner, Thread: thread, Key: name, Hash: []byte{1}, Result: fmt.Appendf(nil, "%s/%s/%s", owner, thread, name), At: at}
}

// knows checks which of some keys there are.
func (f *fixture) knows(keys []*storage.KeyResult, want ...bool) {
	f.Helper()
	for i, k := range keys {
		got, err := f.s.Key(f.ctx, k.Owner, k.Thread, k.Key)
		if !want[i] {
			f.is(err, storage.ErrNotFound)
			continue
		}
		if f.ok(err); true {
			f.same(got, *k)
		}
	}
}

func keyScopes(f *fixture) {
	a, b := newID("thr"), newID("thr")
	keys := []*storage.KeyResult{
		key("alice", a, "k", 1), key("alice", b, "k", 1), key("alice", "", "k", 1), key("bob", a, "k", 1),
		key("alice", a, "", 1), key("", a, "k", 1), key("ali", a, "cek", 1), key("alicek", a, "", 1),
	}
	known := make([]bool, len(keys))
	for i, k := range keys {
		f.knows(keys, known...)
		f.keep(&storage.Batch{Thread: a, Key: k})
		known[i] = true
	}
	f.knows(keys, known...)
}

func keyReplaced(f *fixture) {
	id := newID("thr")
	first := key("alice", id, "k", 10)
	second := key("alice", id, "k", 20)
	second.Hash, second.Result = []byte{9}, []byte("second")
	f.keep(&storage.Batch{Thread: id, Key: first}, &storage.Batch{Thread: id, Key: second})
	f.knows([]*storage.KeyResult{second}, true)
	n, err := f.s.PruneKeys(f.ctx, 15) // only the new time counts
	f.ok(err)
	f.same(n, 0)
	f.knows([]*storage.KeyResult{second}, true)
	n, err = f.s.PruneKeys(f.ctx, 21)
	f.ok(err)
	f.same(n, 1)
	f.knows([]*storage.KeyResult{second}, false)
}

func keyPrune(f *fixture) {
	id := newID("thr")
	keys := []*storage.KeyResult{key("alice", id, "a", -3), key("alice", "", "b", 10), key("bob", id, "c", 11), key("bob", id, "d", 12)}
	for _, k := range keys {
		f.keep(&storage.Batch{Thread: id, Key: k})
	}
	for _, c := range []struct {
		before int64
		n      int
		want   []bool
	}{
		{-3, 0, []bool{true, true, true, true}},
		{0, 1, []bool{false, true, true, true}},
		{11, 1, []bool{false, false, true, true}},
		{11, 0, []bool{false, false, true, true}},
		{1 << 60, 2, []bool{false, false, false, false}},
	} {
		n, err := f.s.PruneKeys(f.ctx, c.before)
		f.ok(err)
		f.same(n, c.n)
		f.knows(keys, c.want...)
	}
}

func keyPruneMany(f *fixture) {
	id := newID("thr")
	const n = 3000
	batches := make([]*storage.Batch, n)
	for i := range batches {
		batches[i] = &storage.Batch{Thread: id, Key: key("alice", id, fmt.Sprint(i), int64(i))}
	}
	f.keep(batches...)
	got, err := f.s.PruneKeys(f.ctx, n-1)
	f.ok(err)
	f.same(got, n-1)
	f.knows([]*storage.KeyResult{batches[n-2].Key, batches[n-1].Key}, false, true)
}

func keyDelete(f *fixture) {
	a, b := newID("thr"), newID("thr")
	keys := []*storage.KeyResult{key("alice", a, "k", 1), key("bob", a, "k", 1), key("alice", b, "k", 1), key("alice", "", "k", 1)}
	for _, k := range keys {
		f.keep(&storage.Batch{Thread: b, Key: k})
	}
	f.keep(&storage.Batch{Thread: a, Delete: true})
	f.knows(keys, false, false, true, true)
	n, err := f.s.PruneKeys(f.ctx, 100)
	f.ok(err)
	f.same(n, 2)
}

func keyOfDelete(f *fixture) {
	a, b := newID("thr"), newID("thr")
	before, deletion, again := key("alice", a, "k", 1), key("alice", a, "delete", 2), key("bob", a, "again", 4)
	replaced := key("alice", b, "k", 3)
	replaced.Result = []byte("deleted")
	f.keep(
		&storage.Batch{Thread: a, Create: true, Events: events(a, 1, 2), Key: before},
		&storage.Batch{Thread: b, Create: true, Events: events(b, 1, 2), Key: key("alice", b, "k", 1)},
	)
	f.keep(&storage.Batch{Thread: a, Delete: true, Key: deletion}, &storage.Batch{Thread: b, Delete: true, Key: replaced})
	f.keep(&storage.Batch{Thread: a, Delete: true, Key: again}) // what is deleted is deleted; the key is kept
	f.knows([]*storage.KeyResult{before, deletion, replaced, again}, false, true, true, true)
	f.refused(&storage.Batch{Thread: a, Delete: true, Key: key("alice", "none", "k", 1)}, storage.ErrBadID)
	n, err := f.s.PruneKeys(f.ctx, 4)
	f.ok(err)
	f.same(n, 2)
	f.knows([]*storage.KeyResult{deletion, replaced, again}, false, false, true)
}

func settingsApart(f *fixture) {
	list := func(prefix string, want ...storage.Setting) {
		f.Helper()
		got, err := f.s.Settings(f.ctx, prefix)
		f.ok(err)
		f.same(got, want)
	}
	id := newID("thr")
	a, b, c := storage.Setting{Key: "r/a", Value: []byte("1")}, storage.Setting{Key: "r/b", Value: []byte("2")}, storage.Setting{Key: "s", Value: []byte("3")}
	list("")
	f.keep(&storage.Batch{Settings: []storage.Setting{b, c}})
	f.keep(&storage.Batch{Thread: id, Key: key("alice", id, "k", 1), Settings: []storage.Setting{a}})
	list("r/", a, b)
	list("", a, b, c)
	f.keep(&storage.Batch{Thread: id, Delete: true})
	a.Value = []byte("new")
	f.keep(&storage.Batch{Settings: []storage.Setting{a, {Key: "r/b"}, {Key: "never"}}})
	list("r/", a)
}
