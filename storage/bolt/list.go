package bolt

import (
	"bytes"
	"context"
	"iter"

	"github.com/oklog/ulid/v2"
	"go.etcd.io/bbolt"

	"github.com/spoolhq/spool/storage"
)

// window walks over the records of a thread whose second id is between two bounds, both
// exclusive, nil for none.
type window struct {
	c             *bbolt.Cursor
	thread        id
	after, before *id
	desc          bool
}

func newWindow(c *bbolt.Cursor, thread id, after, before *id, desc bool) *window {
	return &window{c: c, thread: thread, after: after, before: before, desc: desc}
}

func (w *window) first() (k, v []byte) {
	key := w.thread[:]
	switch {
	case w.desc && w.before != nil:
		key = append(key, w.before[:]...)
	case w.desc:
		key = append(key, bytes.Repeat([]byte{0xff}, 17)...)
	case w.after != nil:
		key = append(append(key, w.after[:]...), 0) // the next that there can be
	}
	if w.desc {
		return w.within(seekBefore(w.c, key))
	}
	return w.within(w.c.Seek(key))
}

func (w *window) next() (k, v []byte) {
	if w.desc {
		return w.within(w.c.Prev())
	}
	return w.within(w.c.Next())
}

func (w *window) within(k, v []byte) ([]byte, []byte) {
	switch {
	case len(k) != 32 || !bytes.HasPrefix(k, w.thread[:]):
		return nil, nil
	case w.after != nil && bytes.Compare(k[16:], w.after[:]) <= 0:
		return nil, nil
	case w.before != nil && bytes.Compare(k[16:], w.before[:]) >= 0:
		return nil, nil
	}
	return k, v
}

// indexSize is the length of a key of byUpdated, byCreated and reuse.
const indexSize = 16 + 8 + 16

// placeIn is the place that an index key stands for.
func placeIn(k []byte) storage.Place {
	return storage.Place{At: timeAt(k[16:]), ID: id(k[24:])}
}

// newest goes to the first entry of a list that is older than p, nil for the newest.
func newest(c *bbolt.Cursor, h hash, p *storage.Place) []byte {
	key := make([]byte, 0, indexSize+1)
	key = append(key, h[:]...)
	if p != nil {
		key = append(appendTime(key, p.At), p.ID[:]...)
	} else {
		key = append(key, bytes.Repeat([]byte{0xff}, 25)...)
	}
	k, _ := seekBefore(c, key)
	return inList(k, h)
}

// inList returns k where it belongs to the list of h, else nil.
func inList(k []byte, h hash) []byte {
	if len(k) != indexSize || !bytes.HasPrefix(k, h[:]) {
		return nil
	}
	return k
}

// listed returns the row that an index names.
func (s *Store) listed(tx *bbolt.Tx, thread []byte) (storage.Row, error) {
	row, err := s.row(tx, thread)
	if err == nil && row.ID == "" {
		err = s.damage("the row of thread %s is missing", ulid.ULID(thread))
	}
	return row, err
}

// Reusable implements storage.Store.
func (s *Store) Reusable(ctx context.Context, key string) (row storage.Row, err error) {
	if key == "" {
		return row, storage.ErrNotFound
	}
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		k := newest(reuse.in(tx).Cursor(), hashOf(key), nil)
		if k == nil {
			return storage.ErrNotFound
		}
		row, err = s.listed(tx, k[24:])
		return err
	})
	return row, err
}

// Threads implements storage.Store.
func (s *Store) Threads(ctx context.Context, q storage.Query) (page storage.Page, err error) {
	if err := q.Check(); err != nil {
		return page, err
	}
	from, err := q.Place()
	if err != nil {
		return page, err
	}
	index := byUpdated
	if q.Order() == storage.SortCreated {
		index = byCreated
	}
	h := hashOf(q.Reader)
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		c := index.in(tx).Cursor()
		var last storage.Place
		looked, bytes := 0, 0
		for k := newest(c, h, from); k != nil; looked++ {
			if q.Full(len(page.Rows), bytes) || looked == storage.MaxScan {
				page.Next = q.CursorAt(last)
				return nil
			}
			row, err := s.listed(tx, k[24:])
			if err != nil {
				return err
			}
			if matches(q, row) {
				page.Rows = append(page.Rows, row)
				bytes += len(row.Data)
			}
			last = placeIn(k)
			k, _ = c.Prev()
			k = inList(k, h)
		}
		return nil
	})
	return page, err
}

// foreignPanic is a panic in a function of the caller: no damage of the file.
type foreignPanic struct{ value any }

func matches(q storage.Query, row storage.Row) bool {
	if q.Match == nil {
		return true
	}
	defer func() {
		if p := recover(); p != nil {
			panic(foreignPanic{p})
		}
	}()
	return q.Match(row)
}

// busyStep is how many rows one read transaction of Busy copies.
const busyStep = 256

// Busy implements storage.Store.
func (s *Store) Busy(ctx context.Context) iter.Seq2[storage.Row, error] {
	return func(yield func(storage.Row, error) bool) {
		next := []byte{}
		for next != nil {
			rows, more, err := s.busyFrom(ctx, next)
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
			}
			if err != nil {
				yield(storage.Row{}, err)
				return
			}
			next = more
		}
	}
}

// busyFrom returns some of the busy rows from a key on, and the key to go on with, nil
// at the end.
func (s *Store) busyFrom(ctx context.Context, from []byte) (rows []storage.Row, next []byte, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		c := busy.in(tx).Cursor()
		for k, _ := c.Seek(from); k != nil; k, _ = c.Next() {
			if len(rows) == busyStep {
				next = bytes.Clone(k)
				return nil
			}
			row, err := s.listed(tx, k)
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
		return nil
	})
	return rows, next, err
}
