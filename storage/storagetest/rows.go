package storagetest

import (
	"errors"

	"github.com/spoolhq/spool/storage"
)

var rowTests = []test{
	{name: "a row comes back as it was", run: rowFields},
	{name: "an unknown thread has none", run: rowUnknown},
	{name: "Reusable finds the newest", run: reusable},
	{name: "Busy yields what is busy", run: busyRows},
	{name: "Busy may be left early", run: busyEarly},
	{name: "the store may be written to during Busy", run: busyWrite},
}

func rowFields(f *fixture) {
	id := newID("thr")
	for _, r := range []storage.Row{
		*row(id, 1_700_000_000_000),
		{ID: id},
		{ID: id, Owner: "alice", Readers: []string{"", "é", "alice"}, Created: -5, Updated: -1 << 63, Data: []byte{0, 0xff}},
		{ID: id, Created: 1<<63 - 1, Busy: true},
	} {
		f.keep(&storage.Batch{Thread: id, Row: &r})
		got, err := f.s.Thread(f.ctx, id)
		f.ok(err)
		f.same(got, r)
	}
	f.keep(&storage.Batch{Thread: id, Events: events(id, 1, 1)})
	got, err := f.s.Thread(f.ctx, id)
	f.ok(err)
	f.same(got.Created, int64(1<<63-1)) // a batch without a row leaves it
}

func rowUnknown(f *fixture) {
	id := newID("thr")
	_, err := f.s.Thread(f.ctx, id)
	f.is(err, storage.ErrNotFound)
	if errors.Is(err, storage.ErrDeleted) {
		f.Errorf("an unknown thread was deleted: %v", err)
	}
	f.keep(&storage.Batch{Thread: id, Events: events(id, 1, 1)})
	_, err = f.s.Thread(f.ctx, id)
	f.is(err, storage.ErrNotFound) // a journal alone is no row
}

func reusable(f *fixture) {
	put := func(id, key string, created int64) {
		r := row(id, created)
		r.Reuse = key
		f.keep(&storage.Batch{Thread: id, Row: r})
	}
	find := func(key, want string) {
		f.Helper()
		got, err := f.s.Reusable(f.ctx, key)
		if want == "" {
			f.is(err, storage.ErrNotFound)
		} else if f.ok(err); got.ID != want {
			f.Errorf("key %q finds %s, want %s", key, got.ID, want)
		}
	}
	a, b, c := newID("thr"), newID("thr"), newID("thr")
	find("k", "")
	put(a, "k", 20)
	put(b, "k", 10)
	put(c, "", 30)
	find("k", a) // by the time of creation, not by id
	find("", "")
	find("K", "")
	put(b, "k", 20)
	find("k", b) // and by id within a millisecond
	put(b, "other", 20)
	find("k", a)
	find("other", b)
	put(a, "", 20)
	find("k", "")
	put(b, "other", 5)
	find("other", b)
	f.keep(&storage.Batch{Thread: b, Delete: true})
	find("other", "")
}

func busyRows(f *fixture) {
	var want []string
	for i := range 600 { // more than one step
		r := row(newID("thr"), 1)
		if r.Busy = i%2 == 0; r.Busy {
			want = append(want, r.ID)
		}
		f.s.Commit(&storage.Batch{Thread: r.ID, Row: r}, func(error) {})
	}
	f.keep(full(newID("thr")))
	got := f.busy()
	f.same(got[:len(got)-1], want)
	r := row(want[0], 1)
	r.Busy = false
	f.keep(&storage.Batch{Thread: r.ID, Row: r}, &storage.Batch{Thread: want[1], Delete: true})
	f.same(f.busy()[0], want[2])
}

func busyEarly(f *fixture) {
	f.keep(full(newID("thr")), full(newID("thr")))
	n := 0
	for _, err := range f.s.Busy(f.ctx) {
		f.ok(err)
		n++
		break
	}
	f.same(n, 1)
}

func busyWrite(f *fixture) {
	var want []string
	for range 5 {
		want = append(want, newID("thr"))
		f.keep(full(want[len(want)-1]))
	}
	var got []string
	for r, err := range f.s.Busy(f.ctx) {
		f.ok(err)
		got = append(got, r.ID)
		r.Busy = false
		f.keep(&storage.Batch{Thread: r.ID, Row: &r})
	}
	f.same(got, want)
	f.same(f.busy(), []string(nil))
}
