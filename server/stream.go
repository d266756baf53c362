package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spoolhq/spool/protocol"
)

// stream is the connection as jsonrpc2 sees it (jsonrpc2.ObjectStream). Only what the
// daemon asks of a client passes through jsonrpc2; frames of our own go to the outbox,
// as jsonrpc2 would encode each of them three times.
type stream struct {
	c       *conn
	current message       // read last; Handle follows on the same goroutine
	ended   chan struct{} // closed when nothing more is read
	err     error         // why; may be read when ended is closed
}

// standIn is what jsonrpc2 is given for a request or a notification: it makes it call the
// handler, which takes the message from the stream. jsonrpc2 would carry params through a
// map and change ids that are negative.
var standIn = []byte(`{"method":"-"}`)

// ReadObject reads the next valid message. What is none is answered here.
func (s *stream) ReadObject(v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.c.panicked("reading a message", p, debug.Stack())
			err = &CloseError{CloseInternal, "internal error"}
		}
		if err != nil {
			s.err = err
			close(s.ended)
		}
	}()
	for {
		if !s.c.calls.waitCapacity() || !s.c.out.waitRoom() {
			return io.EOF
		}
		raw, err := s.c.transport.Read()
		switch {
		case errors.Is(err, ErrTooLong):
			s.c.hub.counters.invalid.Add(1)
			s.c.out.respond(protocol.EncodeError(nil, tooLong(s.c.hub.limits.MaxMessageBytes)))
			continue
		case err != nil:
			return err
		}
		if ok := s.take(raw, v); ok {
			return nil
		}
	}
}

// take reads one message into s.current or, if it is a response, into v.
func (s *stream) take(raw []byte, v any) bool {
	m, perr := parseMessage(raw)
	if perr != nil {
		s.c.hub.counters.invalid.Add(1)
		s.c.out.respond(protocol.EncodeError(m.id, perr))
		return false
	}
	if !m.response() {
		s.current = m
		return json.Unmarshal(standIn, v) == nil
	}
	if m.id == nil || json.Unmarshal(raw, v) != nil {
		s.c.unknownResponse()
		return false
	}
	return true
}

// WriteObject sends a request of the daemon.
func (s *stream) WriteObject(obj any) error {
	b, err := json.Marshal(obj)
	if err != nil {
		return fmt.Errorf("encode a request: %w", err)
	}
	s.c.out.ask(b)
	return nil
}

// Close does nothing: the connection closes its transport when all has ended.
func (s *stream) Close() error { return nil }
