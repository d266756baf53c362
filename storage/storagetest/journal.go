package storagetest

import (
	"bytes"
	"context"
	"math"

	"github.com/spoolhq/spool/storage"
)

var journalTests = []test{
	{name: "Events gives what lies between", run: eventsBetween},
	{name: "Events gives what fits, and at least one", run: eventsFit},
	{name: "Events of an unknown thread are none", run: eventsUnknown},
	{name: "frames of any size come back", run: frames},
	{name: "what a read returns belongs to the caller", run: bytesAreYours},
	{name: "journals do not touch each other", run: neighbours},
	{name: "EraseBefore forgets the past", run: eraseBefore},
	{name: "EraseBefore goes before the rest of its batch", run: eraseAndPut},
	{name: "EraseBefore cannot take the end", run: eraseEnd},
	{name: "a journal may be brought without its beginning", run: bringJournal},
	{name: "Delete leaves nothing but the id", run: deleteAll},
}

func ended(ctx context.Context, reason error) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	cancel(reason)
	return ctx
}

func eventsBetween(f *fixture) {
	id := newID("thr")
	f.keep(&storage.Batch{Thread: id, Events: events(id, 1, 10)})
	for _, c := range []struct{ after, upTo, first, last uint64 }{
		{0, 0, 1, 10},
		{0, 10, 1, 10},
		{3, 0, 4, 10},
		{3, 7, 4, 7},
		{0, 1, 1, 1},
		{9, 99, 10, 10},
		{10, 0, 1, 0},
		{11, 0, 1, 0},
		{7, 7, 1, 0},
		{7, 3, 1, 0},
		{math.MaxUint64, 0, 1, 0},
		{math.MaxUint64 - 1, 0, 1, 0},
		{0, math.MaxUint64, 1, 10},
	} {
		got, err := f.s.Events(f.ctx, id, c.after, c.upTo, 1<<20)
		f.ok(err)
		f.same(got, events(id, c.first, c.last))
	}
}

func eventsFit(f *fixture) {
	id := newID("thr")
	f.keep(&storage.Batch{Thread: id, Events: events(id, 1, 10)}) // of 40 bytes each
	for maxBytes, n := range map[int]uint64{-1: 1, 0: 1, 39: 1, 40: 1, 79: 1, 80: 2, 399: 9, 400: 10} {
		got, err := f.s.Events(f.ctx, id, 0, 0, maxBytes)
		f.ok(err)
		f.same(got, events(id, 1, n))
	}
}

func eventsUnknown(f *fixture) {
	f.same(f.dump(newID("thr")), dump{})
}

func frames(f *fixture) {
	id := newID("thr")
	var want []storage.Event
	for i, size := range []int{0, 1, 4095, 4096, 70_000, 1 << 20, 0} {
		want = append(want, storage.Event{Seq: uint64(i + 1), Frame: bytes.Repeat([]byte{byte(i), 0, 0xff}, size)[:size]})
	}
	f.keep(&storage.Batch{Thread: id, Events: want[:5]}, &storage.Batch{Thread: id, Events: want[5:]})
	got, err := f.s.Events(f.ctx, id, 0, 0, 1<<30)
	f.ok(err)
	f.same(got, want)
}

func bytesAreYours(f *fixture) {
	b := full(newID("thr"))
	f.keep(b)
	d := f.dump(b.Thread)
	for _, e := range d.Events {
		_ = append(e.Frame, "appended"...)
		clear(e.Frame)
	}
	clear(d.Row.Readers)
	clear(d.Row.Data)
	clear(d.Checkpoints[0].Data)
	k, err := f.s.Key(f.ctx, "alice", b.Thread, "k")
	f.ok(err)
	clear(k.Hash)
	clear(k.Result)
	f.holds(full2(b))
	k, err = f.s.Key(f.ctx, "alice", b.Thread, "k")
	f.ok(err)
	f.same(string(k.Hash)+string(k.Result), "hr")
}

// full2 makes again what full made, with the ids of b.
func full2(b *storage.Batch) *storage.Batch {
	c := full(b.Thread)
	c.Turns[0].ID, c.Edits[0].Item, c.Checkpoints[0].Item = b.Turns[0].ID, b.Edits[0].Item, b.Checkpoints[0].Item
	return c
}

// neighbours uses ids that follow each other directly.
func neighbours(f *fixture) {
	ids := []string{"thr_01JD3Z0000000000000000000A", "thr_01JD3Z0000000000000000000B", "thr_01JD3Z0000000000000000000C", "thr_7ZZZZZZZZZZZZZZZZZZZZZZZZZ"}
	batches := make([]*storage.Batch, len(ids))
	for i, id := range ids {
		batches[i] = full(id)
		f.keep(batches[i])
	}
	for _, b := range batches {
		f.holds(b)
	}
	f.keep(&storage.Batch{Thread: ids[1], Delete: true}, &storage.Batch{Thread: ids[3], Delete: true})
	f.holds(batches[0])
	f.same(f.dump(ids[1]), dump{})
	f.holds(batches[2])
	f.same(f.dump(ids[3]), dump{})
}

func eraseBefore(f *fixture) {
	b := full(newID("thr"))
	f.keep(b, &storage.Batch{Thread: b.Thread, Events: events(b.Thread, 4, 9)})
	f.keep(&storage.Batch{Thread: b.Thread, EraseBefore: 5})
	f.same(f.dump(b.Thread), dump{Row: *b.Row, Head: 9, Events: events(b.Thread, 5, 9)})
	got, err := f.s.Events(f.ctx, b.Thread, 2, 6, 1<<20)
	f.ok(err)
	f.same(got, events(b.Thread, 5, 6))
	_, err = f.s.Key(f.ctx, "alice", b.Thread, "k")
	f.ok(err) // a repeat is still known
	f.keep(&storage.Batch{Thread: b.Thread, Events: events(b.Thread, 10, 10), EraseBefore: 1})
	f.same(f.dump(b.Thread).Events, events(b.Thread, 5, 10))
}

func eraseAndPut(f *fixture) {
	b := full(newID("thr"))
	f.keep(b)
	next := full(b.Thread)
	next.Create = false
	next.Events = events(b.Thread, 4, 6)
	next.EraseBefore = 4
	f.keep(next)
	f.holds(next)
	f.keep(&storage.Batch{Thread: b.Thread, Events: events(b.Thread, 7, 9), EraseBefore: 8})
	f.same(f.dump(b.Thread).Events, events(b.Thread, 8, 9))
}

func eraseEnd(f *fixture) {
	id := newID("thr")
	f.refused(&storage.Batch{Thread: id, EraseBefore: 1}, storage.ErrConflict)
	f.keep(&storage.Batch{Thread: id, Events: events(id, 1, 3)})
	f.refused(&storage.Batch{Thread: id, EraseBefore: 4}, storage.ErrConflict)
	f.refused(&storage.Batch{Thread: id, Events: events(id, 4, 4), EraseBefore: 5}, storage.ErrConflict)
	f.keep(&storage.Batch{Thread: id, EraseBefore: 3})
	f.same(f.dump(id).Events, events(id, 3, 3))
	f.keep(&storage.Batch{Thread: id, Events: events(id, 4, 4), EraseBefore: 4})
	f.same(f.dump(id).Events, events(id, 4, 4))
}

func deleteAll(f *fixture) {
	b, other := full(newID("thr")), full(newID("thr"))
	f.keep(b, other)
	f.keep(&storage.Batch{
		Thread: b.Thread, Delete: true, // and the rest is ignored
		Create: true, Events: events(b.Thread, 77, 78), Row: row(newID("thr"), 1), EraseBefore: 99,
	})
	f.same(f.dump(b.Thread), dump{})
	_, err := f.s.Thread(f.ctx, b.Thread)
	f.is(err, storage.ErrDeleted)
	f.is(err, storage.ErrNotFound)
	_, err = f.s.Turn(f.ctx, b.Thread, b.Turns[0].ID)
	f.is(err, storage.ErrNotFound)
	_, err = f.s.Key(f.ctx, "alice", b.Thread, "k")
	f.is(err, storage.ErrNotFound)
	_, err = f.s.Reusable(f.ctx, b.Row.Reuse)
	f.is(err, storage.ErrNotFound)
	f.same(f.busy(), []string{other.Thread})
	for _, reader := range []string{"alice", "bob"} {
		for _, order := range []storage.Sort{storage.SortUpdated, storage.SortCreated} {
			f.same(f.list(storage.Query{Reader: reader, Sort: order, Limit: 9}), []string{other.Thread})
		}
	}
	f.keep(&storage.Batch{Thread: b.Thread, Delete: true})
	f.holds(other)
}

func bringJournal(f *fixture) {
	id := newID("thr")
	f.keep(&storage.Batch{Thread: id, Create: true, EraseBefore: 7, Events: events(id, 7, 9)})
	got, err := f.s.Events(f.ctx, id, 0, 0, 1<<20)
	f.ok(err)
	f.same(got, events(id, 7, 9))
	f.keep(&storage.Batch{Thread: id, Events: events(id, 10, 10)})
	head, err := f.s.Head(f.ctx, id)
	f.ok(err)
	f.same(head, uint64(10))
}
