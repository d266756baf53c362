package server

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// socket is the connection below a WebSocket. Two write to it: the outbox's writer, with
// flush, whole messages that this package frames itself, many with one system call, as
// coder/websocket would write each alone; and coder/websocket, with Write, pings, pongs and
// the close.
//
// While something is being sent, what comes by Write is appended and goes out behind it. So a
// client that does not read never blocks a writer that holds a lock of the WebSocket; only the
// one who calls flush waits for the client.
type socket struct {
	net.Conn
	taken    atomic.Uint64
	given    atomic.Uint64 // bytes that the client sent
	newcomer *newcomer     // nil: it was never one

	mu      sync.Mutex
	sent    sync.Cond // sending became false
	buf     []byte
	closing bool // a close was written: nothing may follow it
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

func newSocket(c net.Conn) *socket {
	k := &socket{Conn: c}
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

// Read counts what the client sends.
func (c *socket) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.given.Add(uint64(n))
	return n, err
}

// waits reports whether something is being sent: for longer than a moment only where the
// kernel has no room for it.
func (c *socket) waits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sending
}

// Close closes the connection.
func (c *socket) Close() error {
	c.newcomer.leave()
	return c.Conn.Close()
}

// flush sends p, which are whole frames, and returns when it was taken. p is the socket's from
// now on.
func (c *socket) flush(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.sending {
		c.sent.Wait()
	}
	switch {
	case c.err != nil:
		return c.err
	case c.closing:
		return net.ErrClosed
	}
	c.buf = p
	c.send()
	return c.err
}

// Write sends p, which is a response of HTTP or a control frame, or has it sent behind what is
// being sent.
func (c *socket) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	if c.sending {
		if c.control += len(p); c.control > maxControl {
			return 0, errControl
		}
	}
	c.closing = c.closing || len(p) > 0 && p[0] == closeFrame
	if c.buf == nil {
		c.buf = getBuffer(len(p))
	}
	c.buf = append(c.buf, p...)
	if !c.sending {
		c.send()
	}
	return len(p), c.err
}

// send writes buf and what is appended to it meanwhile. c.mu is held, but not while the
// client is waited for.
func (c *socket) send() {
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
