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
	held     delta  // text is unused, see buf
	buf      []byte // what is held begins at sent
	sent     int
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
	return &coalescer{s: s, maxBytes: c.MaxBytes, maxDelay: milliseconds(c.MaxDelayMs)}
}

// add takes a delta. False: there was no room for what had to leave.
func (c *coalescer) add(d *delta) bool {
	if len(c.rest()) > 0 && c.held.header.ItemID != d.header.ItemID && !c.flush() {
		return false
	}
	if len(c.rest()) == 0 {
		c.held = *d
		c.arm()
	}
	c.buf = append(c.buf, d.text...)
	for len(c.rest()) >= c.maxBytes {
		if !c.send(c.cut()) {
			return false
		}
	}
	c.buf, c.sent = append(c.buf[:0], c.rest()...), 0
	if len(c.buf) == 0 {
		c.disarm()
	}
	return true
}

// rest is what is held.
func (c *coalescer) rest() []byte { return c.buf[c.sent:] }

// cut returns how much may leave: at most maxBytes, whole runes, at least one.
func (c *coalescer) cut() int {
	rest := c.rest()
	if len(rest) <= c.maxBytes {
		return len(rest)
	}
	n := c.maxBytes
	for n > 0 && !utf8.RuneStart(rest[n]) {
		n--
	}
	if n == 0 {
		_, n = utf8.DecodeRune(rest)
	}
	return n
}

// send offers the first n bytes.
func (c *coalescer) send(n int) bool {
	f, err := protocol.Encode(c.held.n, protocol.DeltaEvent{Header: c.held.header, Offset: c.held.offset, Delta: string(c.rest()[:n])})
	if err != nil || !c.s.peer.Offer(f, ClassStream, "") {
		return false
	}
	c.held.offset += n
	c.sent += n
	return true
}

// flush lets out all that is held.
func (c *coalescer) flush() bool {
	if len(c.rest()) > 0 && !c.send(len(c.rest())) {
		return false
	}
	c.drop()
	return true
}

func (c *coalescer) drop() {
	c.disarm()
	c.buf, c.sent = c.buf[:0], 0
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
