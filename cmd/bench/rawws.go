package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// The opcodes of WebSocket frames that a server sends.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// rawWS is a WebSocket client that does no more than it must: it takes frames as they lie in
// its buffer. A reader among 256 of them then costs little beside the server that is measured.
type rawWS struct {
	conn net.Conn
	r    *bufio.Reader
	skip int // of the frame that was handed out last
	long []byte
}

// dialRaw connects and asks for the upgrade.
func dialRaw(ctx context.Context, address string) (*rawWS, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", u.RequestURI(), u.Host)
	l := &rawWS{conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
	resp, err := http.ReadResponse(l.r, nil)
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusSwitchingProtocols {
			err = fmt.Errorf("no WebSocket: %s", resp.Status)
		}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return l, nil
}

func (l *rawWS) send(msg []byte) error { return l.frame(opText, msg) }

// frame sends a frame. Frames of a client are masked; a mask of zeros changes nothing.
func (l *rawWS) frame(op byte, msg []byte) error {
	const masked = 0x80
	out := []byte{0x80 | op}
	switch n := len(msg); {
	case n < 126:
		out = append(out, masked|byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, masked|126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, masked|127), uint64(n))
	}
	_, err := l.conn.Write(append(append(out, 0, 0, 0, 0), msg...))
	return err
}

func (l *rawWS) recv() ([]byte, error) {
	for {
		op, msg, err := l.next()
		switch {
		case err != nil:
			return nil, err
		case op == opText:
			return msg, nil
		case op == opPing:
			if err := l.frame(opPong, msg); err != nil {
				return nil, err
			}
		case op == opClose:
			return nil, fmt.Errorf("the server closed the WebSocket: %s", strings.TrimSpace(string(msg[min(2, len(msg)):])))
		}
	}
}

// next returns a frame, which is valid until the next call.
func (l *rawWS) next() (op byte, msg []byte, err error) {
	if _, err := l.r.Discard(l.skip); err != nil {
		return 0, nil, err
	}
	l.skip = 0
	var head [2]byte
	if _, err := io.ReadFull(l.r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(head[1] & 0x7f)
	if n >= 126 {
		var long [8]byte
		size := 2
		if n == 127 {
			size = 8
		}
		if _, err := io.ReadFull(l.r, long[8-size:]); err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint64(long[:]))
	}
	if n <= l.r.Size() {
		l.skip = n
		msg, err = l.r.Peek(n)
		return head[0] & 15, msg, err
	}
	if cap(l.long) < n {
		l.long = make([]byte, n)
	}
	l.long = l.long[:n]
	_, err = io.ReadFull(l.r, l.long)
	return head[0] & 15, l.long, err
}

func (l *rawWS) Close() { l.conn.Close() }
