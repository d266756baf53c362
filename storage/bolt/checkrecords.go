package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/spoolhq/spool/storage"
)

// What a check demands of the records of each bucket.

// threadName is the id of a thread of which there is no row to ask.
func threadName(thread []byte) string { return storage.FormatID("thr", id(thread[:16])) }

// head checks the bucket that says what the file is. Magic and format were read when it was
// opened.
func (c *checker) head() error {
	if c.broken[meta] {
		return nil
	}
	known := map[string]int{string(keyMagic): len(magic), string(keyFormat): 4, string(keyCreated): 8}
	err := c.each(meta, func(k, v []byte) {
		if size, ok := known[string(k)]; !ok || len(v) != size {
			c.problem(storage.ProblemRecord, "", 0, "record %.60q in bucket meta is none of a data file", k)
		}
		delete(known, string(k))
	})
	for _, k := range slices.Sorted(maps.Keys(known)) {
		c.problem(storage.ProblemRecord, "", 0, "record %q is missing in bucket meta", k)
	}
	return err
}

// journals checks that each begins where it should, has no holes, and that all events are
// what was written.
func (c *checker) journals() error {
	var thread []byte
	var next uint64
	return c.each(journal, func(k, v []byte) {
		if len(k) != 24 {
			c.problem(storage.ProblemRecord, "", 0, "record %x in bucket journal is no event", k)
			return
		}
		if !bytes.Equal(thread, k[:16]) {
			thread = k[:16]
			var ok bool
			if next, ok = firstSeq(journal.in(c.tx), id(thread)); !ok {
				c.problem(storage.ProblemRecord, threadName(k), 0, "the record of where its journal begins is damaged")
			}
		}
		seq := binary.BigEndian.Uint64(k[16:])
		if seq == 0 {
			return
		}
		switch {
		case next > 0 && seq == next+1:
			c.problem(storage.ProblemJournal, threadName(k), next, "is missing")
		case next > 0 && seq != next:
			c.problem(storage.ProblemJournal, threadName(k), next, "is missing, and so are all up to event %d", seq)
		}
		next = seq + 1
		c.report.Events++
		c.report.EventBytes += int64(max(0, len(v)-sumSize))
		if _, ok := unseal(k, v); !ok {
			c.problem(storage.ProblemRecord, threadName(k), seq, "its checksum is wrong: it is not what was written")
		}
	})
}

// rows checks the rows, and that the journals do not end before them and the indexes have
// them.
func (c *checker) rows() error {
	return c.each(threads, func(k, v []byte) {
		if len(k) != 16 {
			c.problem(storage.ProblemRecord, "", 0, "record %x in bucket threads is no row", k)
			return
		}
		c.report.Threads++
		row, head, ok := openRow(k, v)
		if !ok {
			c.problem(storage.ProblemRecord, threadName(k), 0, "its row (bucket threads) is damaged")
			return
		}
		if _, thread, err := storage.ParseID(row.ID); err != nil || thread != id(k) {
			c.problem(storage.ProblemRecord, threadName(k), 0, "its row is that of %.60q", row.ID)
			return
		}
		if !c.broken[journal] {
			if last := lastSeq(journal.in(c.tx).Cursor(), id(k)); last < head {
				c.problem(storage.ProblemJournal, row.ID, last+1, "is missing: the journal ends before it")
			}
		}
		l := list(&row, nil)
		for _, b := range listIndexes {
			for _, key := range l.keys(b, id(k)) {
				c.expect(b, row.ID, key)
			}
		}
	})
}

// parts checks the records that threads have beside journal and row.
func (c *checker) parts() error {
	for _, b := range []bucket{turns, edits, checkpoints} {
		kind := storage.ProblemRecord
		if derived[b] {
			kind = storage.ProblemIndex
		}
		err := c.each(b, func(k, v []byte) {
			if derived[b] {
				c.report.IndexEntries++
			}
			if len(k) != 32 {
				c.problem(kind, "", 0, "record %x in bucket %s is none of a thread", k, schema[b].name)
			} else if _, ok := unseal(k, v); !ok {
				c.problem(kind, threadName(k), 0, "a record in bucket %s is damaged", schema[b].name)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) answers() error {
	return c.each(idempotency, func(k, v []byte) {
		b, _ := unseal(k, v)
		r, ok := parseAnswer(b)
		if !ok {
			c.problem(storage.ProblemRecord, "", 0, "the answer to an idempotency key (%x) is damaged", k)
			return
		}
		c.expect(keysByTime, r.Thread, append(appendTime(nil, r.At), k...))
	})
}

func (c *checker) settings() error {
	return c.each(values, func(k, v []byte) {
		if _, ok := unseal(k, v); !ok {
			c.problem(storage.ProblemRecord, "", 0, "the setting %q is damaged", k)
		}
	})
}

// expect looks for an entry of an index.
func (c *checker) expect(b bucket, thread string, key []byte) {
	if !c.broken[b] && c.get(b, key) == nil {
		c.problem(storage.ProblemIndex, thread, 0, "index %s lacks an entry (%x)", schema[b].name, key)
	}
}

// indexes looks for entries that there should not be.
func (c *checker) indexes() error {
	for _, b := range append([]bucket{keysByTime}, listIndexes...) {
		err := c.each(b, func(k, v []byte) {
			c.report.IndexEntries++
			if !c.owned(b, k) || !bytes.Equal(v, nothing) {
				thread := ""
				if at := threadIn(b, k); at != nil {
					thread = threadName(at)
				}
				c.problem(storage.ProblemIndex, thread, 0, "index %s has an entry (%x) that belongs to nothing", schema[b].name, k)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// owned tells whether a record that is whole demands an entry of an index. One that is
// damaged was told of before, and its entry is not held against it.
func (c *checker) owned(b bucket, k []byte) bool {
	if b == keysByTime {
		if len(k) <= 8 || c.broken[idempotency] {
			return len(k) > 8
		}
		v := c.get(idempotency, k[8:])
		body, ok := unseal(k[8:], v)
		r, parsed := parseAnswer(body)
		return v != nil && (!ok || !parsed || bytes.Equal(appendTime(nil, r.At), k[:8]))
	}
	thread := threadIn(b, k)
	if thread == nil || c.broken[threads] {
		return thread != nil
	}
	v := c.get(threads, thread)
	if v == nil {
		return false
	}
	row, _, ok := openRow(thread, v)
	if !ok {
		return true
	}
	for _, key := range list(&row, nil).keys(b, id(thread)) {
		if bytes.Equal(key, k) {
			return true
		}
	}
	return false
}

// tombstones looks for what a deleted thread left behind. An answer to a request that
// named the thread may have come later; it is forgotten in its time.
func (c *checker) tombstones() error {
	return c.each(deleted, func(thread, _ []byte) {
		for _, b := range []bucket{journal, threads, turns, edits, checkpoints} {
			if c.broken[b] || len(thread) != 16 {
				continue
			}
			if k, _ := b.in(c.tx).Cursor().Seek(thread); bytes.HasPrefix(k, thread) {
				c.problem(storage.ProblemLeftover, threadName(thread), 0, "it was deleted, but bucket %s has records of it", schema[b].name)
			}
		}
	})
}

// orphans looks for records of threads that have no row.
func (c *checker) orphans() error {
	if c.broken[threads] {
		return nil
	}
	for _, b := range []bucket{journal, turns, edits, checkpoints} {
		if c.broken[b] {
			continue
		}
		cursor := b.in(c.tx).Cursor()
		for k, _ := cursor.First(); len(k) > 16; {
			thread := bytes.Clone(k[:16])
			switch {
			case c.get(threads, thread) != nil || c.get(deleted, thread) != nil:
			case b == journal:
				c.problem(storage.ProblemRow, threadName(thread), 0, "it has a journal and no row, so no list shows it")
			default:
				c.problem(storage.ProblemLeftover, threadName(thread), 0, "bucket %s has records of it, but there is no such thread", schema[b].name)
			}
			if k, _ = cursor.Seek(append(thread, bytes.Repeat([]byte{0xff}, 17)...)); bytes.HasPrefix(k, thread[:16]) {
				k, _ = cursor.Next()
			}
		}
	}
	return context.Cause(c.ctx)
}
