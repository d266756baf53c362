// Package line keeps work in order without a goroutine that waits for it.
//
// # Concurrency properties
//
// Work is done in the order of the calls of Add, on one goroutine at a time, which
// lives only while there is work. Whoever does the work gets all that waits at once.
// Add never blocks for longer than it takes to append to a list; no lock is held
// while work is done.
package line

import (
	"runtime"
	"sync"
)

// Line is an ordered queue. Make one with [New].
type Line[T any] struct {
	work   func([]T)
	refuse func(T)

	mu      sync.Mutex
	idle    sync.Cond // signalled when running becomes false
	waiting []T
	late    []T // added after Close
	spare   []T // the list that was worked on last, empty
	running bool
	closed  bool
}

// New makes a line that gives everything that waits to work, and each thing that was
// added after Close to refuse. work must not keep the slice.
func New[T any](work func([]T), refuse func(T)) *Line[T] {
	l := &Line[T]{work: work, refuse: refuse}
	l.idle.L = &l.mu
	return l
}

// Add puts v at the end of the line.
func (l *Line[T]) Add(v T) {
	l.mu.Lock()
	if l.closed {
		l.late = append(l.late, v)
	} else {
		l.waiting = append(l.waiting, v)
	}
	start := !l.running
	l.running = true
	l.mu.Unlock()
	if start {
		go l.run()
	}
}

// Close refuses what is added from now on, and returns when all work is done. It
// may be called more than once.
func (l *Line[T]) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for l.running {
		l.idle.Wait()
	}
}

func (l *Line[T]) run() {
	for {
		// Those who were woken by the work just done may have more: let them come
		// along. It costs nothing where nobody waits.
		runtime.Gosched()
		todo, late := l.take()
		switch {
		case len(todo) > 0:
			l.work(todo)
			l.giveBack(todo)
		case len(late) > 0:
			for _, v := range late {
				l.refuse(v)
			}
		default:
			return
		}
	}
}

// take returns what waits, or if nothing does what came too late. With neither the
// line comes to rest.
func (l *Line[T]) take() (todo, late []T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.waiting) > 0:
		todo = l.waiting
		l.waiting, l.spare = l.spare, nil
	case len(l.late) > 0:
		late, l.late = l.late, nil
	default:
		l.running = false
		l.idle.Broadcast()
	}
	return todo, late
}

// maxSpare is the longest list that is kept for later use.
const maxSpare = 4096

func (l *Line[T]) giveBack(done []T) {
	if cap(done) > maxSpare {
		return
	}
	clear(done)
	l.mu.Lock()
	l.spare = done[:0]
	l.mu.Unlock()
}
