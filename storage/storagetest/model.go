package storagetest

import (
	"errors"
	"slices"
	"strings"

	"github.com/spoolhq/spool/storage"
)

// model is a store of the plainest kind: maps, and queries that look at everything.
type model struct {
	threads map[string]*modelThread
	deleted map[string]bool
	keys    map[[3]string]storage.KeyResult
}

type modelThread struct {
	row         *storage.Row
	events      []storage.Event
	turns       map[string]storage.TurnEntry
	edits       map[string]uint64
	checkpoints map[string][]byte
}

func newModel() *model {
	return &model{threads: make(map[string]*modelThread), deleted: make(map[string]bool), keys: make(map[[3]string]storage.KeyResult)}
}

func newModelThread() *modelThread {
	return &modelThread{turns: make(map[string]storage.TurnEntry), edits: make(map[string]uint64), checkpoints: make(map[string][]byte)}
}

func (t *modelThread) head() uint64 {
	if len(t.events) == 0 {
		return 0
	}
	return t.events[len(t.events)-1].Seq
}

func (m *model) commit(b *storage.Batch) error {
	t := m.threads[b.Thread]
	if t == nil {
		t = newModelThread()
	}
	if b.Delete {
		delete(m.threads, b.Thread)
		for k := range m.keys {
			if k[1] == b.Thread && !m.deleted[b.Thread] {
				delete(m.keys, k)
			}
		}
		m.deleted[b.Thread] = true
		m.putKey(b.Key)
		return nil
	}
	all := slices.Concat(t.events, b.Events)
	switch {
	case b.Create && (m.deleted[b.Thread] || t.row != nil || len(t.events) > 0):
		return storage.ErrExists
	case m.deleted[b.Thread]:
		return storage.ErrConflict
	case len(b.Events) > 0 && b.Events[0].Seq != t.head()+1 && !(b.Create && b.Events[0].Seq == b.EraseBefore):
		return storage.ErrConflict
	case b.EraseBefore > 0 && (len(all) == 0 || b.EraseBefore > all[len(all)-1].Seq):
		return storage.ErrConflict
	}
	m.threads[b.Thread] = t
	if b.EraseBefore > 0 {
		*t = modelThread{row: t.row, turns: newModelThread().turns, edits: newModelThread().edits, checkpoints: newModelThread().checkpoints}
	}
	t.events = slices.DeleteFunc(all, func(e storage.Event) bool { return e.Seq < b.EraseBefore })
	t.put(b)
	m.putKey(b.Key)
	return nil
}

func (m *model) putKey(k *storage.KeyResult) {
	if k != nil {
		m.keys[[3]string{k.Owner, k.Thread, k.Key}] = *k
	}
}

func (t *modelThread) put(b *storage.Batch) {
	if b.Row != nil {
		t.row = b.Row
	}
	for _, id := range b.DropTurns {
		delete(t.turns, id)
	}
	for _, e := range b.Turns {
		t.turns[e.ID] = e
	}
	for _, e := range b.Edits {
		t.edits[e.Item] = e.Seq
	}
	for _, id := range b.Closed {
		delete(t.checkpoints, id)
	}
	for _, c := range b.Checkpoints {
		t.checkpoints[c.Item] = c.Data
	}
}

func (m *model) prune(before int64) (n int) {
	for k, r := range m.keys {
		if r.At < before {
			delete(m.keys, k)
			n++
		}
	}
	return n
}

func (m *model) dump(id string) (d dump) {
	t := m.threads[id]
	if t == nil {
		return d
	}
	if t.row != nil {
		d.Row = *t.row
	}
	d.Head, d.Events, d.Edits = t.head(), t.events, t.edits
	for _, e := range t.turns {
		d.Turns = append(d.Turns, e)
	}
	slices.SortFunc(d.Turns, func(a, b storage.TurnEntry) int { return strings.Compare(a.ID, b.ID) })
	for item, data := range t.checkpoints {
		d.Checkpoints = append(d.Checkpoints, storage.Checkpoint{Item: item, Data: data})
	}
	slices.SortFunc(d.Checkpoints, func(a, b storage.Checkpoint) int { return strings.Compare(a.Item, b.Item) })
	return d
}

// thread is what Thread has to answer.
func (m *model) thread(id string) error {
	switch t := m.threads[id]; {
	case m.deleted[id]:
		return storage.ErrDeleted
	case t == nil || t.row == nil:
		return storage.ErrNotFound
	}
	return nil
}

// list gives the ids of all rows that match, the newest first.
func (m *model) list(at func(*storage.Row) int64, match func(*storage.Row) bool) (ids []string) {
	var rows []*storage.Row
	for _, t := range m.threads {
		if t.row != nil && match(t.row) {
			rows = append(rows, t.row)
		}
	}
	slices.SortFunc(rows, func(a, b *storage.Row) int {
		if at(a) != at(b) {
			if at(a) > at(b) {
				return -1
			}
			return 1
		}
		return strings.Compare(b.ID, a.ID)
	})
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	return ids
}

// turns is what Turns has to answer.
func (m *model) turns(thread string, q storage.TurnQuery) (out []storage.TurnEntry) {
	for _, e := range m.dump(thread).Turns {
		if e.ID > q.After && (q.Before == "" || e.ID < q.Before) {
			out = append(out, e)
		}
	}
	if q.Desc {
		slices.Reverse(out)
	}
	return out[:min(len(out), q.Limit)]
}

// kind is the error of package storage that err wraps.
func kind(err error) error {
	for _, k := range []error{
		storage.ErrDeleted, storage.ErrNotFound, storage.ErrExists, storage.ErrConflict,
		storage.ErrBadID, storage.ErrBadBatch, storage.ErrCursor,
	} {
		if errors.Is(err, k) {
			return k
		}
	}
	return err
}
