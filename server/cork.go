package server

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// cork is a connection that collects what is written to it while it is corked, so that
// many messages leave with one system call. coder/websocket writes each message alone and
// has no way to join them; this stands below it.
//
// While something is being sent, what others write (pings, pongs, the close) is appended
// and goes out behind it. So a client that does not read never blocks a writer that holds
// a lock of the WebSocket; only the one who calls uncork waits for the client.
type cork struct {
	net.Conn
	taken atomic.Uint64

	mu      sync.Mutex
	sent    sync.Cond // sending became false
	buf     []byte
	corked  bool
	sending bool
	control int // bytes appended by others since the last time all was sent
	err     error
}

// maxControl bounds what others may append while a client does not read.
const maxControl = 16 << 10

// keptBuffer is the largest buffer that is used again.
const keptBuffer = 64 << 10

var (
	errControl = errors.New("too many pings by a client that does not read")

	buffers = sync.Pool{New: func() any { b := make([]byte, 0, flushBytes+1024); return &b }}
)

func newCork(c net.Conn) *cork {
	k := &cork{Conn: c}
	k.sent.L = &k.mu
	return k
}

func getBuffer(size int) []byte {
	if size > keptBuffer {
		return make([]byte, 0, size)
	}
	return (*buffers.Get().(*[]byte))[:0]
}

func putBuffer(b []byte) {
	if c := cap(b); c > 0 && c <= keptBuffer {
		buffers.Put(&b)
	}
}

// cork holds back what is written from now on; size says how much that will be.
func (c *cork) cork(size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = true
	if c.buf == nil {
		c.buf = getBuffer(size)
	}
}

// uncork sends what was held back and returns when it was taken.
func (c *cork) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = false
	for c.sending {
		c.sent.Wait()
	}
	c.send()
	return c.err
}

// Write sends p, or appends it to what is held back.
func (c *cork) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	if c.sending && !c.corked {
		if c.control += len(p); c.control > maxControl {
			return 0, errControl
		}
	}
	if c.buf == nil {
		c.buf = getBuffer(len(p))
	}
	c.buf = append(c.buf, p...)
	if !c.corked && !c.sending {
		c.send()
	}
	return len(p), c.err
}

// send writes buf and what is appended to it meanwhile. c.mu is held, but not while the
// client is waited for.
func (c *cork) send() {
	c.sending = true
	for c.err == nil && len(c.buf) > 0 {
		out := c.buf
		c.buf = nil
		c.mu.Unlock()
		err := writeCounted(c.Conn, out, &c.taken)
		putBuffer(out)
		c.mu.Lock()
		c.err = err
	}
	putBuffer(c.buf)
	c.buf, c.control = nil, 0
	c.sending = false
	c.sent.Broadcast()
}

// writeCounted writes p in pieces, so that taken shows that a slow reader is alive.
func writeCounted(w interface{ Write([]byte) (int, error) }, p []byte, taken *atomic.Uint64) error {
	for len(p) > 0 {
		n, err := w.Write(p[:min(len(p), flushBytes)])
		taken.Add(uint64(n))
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}
