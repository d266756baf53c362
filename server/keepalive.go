package server

import (
	"context"
	"sync"
	"time"
)

// keepAlive calls check every interval, each call bounded by two of them, until it says
// that nobody is there. It has no goroutine while it waits.
type keepAlive struct {
	interval time.Duration
	check    func(context.Context) bool
	dead     func()
	ctx      context.Context
	cancel   context.CancelFunc

	mu    sync.Mutex
	timer *time.Timer
	done  bool
	wg    sync.WaitGroup
}

// newKeepAlive begins; dead is called once, when check failed.
func newKeepAlive(interval time.Duration, check func(context.Context) bool, dead func()) *keepAlive {
	k := &keepAlive{interval: interval, check: check, dead: dead}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(interval, k.run)
	return k
}

func (k *keepAlive) run() {
	k.mu.Lock()
	if k.done {
		k.mu.Unlock()
		return
	}
	k.wg.Add(1)
	k.mu.Unlock()
	defer k.wg.Done()
	ctx, cancel := context.WithTimeout(k.ctx, 2*k.interval)
	defer cancel()
	if alive := k.check(ctx); !alive {
		if k.ctx.Err() == nil {
			k.dead()
		}
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.done {
		k.timer.Reset(k.interval)
	}
}

// stop ends it and waits for a check that runs.
func (k *keepAlive) stop() {
	k.mu.Lock()
	k.done = true
	k.timer.Stop()
	k.mu.Unlock()
	k.cancel()
	k.wg.Wait()
}
