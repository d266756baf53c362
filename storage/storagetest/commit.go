package storagetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/spoolhq/spool/storage"
)

var commitTests = []test{
	{name: "all parts of a batch are kept", run: allParts},
	{name: "done is not called from inside Commit", run: doneOutside},
	{name: "done may use the store", run: doneUses},
	{name: "done is called once and in order", run: doneInOrder},
	{name: "what was committed is visible in done", run: visibleInDone},
	{name: "many may commit and read at once", run: concurrent},
	{name: "Create wants an id that was never used", run: createNew},
	{name: "events must follow the journal's last", run: follow},
	{name: "a deleted thread takes nothing", run: deletedTakesNothing},
	{name: "a refused batch changes nothing", run: refusedChangesNothing},
	{name: "ids must be ids", run: badIDs},
	{name: "a batch must not contradict itself", run: badBatches},
	{name: "Close waits, and refuses what comes later", run: closing},
	{name: "an ended context ends a read", run: endedContext},
}

func allParts(f *fixture) {
	b := full(newID("thr"))
	f.keep(b)
	f.holds(b)
	got, err := f.s.Key(f.ctx, b.Key.Owner, b.Key.Thread, b.Key.Key)
	f.ok(err)
	f.same(got, *b.Key)
}

func doneOutside(f *fixture) {
	var mu sync.Mutex
	called := make(chan struct{})
	mu.Lock()
	f.s.Commit(full(newID("thr")), func(error) {
		mu.Lock() // blocks for ever if Commit calls it
		defer mu.Unlock()
		close(called)
	})
	mu.Unlock()
	<-called
}

func doneUses(f *fixture) {
	a, b := newID("thr"), newID("thr")
	result := make(chan error, 1)
	f.s.Commit(full(a), func(err error) {
		_, readErr := f.s.Thread(f.ctx, a)
		f.s.Commit(full(b), func(err2 error) { result <- errors.Join(err, readErr, err2) })
	})
	f.ok(<-result)
}

func doneInOrder(f *fixture) {
	const n = 600
	ids := make([]string, 7)
	for i := range ids {
		ids[i] = newID("thr")
	}
	var mu sync.Mutex
	var order []int
	var all sync.WaitGroup
	all.Add(n)
	for i := range n {
		id := ids[i%len(ids)]
		seq := uint64(i/len(ids)) + 1
		if i%5 == 4 {
			seq = 1 << 40 // a conflict keeps its place as well
		}
		f.s.Commit(&storage.Batch{Thread: id, Events: events(id, seq, seq)}, func(error) {
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
			all.Done() // panics when called twice
		})
	}
	all.Wait()
	for i, got := range order {
		if got != i {
			f.Fatalf("done number %d is that of commit %d", i, got)
		}
	}
}

func visibleInDone(f *fixture) {
	id := newID("thr")
	for seq := uint64(1); seq <= 20; seq++ {
		heads := make(chan uint64, 1)
		f.s.Commit(&storage.Batch{Thread: id, Events: events(id, seq, seq)}, func(error) {
			head, _ := f.s.Head(f.ctx, id)
			heads <- head
		})
		f.same(<-heads, seq)
	}
}

// concurrent checks that each writer's journal is whole, and that a reader never sees
// part of a batch (each has two events) or a head that goes back.
func concurrent(f *fixture) {
	const writers, batches = 12, 40
	var writing, reading sync.WaitGroup
	var stop atomic.Bool
	for range writers {
		id := newID("thr")
		writing.Go(func() {
			for i := range uint64(batches) {
				b := &storage.Batch{Thread: id, Events: events(id, 2*i+1, 2*i+2), Row: row(id, int64(i))}
				if err := f.commit(b); err != nil {
					f.Errorf("commit %d of %s: %v", i, id, err)
					return
				}
			}
		})
		reading.Go(func() {
			last := 0
			for !stop.Load() {
				got, err := f.s.Events(f.ctx, id, 0, 0, 1<<30)
				if err != nil || len(got)%2 != 0 || len(got) < last {
					f.Errorf("%d events after %d: %v", len(got), last, err)
					return
				}
				last = len(got)
			}
		})
	}
	writing.Wait()
	stop.Store(true)
	reading.Wait()
	ids := f.list(storage.Query{Reader: "alice", Limit: 5})
	f.same(len(ids), writers)
	for _, id := range ids {
		f.same(f.dump(id).Events, events(id, 1, 2*batches))
	}
}

func createNew(f *fixture) {
	withRow, withEvents, gone := newID("thr"), newID("thr"), newID("thr")
	f.keep(
		&storage.Batch{Thread: withRow, Create: true, Row: row(withRow, 1)},
		&storage.Batch{Thread: withEvents, Create: true, Events: events(withEvents, 1, 1)},
		&storage.Batch{Thread: gone, Create: true, Row: row(gone, 1)},
		&storage.Batch{Thread: gone, Delete: true},
	)
	for _, id := range []string{withRow, withEvents, gone} {
		f.refused(&storage.Batch{Thread: id, Create: true, Row: row(id, 2)}, storage.ErrExists)
	}
	unknown := newID("thr")
	f.keep(&storage.Batch{Thread: unknown, Delete: true})
	f.refused(&storage.Batch{Thread: unknown, Create: true}, storage.ErrExists)
}

func follow(f *fixture) {
	id := newID("thr")
	f.refused(&storage.Batch{Thread: id, Events: events(id, 2, 2)}, storage.ErrConflict)
	f.keep(&storage.Batch{Thread: id, Events: events(id, 1, 3)})
	for _, seq := range []uint64{1, 3, 5} {
		f.refused(&storage.Batch{Thread: id, Events: events(id, seq, seq+1)}, storage.ErrConflict)
	}
	f.keep(&storage.Batch{Thread: id, Events: events(id, 4, 4)})
	f.same(f.dump(id).Events, events(id, 1, 4))
}

func deletedTakesNothing(f *fixture) {
	id := newID("thr")
	f.keep(full(id), &storage.Batch{Thread: id, Delete: true})
	for _, b := range []*storage.Batch{
		{Thread: id, Events: events(id, 1, 1)},
		{Thread: id, Row: row(id, 1)},
		{Thread: id, Turns: []storage.TurnEntry{{ID: newID("turn")}}},
		{Thread: id, Checkpoints: []storage.Checkpoint{{Item: newID("item")}}},
	} {
		f.refused(b, storage.ErrConflict)
	}
	f.same(f.dump(id), dump{})
}

func refusedChangesNothing(f *fixture) {
	first := full(newID("thr"))
	f.keep(first)
	again := full(first.Thread) // other turns and items
	again.Key.Result = []byte("other")
	f.refused(again, storage.ErrExists)
	again.Create = false
	again.EraseBefore = 2
	f.refused(again, storage.ErrConflict)
	f.holds(first)
	got, err := f.s.Key(f.ctx, "alice", first.Thread, "k")
	f.ok(err)
	f.same(got, *first.Key)

	// Those that come with it are kept.
	other := full(newID("thr"))
	results := make(chan error, 3)
	for _, b := range []*storage.Batch{again, other, again} {
		f.s.Commit(b, func(err error) { results <- err })
	}
	f.is(<-results, storage.ErrConflict)
	f.ok(<-results)
	f.is(<-results, storage.ErrConflict)
	f.holds(other)
}

// notIDs are close to ids.
func notIDs() []string {
	good := newID("thr")
	return []string{
		"", "thr", "thr_", good[4:], good[3:], good + "0", good[:len(good)-1], "Thr" + good[3:], "th_r" + good[3:],
		"abcdefghijklmnopq" + good[3:], "thr_01jd3z0000000000000000000a", "thr_8" + good[5:], "thr_U" + good[5:],
		"thr_00000000000000000000000000", good[:10] + "\x00" + good[11:],
	}
}

func badIDs(f *fixture) {
	id := newID("thr")
	for _, bad := range notIDs() {
		for _, b := range []*storage.Batch{
			{Thread: bad},
			{Thread: bad, Delete: true},
			{Thread: id, Turns: []storage.TurnEntry{{ID: bad}}},
			{Thread: id, DropTurns: []string{bad}},
			{Thread: id, Edits: []storage.Edit{{Item: bad}}},
			{Thread: id, Checkpoints: []storage.Checkpoint{{Item: bad}}},
			{Thread: id, Closed: []string{bad}},
		} {
			f.refused(b, storage.ErrBadID)
		}
		if bad != "" {
			f.refused(&storage.Batch{Thread: id, Key: &storage.KeyResult{Thread: bad}}, storage.ErrBadID)
		}
		for i, err := range f.readWith(bad) {
			if !errors.Is(err, storage.ErrBadID) {
				f.Errorf("read %d of %q: got error %v", i, bad, err)
			}
		}
	}
	f.same(f.dump(id), dump{})
}

// readWith calls all methods that take an id.
func (f *fixture) readWith(id string) []error {
	good := newID("thr")
	_, events := f.s.Events(f.ctx, id, 0, 0, 1)
	_, head := f.s.Head(f.ctx, id)
	_, thread := f.s.Thread(f.ctx, id)
	_, turn := f.s.Turn(f.ctx, id, good)
	_, turn2 := f.s.Turn(f.ctx, good, id)
	_, turns := f.s.Turns(f.ctx, id, storage.TurnQuery{Limit: 1})
	_, edits := f.s.Edits(f.ctx, id)
	_, checkpoints := f.s.Checkpoints(f.ctx, id)
	errs := []error{events, head, thread, turn, turn2, turns, edits, checkpoints}
	if id != "" { // which is allowed below
		_, key := f.s.Key(f.ctx, "alice", id, "k")
		_, after := f.s.Turns(f.ctx, good, storage.TurnQuery{After: id, Limit: 1})
		_, before := f.s.Turns(f.ctx, good, storage.TurnQuery{Before: id, Limit: 1})
		errs = append(errs, key, after, before)
	}
	return errs
}

func badBatches(f *fixture) {
	id, other := newID("thr"), newID("thr")
	for _, b := range []*storage.Batch{
		{Thread: id, Events: []storage.Event{{Seq: 0}}},
		{Thread: id, Events: []storage.Event{{Seq: 1}, {Seq: 3}}},
		{Thread: id, Events: []storage.Event{{Seq: 1}, {Seq: 1}}},
		{Thread: id, Row: row(other, 1)},
	} {
		f.refused(b, storage.ErrBadBatch)
	}
	f.same(f.dump(id), dump{})
}

func closing(f *fixture) {
	id := newID("thr")
	const n = 50
	results := make(chan error, 2*n)
	for seq := uint64(1); seq <= n; seq++ {
		f.s.Commit(&storage.Batch{Thread: id, Events: events(id, seq, seq)}, func(err error) { results <- err })
	}
	f.ok(f.s.Close())
	if len(results) != n {
		f.Fatalf("Close returned after %d of %d commits", len(results), n)
	}
	f.ok(f.s.Close())
	for seq := uint64(n + 1); seq <= 2*n; seq++ {
		f.s.Commit(&storage.Batch{Thread: id, Events: events(id, seq, seq)}, func(err error) {
			results <- fmt.Errorf("%d: %w", seq, err)
		})
	}
	for range n {
		f.ok(<-results)
	}
	for seq := n + 1; seq <= 2*n; seq++ {
		err := <-results
		f.is(err, storage.ErrClosed)
		f.same(err.Error(), fmt.Sprintf("%d: %v", seq, storage.ErrClosed))
	}
	for _, err := range f.readWith(id) {
		f.is(err, storage.ErrClosed)
	}
	_, err := f.s.PruneKeys(f.ctx, 1)
	f.is(err, storage.ErrClosed)
}

func endedContext(f *fixture) {
	id := newID("thr")
	f.keep(full(id))
	reason := errors.New("a reason")
	ctx := f.ctx
	defer func() { f.ctx = ctx }()
	f.ctx = ended(ctx, reason)
	for _, err := range f.readWith(id) {
		f.is(err, reason)
	}
	_, err := f.s.Threads(f.ctx, storage.Query{Reader: "alice", Limit: 1})
	f.is(err, reason)
	_, err = f.s.Reusable(f.ctx, "x")
	f.is(err, reason)
	_, err = f.s.PruneKeys(f.ctx, 1)
	f.is(err, reason)
	for _, err := range f.s.Busy(f.ctx) {
		f.is(err, reason)
	}
}
