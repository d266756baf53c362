package thread

import (
	"slices"
	"time"
)

// An agent without a pace of its own would leave every client behind: all of them would be
// fed with snapshots and from the journal, and none with what is said. So an agent waits, for
// two reasons.
//
// It waits while more than memory should hold waits for the disk.
//
// And it waits for its audience, those who follow live and have too much before them. Where
// that is most of them it waits for as long as they read at all. A few slow ones among many
// can hold it up for a moment, and for a small part of the time, so that a client that was
// only unlucky keeps up and one that is slow is left behind and caught up later.

const (
	// maxBacklog bounds what waits for the disk. A client that follows has room for it.
	maxBacklog = 1 << 20
	// paceBytes is what is said between two looks at the audience.
	paceBytes = 16 << 10
	// maxPause is how long clients that read nothing can hold an agent up. After that
	// they do not count until they have read.
	maxPause = 100 * time.Millisecond
	// The few slow ones of an audience can hold it up for grace, and one part of
	// graceShare of the time.
	grace      = 5 * time.Millisecond
	graceShare = 50
)

// lock takes t.mu for something that the agent says, when it may say it, and in any case
// when its turn is over.
func (r *run) lock() *Thread {
	t := r.t
	t.mu.Lock()
	for t.backlog > maxBacklog && r.goesOn() {
		if t.room == nil {
			t.room = make(chan struct{})
		}
		r.pause(t.room, nil)
	}
	if t.said >= paceBytes {
		t.said = 0
		r.keepPace()
	}
	return t
}

func (r *run) goesOn() bool { return r.t.run == r && r.ctx.Err() == nil }

// pause waits without t.mu until there is room or the turn ends; late says that it was for
// too long.
func (r *run) pause(room <-chan struct{}, tooLong <-chan time.Time) (late bool) {
	r.t.mu.Unlock()
	defer r.t.mu.Lock()
	select {
	case <-room:
	case <-r.ctx.Done():
	case <-tooLong:
		return true
	}
	return false
}

// keepPace waits for the audience. t.mu is held, but not meanwhile.
func (r *run) keepPace() {
	began := time.Now()
	crowded, most := r.t.crowded(r.wake, began)
	if len(crowded) == 0 {
		return
	}
	tooLong := time.NewTimer(maxPause)
	defer tooLong.Stop()
	for r.goesOn() && len(crowded) > 0 {
		late := r.pause(r.wake, tooLong.C)
		now := time.Now()
		for _, s := range crowded {
			s.deaf = late
			if !most {
				s.heldUp += now.Sub(began)
			}
		}
		if late {
			return
		}
		began = now
		crowded, most = r.t.crowded(r.wake, now)
	}
}

// crowded returns those to wait for, and whether they are most of those who follow live.
// wake gets a value when one of them has room again.
func (t *Thread) crowded(wake chan<- struct{}, now time.Time) (crowded []*Subscription, most bool) {
	live := 0
	for _, s := range t.subs {
		if s.state != subLive {
			continue
		}
		if !s.peer.Crowded(wake) {
			s.deaf = false
		} else if s.deaf {
			continue
		} else {
			crowded = append(crowded, s)
		}
		live++
	}
	if most = len(crowded)*2 > live; most {
		return crowded, true
	}
	return slices.DeleteFunc(crowded, func(s *Subscription) bool {
		return s.heldUp > grace+now.Sub(s.since.Time())/graceShare
	}), false
}
