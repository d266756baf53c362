package bolt

import (
	"bytes"
	"context"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/spoolhq/spool/storage"
)

// Derived is what the journal of a thread demands of its indexes.
type Derived struct {
	Turns []storage.TurnEntry
	Edits []storage.Edit
	// Leftover are the ids of checkpoints that belong to nothing.
	Leftover []string
	// Keep says that the journal cannot be read to its end: what there is in the indexes
	// stays.
	Keep bool
}

// Rebuild makes the indexes of a store that nobody has open anew, from rows, answers and
// journals, and leaves out what belongs to nothing. derive reads a journal; its error ends
// the rebuild. Damage of anything but indexes stays as it is: pages that cannot be read are
// an error that wraps storage.ErrCorrupt. The old file is kept under another name.
func Rebuild(ctx context.Context, o Options, derive func(ctx context.Context, s *Store, row storage.Row) (Derived, error), progress func(bytes int64)) (Rewritten, error) {
	w := &rewriter{ctx: ctx, o: o, op: "rebuild", progress: progress}
	return w.run(func(src *Store) error {
		if err := w.readable(src); err != nil {
			return err
		}
		return w.fill(src, func(tx *bbolt.Tx) error {
			return w.rebuild(tx, func(row storage.Row) (Derived, error) { return derive(ctx, src, row) })
		})
	}, true)
}

// readable checks the pages of all that is not made anew, and notes which of the rest
// cannot be read.
func (w *rewriter) readable(src *Store) error {
	st, err := src.file.Stat()
	if err != nil {
		return err
	}
	found, _, err := inspectAll(w.ctx, src.file, st.Size())
	if err != nil {
		return err
	}
	for b := range buckets {
		err := found[schema[b].name]
		if err != nil && !derived[b] {
			return fmt.Errorf("bucket %s cannot be read, and nothing else says what was in it: %w", schema[b].name, err)
		}
		w.broken[b] = err != nil
	}
	return nil
}

// rebuild copies what is not derived and makes the rest anew.
func (w *rewriter) rebuild(src *bbolt.Tx, derive func(storage.Row) (Derived, error)) error {
	for b := range buckets {
		if _, err := w.tx.CreateBucketIfNotExists([]byte(schema[b].name)); err != nil {
			return err
		}
	}
	gone := deleted.in(src)
	for b := range buckets {
		if derived[b] || b == checkpoints {
			continue
		}
		wanted := func([]byte) bool { return true }
		if b == journal || b == threads {
			wanted = func(k []byte) bool { return len(k) < 16 || gone.Get(k[:16]) == nil }
		}
		if err := w.copy([]byte(schema[b].name), b.in(src), wanted); err != nil {
			return err
		}
	}
	if err := w.indexAnswers(src); err != nil {
		return err
	}
	return threads.in(src).ForEach(func(k, v []byte) error {
		if len(k) != 16 || gone.Get(k) != nil {
			return nil
		}
		row, _, ok := openRow(k, v)
		if !ok {
			return w.keepParts(src, id(k))
		}
		d, err := derive(row)
		if err != nil {
			return err
		}
		return w.indexRow(src, id(k), row, d)
	})
}

func (w *rewriter) indexAnswers(src *bbolt.Tx) error {
	return idempotency.in(src).ForEach(func(k, v []byte) error {
		b, _ := unseal(k, v)
		r, ok := parseAnswer(b)
		if !ok {
			return nil
		}
		return w.put([]byte(schema[keysByTime].name), append(appendTime(nil, r.At), k...), nothing)
	})
}

// indexRow writes what a thread has beside journal and row.
func (w *rewriter) indexRow(src *bbolt.Tx, thread id, row storage.Row, d Derived) error {
	l := list(&row, nil)
	for _, b := range listIndexes {
		for _, key := range l.keys(b, thread) {
			if err := w.put([]byte(schema[b].name), key, nothing); err != nil {
				return err
			}
		}
	}
	if d.Keep {
		return w.keepParts(src, thread)
	}
	for i := range d.Turns {
		prefix, turn, err := storage.ParseID(d.Turns[i].ID)
		if err != nil {
			return err
		}
		key := append(thread[:], turn[:]...)
		v := appendTurn(make([]byte, sumSize, sumSize+32+len(prefix)), prefix, &d.Turns[i])
		if err := w.put([]byte(schema[turns].name), key, seal(key, v)); err != nil {
			return err
		}
	}
	for _, e := range d.Edits {
		prefix, item, err := storage.ParseID(e.Item)
		if err != nil {
			return err
		}
		key := append(thread[:], item[:]...)
		if err := w.put([]byte(schema[edits].name), key, seal(key, appendEdit(make([]byte, sumSize), prefix, e.Seq))); err != nil {
			return err
		}
	}
	drop := map[id]bool{}
	for _, name := range d.Leftover {
		if _, key, err := storage.ParseID(name); err == nil {
			drop[key] = true
		}
	}
	return w.copyParts(src, checkpoints, thread, drop)
}

// keepParts copies what a thread has beside journal and row, as nobody can say what it
// should be.
func (w *rewriter) keepParts(src *bbolt.Tx, thread id) error {
	for _, b := range []bucket{turns, edits, checkpoints} {
		if err := w.copyParts(src, b, thread, nil); err != nil {
			return err
		}
	}
	return nil
}

// copyParts copies the records of a thread from a bucket that can be read.
func (w *rewriter) copyParts(src *bbolt.Tx, b bucket, thread id, drop map[id]bool) error {
	if w.broken[b] {
		return nil
	}
	c := b.in(src).Cursor()
	for k, v := c.Seek(thread[:]); bytes.HasPrefix(k, thread[:]); k, v = c.Next() {
		if len(k) != 32 || drop[id(k[16:])] {
			continue
		}
		if err := w.put([]byte(schema[b].name), k, v); err != nil {
			return err
		}
	}
	return nil
}
