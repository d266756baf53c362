package sdk

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// workers run handlers, no more than Options.MaxHandlers at a time, in goroutines that
// Close waits for. Guarded by Client.mu, except for all.
type workers struct {
	all     sync.WaitGroup
	running int
	waiting []func()
}

// maxWaiting bounds the handlers that wait for others to return.
const maxWaiting = 1024

// work has f run in a goroutine of w. It reports false if too much waits there already.
// mu is held.
func (c *Client) work(w *workers, f func()) bool {
	switch {
	case w.running < c.opts.MaxHandlers:
		w.running++
		w.all.Go(func() {
			for f != nil {
				f()
				f = c.nextWork(w)
			}
		})
	case len(w.waiting) < maxWaiting:
		w.waiting = append(w.waiting, f)
	default:
		return false
	}
	return true
}

// nextWork returns what waits longest, nil if nothing does.
func (c *Client) nextWork(w *workers) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(w.waiting) == 0 {
		w.running--
		return nil
	}
	f := w.waiting[0]
	w.waiting[0] = nil
	w.waiting = w.waiting[1:]
	return f
}

// errPanicked is what a panic in a handler becomes.
var errPanicked = errors.New("the handler panicked")

// guarded calls a handler, unless its context has ended. A panic in it goes to the log.
func guarded[P, R any](ctx context.Context, c *Client, method string, params P, handle func(context.Context, P) (R, error)) (result R, err error) {
	if ctx.Err() != nil {
		return result, context.Cause(ctx)
	}
	defer func() {
		if p := recover(); p != nil {
			c.logf("the handler of %s panicked: %v\n%s", method, p, debug.Stack())
			err = fmt.Errorf("%s: %w", method, errPanicked)
		}
	}()
	return handle(ctx, params)
}
