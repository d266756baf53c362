package bolt

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"github.com/spoolhq/spool/storage"
)

// tip is what the committer has to know of a thread to write to it. It is kept for the
// threads that were written last, and always right: nobody else writes.
type tip struct {
	head    uint64 // the last seq
	deleted bool
	listed  *listing // of the row, nil if there is none
}

// listing is what of a row is in indexes.
type listing struct {
	owner            string
	readers          []string
	hashes           []hash // of owner and readers, each once
	updated, created int64
	reuse            string
	busy             bool
}

const maxTips = 4096

// tip returns what is known of a thread. refused is for a thread with a damaged row
// or journal.
func (w *writer) tip(name string, thread id) (t *tip, refused error) {
	if t := w.store.tips[thread]; t != nil {
		return t, nil
	}
	t = &tip{head: lastSeq(w.in(journal).Cursor(), thread)}
	if v := w.in(threads).Get(thread[:]); v != nil {
		row, head, ok := openRow(thread[:], v)
		if !ok {
			return nil, w.store.damage("row of thread %s", name)
		}
		if t.head < head {
			return nil, w.store.missing(name, t.head+1)
		}
		t.listed = list(&row, nil)
	} else {
		t.deleted = w.in(deleted).Get(thread[:]) != nil
	}
	if len(w.store.tips) >= maxTips {
		clear(w.store.tips)
	}
	w.store.tips[thread] = t
	return t, nil
}

// list returns what of a row belongs into indexes. old, which may be nil, saves work
// where the readers are the same.
func list(r *storage.Row, old *listing) *listing {
	l := &listing{owner: r.Owner, readers: r.Readers, updated: r.Updated, created: r.Created, reuse: r.Reuse, busy: r.Busy}
	if old != nil && old.owner == r.Owner && slices.Equal(old.readers, r.Readers) {
		l.hashes = old.hashes
		return l
	}
	l.hashes = append(l.hashes, hashOf(r.Owner))
	for _, reader := range r.Readers {
		if h := hashOf(reader); !slices.Contains(l.hashes, h) {
			l.hashes = append(l.hashes, h)
		}
	}
	return l
}

// relist brings the indexes from one state of a row to another; nil stands for no row.
func (w *writer) relist(thread id, from, to *listing) error {
	if from == nil {
		from = new(listing)
	}
	if to == nil {
		to = new(listing)
	}
	same := slices.Equal(from.hashes, to.hashes)
	if !same || from.updated != to.updated {
		if err := w.move(byUpdated, thread, from.hashes, from.updated, to.hashes, to.updated); err != nil {
			return err
		}
	}
	if !same || from.created != to.created {
		if err := w.move(byCreated, thread, from.hashes, from.created, to.hashes, to.created); err != nil {
			return err
		}
	}
	if from.reuse != to.reuse || from.created != to.created {
		if err := w.move(reuse, thread, reuseHash(from), from.created, reuseHash(to), to.created); err != nil {
			return err
		}
	}
	switch {
	case to.busy && !from.busy:
		return w.put(busy, thread[:], nothing)
	case from.busy && !to.busy:
		return w.drop(busy, thread[:])
	}
	return nil
}

func reuseHash(l *listing) []hash {
	if l.reuse == "" {
		return nil
	}
	return []hash{hashOf(l.reuse)}
}

// move replaces the entries of a thread in an index.
func (w *writer) move(b bucket, thread id, from []hash, fromAt int64, to []hash, toAt int64) error {
	for _, h := range from {
		if err := w.drop(b, w.indexKey(h, fromAt, thread)); err != nil {
			return err
		}
	}
	for _, h := range to {
		if err := w.put(b, w.indexKey(h, toAt, thread), nothing); err != nil {
			return err
		}
	}
	return nil
}

// indexKey is good until the next key is made.
func (w *writer) indexKey(h hash, at int64, thread id) []byte {
	k := append(w.key[:0], h[:]...)
	k = appendTime(k, at)
	return append(k, thread[:]...)
}

// pairKey is the key of a turn or an item. It is good until the next key is made.
func (w *writer) pairKey(thread, other id) []byte {
	return append(append(w.key[:0], thread[:]...), other[:]...)
}

// cursor is what of bbolt's cursor is used here.
type cursor interface {
	Seek(key []byte) (k, v []byte)
	First() (k, v []byte)
	Last() (k, v []byte)
	Prev() (k, v []byte)
}

// seekBefore goes to the last key below key.
func seekBefore(c cursor, key []byte) (k, v []byte) {
	if k, _ := c.Seek(key); k == nil {
		return c.Last()
	}
	if k, v = c.Prev(); k != nil {
		return k, v
	}
	// There is none, or the page before it was emptied in this transaction: Prev stops at each
	// such page, where Next and Last go on.
	if first, _ := c.First(); first == nil || bytes.Compare(first, key) >= 0 {
		return nil, nil
	}
	c.Seek(key)
	for k == nil {
		k, v = c.Prev()
	}
	return k, v
}

// lastSeq is the seq of the last event of a thread, 0 for none.
func lastSeq(c cursor, thread id) uint64 {
	var key [24]byte
	binary.BigEndian.PutUint64(key[copy(key[:], thread[:]):], math.MaxUint64)
	k, _ := seekBefore(c, key[:])
	if len(k) != len(key) || !bytes.HasPrefix(k, thread[:]) {
		return 0
	}
	return binary.BigEndian.Uint64(k[16:])
}

// openRow copies a row out of the file. head is the last seq of the journal when the
// row was written: a journal that ends before it has lost its end.
func openRow(key, value []byte) (row storage.Row, head uint64, ok bool) {
	b, ok := unseal(key, value)
	if !ok {
		return row, 0, false
	}
	p := parser{rest: b}
	head = p.uvarint()
	row, ok = parseRow(p.rest)
	return row, head, ok && !p.failed
}
