// Package storagetest is what every storage.Store has to pass. It tests what the
// documentation of package storage promises, sentence by sentence, and plays random
// work against a model.
package storagetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/spoolhq/spool/storage"
)

// Config says how the suite gets its stores.
type Config struct {
	// Open makes an empty store. It registers with t what is to be done with the store
	// at the end: at least Close, which the suite may have called before.
	Open func(t *testing.T) storage.Store

	// Reopen closes a store that Open or Reopen made, and opens it again with what it
	// kept. nil: the stores are not durable.
	Reopen func(t *testing.T, s storage.Store) storage.Store

	// Brief plays less of the random work: for wrappers of a store that was tested
	// before.
	Brief bool
}

// Run runs the suite as subtests of t.
func Run(t *testing.T, c Config) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Commit", commitTests},
		{"Journal", journalTests},
		{"Rows", rowTests},
		{"Lists", listTests},
		{"Turns", turnTests},
		{"Keys", keyTests},
		{"Durable", durableTests},
		{"Model", modelTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					if test.durable && c.Reopen == nil {
						t.Skip("this store is not durable")
					}
					f := &fixture{T: t, ctx: t.Context(), config: c}
					f.s = c.Open(t)
					test.run(f)
				})
			}
		})
	}
}

type test struct {
	name    string
	run     func(*fixture)
	durable bool
}

// fixture is a store under test.
type fixture struct {
	*testing.T
	ctx    context.Context
	s      storage.Store
	config Config
}

// reopen closes the store and opens it again.
func (f *fixture) reopen() {
	f.Helper()
	f.s = f.config.Reopen(f.T, f.s)
}

// newID makes an id that is higher than those before.
func newID(prefix string) string { return prefix + "_" + ulid.Make().String() }

// commit waits for the end of a commit.
func (f *fixture) commit(b *storage.Batch) error {
	result := make(chan error, 1)
	f.s.Commit(b, func(err error) { result <- err })
	return <-result
}

// keep commits batches that must succeed.
func (f *fixture) keep(batches ...*storage.Batch) {
	f.Helper()
	results := make(chan error, len(batches))
	for _, b := range batches {
		f.s.Commit(b, func(err error) { results <- err })
	}
	for range batches {
		if err := <-results; err != nil {
			f.Fatalf("Commit: %v", err)
		}
	}
}

// refused commits a batch that must fail with want.
func (f *fixture) refused(b *storage.Batch, want error) {
	f.Helper()
	f.is(f.commit(b), want)
}

// is checks for an error.
func (f *fixture) is(err, want error) {
	f.Helper()
	if !errors.Is(err, want) {
		f.Errorf("got error %v, want %v", err, want)
	}
}

// ok checks that there is no error.
func (f *fixture) ok(err error) {
	f.Helper()
	if err != nil {
		f.Fatalf("got error %v", err)
	}
}

// same compares, where nothing and an empty list are the same.
func (f *fixture) same(got, want any) {
	f.Helper()
	if d := diff(want, got); d != "" {
		f.Errorf("-want +got\n%s", d)
	}
}

// events makes events with the given seqs, with frames that tell them apart.
func events(thread string, from, to uint64) []storage.Event {
	var out []storage.Event
	for seq := from; seq <= to; seq++ {
		out = append(out, storage.Event{Seq: seq, Frame: frame(thread, seq)})
	}
	return out
}

// frame is 40 bytes long.
func frame(thread string, seq uint64) []byte { return fmt.Appendf(nil, "%s%010d", thread, seq) }

// row makes a row with all fields set.
func row(id string, at int64) *storage.Row {
	return &storage.Row{
		ID: id, Owner: "alice", Readers: []string{"bob", "carol"}, Agent: "script", Status: "idle",
		Created: at, Updated: at + 1, Reuse: "reuse " + id, Busy: true, Data: []byte(`{"n":1}`),
	}
}

// full makes a batch that creates a thread and fills every part of it.
func full(id string) *storage.Batch {
	return &storage.Batch{
		Thread: id, Create: true,
		Events:      events(id, 1, 3),
		Row:         row(id, 1000),
		Turns:       []storage.TurnEntry{{ID: newID("turn"), Accepted: 1, Started: 2, Ended: 3, Input: 1}},
		Edits:       []storage.Edit{{Item: newID("item"), Seq: 3}},
		Checkpoints: []storage.Checkpoint{{Item: newID("item"), Data: []byte("so far")}},
		Key:         &storage.KeyResult{Owner: "alice", Thread: id, Key: "k", Hash: []byte("h"), Result: []byte("r"), At: 5},
	}
}

// holds checks that the store has of a thread exactly what one batch brought.
func (f *fixture) holds(b *storage.Batch) {
	f.Helper()
	got := f.dump(b.Thread)
	want := dump{Events: b.Events, Turns: b.Turns, Edits: map[string]uint64{}, Checkpoints: b.Checkpoints}
	if b.Row != nil {
		want.Row = *b.Row
	}
	if n := len(b.Events); n > 0 {
		want.Head = b.Events[n-1].Seq
	}
	for _, e := range b.Edits {
		want.Edits[e.Item] = e.Seq
	}
	f.same(got, want)
}

// dump is all that a store has of a thread, but for keys.
type dump struct {
	Row         storage.Row
	Head        uint64
	Events      []storage.Event
	Turns       []storage.TurnEntry
	Edits       map[string]uint64
	Checkpoints []storage.Checkpoint
}

func (f *fixture) dump(thread string) (d dump) {
	f.Helper()
	var err error
	d.Row, err = f.s.Thread(f.ctx, thread)
	if !errors.Is(err, storage.ErrNotFound) {
		f.ok(err)
	}
	d.Head, err = f.s.Head(f.ctx, thread)
	f.ok(err)
	d.Events, err = f.s.Events(f.ctx, thread, 0, 0, 1<<30)
	f.ok(err)
	d.Turns, err = f.s.Turns(f.ctx, thread, storage.TurnQuery{Limit: storage.MaxScan})
	f.ok(err)
	d.Edits, err = f.s.Edits(f.ctx, thread)
	f.ok(err)
	d.Checkpoints, err = f.s.Checkpoints(f.ctx, thread)
	f.ok(err)
	return d
}

// list follows a list to its end, in pages of the given size.
func (f *fixture) list(q storage.Query) []string {
	f.Helper()
	var ids []string
	for {
		page, err := f.s.Threads(f.ctx, q)
		f.ok(err)
		if len(page.Rows) > q.Limit {
			f.Fatalf("a page has %d rows, %d were asked for", len(page.Rows), q.Limit)
		}
		for _, r := range page.Rows {
			ids = append(ids, r.ID)
		}
		if page.Next == "" {
			return ids
		}
		q.Cursor = page.Next
	}
}

// busy returns the ids that Busy yields.
func (f *fixture) busy() (ids []string) {
	f.Helper()
	for r, err := range f.s.Busy(f.ctx) {
		f.ok(err)
		if !r.Busy {
			f.Errorf("row of %s is not busy", r.ID)
		}
		ids = append(ids, r.ID)
	}
	return ids
}
