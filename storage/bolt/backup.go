package bolt

import (
	"context"
	"io"
	"iter"

	"go.etcd.io/bbolt"

	"github.com/spoolhq/spool/storage"
)

// Backup writes the whole store, as it is at one moment, to w while commits go on, and
// returns how many bytes that were. What was acknowledged before the call is in it. What
// it writes is a data file whose pages are all checked when it is opened first. While it
// runs, pages that become free are not used again, so the file may grow. Nothing that was
// written is good where there is an error.
func (s *Store) Backup(ctx context.Context, w io.Writer) (n int64, err error) {
	viewErr := s.view(ctx, func(tx *bbolt.Tx) error {
		n, err = tx.WriteTo(&watchful{ctx: ctx, w: w})
		return err
	})
	if viewErr != nil {
		return n, explain("backup", s.path, viewErr)
	}
	return n, nil
}

// Size is how many bytes Backup would write now.
func (s *Store) Size(ctx context.Context) (size int64, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		size = tx.Size()
		return nil
	})
	return size, err
}

// watchful is a writer that fails when a context has ended.
type watchful struct {
	ctx context.Context
	w   io.Writer
}

// Write implements io.Writer.
func (w *watchful) Write(b []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	return w.w.Write(b)
}

// Rows yields all rows in the order of their ids. Damaged ones are left out: Verify tells
// of them. An error ends it.
func (s *Store) Rows(ctx context.Context) iter.Seq2[storage.Row, error] {
	return func(yield func(storage.Row, error) bool) {
		for next := []byte{}; next != nil; {
			var rows []storage.Row
			err := s.view(ctx, func(tx *bbolt.Tx) error {
				rows, next = rowsFrom(tx, next)
				return nil
			})
			if err != nil {
				yield(storage.Row{}, err)
				return
			}
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// rowsFrom returns some rows from a key on, and the key to go on with, nil at the end.
func rowsFrom(tx *bbolt.Tx, from []byte) (rows []storage.Row, next []byte) {
	c := threads.in(tx).Cursor()
	n := 0
	for k, v := c.Seek(from); k != nil; k, v = c.Next() {
		if n == busyStep {
			return rows, append([]byte{}, k...)
		}
		n++
		if row, _, ok := openRow(k, v); ok && len(k) == 16 {
			rows = append(rows, row)
		}
	}
	return rows, nil
}
