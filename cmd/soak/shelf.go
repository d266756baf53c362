package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/spoolhq/spool/sdk"
)

// shelf holds the threads that have ended and are not deleted yet.
type shelf struct {
	room int

	mu    sync.Mutex
	lives []*life // the oldest first
}

// put adds a thread, and deletes the oldest ones where there are too many. One that a
// follower has not finished stays.
func (s *shelf) put(ctx context.Context, l *load, c *sdk.Client, lf *life) error {
	s.mu.Lock()
	s.lives = append(s.lives, lf)
	var old []*life
	for len(s.lives) > s.room {
		i := slices.IndexFunc(s.lives, func(o *life) bool { return o.followed.Load() == 0 })
		if i < 0 {
			break
		}
		old = append(old, s.lives[i])
		s.lives = slices.Delete(s.lives, i, i+1)
	}
	s.mu.Unlock()
	for _, o := range old {
		l.count.deleted.Add(1)
		if err := c.Threads().Get(o.id).Delete(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// take takes any thread from the shelf, nil where there is none.
func (s *shelf) take() *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lives) == 0 {
		return nil
	}
	i := rand.IntN(len(s.lives))
	lf := s.lives[i]
	s.lives = slices.Delete(s.lives, i, i+1)
	return lf
}

// putBack undoes take.
func (s *shelf) putBack(lf *life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lives = append(s.lives, lf)
}
