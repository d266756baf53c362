package storagetest

import (
	"slices"

	"github.com/spoolhq/spool/storage"
)

var turnTests = []test{
	{name: "a turn comes back as it was", run: turnFields},
	{name: "ranges of turns", run: turnRanges},
	{name: "turns are dropped before others are put", run: turnDrop},
	{name: "edits keep the newest seq", run: editsNewest},
	{name: "edits of some items", run: editsOfItems},
	{name: "checkpoints are replaced and closed", run: checkpointsClose},
}

func turnFields(f *fixture) {
	id, other := newID("thr"), newID("thr")
	e := storage.TurnEntry{ID: newID("turn"), Accepted: 1, Started: 1<<64 - 1, Ended: 3}
	_, err := f.s.Turn(f.ctx, id, e.ID)
	f.is(err, storage.ErrNotFound)
	f.keep(&storage.Batch{Thread: id, Turns: []storage.TurnEntry{e}})
	got, err := f.s.Turn(f.ctx, id, e.ID)
	f.ok(err)
	f.same(got, e)
	e.Input, e.Ended = 9, 10
	f.keep(&storage.Batch{Thread: id, Turns: []storage.TurnEntry{e}})
	got, err = f.s.Turn(f.ctx, id, e.ID)
	f.ok(err)
	f.same(got, e)
	_, err = f.s.Turn(f.ctx, other, e.ID)
	f.is(err, storage.ErrNotFound)
}

func turnRanges(f *fixture) {
	id := newID("thr")
	ids := make([]string, 9)
	b := &storage.Batch{Thread: id}
	for i := range ids {
		ids[i] = newID("turn")
		b.Turns = append(b.Turns, storage.TurnEntry{ID: ids[i], Accepted: uint64(i)})
	}
	slices.Reverse(b.Turns) // the order in a batch does not matter
	f.keep(b)
	between := newID("turn") // an id that no turn has, behind all others
	for _, c := range []struct {
		q    storage.TurnQuery
		want []string
	}{
		{storage.TurnQuery{Limit: 99}, ids},
		{storage.TurnQuery{Limit: 3}, ids[:3]},
		{storage.TurnQuery{Limit: 99, After: ids[2]}, ids[3:]},
		{storage.TurnQuery{Limit: 99, Before: ids[2]}, ids[:2]},
		{storage.TurnQuery{Limit: 99, After: ids[2], Before: ids[5]}, ids[3:5]},
		{storage.TurnQuery{Limit: 1, After: ids[2], Before: ids[5]}, ids[3:4]},
		{storage.TurnQuery{Limit: 99, After: ids[5], Before: ids[2]}, nil},
		{storage.TurnQuery{Limit: 99, After: ids[5], Before: ids[6]}, nil},
		{storage.TurnQuery{Limit: 99, After: ids[5], Before: ids[5]}, nil},
		{storage.TurnQuery{Limit: 99, After: between}, nil},
		{storage.TurnQuery{Limit: 99, Before: between}, ids},
	} {
		f.same(f.turns(id, c.q), c.want)
		// The other direction gives the same, but for the end that a limit cuts off.
		if c.q.Limit == 99 {
			c.q.Desc = true
			got := f.turns(id, c.q)
			slices.Reverse(got)
			f.same(got, c.want)
		}
	}
	f.same(f.turns(id, storage.TurnQuery{Limit: 2, Desc: true}), []string{ids[8], ids[7]})
	f.same(f.turns(id, storage.TurnQuery{Limit: 2, Desc: true, Before: ids[4]}), []string{ids[3], ids[2]})
}

func (f *fixture) turns(thread string, q storage.TurnQuery) (ids []string) {
	f.Helper()
	got, err := f.s.Turns(f.ctx, thread, q)
	f.ok(err)
	for _, e := range got {
		ids = append(ids, e.ID)
	}
	return ids
}

func turnDrop(f *fixture) {
	id := newID("thr")
	a, b, c := newID("turn"), newID("turn"), newID("turn")
	f.keep(&storage.Batch{Thread: id, Turns: []storage.TurnEntry{{ID: a}, {ID: b}}})
	f.keep(&storage.Batch{Thread: id, DropTurns: []string{a, b, c}, Turns: []storage.TurnEntry{{ID: b, Accepted: 7}}})
	f.same(f.dump(id).Turns, []storage.TurnEntry{{ID: b, Accepted: 7}})
}

func editsNewest(f *fixture) {
	id, a, b := newID("thr"), newID("item"), newID("item")
	f.keep(&storage.Batch{Thread: id, Edits: []storage.Edit{{Item: a, Seq: 3}, {Item: b, Seq: 4}}})
	f.keep(&storage.Batch{Thread: id, Edits: []storage.Edit{{Item: a, Seq: 9}}})
	f.same(f.dump(id).Edits, map[string]uint64{a: 9, b: 4})
}

func editsOfItems(f *fixture) {
	id, other, a, b, c := newID("thr"), newID("thr"), newID("item"), newID("item"), newID("item")
	f.keep(&storage.Batch{Thread: id, Edits: []storage.Edit{{Item: a, Seq: 3}, {Item: b, Seq: 4}}})
	for _, of := range []struct {
		thread string
		items  []string
		want   map[string]uint64
	}{
		{id, []string{b}, map[string]uint64{b: 4}},
		{id, []string{c, b, a}, map[string]uint64{a: 3, b: 4}},
		{id, []string{c}, map[string]uint64{}},
		{other, []string{a}, map[string]uint64{}},
	} {
		got, err := f.s.Edits(f.ctx, of.thread, of.items...)
		f.ok(err)
		f.same(got, of.want)
	}
	for _, thread := range []string{id, other} {
		_, err := f.s.Edits(f.ctx, thread, a, "nothing")
		f.is(err, storage.ErrBadID)
	}
}

func checkpointsClose(f *fixture) {
	id, a, b := newID("thr"), newID("item"), newID("item")
	f.keep(&storage.Batch{Thread: id, Checkpoints: []storage.Checkpoint{{Item: b, Data: []byte("b")}, {Item: a, Data: []byte("a")}}})
	f.same(f.dump(id).Checkpoints, []storage.Checkpoint{{Item: a, Data: []byte("a")}, {Item: b, Data: []byte("b")}})
	f.keep(&storage.Batch{Thread: id, Checkpoints: []storage.Checkpoint{{Item: a, Data: make([]byte, 100_000)}}, Closed: []string{b}})
	f.same(f.dump(id).Checkpoints, []storage.Checkpoint{{Item: a, Data: make([]byte, 100_000)}})
	f.keep(&storage.Batch{Thread: id, Closed: []string{a, b}})
	f.same(f.dump(id).Checkpoints, []storage.Checkpoint(nil))
	f.keep(&storage.Batch{Thread: id, Checkpoints: []storage.Checkpoint{{Item: a}}})
	f.same(f.dump(id).Checkpoints, []storage.Checkpoint{{Item: a}})
}
