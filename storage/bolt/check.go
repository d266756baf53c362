package bolt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/spoolhq/spool/storage"
)

// maxProblems is how many problems a check lists; it counts the others.
const maxProblems = 1000

// Report is what Verify found in a file.
type Report struct {
	Bytes        int64             // of the file
	Clean        bool              // it was closed properly
	Torn         bool              // the last commit cannot be read: the state before it counts
	Threads      int               // rows
	Events       int               // in all journals
	EventBytes   int64             // of their frames
	IndexEntries int               // in all indexes
	Problems     []storage.Problem // what is wrong, at most 1,000
	More         int               // problems that are not listed
	// What of the threads can be looked at, as its pages are whole: rows and journals, and
	// what is stored beside them.
	Journals, Turns, Edits, Checkpoints bool
}

// Add notes a problem.
func (r *Report) Add(p storage.Problem) {
	if len(r.Problems) >= maxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, p)
}

// Verify reads the whole file and reports what is wrong with it: pages that are lost, used
// twice or not what they should be, damaged records, journals with holes, indexes that do
// not fit to their rows, records that belong to nothing. What events say is not its
// business. It is meant for a store of OpenReadOnly. progress, which may be nil, is told
// how many bytes were read since it was told last. The error says that ctx ended or that
// the file could not be read at all.
func (s *Store) Verify(ctx context.Context, progress func(bytes int64)) (*Report, error) {
	var r *Report
	err := s.view(ctx, func(tx *bbolt.Tx) (err error) {
		r, err = s.verify(ctx, tx, progress, true)
		return err
	})
	return r, err
}

// Check is Verify for a store that may be written to: nobody can write meanwhile, and
// threads without a row are none of its business. Its error wraps storage.ErrCorrupt and
// tells up to 20 problems.
func (s *Store) Check(ctx context.Context) error {
	var r *Report
	err := s.update(func(tx *bbolt.Tx) (_ bool, err error) {
		r, err = s.verify(ctx, tx, nil, false)
		return false, err
	})
	if err != nil {
		return explain("check", s.path, err)
	}
	return s.corrupt("check", r)
}

// corrupt is the error for what a report tells, nil for nothing.
func (s *Store) corrupt(op string, r *Report) error {
	if len(r.Problems) == 0 {
		return nil
	}
	var all []error
	for _, p := range r.Problems[:min(len(r.Problems), 20)] {
		all = append(all, fmt.Errorf("%w: %s", storage.ErrCorrupt, p))
	}
	return explain(op, s.path, errors.Join(all...))
}

// checker looks at the records of the buckets whose pages are whole.
type checker struct {
	ctx      context.Context
	tx       *bbolt.Tx
	report   *Report
	progress func(int64)
	broken   [buckets]bool
}

// verify looks at the pages first: what bbolt's own check could not bear is found before
// that runs, on a goroutine of its own, where a fault is the end of the process.
func (s *Store) verify(ctx context.Context, tx *bbolt.Tx, progress func(int64), orphans bool) (*Report, error) {
	st, err := s.file.Stat()
	if err != nil {
		return nil, err
	}
	c := &checker{ctx: ctx, tx: tx, progress: progress, report: &Report{Bytes: st.Size(), Clean: s.clean}}
	if c.progress == nil {
		c.progress = func(int64) {}
	}
	found, torn, err := inspectAll(ctx, s.file, st.Size())
	if err != nil {
		return nil, err
	}
	c.report.Torn = torn
	c.structure(found)
	if len(found) == 0 {
		for err := range tx.Check() {
			c.problem(storage.ProblemStructure, "", 0, "the pages and the list of free ones do not fit together; bbolt says: %v", err)
		}
	}
	c.report.Journals = !c.broken[journal] && !c.broken[threads]
	c.report.Turns, c.report.Edits, c.report.Checkpoints = !c.broken[turns], !c.broken[edits], !c.broken[checkpoints]
	return c.report, c.records(orphans)
}

// structure notes what is wrong with the pages, by bucket.
func (c *checker) structure(found map[string]error) {
	for _, name := range slices.Sorted(maps.Keys(found)) {
		kind := storage.ProblemStructure
		b := slices.IndexFunc(schema[:], func(s bucketSchema) bool { return s.name == name })
		if b >= 0 {
			c.broken[b] = true
			if derived[b] {
				kind = storage.ProblemIndex
			}
			c.problem(kind, "", 0, "bucket %s: %v", name, found[name])
			continue
		}
		c.problem(kind, "", 0, "%v", found[name])
	}
}

func (c *checker) problem(kind storage.ProblemKind, thread string, seq uint64, format string, args ...any) {
	c.report.Add(storage.Problem{Kind: kind, Thread: thread, Seq: seq, Text: fmt.Sprintf(format, args...)})
}

// records looks at all buckets that are whole. An error is an end of ctx.
func (c *checker) records(orphans bool) error {
	steps := []func() error{c.head, c.journals, c.rows, c.parts, c.answers, c.settings, c.indexes, c.tombstones}
	if orphans {
		steps = append(steps, c.orphans)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// each calls fn with all records of a bucket, none where its pages are damaged.
func (c *checker) each(b bucket, fn func(k, v []byte)) error {
	if c.broken[b] {
		return nil
	}
	n, size := 0, int64(0)
	err := b.in(c.tx).ForEach(func(k, v []byte) error {
		size += int64(len(k) + len(v))
		if n++; n%1024 == 0 {
			c.progress(size)
			size = 0
			if c.ctx.Err() != nil {
				return context.Cause(c.ctx)
			}
		}
		fn(k, v)
		return nil
	})
	c.progress(size)
	return err
}

// get returns a record of a bucket whose pages are whole.
func (c *checker) get(b bucket, key []byte) []byte {
	if c.broken[b] {
		return nil
	}
	return b.in(c.tx).Get(key)
}
