package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// What the process returns. docs/cli.md and the help of the root command say the same.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitTurnFailed  = 3
	exitCancelled   = 4
	exitBusy        = 5
	exitNotFound    = 6
	exitUnavailable = 7
	exitDamaged     = 8
	exitInterrupted = 130 // as shells say it for Ctrl-C
)

// Run executes the program with these arguments and returns its exit code. It ends early
// when ctx does.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) int {
	a := newApp(stdin, stdout, stderr, env)
	root := newRoot(a)
	strict(a, root)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if !a.running {
		err = &usageError{err: err, command: cmd.CommandPath()}
	}
	if _, busy := errors.AsType[*sdk.TurnInProgressError](err); busy {
		err = fmt.Errorf("%w; %s", err, whileBusy(cmd))
	}
	a.printError(err)
	return exitCode(err)
}

// usageError says that the command line or the configuration is wrong.
type usageError struct {
	err     error
	command string // whose help says more; empty: none
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usagef returns the error of a command that was called wrongly.
func usagef(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// unavailableError says that there is no daemon to talk to.
type unavailableError struct{ err error }

func (e *unavailableError) Error() string { return e.err.Error() }
func (e *unavailableError) Unwrap() error { return e.err }

// exitStatus ends the program with a code and without a message: what there is to say was
// said.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// exitCode returns the code that stands for err.
func exitCode(err error) int {
	if s, ok := errors.AsType[exitStatus](err); ok {
		return int(s)
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*unavailableError](err); ok {
		return exitUnavailable
	}
	if _, ok := errors.AsType[*damagedError](err); ok {
		return exitDamaged
	}
	if _, ok := errors.AsType[*sdk.TransportError](err); ok {
		return exitUnavailable
	}
	if _, ok := errors.AsType[*sdk.TurnFailedError](err); ok {
		return exitTurnFailed
	}
	if _, ok := errors.AsType[*sdk.TurnCancelledError](err); ok {
		return exitCancelled
	}
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		return wireExitCode(e.Code)
	}
	return exitError
}

func wireExitCode(code int) int {
	switch code {
	case protocol.CodeTurnInProgress:
		return exitBusy
	case protocol.CodeThreadNotFound, protocol.CodeTurnNotFound, protocol.CodeItemNotFound, protocol.CodeAgentNotFound:
		return exitNotFound
	case protocol.CodeQueueCleared, protocol.CodeRequestCancelled:
		return exitCancelled
	default:
		return exitError
	}
}
