package server

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"sync/atomic"

	"github.com/spoolhq/spool/protocol"
)

// Lines returns a transport over rw with one message a line: stdio or a Unix socket. A
// line longer than max is skipped without being kept.
func Lines(rw io.ReadWriteCloser, max int64) Transport {
	return &lines{rw: rw, max: int(max)}
}

const (
	// readBytes is what an idle connection keeps to read into.
	readBytes = 2 << 10
	// keptRead is the largest buffer that is kept after the message that needed it.
	keptRead = 16 << 10
)

type lines struct {
	rw    io.ReadWriteCloser
	max   int
	taken atomic.Uint64

	buf        []byte
	start, end int  // what was read and not returned
	scanned    int  // up to here there is no line end
	skipping   bool // in a line that is too long
	err        error
}

// Read returns the next line that is not blank.
func (l *lines) Read() ([]byte, error) {
	for {
		line, ok, err := l.line()
		switch {
		case err != nil:
			return nil, err
		case ok && len(bytes.TrimSpace(line)) > 0:
			return l.give(line), nil
		case ok:
			continue
		}
		l.read()
	}
}

// give returns a line for the caller to keep: a copy, or the buffer itself where that is
// large and the line most of it.
func (l *lines) give(line []byte) []byte {
	if len(line) <= keptRead || len(line) < len(l.buf)/2 {
		return bytes.Clone(line)
	}
	rest := l.buf[l.start:l.end]
	l.buf = make([]byte, max(len(rest), readBytes))
	l.start, l.end, l.scanned = 0, copy(l.buf, rest), 0
	return slices.Clip(line)
}

// line takes the next line out of the buffer. At the end of the stream the rest is one.
func (l *lines) line() (line []byte, ok bool, err error) {
	i := bytes.IndexByte(l.buf[l.scanned:l.end], '\n')
	if i < 0 {
		l.scanned = l.end
		switch {
		case l.err != nil && l.start < l.end && !l.skipping && errors.Is(l.err, io.EOF):
			line, l.start = l.buf[l.start:l.end], l.end
			return line, true, nil
		case l.err != nil:
			return nil, false, l.err
		case l.skipping:
			l.start = l.end
		case l.end-l.start > l.max:
			l.start, l.skipping = l.end, true
			return nil, false, ErrTooLong
		}
		return nil, false, nil
	}
	line = l.buf[l.start : l.scanned+i]
	l.scanned += i + 1
	l.start = l.scanned
	if l.skipping {
		l.skipping = false
		return nil, true, nil
	}
	if len(line) > l.max {
		return nil, false, ErrTooLong
	}
	return line, true, nil
}

// read fills the buffer, which grows as the line does and shrinks when it is empty.
func (l *lines) read() {
	switch {
	case l.start == l.end:
		l.start, l.end, l.scanned = 0, 0, 0
		if len(l.buf) > keptRead {
			l.buf = nil
		}
	case l.end == len(l.buf) && l.start > 0:
		l.end = copy(l.buf, l.buf[l.start:l.end])
		l.scanned -= l.start
		l.start = 0
	}
	if l.end == len(l.buf) {
		grown := make([]byte, min(max(2*len(l.buf), readBytes), l.max+1))
		copy(grown, l.buf[:l.end])
		l.buf = grown
	}
	n, err := l.rw.Read(l.buf[l.end:])
	l.end += n
	l.err = err
	if errors.Is(err, os.ErrClosed) {
		l.err = io.EOF
	}
}

// Write sends frames, each with its line end.
func (l *lines) Write(frames []protocol.Frame) error {
	size := 0
	for _, f := range frames {
		size += len(f) + 1
	}
	out := getBuffer(size)
	for _, f := range frames {
		out = append(append(out, f...), '\n')
	}
	err := writeCounted(l.rw, out, &l.taken)
	putBuffer(out)
	return err
}

// Taken is the number of bytes that were taken.
func (l *lines) Taken() uint64 { return l.taken.Load() }

// Close closes the stream; there is no way to say why.
func (l *lines) Close(Code, string) error { return l.rw.Close() }
