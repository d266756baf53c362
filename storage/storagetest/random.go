package storagetest

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"pgregory.net/rapid"

	"github.com/spoolhq/spool/storage"
)

var modelTests = []test{
	{name: "random work gives what a model gives", run: random},
	{name: "random work with restarts", run: randomRestarts, durable: true},
}

func random(f *fixture) {
	f.play(1, false)
}

func randomRestarts(f *fixture) {
	f.play(10, true) // a restart takes some milliseconds
}

// play does one of every so many walks that rapid wants to see.
func (f *fixture) play(every int, restarts bool) {
	if f.config.Brief {
		every *= 5
	}
	n := 0
	failed := false // then all that rapid does to make the failure smaller counts
	rapid.Check(f.T, func(rt *rapid.T) {
		if n++; n%every == 1%every || failed {
			failed = true
			(&walk{fixture: f, rt: rt}).run(restarts)
			failed = false
		}
	})
}

// walk does random work on a store and a model. One store serves all walks, each with
// threads of its own; keys and busy rows of a walk are gone when the next begins.
type walk struct {
	*fixture
	rt      *rapid.T
	m       *model
	threads []string
	turns   []string
	items   []string
	owners  []string
}

func (w *walk) run(restarts bool) {
	w.m = newModel()
	for range 4 {
		w.threads = append(w.threads, newID("thr"))
		w.turns = append(w.turns, newID("turn"))
		w.items = append(w.items, newID("item"))
	}
	for i := range 3 { // owners that no other walk has
		w.owners = append(w.owners, fmt.Sprint(i, " of ", w.threads[0]))
	}
	_, err := w.s.PruneKeys(w.ctx, math.MaxInt64)
	w.check(err, nil)
	defer func() {
		for _, id := range w.threads {
			_ = w.commit(&storage.Batch{Thread: id, Delete: true})
		}
	}()
	actions := map[string]func(*rapid.T){
		"one":   func(rt *rapid.T) { w.rt = rt; w.one() },
		"many":  func(rt *rapid.T) { w.rt = rt; w.many() },
		"prune": func(rt *rapid.T) { w.rt = rt; w.prune() },
		"lists": func(rt *rapid.T) { w.rt = rt; w.lists() },
		"":      func(rt *rapid.T) { w.rt = rt; w.compare() },
	}
	if restarts {
		actions["restart"] = func(rt *rapid.T) { w.rt = rt; w.reopen() }
	}
	w.rt.Repeat(actions)
}

// check compares kinds of errors.
func (w *walk) check(got, want error) {
	w.rt.Helper()
	if k := kind(got); !errors.Is(k, want) || !errors.Is(want, k) {
		w.rt.Fatalf("got error %v, want %v", got, want)
	}
}

func (w *walk) equal(what string, got, want any) {
	w.rt.Helper()
	if d := diff(want, got); d != "" {
		w.rt.Fatalf("%s: -want +got\n%s", what, d)
	}
}

func (w *walk) one() {
	b := w.batch()
	w.check(w.commit(b), w.m.commit(b))
}

// many commits several batches at once, so that they share a transaction.
func (w *walk) many() {
	n := rapid.IntRange(2, 6).Draw(w.rt, "batches")
	results := make(chan error, n)
	var want []error
	for range n {
		b := w.batch()
		want = append(want, w.m.commit(b))
		w.s.Commit(b, func(err error) { results <- err })
	}
	for _, err := range want {
		w.check(<-results, err)
	}
}

func (w *walk) prune() {
	before := rapid.Int64Range(0, 20).Draw(w.rt, "before")
	n, err := w.s.PruneKeys(w.ctx, before)
	w.check(err, nil)
	w.equal("PruneKeys", n, w.m.prune(before))
}

func pick(rt *rapid.T, from []string) string { return rapid.SampledFrom(from).Draw(rt, "id") }

// some draws a few of a list, in any order.
func some(rt *rapid.T, from []string, name string) []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, 3, rapid.ID[string]).Draw(rt, name)
}

func (w *walk) batch() *storage.Batch {
	rt := w.rt
	id := pick(rt, w.threads)
	one := func(name string, in int) bool { return rapid.IntRange(1, in).Draw(rt, name) == 1 }
	b := &storage.Batch{Thread: id, Create: one("create", 6), Delete: one("delete", 25)}
	head := w.m.dump(id).Head
	if n := rapid.Uint64Range(0, 3).Draw(rt, "events"); n > 0 {
		from := head + 1
		if one("gap", 12) {
			from += rapid.Uint64Range(1, 2).Draw(rt, "by")
		}
		b.Events = events(id, from, from+n-1)
	}
	if one("row", 2) {
		b.Row = w.row(id)
	}
	for _, turn := range some(rt, w.turns, "turns") {
		b.Turns = append(b.Turns, storage.TurnEntry{ID: turn, Accepted: rapid.Uint64().Draw(rt, "seq")})
	}
	b.DropTurns = some(rt, w.turns, "drop")
	for _, item := range some(rt, w.items, "edits") {
		b.Edits = append(b.Edits, storage.Edit{Item: item, Seq: head})
	}
	for _, item := range some(rt, w.items, "checkpoints") {
		b.Checkpoints = append(b.Checkpoints, storage.Checkpoint{Item: item, Data: fmt.Append(nil, "text at ", head)})
	}
	b.Closed = some(rt, w.items, "closed")
	if one("key", 3) {
		b.Key = key(pick(rt, w.owners), rapid.SampledFrom([]string{"", id}).Draw(rt, "scope"), rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "key"), rapid.Int64Range(0, 20).Draw(rt, "at"))
	}
	if one("erase", 8) {
		b.EraseBefore = rapid.Uint64Range(1, head+4).Draw(rt, "before")
	}
	return b
}

func (w *walk) row(id string) *storage.Row {
	rt := w.rt
	return &storage.Row{
		ID: id, Owner: pick(rt, w.owners), Readers: some(rt, w.owners, "readers"),
		Created: rapid.Int64Range(-2, 4).Draw(rt, "created"), Updated: rapid.Int64Range(-2, 4).Draw(rt, "updated"),
		Reuse: rapid.SampledFrom([]string{"", "a " + w.owners[0], "b " + w.owners[0]}).Draw(rt, "reuse"),
		Busy:  rapid.Bool().Draw(rt, "busy"),
		Data:  fmt.Append(nil, rapid.Uint16().Draw(rt, "data")),
	}
}

// compare looks at all that the model has of all threads.
func (w *walk) compare() {
	for _, id := range w.threads {
		_, err := w.s.Thread(w.ctx, id)
		w.check(err, w.m.thread(id))
		w.equal("thread "+id, w.dump(id), w.m.dump(id))
	}
	for _, owner := range w.owners {
		for _, thread := range append(slices.Clone(w.threads), "") {
			for _, name := range []string{"a", "b"} {
				got, err := w.s.Key(w.ctx, owner, thread, name)
				want, ok := w.m.keys[[3]string{owner, thread, name}]
				w.equal("key", got, want)
				if !ok {
					w.check(err, storage.ErrNotFound)
				}
			}
		}
	}
}

// lists looks at what is made from indexes.
func (w *walk) lists() {
	rt := w.rt
	q := storage.Query{
		Reader: pick(rt, w.owners), Limit: rapid.IntRange(1, 5).Draw(rt, "limit"),
		Sort: rapid.SampledFrom(orders).Draw(rt, "sort"),
	}
	at := func(r *storage.Row) int64 { return r.Updated }
	created := func(r *storage.Row) int64 { return r.Created }
	if q.Sort == storage.SortCreated {
		at = created
	}
	w.equal("list", w.list(q), w.m.list(at, func(r *storage.Row) bool { return r.Owner == q.Reader || slices.Contains(r.Readers, q.Reader) }))

	busy := w.m.list(func(*storage.Row) int64 { return 0 }, func(r *storage.Row) bool { return r.Busy })
	slices.Reverse(busy)
	w.equal("busy", w.busy(), busy)

	reuse := "a " + w.owners[0]
	r, err := w.s.Reusable(w.ctx, reuse)
	if ids := w.m.list(created, func(r *storage.Row) bool { return r.Reuse == reuse }); len(ids) > 0 {
		w.equal("reusable", r.ID, ids[0])
	} else {
		w.check(err, storage.ErrNotFound)
	}

	tq := storage.TurnQuery{
		After: rapid.SampledFrom(append([]string{""}, w.turns...)).Draw(rt, "after"), Before: rapid.SampledFrom(append([]string{""}, w.turns...)).Draw(rt, "before"),
		Limit: rapid.IntRange(1, 4).Draw(rt, "turns"), Desc: rapid.Bool().Draw(rt, "desc"),
	}
	id := pick(rt, w.threads)
	got, err := w.s.Turns(w.ctx, id, tq)
	w.check(err, nil)
	w.equal("turns", got, w.m.turns(id, tq))
}
