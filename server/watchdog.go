package server

import "time"

// watchdog notices that nothing is taken while something waits. Its timer runs at most
// once in timeout and not at all on an idle connection. outbox.mu guards it.
type watchdog struct {
	timeout time.Duration
	timer   *time.Timer
	armed   bool
	taken   uint64    // when last seen to grow, or the writer started
	since   time.Time // of that
}

// start is called when the writer starts.
func (w *watchdog) start(taken uint64, check func()) {
	w.taken, w.since = taken, time.Now()
	switch {
	case w.armed:
		return
	case w.timer == nil:
		w.timer = time.AfterFunc(w.timeout, check)
	default:
		w.timer.Reset(w.timeout)
	}
	w.armed = true
}

// stalled is called when the timer fires.
func (w *watchdog) stalled(writing bool, taken uint64) bool {
	w.armed = false
	if !writing {
		return false
	}
	now := time.Now()
	if taken != w.taken {
		w.taken, w.since = taken, now
	}
	left := w.timeout - now.Sub(w.since)
	if left <= 0 {
		return true
	}
	w.timer.Reset(left)
	w.armed = true
	return false
}

// excuse lets the time begin again: what passed was not the client's.
func (w *watchdog) excuse() { w.since = time.Now() }

func (w *watchdog) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
}
