package server

import (
	"iter"

	"github.com/spoolhq/spool/protocol"
)

// aside holds state frames that found no room: the latest of each key, in the order in
// which they came. outbox.mu guards it.
type aside struct {
	latest map[string]asideFrame
	order  []asidePlace // may hold places that are stale
	count  uint64
}

type asideFrame struct {
	frame protocol.Frame
	n     uint64
}

type asidePlace struct {
	key string
	n   uint64
}

func (a *aside) empty() bool { return len(a.latest) == 0 }

// put keeps f in place of an older one. It moves to the end, as it may say more than what
// came in between.
func (a *aside) put(key string, f protocol.Frame) {
	if a.latest == nil {
		a.latest = map[string]asideFrame{}
	}
	a.count++
	a.latest[key] = asideFrame{f, a.count}
	if len(a.order) > 2*len(a.latest)+16 {
		a.compact()
	}
	a.order = append(a.order, asidePlace{key, a.count})
}

// compact removes stale places.
func (a *aside) compact() {
	kept := a.order[:0]
	for _, o := range a.order {
		if a.latest[o.key].n == o.n {
			kept = append(kept, o)
		}
	}
	clear(a.order[len(kept):])
	a.order = kept
}

func (a *aside) drop(key string) { delete(a.latest, key) }

// take yields and removes frames, oldest first, at least one and at most max bytes.
func (a *aside) take(max int) iter.Seq[protocol.Frame] {
	return func(yield func(protocol.Frame) bool) {
		for size := 0; len(a.order) > 0; {
			o := a.order[0]
			f := a.latest[o.key]
			current := f.n == o.n
			if current && size > 0 && size+cost(f.frame) > max {
				return
			}
			a.order = a.order[1:]
			if !current {
				continue
			}
			delete(a.latest, o.key)
			size += cost(f.frame)
			if !yield(f.frame) {
				return
			}
		}
		*a = aside{count: a.count}
	}
}
