package mem

import (
	"slices"

	"github.com/spoolhq/spool/storage"
)

// apply makes the changes of a batch that is right in itself. With an error nothing
// has changed.
func (s *Store) apply(b *storage.Batch) error {
	if b.Thread == "" {
		s.putApart(b)
		return nil
	}
	key := idOf(b.Thread)
	t := s.threads[key]
	if b.Delete {
		s.remove(key, t)
		s.putKey(b.Key)
		return nil
	}
	if err := s.admit(key, t, b); err != nil {
		return err
	}
	if t == nil {
		t = new(thread)
		s.threads[key] = t
	}
	if b.EraseBefore > 0 {
		t.erase(b.EraseBefore)
	}
	for _, e := range b.Events {
		if e.Seq >= b.EraseBefore {
			t.events = append(t.events, e)
		}
	}
	if b.Row != nil {
		s.putRow(key, t, b.Row)
	}
	t.index(b)
	s.putApart(b)
	return nil
}

// putApart makes the changes that belong to no thread, or may.
func (s *Store) putApart(b *storage.Batch) {
	s.putKey(b.Key)
	for _, set := range b.Settings {
		if set.Value == nil {
			delete(s.settings, set.Key)
		} else {
			s.settings[set.Key] = set.Value
		}
	}
}

// putKey remembers an answer; nil is none.
func (s *Store) putKey(r *storage.KeyResult) {
	if r == nil {
		return
	}
	thread := idOfThread(r.Thread)
	if s.keys[thread] == nil {
		s.keys[thread] = make(map[keyID]*storage.KeyResult)
	}
	s.keys[thread][keyID{r.Owner, r.Key}] = r
}

// pruneKeys forgets the answers from before a time, and returns how many they were.
func (s *Store) pruneKeys(before int64) (n int) {
	for thread, of := range s.keys {
		for k, r := range of {
			if r.At < before {
				delete(of, k)
				n++
			}
		}
		if len(of) == 0 {
			delete(s.keys, thread)
		}
	}
	return n
}

// admit says whether the batch fits to what is stored.
func (s *Store) admit(key id, t *thread, b *storage.Batch) error {
	_, deleted := s.deleted[key]
	head := uint64(0)
	if t != nil {
		head = t.head()
	}
	switch {
	case b.Create && (deleted || head > 0 || (t != nil && t.row != nil)):
		return storage.ErrExists
	case deleted:
		return storage.ErrConflict
	case !b.Follows(head):
		return storage.ErrConflict
	case b.EraseBefore > b.End(head):
		return storage.ErrConflict
	}
	return nil
}

func (t *thread) erase(before uint64) {
	i := 0
	for i < len(t.events) && t.events[i].Seq < before {
		i++
	}
	t.events = slices.Clone(t.events[i:])
	t.turns = sorted[storage.TurnEntry]{}
	t.edits = nil
	t.checkpoints = sorted[storage.Checkpoint]{}
}

// index makes the changes of a batch beside journal, row and key.
func (t *thread) index(b *storage.Batch) {
	for _, turn := range b.DropTurns {
		t.turns.drop(idOf(turn))
	}
	for _, e := range b.Turns {
		t.turns.put(idOf(e.ID), e)
	}
	for _, e := range b.Edits {
		if t.edits == nil {
			t.edits = make(map[id]storage.Edit)
		}
		t.edits[idOf(e.Item)] = e
	}
	for _, item := range b.Closed {
		t.checkpoints.drop(idOf(item))
	}
	for _, c := range b.Checkpoints {
		t.checkpoints.put(idOf(c.Item), c)
	}
}

func (s *Store) putRow(key id, t *thread, row *storage.Row) {
	s.unlist(key, t.row)
	t.row = row
	if row == nil {
		return
	}
	updated, created := storage.Place{At: row.Updated, ID: key}, storage.Place{At: row.Created, ID: key}
	for _, reader := range append(slices.Clone(row.Readers), row.Owner) {
		k := listKey{reader, storage.SortUpdated}
		s.lists[k] = s.lists[k].with(updated)
		k = listKey{reader, storage.SortCreated}
		s.lists[k] = s.lists[k].with(created)
	}
	if row.Reuse != "" {
		s.reuse[row.Reuse] = s.reuse[row.Reuse].with(created)
	}
	if row.Busy {
		s.busy = s.busy.with(key)
	}
}

// unlist takes a row out of all lists.
func (s *Store) unlist(key id, row *storage.Row) {
	if row == nil {
		return
	}
	updated, created := storage.Place{At: row.Updated, ID: key}, storage.Place{At: row.Created, ID: key}
	for _, reader := range append(slices.Clone(row.Readers), row.Owner) {
		s.takeOut(listKey{reader, storage.SortUpdated}, updated)
		s.takeOut(listKey{reader, storage.SortCreated}, created)
	}
	if row.Reuse != "" {
		if s.reuse[row.Reuse] = s.reuse[row.Reuse].without(created); len(s.reuse[row.Reuse]) == 0 {
			delete(s.reuse, row.Reuse)
		}
	}
	s.busy = s.busy.without(key)
}

func (s *Store) takeOut(k listKey, p storage.Place) {
	if s.lists[k] = s.lists[k].without(p); len(s.lists[k]) == 0 {
		delete(s.lists, k)
	}
}

func (s *Store) remove(key id, t *thread) {
	if t != nil {
		s.unlist(key, t.row)
	}
	delete(s.threads, key)
	if _, again := s.deleted[key]; !again {
		delete(s.keys, key)
	}
	s.deleted[key] = struct{}{}
}

// idOfThread is zero for no thread.
func idOfThread(name string) id {
	if name == "" {
		return id{}
	}
	return idOf(name)
}
