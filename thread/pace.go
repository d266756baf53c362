package thread

import "time"

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
	grace      = 2 * time.Millisecond
	graceShare = 50
)

// lock takes t.mu for something that the agent says, when it may say it, and in any case
// when its turn is over.
func (r *run) lock() *Thread {
	t := r.lockForRoom()
	if r.said >= paceBytes {
		r.said = 0
		r.keepPace()
	}
	return t
}

// lockForRoom takes t.mu when memory has room for more that waits for the disk.
func (r *run) lockForRoom() *Thread {
	t := r.t
	t.mu.Lock()
	for r.goesOn() && t.out != nil && t.out.backlog > maxBacklog {
		if r.room == nil {
			r.room = make(chan struct{})
		}
		r.pause(r.room, nil)
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
	for r.goesOn() {
		began := time.Now()
		crowded, patience := r.t.crowded(r.wake, began)
		if len(crowded) == 0 {
			return
		}
		tooLong := time.NewTimer(patience)
		late := r.pause(r.wake, tooLong.C)
		tooLong.Stop()
		waited := time.Since(began)
		for _, s := range crowded {
			s.deaf = late && patience == maxPause
			if patience < maxPause {
				s.heldUp += waited
			}
		}
	}
}

// crowded returns those to wait for, and for how long at most: [maxPause] where they are most
// of those who follow live, else what is left to the one that used the least of its part.
// wake gets a value when one of them has room again.
func (t *Thread) crowded(wake chan<- struct{}, now time.Time) (crowded []*Subscription, patience time.Duration) {
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
	if len(crowded)*2 > live {
		return crowded, maxPause
	}
	few := crowded[:0]
	for _, s := range crowded {
		if left := grace + now.Sub(s.since.Time())/graceShare - s.heldUp; left > 0 {
			few, patience = append(few, s), max(patience, min(left, maxPause-1))
		}
	}
	return few, patience
}
