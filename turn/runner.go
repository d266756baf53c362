package turn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// maxErrorText bounds the message of a turn's error, in bytes.
const maxErrorText = 4096

// maxErrorDetails bounds its details, in bytes; larger ones are left out.
const maxErrorDetails = 8 << 10

// Cancelled is the cause of a context that was cancelled because the turn was: give it to
// a [context.CancelCauseFunc].
type Cancelled struct {
	Reason protocol.CancelReason
}

// Error says why in words.
func (c Cancelled) Error() string { return "the turn was cancelled: " + string(c.Reason) }

// Causes of contexts that fail a turn. Any other [*Error] does so too.
var (
	// ErrOutputTooLarge is the cause where an agent says more than an item may hold.
	ErrOutputTooLarge error = &Error{
		Code: protocol.TurnErrOutputTooLarge, Message: "the agent said more than one item may hold",
	}
	// ErrTimeout is the cause where a turn took longer than config.maxTurnMs.
	ErrTimeout error = &Error{
		Code: protocol.TurnErrTimeout, Message: "the turn took longer than config.maxTurnMs", Retryable: true,
	}
)

// Outcome is how a turn ended.
type Outcome struct {
	Status protocol.TurnStatus   // completed, failed or cancelled
	Error  *protocol.TurnError   // of a failed turn
	Reason protocol.CancelReason // of a cancelled turn
	// Stack is where the agent panicked, and over what. It is for the log of the
	// daemon; a client must not see it. A turn that was cancelled may have one too.
	Stack []byte
}

// Run runs one turn on the calling goroutine and returns how it ended, whatever the agent
// does: an error fails the turn, a panic fails it with AgentPanic, and so does the time
// limit of in.Config with TurnTimeout. If ctx had ended when the agent returned, its cause
// decides and not what the agent made of it; see [Ended].
//
// Run returns when the agent does. A caller that will not wait for an agent that ignores
// its context applies [Limit] itself, waits for that context too, and takes the outcome
// from Ended.
func Run(ctx context.Context, a Agent, in Input, out Emitter) Outcome {
	ctx, cancel := Limit(ctx, in.Config)
	defer cancel()
	failure, stack := call(ctx, a, in, out)
	o, ended := Ended(ctx)
	switch {
	case ended:
	case failure != nil:
		o = Outcome{Status: protocol.TurnFailed, Error: failure}
	default:
		o = Outcome{Status: protocol.TurnCompleted}
	}
	o.Stack = stack
	return o
}

// Limit returns a context that also ends, with cause ErrTimeout, when the time that config
// grants a turn has passed. Limiting a context twice does no harm.
func Limit(ctx context.Context, config protocol.Config) (context.Context, context.CancelFunc) {
	ms := config.MaxTurnMs
	if ms <= 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, time.Duration(ms)*time.Millisecond, ErrTimeout)
}

// Ended returns what the end of ctx makes of the turn that runs under it; false while ctx
// has not ended. A cause [Cancelled] cancels the turn for that reason, an [*Error] fails
// it, a deadline fails it with TurnTimeout. Any other end is that of the daemon: the turn
// is cancelled with reason shutdown.
func Ended(ctx context.Context) (Outcome, bool) {
	cause := context.Cause(ctx)
	if cause == nil {
		return Outcome{}, false
	}
	if c, ok := errors.AsType[Cancelled](cause); ok {
		return Outcome{Status: protocol.TurnCancelled, Reason: c.Reason}, true
	}
	if _, ok := errors.AsType[*Error](cause); ok {
		return Outcome{Status: protocol.TurnFailed, Error: failureOf(cause)}, true
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		return Outcome{Status: protocol.TurnFailed, Error: failureOf(ErrTimeout)}, true
	}
	return Outcome{Status: protocol.TurnCancelled, Reason: protocol.CancelShutdown}, true
}

// call runs the agent and catches its panic, also one in the Error method of what it
// returned.
func call(ctx context.Context, a Agent, in Input, out Emitter) (failure *protocol.TurnError, stack []byte) {
	defer func() {
		if p := recover(); p != nil {
			stack = fmt.Appendf(nil, "panic: %v\n\n%s", p, debug.Stack())
			failure = &protocol.TurnError{
				Code: protocol.TurnErrPanic, Message: "the agent crashed; the daemon's log says more",
			}
		}
	}()
	if err := a.Run(ctx, in, out); err != nil {
		failure = failureOf(err)
	}
	return failure, nil
}

// failureOf returns err as clients see it.
func failureOf(err error) *protocol.TurnError {
	f := &protocol.TurnError{Code: protocol.TurnErrAgent, Message: errorText(err.Error())}
	if e, ok := errors.AsType[*Error](err); ok {
		f.Retryable = e.Retryable
		if e.Code != "" {
			f.Code = e.Code
		}
		if len(e.Details) <= maxErrorDetails && json.Valid(e.Details) {
			f.Details = e.Details
		}
	}
	return f
}

// errorText makes any text fit for the message of an error.
func errorText(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return "the agent failed without saying why"
	}
	if len(s) > maxErrorText {
		s = s[:maxErrorText] + "…"
	}
	return strings.ToValidUTF8(s, "")
}
