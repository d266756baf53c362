package server

import (
	"errors"
	"fmt"

	"github.com/spoolhq/spool/protocol"
)

// Transport is a stream of messages: lines ([Lines]) or a WebSocket.
type Transport interface {
	// Read returns the next message, which the caller may keep. [ErrTooLong]: one
	// was longer than the limit and is skipped; reading goes on. A *[CloseError] says
	// how the connection must be closed. Every other error is the end.
	Read() ([]byte, error)
	// Write sends frames, with one flush for all of them, and waits until they are
	// taken. It is called from one goroutine at a time.
	Write(frames []protocol.Frame) error
	// Taken is the number of bytes that were taken so far.
	Taken() uint64
	// Close says why to the other end, where there is a way to, and ends Read and
	// Write. It may wait some seconds for the other end.
	Close(code Code, reason string) error
}

// ErrTooLong is returned by Transport.Read for a message that it skipped.
var ErrTooLong = errors.New("message too long")

// Code says why a connection is closed, as WebSocket numbers it.
type Code int

// Why connections are closed.
const (
	CloseNormal      Code = 1000
	CloseGoingAway   Code = 1001 // the daemon stops
	CloseProtocol    Code = 1002 // what is no frame of a WebSocket
	CloseUnsupported Code = 1003 // a binary message
	ClosePolicy      Code = 1008 // credentials that are not accepted
	CloseTooLong     Code = 1009
	CloseInternal    Code = 1011
	CloseTryLater    Code = 1013 // took nothing for too long, or too many connections
)

// CloseError ends a connection.
type CloseError struct {
	Code   Code
	Reason string
}

// Error says the code and the reason.
func (e *CloseError) Error() string { return fmt.Sprintf("closed with %d: %s", e.Code, e.Reason) }
