package thread

import "sync/atomic"

// countdown calls then when done was called n times; at once for n = 0.
type countdown struct {
	left atomic.Int64
	then func()
}

func newCountdown(n int, then func()) *countdown {
	c := &countdown{then: then}
	c.left.Store(int64(n))
	if n == 0 {
		then()
	}
	return c
}

func (c *countdown) done() {
	if c.left.Add(-1) == 0 {
		c.then()
	}
}
