package mem

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/spoolhq/spool/storage"
)

// of runs fn with a thread, nil where there is none, while nobody writes.
func (s *Store) of(ctx context.Context, name string, fn func(id, *thread) error) error {
	_, key, err := storage.ParseID(name)
	if err != nil {
		return err
	}
	return s.read(ctx, func() error { return fn(key, s.threads[key]) })
}

// Events implements storage.Store.
func (s *Store) Events(ctx context.Context, name string, after, upTo uint64, maxBytes int) ([]storage.Event, error) {
	var out []storage.Event
	err := s.of(ctx, name, func(_ id, t *thread) error {
		if t == nil {
			return nil
		}
		i := sort.Search(len(t.events), func(i int) bool { return t.events[i].Seq > after })
		for size := 0; i < len(t.events); i++ {
			e := t.events[i]
			size += len(e.Frame)
			if (upTo > 0 && e.Seq > upTo) || (len(out) > 0 && size > maxBytes) {
				break
			}
			out = append(out, storage.Event{Seq: e.Seq, Frame: bytes.Clone(e.Frame)})
		}
		return nil
	})
	return out, err
}

// Head implements storage.Store.
func (s *Store) Head(ctx context.Context, name string) (head uint64, err error) {
	err = s.of(ctx, name, func(_ id, t *thread) error {
		if t != nil {
			head = t.head()
		}
		return nil
	})
	return head, err
}

// Thread implements storage.Store.
func (s *Store) Thread(ctx context.Context, name string) (row storage.Row, err error) {
	err = s.of(ctx, name, func(key id, t *thread) error {
		if _, ok := s.deleted[key]; ok {
			return storage.ErrDeleted
		}
		if t == nil || t.row == nil {
			return storage.ErrNotFound
		}
		row = cloneRow(t.row)
		return nil
	})
	return row, err
}

// Reusable implements storage.Store.
func (s *Store) Reusable(ctx context.Context, key string) (row storage.Row, err error) {
	err = s.read(ctx, func() error {
		l := s.reuse[key]
		if len(l) == 0 {
			return storage.ErrNotFound
		}
		row = cloneRow(s.threads[l[len(l)-1].ID].row)
		return nil
	})
	return row, err
}

// Threads implements storage.Store.
func (s *Store) Threads(ctx context.Context, q storage.Query) (page storage.Page, err error) {
	if err := q.Check(); err != nil {
		return page, err
	}
	err = s.read(ctx, func() error {
		list := s.lists[listKey{q.Reader, q.Order()}]
		i := len(list)
		if p, _ := q.Place(); p != nil {
			i, _ = list.find(*p)
		}
		bytes := 0
		for looked := 0; i > 0; looked++ {
			if q.Full(len(page.Rows), bytes) || looked == storage.MaxScan {
				page.Next = q.CursorAt(list[i])
				return nil
			}
			i--
			row := cloneRow(s.threads[list[i].ID].row)
			if q.Match == nil || q.Match(row) {
				page.Rows = append(page.Rows, row)
				bytes += len(row.Data)
			}
		}
		return nil
	})
	return page, err
}

// Busy implements storage.Store.
func (s *Store) Busy(ctx context.Context) iter.Seq2[storage.Row, error] {
	return func(yield func(storage.Row, error) bool) {
		var rows []storage.Row
		err := s.read(ctx, func() error {
			for _, key := range s.busy {
				rows = append(rows, cloneRow(s.threads[key].row))
			}
			return nil
		})
		for _, r := range rows {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
				break
			}
			if !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(storage.Row{}, err)
		}
	}
}

// Turn implements storage.Store.
func (s *Store) Turn(ctx context.Context, name, turn string) (e storage.TurnEntry, err error) {
	_, turnKey, err := storage.ParseID(turn)
	if err != nil {
		return e, err
	}
	err = s.of(ctx, name, func(_ id, t *thread) error {
		ok := false
		if t != nil {
			e, ok = t.turns.get(turnKey)
		}
		if !ok {
			return storage.ErrNotFound
		}
		return nil
	})
	return e, err
}

// Turns implements storage.Store.
func (s *Store) Turns(ctx context.Context, name string, q storage.TurnQuery) (out []storage.TurnEntry, err error) {
	low, high, err := q.Bounds()
	if err != nil {
		return nil, err
	}
	err = s.of(ctx, name, func(_ id, t *thread) error {
		if t == nil {
			return nil
		}
		from, to := 0, len(t.turns.keys)
		if low != nil {
			i, found := t.turns.keys.find(*low)
			if from = i; found {
				from++
			}
		}
		if high != nil {
			to, _ = t.turns.keys.find(*high)
		}
		n := min(max(0, to-from), q.Limit, storage.MaxScan)
		if q.Desc {
			out = slices.Clone(t.turns.vals[max(to, from)-n : max(to, from)])
			slices.Reverse(out)
		} else {
			out = slices.Clone(t.turns.vals[from : from+n])
		}
		return nil
	})
	return out, err
}

// Edits implements storage.Store.
func (s *Store) Edits(ctx context.Context, name string, items ...string) (map[string]uint64, error) {
	out := make(map[string]uint64)
	err := s.of(ctx, name, func(_ id, t *thread) error {
		for _, item := range items {
			_, key, err := storage.ParseID(item)
			if err != nil {
				return err
			}
			if t == nil {
				continue
			}
			if e, ok := t.edits[key]; ok {
				out[e.Item] = e.Seq
			}
		}
		if t != nil && len(items) == 0 {
			for _, e := range t.edits {
				out[e.Item] = e.Seq
			}
		}
		return nil
	})
	return out, err
}

// Checkpoints implements storage.Store.
func (s *Store) Checkpoints(ctx context.Context, name string) (out []storage.Checkpoint, err error) {
	err = s.of(ctx, name, func(_ id, t *thread) error {
		if t != nil {
			for _, c := range t.checkpoints.vals {
				out = append(out, storage.Checkpoint{Item: c.Item, Data: bytes.Clone(c.Data)})
			}
		}
		return nil
	})
	return out, err
}

// Key implements storage.Store.
func (s *Store) Key(ctx context.Context, owner, name, key string) (r storage.KeyResult, err error) {
	if name != "" {
		if _, _, err := storage.ParseID(name); err != nil {
			return r, err
		}
	}
	err = s.read(ctx, func() error {
		k, ok := s.keys[idOfThread(name)][keyID{owner, key}]
		if !ok {
			return storage.ErrNotFound
		}
		r = *k
		r.Hash, r.Result = bytes.Clone(k.Hash), bytes.Clone(k.Result)
		return nil
	})
	return r, err
}

func cloneRow(r *storage.Row) storage.Row {
	out := *r
	out.Readers, out.Data = slices.Clone(r.Readers), bytes.Clone(r.Data)
	return out
}

// Settings implements storage.Store.
func (s *Store) Settings(ctx context.Context, prefix string) (list []storage.Setting, err error) {
	err = s.read(ctx, func() error {
		for _, key := range slices.Sorted(maps.Keys(s.settings)) {
			if strings.HasPrefix(key, prefix) {
				list = append(list, storage.Setting{Key: key, Value: bytes.Clone(s.settings[key])})
			}
		}
		return nil
	})
	return list, err
}
