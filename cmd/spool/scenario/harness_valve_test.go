package scenario_test

import "sync"

// valve lets what reads a connection through, until it is paused.
type valve struct {
	lock sync.Mutex
	halt chan struct{} // not nil: the reader waits for it
}

// PauseReading stops taking messages: none that comes from now on is noticed.
func (v *valve) PauseReading() {
	v.lock.Lock()
	defer v.lock.Unlock()
	if v.halt == nil {
		v.halt = make(chan struct{})
	}
}

// ResumeReading goes on taking messages. It may be repeated.
func (v *valve) ResumeReading() {
	v.lock.Lock()
	defer v.lock.Unlock()
	if v.halt != nil {
		close(v.halt)
		v.halt = nil
	}
}

// paused is what to wait for before reading on, nil for nothing.
func (v *valve) paused() <-chan struct{} {
	v.lock.Lock()
	defer v.lock.Unlock()
	return v.halt
}

// pass waits while reading is paused.
func (v *valve) pass() {
	if halt := v.paused(); halt != nil {
		<-halt
	}
}
