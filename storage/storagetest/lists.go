package storagetest

import (
	"fmt"
	"slices"

	"github.com/spoolhq/spool/storage"
)

var listTests = []test{
	{name: "newest first, by either time", run: listOrder},
	{name: "owner and readers see it, once", run: listReaders},
	{name: "a replaced row is listed as it is now", run: listReplaced},
	{name: "pages of any size hold the same", run: listPages},
	{name: "pages are bounded in bytes", run: listBytes},
	{name: "Match chooses", run: listMatch},
	{name: "a page looks at a bounded number of rows", run: listBounded},
	{name: "pages are stable while rows come and go", run: listStable},
	{name: "a cursor belongs to its list", run: listCursors},
	{name: "what is required is required", run: listRequired},
}

var orders = []storage.Sort{0, storage.SortUpdated, storage.SortCreated}

func listOrder(f *fixture) {
	a, b, c, d := newID("thr"), newID("thr"), newID("thr"), newID("thr")
	for id, times := range map[string][2]int64{a: {1, 40}, b: {2, 20}, c: {3, 20}, d: {-7, 30}} {
		r := row(id, 0)
		r.Created, r.Updated = times[0], times[1]
		f.keep(&storage.Batch{Thread: id, Row: r})
	}
	f.same(f.list(storage.Query{Reader: "alice", Limit: 9}), []string{a, d, c, b})
	f.same(f.list(storage.Query{Reader: "alice", Limit: 9, Sort: storage.SortUpdated}), []string{a, d, c, b})
	f.same(f.list(storage.Query{Reader: "alice", Limit: 9, Sort: storage.SortCreated}), []string{c, b, a, d})
	page, err := f.s.Threads(f.ctx, storage.Query{Reader: "alice", Limit: 1})
	f.ok(err)
	r := row(a, 0)
	r.Created, r.Updated = 1, 40
	f.same(page.Rows, []storage.Row{*r})
}

func listReaders(f *fixture) {
	a, b := newID("thr"), newID("thr")
	ra, rb := row(a, 1), row(b, 2)
	ra.Owner, ra.Readers = "alice", []string{"bob", "alice", "bob"}
	rb.Owner, rb.Readers = "bob", nil
	f.keep(&storage.Batch{Thread: a, Row: ra}, &storage.Batch{Thread: b, Row: rb})
	for _, order := range orders {
		f.same(f.list(storage.Query{Reader: "alice", Sort: order, Limit: 9}), []string{a})
		f.same(f.list(storage.Query{Reader: "bob", Sort: order, Limit: 9}), []string{b, a})
		f.same(f.list(storage.Query{Reader: "bo", Sort: order, Limit: 9}), []string(nil))
	}
}

func listReplaced(f *fixture) {
	a, b := newID("thr"), newID("thr")
	f.keep(&storage.Batch{Thread: a, Row: row(a, 10)}, &storage.Batch{Thread: b, Row: row(b, 20)})
	f.same(f.list(storage.Query{Reader: "bob", Limit: 9}), []string{b, a})
	r := row(a, 10)
	r.Updated, r.Created, r.Readers = 30, 30, []string{"bob", "dave"}
	f.keep(&storage.Batch{Thread: a, Row: r})
	for _, order := range orders {
		f.same(f.list(storage.Query{Reader: "alice", Sort: order, Limit: 9}), []string{a, b})
		f.same(f.list(storage.Query{Reader: "bob", Sort: order, Limit: 9}), []string{a, b})
		f.same(f.list(storage.Query{Reader: "carol", Sort: order, Limit: 9}), []string{b})
		f.same(f.list(storage.Query{Reader: "dave", Sort: order, Limit: 9}), []string{a})
	}
	same := *r
	same.Data = []byte("new")
	f.keep(&storage.Batch{Thread: a, Row: &same})
	page, err := f.s.Threads(f.ctx, storage.Query{Reader: "dave", Limit: 1})
	f.ok(err)
	f.same(page, storage.Page{Rows: []storage.Row{same}})
}

// fill makes n threads, two a millisecond, and returns their ids, the newest first.
func (f *fixture) fill(n int) (ids []string) {
	f.Helper()
	batches := make([]*storage.Batch, n)
	for i := range batches {
		id := newID("thr")
		batches[i] = &storage.Batch{Thread: id, Row: &storage.Row{ID: id, Owner: "alice", Created: int64(i / 2), Updated: int64(i / 2), Agent: fmt.Sprint(i)}}
		ids = append(ids, id)
	}
	f.keep(batches...)
	slices.Reverse(ids)
	return ids
}

func listPages(f *fixture) {
	want := f.fill(23)
	for _, limit := range []int{1, 2, 5, 22, 23, 24} {
		for _, order := range orders {
			f.same(f.list(storage.Query{Reader: "alice", Sort: order, Limit: limit}), want)
		}
	}
	page, err := f.s.Threads(f.ctx, storage.Query{Reader: "alice", Limit: 23})
	f.ok(err)
	f.same(page.Next, "") // nothing follows, so there is no next page
}

// listBytes checks that a page ends with the row that fills it.
func listBytes(f *fixture) {
	ids := f.fill(9)
	var batches []*storage.Batch
	for i, id := range ids {
		batches = append(batches, &storage.Batch{Thread: id, Row: &storage.Row{ID: id, Owner: "alice", Created: int64(9 - i), Updated: int64(9 - i), Data: make([]byte, 100)}})
	}
	f.keep(batches...)
	for bytes, rows := range map[int]int{1: 1, 100: 1, 101: 2, 250: 3, 800: 8, 801: 9, 5000: 9} {
		q := storage.Query{Reader: "alice", Limit: 9, Bytes: bytes}
		page, err := f.s.Threads(f.ctx, q)
		f.ok(err)
		if len(page.Rows) != rows || (page.Next == "") != (rows == 9) {
			f.Errorf("with %d bytes a page has %d rows, and %q comes next", bytes, len(page.Rows), page.Next)
		}
		f.same(f.list(q), ids)
	}
}

func listMatch(f *fixture) {
	ids := f.fill(20)
	var want []string
	for i, id := range ids {
		if (19-i)%3 == 0 { // the first was filled last
			want = append(want, id)
		}
	}
	match := func(r storage.Row) bool {
		var n int
		_, _ = fmt.Sscan(r.Agent, &n)
		return n%3 == 0
	}
	for _, limit := range []int{1, 3, 20} {
		f.same(f.list(storage.Query{Reader: "alice", Limit: limit, Match: match}), want)
	}
	f.same(f.list(storage.Query{Reader: "alice", Limit: 4, Match: func(storage.Row) bool { return false }}), []string(nil))
}

func listBounded(f *fixture) {
	ids := f.fill(storage.MaxScan + 3)
	looked := 0
	q := storage.Query{Reader: "alice", Limit: 5, Match: func(r storage.Row) bool {
		looked++
		return r.ID == ids[len(ids)-1]
	}}
	page, err := f.s.Threads(f.ctx, q)
	f.ok(err)
	if looked != storage.MaxScan || len(page.Rows) != 0 || page.Next == "" {
		f.Errorf("looked at %d rows, found %d, next %q", looked, len(page.Rows), page.Next)
	}
	q.Cursor = page.Next
	page, err = f.s.Threads(f.ctx, q)
	f.ok(err)
	if looked != storage.MaxScan+3 || len(page.Rows) != 1 || page.Next != "" {
		f.Errorf("looked at %d rows in all, found %d, next %q", looked, len(page.Rows), page.Next)
	}
}

// listStable walks through a list while, between two pages, a row is added, one is
// moved to the front, one is removed, and the row where the cursor stands goes away.
func listStable(f *fixture) {
	ids := f.fill(30)
	still := make(map[string]bool)
	for _, id := range ids {
		still[id] = true
	}
	seen := make(map[string]int)
	q := storage.Query{Reader: "alice", Limit: 4}
	for n := 0; ; n++ {
		page, err := f.s.Threads(f.ctx, q)
		f.ok(err)
		for _, r := range page.Rows {
			seen[r.ID]++
		}
		if q.Cursor = page.Next; page.Next == "" {
			break
		}
		last := page.Rows[len(page.Rows)-1]
		removed, moved, added := ids[n], ids[len(ids)-1-n], newID("thr")
		still[removed], still[moved], still[last.ID] = false, false, false
		f.keep(
			&storage.Batch{Thread: added, Row: &storage.Row{ID: added, Owner: "alice", Updated: 1000}},
			&storage.Batch{Thread: removed, Delete: true},
			&storage.Batch{Thread: last.ID, Delete: true},
		)
		// It may be the one that was removed just now.
		if err := f.commit(&storage.Batch{Thread: moved, Row: &storage.Row{ID: moved, Owner: "alice", Updated: 2000}}); err != nil {
			f.is(err, storage.ErrConflict)
		}
	}
	for id, stayed := range still {
		if stayed && seen[id] != 1 {
			f.Errorf("%s stayed where it was and was seen %d times", id, seen[id])
		}
	}
	for id, n := range seen {
		if n > 1 {
			f.Errorf("%s was seen %d times", id, n)
		}
	}
}

func listCursors(f *fixture) {
	f.fill(4)
	other := newID("thr")
	f.keep(&storage.Batch{Thread: other, Row: &storage.Row{ID: other, Owner: "bob"}})
	page, err := f.s.Threads(f.ctx, storage.Query{Reader: "alice", Limit: 2})
	f.ok(err)
	good := page.Next
	next, err := f.s.Threads(f.ctx, storage.Query{Reader: "alice", Limit: 2, Cursor: good, Sort: storage.SortUpdated})
	f.ok(err)
	f.same(len(next.Rows), 2)
	for _, q := range []storage.Query{
		{Reader: "bob", Cursor: good},
		{Reader: "alice", Cursor: good, Sort: storage.SortCreated},
		{Reader: "alice", Cursor: "x"},
		{Reader: "alice", Cursor: good + "A"},
		{Reader: "alice", Cursor: good[1:]},
		{Reader: "alice", Cursor: "B" + good[1:]},
		{Reader: "alice", Cursor: good + "\n"},
		{Reader: "alice", Cursor: other},
	} {
		q.Limit = 2
		_, err := f.s.Threads(f.ctx, q)
		f.is(err, storage.ErrCursor)
	}
}

func listRequired(f *fixture) {
	for _, q := range []storage.Query{
		{Limit: 1},
		{Reader: "alice"},
		{Reader: "alice", Limit: -1},
		{Reader: "alice", Limit: 1, Sort: 3},
	} {
		if _, err := f.s.Threads(f.ctx, q); err == nil {
			f.Errorf("query %+v was answered", q)
		}
	}
	if _, err := f.s.Turns(f.ctx, newID("thr"), storage.TurnQuery{}); err == nil {
		f.Errorf("a query for turns without a limit was answered")
	}
}
