package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/oklog/ulid/v2"
	"go.etcd.io/bbolt"

	"github.com/spoolhq/spool/storage"
)

// maxProblems is how many problems a check collects before it gives up.
const maxProblems = 20

// Check reads the whole file and reports what is wrong with it: pages that are lost or
// used twice, damaged records, journals with holes, indexes that do not fit to their
// rows. Its error wraps storage.ErrCorrupt and tells up to 20 problems. Nobody can
// write meanwhile.
func (s *Store) Check(ctx context.Context) error {
	c := &checker{ctx: ctx}
	err := s.update(func(tx *bbolt.Tx) (bool, error) {
		// What bbolt's own check could not bear is found first: it runs on a goroutine
		// of its own, where a fault is the end of the process.
		if err := s.inspectAll(ctx); err != nil {
			return false, err
		}
		for err := range tx.Check() {
			c.problem("%w", err)
		}
		if len(c.problems) > 0 {
			return false, nil // the records cannot be trusted to be readable
		}
		return false, c.records(tx)
	})
	if err := errors.Join(append(c.problems, err)...); err != nil {
		return explain("check", s.path, err)
	}
	return nil
}

func (s *Store) inspectAll(ctx context.Context) error {
	st, err := s.file.Stat()
	if err != nil {
		return err
	}
	return inspectAll(ctx, s.file, st.Size())
}

type checker struct {
	ctx      context.Context
	problems []error
	indexed  [buckets]int // entries that there should be in each index
}

func (c *checker) problem(format string, args ...any) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, fmt.Errorf("%w: "+format, append([]any{storage.ErrCorrupt}, args...)...))
	}
}

// records looks at all buckets. An error is an end of ctx.
func (c *checker) records(tx *bbolt.Tx) error {
	steps := []func(*bbolt.Tx) error{c.seals, c.journals, c.rows, c.answers, c.tombstones}
	for _, step := range steps {
		if err := step(tx); err != nil {
			return err
		}
	}
	for _, b := range []bucket{byUpdated, byCreated, reuse, busy, keysByTime} {
		n := 0
		if err := c.each(tx, b, func(_, _ []byte) { n++ }); err != nil {
			return err
		}
		if n != c.indexed[b] {
			c.problem("index %s has %d entries and should have %d", schema[b].name, n, c.indexed[b])
		}
	}
	return nil
}

// each calls fn with all records of a bucket.
func (c *checker) each(tx *bbolt.Tx, b bucket, fn func(k, v []byte)) error {
	n := 0
	return b.in(tx).ForEach(func(k, v []byte) error {
		if n++; n%1024 == 0 && c.ctx.Err() != nil {
			return context.Cause(c.ctx)
		}
		fn(k, v)
		return nil
	})
}

func (c *checker) seals(tx *bbolt.Tx) error {
	for _, b := range []bucket{journal, threads, turns, edits, checkpoints, idempotency} {
		err := c.each(tx, b, func(k, v []byte) {
			if _, ok := unseal(k, v); !ok {
				c.problem("record %x in bucket %s", k, schema[b].name)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// journals checks that each begins where it should and has no holes.
func (c *checker) journals(tx *bbolt.Tx) error {
	var thread []byte
	var next uint64
	return c.each(tx, journal, func(k, _ []byte) {
		if len(k) != 24 {
			c.problem("record %x in bucket journal is no event", k)
			return
		}
		if !bytes.Equal(thread, k[:16]) {
			thread = k[:16]
			next, _ = firstSeq(journal.in(tx), id(thread)) // a damaged one was told of before
		}
		seq := binary.BigEndian.Uint64(k[16:])
		if seq == 0 {
			return
		}
		if seq != next {
			c.problem("thread %s: event %d is missing", ulid.ULID(thread), next)
		}
		next = seq + 1
	})
}

func (c *checker) rows(tx *bbolt.Tx) error {
	return c.each(tx, threads, func(k, v []byte) {
		row, head, ok := openRow(k, v)
		if !ok || len(k) != 16 {
			c.problem("record %x in bucket threads is no row", k)
			return
		}
		_, thread, err := storage.ParseID(row.ID)
		if err != nil || thread != id(k) {
			c.problem("the row of thread %s is that of %s", ulid.ULID(k), row.ID)
			return
		}
		if last := lastSeq(journal.in(tx).Cursor(), thread); last < head {
			c.problem("thread %s: event %d is missing", ulid.ULID(thread), last+1)
		}
		l := list(&row, nil)
		w := new(writer) // for its keys only
		for _, h := range l.hashes {
			c.expect(tx, byUpdated, w.indexKey(h, l.updated, thread))
			c.expect(tx, byCreated, w.indexKey(h, l.created, thread))
		}
		for _, h := range reuseHash(l) {
			c.expect(tx, reuse, w.indexKey(h, l.created, thread))
		}
		if l.busy {
			c.expect(tx, busy, thread[:])
		}
	})
}

func (c *checker) answers(tx *bbolt.Tx) error {
	return c.each(tx, idempotency, func(k, v []byte) {
		b, _ := unseal(k, v)
		r, ok := parseAnswer(b)
		if !ok {
			c.problem("record %x in bucket idempotency is no answer", k)
			return
		}
		c.expect(tx, keysByTime, append(appendTime(nil, r.At), k...))
	})
}

func (c *checker) expect(tx *bbolt.Tx, b bucket, key []byte) {
	c.indexed[b]++
	if b.in(tx).Get(key) == nil {
		c.problem("index %s has no entry %x", schema[b].name, key)
	}
}

// tombstones looks for what a deleted thread left behind.
func (c *checker) tombstones(tx *bbolt.Tx) error {
	return c.each(tx, deleted, func(thread, _ []byte) {
		for _, b := range []bucket{journal, threads, turns, edits, checkpoints, idempotency} {
			if k, _ := b.in(tx).Cursor().Seek(thread); bytes.HasPrefix(k, thread) {
				c.problem("thread %s was deleted, but bucket %s has records of it", ulid.ULID(thread), schema[b].name)
			}
		}
	})
}
