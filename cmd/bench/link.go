package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/coder/websocket"
)

// link carries messages over one transport.
type link interface {
	send(msg []byte) error
	recv() ([]byte, error) // valid until the next call
	Close()                // also while another goroutine waits in recv
}

func (d *daemon) openLink(ctx context.Context, transport string) (link, error) {
	switch transport {
	case "unix":
		return dialUnix(ctx, d.socket)
	case "ws":
		return dialWS(ctx, d.ws)
	case "raw": // a WebSocket too, read with less work
		return dialRaw(ctx, d.ws)
	case "stdio":
		if d.stdin == nil {
			return nil, errors.New("the daemon was not started with it")
		}
		return newLines(d.stdout, d.stdin, d.stdin), nil
	}
	return nil, fmt.Errorf("there is no transport %q", transport)
}

// wsLink is a client of coder/websocket, as a real program would have it.
type wsLink struct {
	ctx  context.Context
	conn *websocket.Conn
}

func dialWS(ctx context.Context, url string) (link, error) {
	conn, resp, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	if resp.Body != nil {
		resp.Body.Close()
	}
	conn.SetReadLimit(-1)
	return &wsLink{ctx: ctx, conn: conn}, nil
}

func (l *wsLink) send(msg []byte) error { return l.conn.Write(l.ctx, websocket.MessageText, msg) }

func (l *wsLink) recv() ([]byte, error) {
	_, msg, err := l.conn.Read(l.ctx)
	return msg, err
}

func (l *wsLink) Close() { l.conn.CloseNow() }

// lines is a message a line, over a socket or pipes.
type lines struct {
	r    *bufio.Reader
	w    io.Writer
	c    io.Closer
	long []byte // a line that is longer than the buffer
	out  []byte
}

func dialUnix(ctx context.Context, socket string) (link, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	return newLines(c, c, c), nil
}

func newLines(r io.Reader, w io.Writer, c io.Closer) *lines {
	return &lines{r: bufio.NewReaderSize(r, 64<<10), w: w, c: c}
}

func (l *lines) send(msg []byte) error {
	l.out = append(append(l.out[:0], msg...), '\n')
	_, err := l.w.Write(l.out)
	return err
}

func (l *lines) recv() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		l.long = l.long[:0]
		for errors.Is(err, bufio.ErrBufferFull) {
			l.long = append(l.long, line...)
			line, err = l.r.ReadSlice('\n')
		}
		l.long = append(l.long, line...)
		line = l.long
	}
	if err != nil {
		return nil, err
	}
	return line[:len(line)-1], nil
}

func (l *lines) Close() { l.c.Close() }
