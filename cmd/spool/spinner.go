package main

import (
	"io"
	"sync"
	"time"
)

// spinner shows on a terminal that something is awaited. pause and resume may be called
// in any order; after pause nothing of it is on the screen and no goroutine is left.
type spinner struct {
	out  io.Writer
	on   bool          // there is a terminal
	text func() string // what is shown behind it; nil: nothing
	stop chan struct{}
	done sync.WaitGroup
}

const (
	spinnerDelay = 200 * time.Millisecond // a quick answer shows none
	spinnerFrame = 100 * time.Millisecond
)

func newSpinner(out io.Writer, on bool) *spinner { return &spinner{out: out, on: on} }

func (s *spinner) resume() {
	if !s.on || s.stop != nil {
		return
	}
	stop := make(chan struct{})
	s.stop = stop
	s.done.Go(func() { s.spin(stop) })
}

func (s *spinner) pause() {
	if s.stop == nil {
		return
	}
	close(s.stop)
	s.stop = nil
	s.done.Wait()
}

func (s *spinner) spin(stop <-chan struct{}) {
	timer := time.NewTimer(spinnerDelay)
	defer timer.Stop()
	frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	for i := 0; ; i++ {
		select {
		case <-stop:
			if i > 0 {
				_, _ = io.WriteString(s.out, "\r\x1b[K")
			}
			return
		case <-timer.C:
			text := ""
			if s.text != nil {
				text = s.text() + "\x1b[K"
			}
			_, _ = io.WriteString(s.out, "\r"+string(frames[i%len(frames)])+" "+text)
			timer.Reset(spinnerFrame)
		}
	}
}
