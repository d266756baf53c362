package sdk

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pinging returns a client whose ping the daemon has read and does not answer.
func pinging(ctx context.Context, t *testing.T, f *fake) (*Client, *peer, request, <-chan error) {
	t.Helper()
	c, p := f.connect(Options{})
	failed := make(chan error, 1)
	go func() { _, err := c.Server().Ping(ctx); failed <- err }()
	return c, p, p.expect("server/ping"), failed
}

// closing closes a client, and says how long that took.
func closing(c *Client) <-chan time.Duration {
	took := make(chan time.Duration, 1)
	start := time.Now()
	go func() {
		_ = c.Close()
		took <- time.Since(start)
	}()
	return took
}

// What was said before Close reaches the daemon, however late it reads.
func TestCloseLetsOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c, p, ping, failed := pinging(ctx, t, newFake(t))
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
		took := closing(c)
		synctest.Wait()
		if got := p.expect("$/cancelRequest"); got.field("id") != string(ping.ID) {
			t.Errorf("the client cancels %s, want %s", got.raw, ping.ID)
		}
		if r, err := p.read(); err == nil {
			t.Errorf("then the client sent %s", r.raw)
		}
		if d := <-took; d != 0 {
			t.Errorf("Close took %v", d)
		}
	})
}

// unnoticed is a context that ends without anybody who waits for that waking up.
type unnoticed struct {
	context.Context
	ended atomic.Bool
}

// Err implements context.Context.
func (u *unnoticed) Err() error {
	if u.ended.Load() {
		return context.Canceled
	}
	return nil
}

// Close is faster than the one whose context has ended: the daemon is told nevertheless. A
// request that it has not got is not sent any more, and others are not cancelled.
func TestCloseBeforeTheEndIsNoticed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := &unnoticed{Context: t.Context()}
		c, p, ping, failed := pinging(ctx, t, newFake(t))
		others := make(chan error, 2)
		go func() { _, err := c.Server().Info(t.Context()); others <- err }() // stuck in the pipe
		synctest.Wait()
		go func() { _, err := c.Server().Stats(ctx); others <- err }()
		synctest.Wait()
		ctx.ended.Store(true)
		took := closing(c)
		synctest.Wait()
		p.expect("server/info")
		if got := p.expect("$/cancelRequest"); got.field("id") != string(ping.ID) {
			t.Errorf("the client cancels %s, want %s", got.raw, ping.ID)
		}
		if r, err := p.read(); err == nil {
			t.Errorf("then the client sent %s", r.raw)
		}
		<-took
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
		if a, b := <-others, <-others; !errors.Is(errors.Join(a, b), ErrClosed) || !errors.Is(errors.Join(a, b), context.Canceled) {
			t.Errorf("the errors of the others are %v and %v", a, b)
		}
	})
}

// A daemon that does not read holds Close up for a short time only, and so does one that is
// gone.
func TestCloseWithoutReader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c, p, _, failed := pinging(ctx, t, newFake(t))
		cancel()
		<-failed
		first, second := closing(c), closing(c)
		if a, b := <-first, <-second; a != flushTimeout || b != flushTimeout {
			t.Errorf("Close took %v, and a second one %v", a, b)
		}
		p.cut()
	})
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		ctx, cancel := context.WithCancel(t.Context())
		c, p, _, failed := pinging(ctx, t, f)
		cancel()
		<-failed
		took := closing(c)
		synctest.Wait()
		f.down.Store(true)
		p.cut()
		if d := <-took; d != 0 {
			t.Errorf("Close took %v, with nobody there", d)
		}
	})
}
