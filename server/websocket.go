package server

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/spoolhq/spool/protocol"
)

const (
	// sendBuffer is the kernel's share of what waits for a client. It is kept small,
	// so that memory for a connection stays bounded, and grows by lastBuffer when a
	// client that does not read is closed: what was begun and the close then fit.
	sendBuffer = 96 << 10
	lastBuffer = 208 << 10
)

// webSocket is a Transport with one message a text frame. Contexts are never passed to
// coder/websocket with an end: it would close the connection when one expires.
type webSocket struct {
	conn *websocket.Conn
	sock *socket
	ping *keepAlive
	look time.Duration // between two looks at a client that is late with a pong

	closing time.Duration // bounds the wait for the client's close

	broken atomic.Bool // Read returned a CloseError: what else comes is nothing that can be read
}

// newWebSocket returns a transport over an accepted WebSocket whose socket is sock. dead
// is called when the client does not answer any more.
func newWebSocket(conn *websocket.Conn, sock *socket, l Limits, dead func(error)) *webSocket {
	conn.SetReadLimit(l.MaxMessageBytes)
	if tcp, ok := sock.Conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer)
	}
	t := &webSocket{conn: conn, sock: sock, look: max(l.Ping/8, time.Millisecond), closing: l.Closing}
	t.ping = newKeepAlive(l.Ping, t.alive, func() { dead(&CloseError{CloseTryLater, "no answer to a ping"}) })
	return t
}

// errGone is the end of a WebSocket that is closed by the client or broken: unlike at the
// end of a line stream nothing can be answered any more.
var errGone = errors.New("the client closed the connection")

// Read returns the next message.
func (t *webSocket) Read() ([]byte, error) {
	kind, r, err := t.conn.Reader(context.Background())
	if err != nil {
		return nil, t.breaks(endOf(err))
	}
	if kind != websocket.MessageText {
		return nil, t.breaks(&CloseError{CloseUnsupported, "messages must be text frames"})
	}
	switch message, err := readMessage(r); {
	case errors.Is(err, websocket.ErrMessageTooBig):
		return nil, t.breaks(&CloseError{CloseTooLong, "message too long"})
	case err != nil:
		return nil, t.breaks(endOf(err))
	default:
		return message, nil
	}
}

// endOf says how a WebSocket that cannot be read any more is closed: what is no error of the
// network, and no close of the client, are frames that break the rules.
func endOf(err error) error {
	_, network := errors.AsType[net.Error](err)
	if network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.ErrClosedPipe) || websocket.CloseStatus(err) != -1 {
		return errGone
	}
	return &CloseError{CloseProtocol, "protocol error"}
}

// Write sends frames with one system call for all of them, or one in flushBytes. It makes the
// frames of the WebSocket itself: coder/websocket would write each of them alone.
func (t *webSocket) Write(frames []protocol.Frame) error {
	size := 0
	for _, f := range frames {
		size += len(f) + maxHeader
	}
	out := getBuffer(size)
	for _, f := range frames {
		out = append(appendHeader(out, len(f)), f...)
	}
	return t.sock.flush(out)
}

// The first byte of a frame (RFC 6455, section 5.2).
const (
	textFrame  = 0x81 // a whole text message
	closeFrame = 0x88
)

// maxHeader is the longest header of a frame that is not masked.
const maxHeader = 10

// appendHeader appends the header of a text frame with n bytes, as a server sends it.
func appendHeader(b []byte, n int) []byte {
	b = append(b, textFrame)
	switch {
	case n < 126:
		return append(b, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
}

// Taken is the number of bytes that the kernel took.
func (t *webSocket) Taken() uint64 { return t.sock.taken.Load() }

// maxPing is the most that a ping adds to what was taken.
const maxPing = 32

// alive sends a ping and waits for the answer. A client may be late with it and live: it is
// in the middle of a long message of its own, or it reads slowly, and there is more in front
// of the ping than it takes meanwhile. That the kernel takes what little is sent to a client
// shows nothing; only where the kernel had no room, and then had, somebody reads.
func (t *webSocket) alive(ctx context.Context) bool {
	taken, given := t.Taken(), t.sock.given.Load()
	var full atomic.Bool
	looks := time.NewTicker(t.look)
	defer looks.Stop()
	answered := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-answered:
				return
			case <-looks.C:
				full.Store(full.Load() || t.sock.waits())
			}
		}
	})
	err := t.conn.Ping(ctx)
	close(answered)
	looking.Wait()
	return err == nil || t.sock.given.Load() > given || full.Load() && t.Taken() > taken+maxPing
}
