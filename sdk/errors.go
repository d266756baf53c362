package sdk

import (
	"errors"
	"fmt"

	"github.com/spoolhq/spool/protocol"
)

// Refusals of the daemon are *[protocol.Error]: branch on them with
//
//	errors.Is(err, &protocol.Error{Code: protocol.CodeThreadNotFound})
//
// The errors below stand for what has more to tell.

// ErrClosed is wrapped by the errors of everything that was under way, or begun, when
// [Client.Close] was called.
var ErrClosed = errors.New("the client is closed")

// TransportError says that a message could not be sent or that its answer can not come:
// the connection could not be made, or is lost for good. Whether the daemon carried the
// request out is not known.
type TransportError struct {
	Op       string // what was done: connect, or the name of a method
	Endpoint string // where to, without credentials
	Err      error
}

// Error names the operation, the endpoint and the cause.
func (e *TransportError) Error() string {
	return fmt.Sprintf("%s: no connection to %s: %v", e.Op, e.Endpoint, e.Err)
}

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// TurnInProgressError says that something was refused because a turn runs: try again when
// it is over, or say with IfBusy, where there is that, what to do instead. It wraps the
// *[protocol.Error].
type TurnInProgressError struct {
	ActiveTurnID string
	err          error
}

// Error names the running turn.
func (e *TurnInProgressError) Error() string {
	return fmt.Sprintf("turn %s is running", e.ActiveTurnID)
}

// Unwrap returns the refusal as it came.
func (e *TurnInProgressError) Unwrap() error { return e.err }

// TurnFailedError says that a turn ended with an error.
type TurnFailedError struct {
	TurnID    string
	Code      string // one of the protocol.TurnErr constants
	Message   string
	Retryable bool
	Partial   *Result // what the turn said before
}

// Error names the turn and what went wrong in it.
func (e *TurnFailedError) Error() string {
	return fmt.Sprintf("turn %s failed: %s (%s)", e.TurnID, e.Message, e.Code)
}

// TurnCancelledError says that a turn was stopped, or, where it wraps the error of a
// context, that its run was given up.
type TurnCancelledError struct {
	TurnID  string                // empty: the context ended before the turn was known
	Reason  protocol.CancelReason // empty: the context ended first
	Partial *Result               // what the turn said before; nil: nothing is known
	err     error
}

// Error says which turn was cancelled and why.
func (e *TurnCancelledError) Error() string {
	turn := "turn"
	if e.TurnID != "" {
		turn += " " + e.TurnID
	}
	switch {
	case e.err != nil:
		return fmt.Sprintf("%s cancelled: %v", turn, e.err)
	case e.Reason != "":
		return fmt.Sprintf("%s cancelled: %s", turn, e.Reason)
	default:
		return turn + " cancelled"
	}
}

// Unwrap returns the error of the context that ended, nil if it was not that.
func (e *TurnCancelledError) Unwrap() error { return e.err }

// wireError gives a refusal its type.
func wireError(e *protocol.Error) error {
	if e.Code == protocol.CodeTurnInProgress {
		return &TurnInProgressError{ActiveTurnID: e.Data.ActiveTurnID, err: e}
	}
	return e
}

func isCode(err error, code int) bool { return errors.Is(err, &protocol.Error{Code: code}) }
