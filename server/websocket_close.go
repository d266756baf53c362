package server

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"

	"github.com/coder/websocket"
)

// Close sends the code and waits a little for the client's.
func (t *webSocket) Close(code Code, reason string) error {
	t.ping.stop()
	if tcp, ok := t.sock.Conn.(*net.TCPConn); ok && code == CloseTryLater {
		_ = tcp.SetWriteBuffer(lastBuffer)
	}
	limit := time.AfterFunc(t.closing, func() { _ = t.sock.Close() })
	defer limit.Stop()
	var err error
	if t.broken.Load() {
		t.part(code, reason)
		err = t.conn.CloseNow()
	} else {
		err = t.conn.Close(websocket.StatusCode(code), reason)
	}
	if errors.Is(err, net.ErrClosed) || websocket.CloseStatus(err) != -1 {
		return nil
	}
	return err
}

// breaks notes the end of reading. Where it is a CloseError the client's close cannot be
// waited for as usual: what is read next is not the beginning of a frame.
func (t *webSocket) breaks(err error) error {
	if _, ok := errors.AsType[*CloseError](err); ok {
		t.broken.Store(true)
	}
	return err
}

// part sends the close of a WebSocket that broke the rules, ends our side of the connection
// and reads what the client still sends, until it ends its side too. A connection that is
// closed with bytes that nobody read is reset by the kernel, and the reset overtakes the close.
func (t *webSocket) part(code Code, reason string) {
	if !t.sock.closed() { // coder/websocket sends it for some of the broken rules
		_, _ = t.sock.Write(appendClose(nil, code, reason))
	}
	t.sock.settle()
	if half, ok := t.sock.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, t.sock)
}

// appendClose appends a close frame. The reason is one of ours, which are short.
func appendClose(b []byte, code Code, reason string) []byte {
	b = append(b, closeFrame, byte(2+len(reason)))
	return append(binary.BigEndian.AppendUint16(b, uint16(code)), reason...)
}

// closed reports whether a close was written.
func (c *socket) closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// settle returns when nothing is being sent any more.
func (c *socket) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.sending {
		c.sent.Wait()
	}
}
