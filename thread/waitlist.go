package thread

import (
	"slices"

	"github.com/spoolhq/spool/protocol"
)

// waitlist finds out from the events of a journal, from anywhere, which items wait for a turn.
type waitlist struct {
	items []waitingItem // the oldest first
	known map[string]bool
	taken uint64 // what events up to this seq appended does not wait any more
}

type waitingItem struct {
	id   string
	seq  uint64 // of the event that appended it
	user bool
}

func (l *waitlist) has(id string) bool { return l.known[id] }

// add appends an item; false: it waits already.
func (l *waitlist) add(seq uint64, item *protocol.Item) bool {
	if l.known[item.ID] {
		return false
	}
	if l.known == nil {
		l.known = map[string]bool{}
	}
	l.known[item.ID] = true
	l.items = append(l.items, waitingItem{item.ID, seq, item.Type == protocol.ItemUserMessage})
	return true
}

// take takes an item out that waits; false: it was not the oldest.
func (l *waitlist) take(id string) (first bool) {
	delete(l.known, id)
	i := slices.IndexFunc(l.items, func(it waitingItem) bool { return it.id == id })
	l.taken = max(l.taken, l.items[i].seq)
	if i > 0 {
		l.items = slices.Delete(slices.Clone(l.items), i, i+1)
		return false
	}
	l.items = l.items[1:]
	return true
}

// clear takes all items out that the events up to a seq appended.
func (l *waitlist) clear(seq uint64) { *l = waitlist{taken: seq} }

// waiting says what waits after all events. whole is false where a turn took some items of an
// event and left others.
func (l *waitlist) waiting() (w waiting, whole bool) {
	if len(l.items) == 0 {
		return w, true
	}
	w = waiting{First: l.items[0].seq, Last: l.items[len(l.items)-1].seq, Items: len(l.items)}
	for _, it := range l.items {
		if it.user {
			w.Users++
		}
	}
	return w, w.First > l.taken
}

// agrees reports whether stored says the same as the events. It may begin to look anywhere
// behind what was taken.
func (l *waitlist) agrees(stored waiting) bool {
	w, _ := l.waiting()
	if w.Items > 0 && stored.First > l.taken && stored.First <= w.First {
		stored.First = w.First
	}
	return stored == w
}
