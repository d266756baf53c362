package server

import (
	"bytes"
	"io"
	"sync"
)

// How a WebSocket message is read, whose length is not known before its end: a short one into
// a buffer that is used again, a long one into pieces that are put together once. A buffer
// that doubles would take four times the message on its way.

const (
	// shortMessage is the longest message that is read into a buffer that is used again.
	shortMessage = 64 << 10
	// longestPiece is the largest piece of a longer one.
	longestPiece = 1 << 20
)

// messages are buffers that short messages are read into.
var messages = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readMessage returns all that r holds.
func readMessage(r io.Reader) ([]byte, error) {
	buf := messages.Get().(*bytes.Buffer)
	defer func() {
		buf.Reset()
		messages.Put(buf)
	}()
	_, err := buf.ReadFrom(io.LimitReader(r, shortMessage))
	if err != nil || buf.Len() < shortMessage {
		return bytes.Clone(buf.Bytes()), err
	}
	return readLong(bytes.Clone(buf.Bytes()), r)
}

// readLong returns begin and what follows it in r.
func readLong(begin []byte, r io.Reader) ([]byte, error) {
	pieces, size := [][]byte{begin}, len(begin)
	for {
		piece := make([]byte, min(size, longestPiece))
		n, err := readFull(r, piece)
		pieces = append(pieces, piece[:n])
		size += n
		switch {
		case err == io.EOF: //nolint:errorlint // what wraps it is a connection that broke
			return bytes.Join(pieces, nil), nil
		case err != nil:
			return nil, err
		}
	}
}

// readFull fills p, or returns the error of r as it is, unlike io.ReadFull: io.EOF is the end
// of the message.
func readFull(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = r.Read(p[n:])
		n += more
	}
	return n, err
}
