package storagetest

import (
	"github.com/spoolhq/spool/storage"
)

var durableTests = []test{
	{name: "all is there after a restart", run: restart, durable: true},
	{name: "an empty store can be opened again", run: restartEmpty, durable: true},
	{name: "work goes on after a restart", run: restartGoesOn, durable: true},
}

func restart(f *fixture) {
	a, b, gone := full(newID("thr")), full(newID("thr")), newID("thr")
	b.Row.Updated = 9999
	f.keep(a, b, full(gone), &storage.Batch{Thread: gone, Delete: true})
	page, err := f.s.Threads(f.ctx, storage.Query{Reader: "bob", Limit: 1})
	f.ok(err)
	for range 2 {
		f.reopen()
		f.holds(a)
		f.holds(b)
		f.knows([]*storage.KeyResult{a.Key, b.Key, key("alice", gone, "k", 0)}, true, true, false)
		f.same(f.busy(), []string{a.Thread, b.Thread})
		_, err = f.s.Thread(f.ctx, gone)
		f.is(err, storage.ErrDeleted)
		r, err := f.s.Reusable(f.ctx, a.Row.Reuse)
		f.ok(err)
		f.same(r.ID, a.Thread)
		// A cursor outlives a restart.
		f.same(f.list(storage.Query{Reader: "bob", Limit: 1, Cursor: page.Next}), []string{a.Thread})
	}
}

func restartEmpty(f *fixture) {
	f.reopen()
	f.reopen()
	f.same(f.list(storage.Query{Reader: "alice", Limit: 1}), []string(nil))
}

func restartGoesOn(f *fixture) {
	b := full(newID("thr"))
	f.keep(b)
	f.reopen()
	f.refused(&storage.Batch{Thread: b.Thread, Create: true}, storage.ErrExists)
	f.refused(&storage.Batch{Thread: b.Thread, Events: events(b.Thread, 3, 3)}, storage.ErrConflict)
	r := *b.Row
	r.Updated, r.Readers, r.Reuse, r.Busy = 5000, []string{"dave"}, "", false
	f.keep(&storage.Batch{Thread: b.Thread, Events: events(b.Thread, 4, 4), Row: &r})
	f.reopen()
	f.same(f.dump(b.Thread).Events, events(b.Thread, 1, 4))
	f.same(f.list(storage.Query{Reader: "dave", Limit: 1}), []string{b.Thread})
	f.same(f.list(storage.Query{Reader: "bob", Limit: 1}), []string(nil))
	f.same(f.busy(), []string(nil))
	_, err := f.s.Reusable(f.ctx, b.Row.Reuse)
	f.is(err, storage.ErrNotFound)
}
