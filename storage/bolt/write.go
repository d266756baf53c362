package bolt

import (
	"bytes"
	"encoding/binary"

	"go.etcd.io/bbolt"

	"github.com/spoolhq/spool/storage"
)

// writer writes batches into one transaction.
type writer struct {
	store   *Store
	tx      *bbolt.Tx
	open    [buckets]*bbolt.Bucket
	changed bool
	key     [64]byte // of the record at hand
}

// in returns a bucket.
func (w *writer) in(b bucket) *bbolt.Bucket {
	if w.open[b] == nil {
		w.open[b] = b.in(w.tx)
		w.open[b].FillPercent = schema[b].fill
	}
	return w.open[b]
}

func (w *writer) put(b bucket, key, value []byte) error {
	w.changed = true
	return w.in(b).Put(key, value)
}

func (w *writer) drop(b bucket, key []byte) error {
	w.changed = true
	return w.in(b).Delete(key)
}

// apply writes a batch that is right in itself. refused is for a batch that does not
// fit to what is stored and of which nothing was written. err is for all batches of
// the transaction.
func (w *writer) apply(b *storage.Batch) (refused, err error) {
	if b.Thread == "" {
		return nil, w.putApart(b)
	}
	_, thread, refused := storage.ParseID(b.Thread)
	if refused != nil {
		return refused, nil
	}
	t, refused := w.tip(b.Thread, thread)
	if refused != nil {
		return refused, nil
	}
	if b.Delete {
		return nil, w.delete(thread, t, b.Key)
	}
	if refused := t.admit(b); refused != nil {
		return refused, nil
	}
	if b.EraseBefore > 0 {
		if err := w.erase(thread, b.EraseBefore); err != nil {
			return nil, err
		}
	}
	if err := w.putEvents(thread, t, b); err != nil {
		return nil, err
	}
	if b.Row != nil {
		if err := w.putRow(thread, t, b.Row); err != nil {
			return nil, err
		}
	}
	if err := w.putTurns(thread, b); err != nil {
		return nil, err
	}
	if err := w.putItems(thread, b); err != nil {
		return nil, err
	}
	return nil, w.putApart(b)
}

// putApart writes what belongs to no thread, or may.
func (w *writer) putApart(b *storage.Batch) error {
	if b.Key != nil {
		if err := w.putAnswer(b.Key); err != nil {
			return err
		}
	}
	return w.putSettings(b.Settings)
}

// admit says whether the batch fits to what is stored.
func (t *tip) admit(b *storage.Batch) error {
	switch {
	case b.Create && (t.deleted || t.listed != nil || t.head > 0):
		return storage.ErrExists
	case t.deleted:
		return storage.ErrConflict
	case !b.Follows(t.head):
		return storage.ErrConflict
	case b.EraseBefore > b.End(t.head):
		return storage.ErrConflict
	}
	return nil
}

func (w *writer) putEvents(thread id, t *tip, b *storage.Batch) error {
	key := append(w.key[:0], thread[:]...)
	for i := range b.Events {
		e := &b.Events[i]
		t.head = e.Seq
		if e.Seq < b.EraseBefore {
			continue
		}
		key = binary.BigEndian.AppendUint64(key[:16], e.Seq)
		v := w.store.arena.take(sumSize + len(e.Frame))
		v = append(v[:sumSize], e.Frame...)
		if err := w.put(journal, key, seal(key, v)); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) putRow(thread id, t *tip, r *storage.Row) error {
	l := list(r, t.listed)
	if err := w.relist(thread, t.listed, l); err != nil {
		return err
	}
	t.listed = l
	v := w.store.arena.take(sumSize + binary.MaxVarintLen64 + rowSize(r))[:sumSize]
	v = appendRow(binary.AppendUvarint(v, t.head), r)
	return w.put(threads, thread[:], seal(thread[:], v))
}

func (w *writer) putTurns(thread id, b *storage.Batch) error {
	for _, name := range b.DropTurns {
		_, turn, _ := storage.ParseID(name)
		if err := w.drop(turns, w.pairKey(thread, turn)); err != nil {
			return err
		}
	}
	for i := range b.Turns {
		prefix, turn, _ := storage.ParseID(b.Turns[i].ID)
		key := w.pairKey(thread, turn)
		v := appendTurn(w.store.arena.take(sumSize + 32 + len(prefix))[:sumSize], prefix, &b.Turns[i])
		if err := w.put(turns, key, seal(key, v)); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) putItems(thread id, b *storage.Batch) error {
	for _, e := range b.Edits {
		prefix, item, _ := storage.ParseID(e.Item)
		key := w.pairKey(thread, item)
		v := appendEdit(w.store.arena.take(sumSize + 8 + len(prefix))[:sumSize], prefix, e.Seq)
		if err := w.put(edits, key, seal(key, v)); err != nil {
			return err
		}
	}
	for _, name := range b.Closed {
		_, item, _ := storage.ParseID(name)
		if err := w.drop(checkpoints, w.pairKey(thread, item)); err != nil {
			return err
		}
	}
	for i := range b.Checkpoints {
		c := &b.Checkpoints[i]
		prefix, item, _ := storage.ParseID(c.Item)
		key := w.pairKey(thread, item)
		v := w.store.arena.take(sumSize + 1 + len(prefix) + len(c.Data))[:sumSize]
		v = append(appendString(v, prefix), c.Data...)
		if err := w.put(checkpoints, key, seal(key, v)); err != nil {
			return err
		}
	}
	return nil
}

// erase removes the events of a thread below a seq, and all that points to events.
func (w *writer) erase(thread id, before uint64) error {
	if err := w.setFirst(thread, before); err != nil {
		return err
	}
	for _, b := range []bucket{turns, edits, checkpoints} {
		if err := w.dropRange(b, thread[:], nil); err != nil {
			return err
		}
	}
	return nil
}

// setFirst removes the events below a seq. That it was done is recorded, so that a
// journal that begins later has lost its beginning.
func (w *writer) setFirst(thread id, seq uint64) error {
	old, ok := firstSeq(w.in(journal), thread)
	if seq <= old && ok {
		return nil
	}
	if err := w.dropRange(journal, thread[:], seqKey(thread, seq)); err != nil {
		return err
	}
	key := seqKey(thread, 0)
	v := binary.BigEndian.AppendUint64(w.store.arena.take(sumSize + 8)[:sumSize], seq)
	return w.put(journal, key, seal(key, v))
}

// firstSeq is the first seq that was not erased. It is false where that is damaged.
func firstSeq(b *bbolt.Bucket, thread id) (uint64, bool) {
	key := seqKey(thread, 0)
	v := b.Get(key)
	if v == nil {
		return 1, true
	}
	first, ok := unseal(key, v)
	if !ok || len(first) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(first), true
}

// delete removes a thread. The key of the request that wants that is kept.
func (w *writer) delete(thread id, t *tip, key *storage.KeyResult) error {
	if err := w.remove(thread, t); err != nil || key == nil {
		return err
	}
	return w.putAnswer(key)
}

// remove removes all of a thread, and remembers its id.
func (w *writer) remove(thread id, t *tip) error {
	if t.deleted {
		return nil
	}
	if err := w.relist(thread, t.listed, nil); err != nil {
		return err
	}
	if err := w.drop(threads, thread[:]); err != nil {
		return err
	}
	for _, b := range []bucket{journal, turns, edits, checkpoints} {
		if err := w.dropRange(b, thread[:], nil); err != nil {
			return err
		}
	}
	if err := w.dropAnswers(thread); err != nil {
		return err
	}
	*t = tip{deleted: true}
	return w.put(deleted, thread[:], nothing)
}

// dropRange removes the keys of a bucket that begin with prefix and, unless that is
// nil, are below end.
func (w *writer) dropRange(b bucket, prefix, end []byte) error {
	const portion = 4096
	keys := make([][]byte, 0, 64)
	for {
		keys = keys[:0]
		c := w.in(b).Cursor()
		for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix) && len(keys) < portion; k, _ = c.Next() {
			if end != nil && bytes.Compare(k, end) >= 0 {
				break
			}
			keys = append(keys, k)
		}
		for _, k := range keys {
			if err := w.drop(b, k); err != nil {
				return err
			}
		}
		if len(keys) < portion {
			return nil
		}
	}
}
