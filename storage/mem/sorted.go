package mem

import (
	"slices"

	"github.com/spoolhq/spool/storage"
)

// places is part of a list of threads, the oldest first.
type places []storage.Place

// find returns the index of p, or of the first place that is newer.
func (l places) find(p storage.Place) (int, bool) {
	return slices.BinarySearchFunc(l, p, storage.Place.Compare)
}

func (l places) with(p storage.Place) places {
	if i, ok := l.find(p); !ok {
		return slices.Insert(l, i, p)
	}
	return l
}

func (l places) without(p storage.Place) places {
	if i, ok := l.find(p); ok {
		return slices.Delete(l, i, i+1)
	}
	return l
}

// ids is a rising list of ids.
type ids []id

func (l ids) find(v id) (int, bool) { return slices.BinarySearchFunc(l, v, compareIDs) }

func (l ids) with(v id) ids {
	if i, ok := l.find(v); !ok {
		return slices.Insert(l, i, v)
	}
	return l
}

func (l ids) without(v id) ids {
	if i, ok := l.find(v); ok {
		return slices.Delete(l, i, i+1)
	}
	return l
}

// sorted is a map that can be walked in the order of its keys.
type sorted[V any] struct {
	keys ids
	vals []V
}

func (m *sorted[V]) put(k id, v V) {
	i, ok := m.keys.find(k)
	if ok {
		m.vals[i] = v
		return
	}
	m.keys = slices.Insert(m.keys, i, k)
	m.vals = slices.Insert(m.vals, i, v)
}

func (m *sorted[V]) drop(k id) {
	if i, ok := m.keys.find(k); ok {
		m.keys = slices.Delete(m.keys, i, i+1)
		m.vals = slices.Delete(m.vals, i, i+1)
	}
}

func (m *sorted[V]) get(k id) (v V, ok bool) {
	if i, found := m.keys.find(k); found {
		return m.vals[i], true
	}
	return v, false
}
