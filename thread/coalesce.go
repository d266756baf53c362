package thread

import (
	"time"
	"unicode/utf8"

	"github.com/spoolhq/spool/protocol"
)

// delta is a piece of an item's text on its way to subscribers.
type delta struct {
	n      protocol.Notification[protocol.DeltaEvent]
	header protocol.Header
	offset int
	text   string
}

// coalescer joins the deltas of one subscription: none is held back longer than maxDelay,
// none made longer than maxBytes (unless one rune is), and no rune is cut. Guarded by the
// thread's mu.
type coalescer struct {
	s        *Subscription
	maxBytes int
	maxDelay time.Duration
	held     delta // text is unused, see buf
	buf      []byte
	timer    *time.Timer
	round    int // counts flushes, so that a late timer does nothing
}

func newCoalescer(s *Subscription, c protocol.Coalesce) *coalescer {
	if c.MaxBytes <= 0 {
		c.MaxBytes = 4096
	}
	if c.MaxDelayMs <= 0 {
		c.MaxDelayMs = 50
	}
	return &coalescer{s: s, maxBytes: c.MaxBytes, maxDelay: time.Duration(c.MaxDelayMs) * time.Millisecond}
}

// add takes a delta. False: there was no room for what had to leave.
func (c *coalescer) add(d *delta) bool {
	if len(c.buf) > 0 && c.held.header.ItemID != d.header.ItemID && !c.flush() {
		return false
	}
	if len(c.buf) == 0 {
		c.held = *d
		c.arm()
	}
	c.buf = append(c.buf, d.text...)
	for len(c.buf) >= c.maxBytes {
		if !c.send(c.cut()) {
			return false
		}
	}
	if len(c.buf) == 0 {
		c.disarm()
	}
	return true
}

// cut returns how much may leave: at most maxBytes, whole runes, at least one.
func (c *coalescer) cut() int {
	if len(c.buf) <= c.maxBytes {
		return len(c.buf)
	}
	n := c.maxBytes
	for n > 0 && !utf8.RuneStart(c.buf[n]) {
		n--
	}
	if n == 0 {
		_, n = utf8.DecodeRune(c.buf)
	}
	return n
}

// send offers the first n bytes.
func (c *coalescer) send(n int) bool {
	f, err := protocol.Encode(c.held.n, protocol.DeltaEvent{Header: c.held.header, Offset: c.held.offset, Delta: string(c.buf[:n])})
	if err != nil || !c.s.peer.Offer(f, ClassStream, "") {
		return false
	}
	c.held.offset += n
	c.buf = append(c.buf[:0], c.buf[n:]...)
	return true
}

// flush lets out all that is held.
func (c *coalescer) flush() bool {
	c.disarm()
	return len(c.buf) == 0 || c.send(len(c.buf))
}

func (c *coalescer) drop() {
	c.disarm()
	c.buf = c.buf[:0]
}

func (c *coalescer) arm() {
	c.round++
	round, t := c.round, c.s.t
	c.timer = time.AfterFunc(c.maxDelay, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if c.round == round && c.s.state == subLive && !c.flush() {
			c.s.fallBehind()
		}
	})
}

func (c *coalescer) disarm() {
	c.round++
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}
