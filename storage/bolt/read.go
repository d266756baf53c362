package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"

	"github.com/oklog/ulid/v2"
	"go.etcd.io/bbolt"

	"github.com/spoolhq/spool/storage"
)

// of runs fn in a read transaction with the ULID of a thread.
func (s *Store) of(ctx context.Context, thread string, fn func(*bbolt.Tx, id) error) error {
	_, key, err := storage.ParseID(thread)
	if err != nil {
		return err
	}
	return s.view(ctx, func(tx *bbolt.Tx) error { return fn(tx, key) })
}

// Events implements storage.Store. The frames of one call share one piece of memory.
func (s *Store) Events(ctx context.Context, thread string, after, upTo uint64, maxBytes int) (out []storage.Event, err error) {
	if after == math.MaxUint64 {
		return nil, nil
	}
	if upTo == 0 {
		upTo = math.MaxUint64
	}
	err = s.of(ctx, thread, func(tx *bbolt.Tx, key id) error {
		r := eventReader{store: s, tx: tx, thread: thread, key: key, maxBytes: maxBytes}
		err := r.collect(after, upTo)
		out = r.copied()
		return err
	})
	return out, err
}

// eventReader collects events of a thread. Until they are copied they lie in the file.
type eventReader struct {
	store    *Store
	tx       *bbolt.Tx
	thread   string
	key      id
	maxBytes int

	events []storage.Event
	size   int
}

// missing is the error for a journal with a hole.
func (s *Store) missing(thread string, seq uint64) error {
	return s.damage("event %d of thread %s is missing", seq, thread)
}

// collect reads the events after one seq up to another. It knows which the next has to
// be: no page that was lost can go unseen, be it at the beginning, in the middle or at
// the end of the journal.
func (r *eventReader) collect(after, upTo uint64) error {
	b := journal.in(r.tx)
	next := after + 1
	c := b.Cursor()
	for k, v := c.Seek(seqKey(r.key, next)); len(k) == 24 && bytes.HasPrefix(k, r.key[:]); k, v = c.Next() {
		seq := binary.BigEndian.Uint64(k[16:])
		if seq != next && len(r.events) == 0 {
			first, ok := firstSeq(b, r.key)
			if !ok {
				return r.store.damage("first seq of thread %s", r.thread)
			}
			next = max(next, first)
		}
		switch {
		case next > upTo:
			return nil
		case seq != next:
			return r.store.missing(r.thread, next)
		case len(r.events) > 0 && r.size+len(v)-sumSize > r.maxBytes:
			return nil
		}
		frame, ok := unseal(k, v)
		if !ok {
			return r.store.damage("event %d of thread %s", seq, r.thread)
		}
		r.events = append(r.events, storage.Event{Seq: seq, Frame: frame})
		r.size += len(frame)
		next++
	}
	if next <= upTo {
		return r.store.endsBefore(r.tx, r.thread, r.key, next)
	}
	return nil
}

// endsBefore checks that a journal may end before the given seq.
func (s *Store) endsBefore(tx *bbolt.Tx, thread string, key id, next uint64) error {
	v := threads.in(tx).Get(key[:])
	if v == nil {
		return nil
	}
	b, ok := unseal(key[:], v)
	p := parser{rest: b}
	if head := p.uvarint(); ok && head >= next {
		return s.missing(thread, next)
	}
	return nil // a damaged row is the business of who reads it
}

func (r *eventReader) copied() []storage.Event {
	memory := make([]byte, 0, r.size)
	for i := range r.events {
		from := len(memory)
		memory = append(memory, r.events[i].Frame...)
		r.events[i].Frame = memory[from:len(memory):len(memory)]
	}
	return r.events
}

// Head implements storage.Store.
func (s *Store) Head(ctx context.Context, thread string) (head uint64, err error) {
	err = s.of(ctx, thread, func(tx *bbolt.Tx, key id) error {
		head = lastSeq(journal.in(tx).Cursor(), key)
		return s.endsBefore(tx, thread, key, head+1)
	})
	return head, err
}

// Thread implements storage.Store.
func (s *Store) Thread(ctx context.Context, name string) (row storage.Row, err error) {
	err = s.of(ctx, name, func(tx *bbolt.Tx, key id) error {
		row, err = s.row(tx, key[:])
		if row.ID == "" && err == nil {
			err = storage.ErrNotFound
			if deleted.in(tx).Get(key[:]) != nil {
				err = storage.ErrDeleted
			}
		}
		return err
	})
	return row, err
}

// row returns the row of a thread, an empty one where there is none.
func (s *Store) row(tx *bbolt.Tx, thread []byte) (storage.Row, error) {
	v := threads.in(tx).Get(thread)
	if v == nil {
		return storage.Row{}, nil
	}
	row, _, ok := openRow(thread, v)
	if !ok {
		return storage.Row{}, s.damage("row of thread %s", ulid.ULID(thread))
	}
	return row, nil
}

// Turn implements storage.Store.
func (s *Store) Turn(ctx context.Context, thread, turn string) (e storage.TurnEntry, err error) {
	_, turnKey, err := storage.ParseID(turn)
	if err != nil {
		return e, err
	}
	err = s.of(ctx, thread, func(tx *bbolt.Tx, key id) error {
		k := append(key[:], turnKey[:]...)
		v := turns.in(tx).Get(k)
		if v == nil {
			return storage.ErrNotFound
		}
		e, err = s.turn(thread, k, v)
		return err
	})
	return e, err
}

func (s *Store) turn(thread string, key, value []byte) (e storage.TurnEntry, err error) {
	b, ok := unseal(key, value)
	if ok && len(key) == 32 {
		e, ok = parseTurn(key, b)
	}
	if !ok {
		return e, s.damage("a turn of thread %s", thread)
	}
	return e, nil
}

// Turns implements storage.Store.
func (s *Store) Turns(ctx context.Context, thread string, q storage.TurnQuery) (out []storage.TurnEntry, err error) {
	after, before, err := q.Bounds()
	if err != nil {
		return nil, err
	}
	limit := min(q.Limit, storage.MaxScan)
	err = s.of(ctx, thread, func(tx *bbolt.Tx, key id) error {
		w := newWindow(turns.in(tx).Cursor(), key, after, before, q.Desc)
		for k, v := w.first(); k != nil && len(out) < limit; k, v = w.next() {
			e, err := s.turn(thread, k, v)
			if err != nil {
				return err
			}
			out = append(out, e)
		}
		return nil
	})
	return out, err
}

// Edits implements storage.Store.
func (s *Store) Edits(ctx context.Context, thread string, items ...string) (map[string]uint64, error) {
	out := make(map[string]uint64)
	take := func(k, v []byte) error {
		b, ok := unseal(k, v)
		if !ok || len(b) < 8 {
			return s.damage("an edit in thread %s", thread)
		}
		out[storage.FormatID(string(b[8:]), id(k[16:]))] = binary.BigEndian.Uint64(b)
		return nil
	}
	err := s.of(ctx, thread, func(tx *bbolt.Tx, key id) error {
		if len(items) > 0 {
			return editsOf(tx, key, items, take)
		}
		w := newWindow(edits.in(tx).Cursor(), key, nil, nil, false)
		for k, v := w.first(); k != nil; k, v = w.next() {
			if err := take(k, v); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// editsOf looks up some items.
func editsOf(tx *bbolt.Tx, thread id, items []string, take func(k, v []byte) error) error {
	b := edits.in(tx)
	for _, name := range items {
		_, item, err := storage.ParseID(name)
		if err != nil {
			return err
		}
		k := append(thread[:], item[:]...)
		if v := b.Get(k); v != nil {
			if err := take(k, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// Checkpoints implements storage.Store.
func (s *Store) Checkpoints(ctx context.Context, thread string) (out []storage.Checkpoint, err error) {
	err = s.of(ctx, thread, func(tx *bbolt.Tx, key id) error {
		w := newWindow(checkpoints.in(tx).Cursor(), key, nil, nil, false)
		for k, v := w.first(); k != nil; k, v = w.next() {
			b, ok := unseal(k, v)
			p := parser{rest: b}
			prefix := p.string()
			if !ok || p.failed {
				return s.damage("a checkpoint in thread %s", thread)
			}
			out = append(out, storage.Checkpoint{Item: storage.FormatID(prefix, id(k[16:])), Data: copied(p.rest)})
		}
		return nil
	})
	return out, err
}
