package sdk

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/coder/websocket"
)

// transport carries whole messages. One goroutine reads and one writes; close may be
// called at any time, by anyone, and ends both.
type transport interface {
	// read returns the next message, which the caller owns.
	read() ([]byte, error)
	write(message []byte) error
	// close ends the transport in a polite way, which takes some seconds at most.
	close() error
	// abort ends it at once.
	abort()
}

// errTooLong is wrapped by the error of a message beyond [Options].MaxMessageBytes. It
// ends the connection: which request it answers cannot be known.
var errTooLong = errors.New("the daemon sent a message longer than Options.MaxMessageBytes")

// lineTransport has one message a line.
type lineTransport struct {
	stream io.ReadWriteCloser
	in     *bufio.Reader
	max    int64
	once   sync.Once
	err    error
}

func newLineTransport(stream io.ReadWriteCloser, max int64) *lineTransport {
	return &lineTransport{stream: stream, in: bufio.NewReaderSize(stream, 64<<10), max: max}
}

func (t *lineTransport) read() ([]byte, error) {
	for {
		line, err := t.readLine()
		if err != nil {
			return nil, err
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil
		}
	}
}

func (t *lineTransport) readLine() ([]byte, error) {
	var line []byte
	for {
		piece, err := t.in.ReadSlice('\n')
		if int64(len(line)+len(piece)) > t.max+1 {
			return nil, fmt.Errorf("%w (%d bytes)", errTooLong, t.max)
		}
		line = append(line, piece...)
		switch {
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

func (t *lineTransport) write(message []byte) error {
	line := make([]byte, 0, len(message)+1)
	_, err := t.stream.Write(append(append(line, message...), '\n'))
	return err
}

func (t *lineTransport) close() error {
	t.once.Do(func() { t.err = t.stream.Close() })
	return t.err
}

func (t *lineTransport) abort() { _ = t.close() }

// wsTransport has one message a text frame.
type wsTransport struct {
	conn    *websocket.Conn
	max     int64
	writing atomic.Bool
}

func newWSTransport(conn *websocket.Conn, max int64) *wsTransport {
	conn.SetReadLimit(max)
	return &wsTransport{conn: conn, max: max}
}

// read and write have no context: one that ends would close the connection without saying
// why, and abort does that too.
func (t *wsTransport) read() ([]byte, error) {
	kind, message, err := t.conn.Read(context.Background())
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		return nil, fmt.Errorf("%w (%d bytes)", errTooLong, t.max)
	case err != nil:
		return nil, err
	case kind != websocket.MessageText:
		return nil, errors.New("the daemon sent a binary frame")
	}
	return message, nil
}

func (t *wsTransport) write(message []byte) error {
	t.writing.Store(true)
	defer t.writing.Store(false)
	return t.conn.Write(context.Background(), websocket.MessageText, message)
}

// close does not say good bye behind a message that the daemon does not read.
func (t *wsTransport) close() error {
	if t.writing.Load() {
		return t.conn.CloseNow()
	}
	err := t.conn.Close(websocket.StatusNormalClosure, "")
	if errors.Is(err, io.EOF) {
		return nil // the daemon closed it without saying good bye, which is no worse
	}
	return err
}

func (t *wsTransport) abort() { _ = t.conn.CloseNow() }
