package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// reconnectPatience is how long a command waits for a daemon that went away and may be
// coming back. It does not start one: somebody may just have stopped it.
const reconnectPatience = 10 * time.Second

// errDaemonGone ends the context of a command whose daemon did not come back.
var errDaemonGone = &unavailableError{err: errors.New("the daemon went away and did not come back; what it had accepted is kept, see spool threads list")}

// session is a connection to the daemon for one command.
type session struct {
	*sdk.Client
	stop context.CancelCauseFunc
	gone *time.Timer
}

// connect reads the configuration, starts the daemon if needed, and connects. The context
// it returns ends when the daemon is gone for good.
func (a *app) connect(ctx context.Context) (*session, context.Context, error) {
	cfg, err := a.config(nil)
	if err != nil {
		return nil, nil, err
	}
	l := launcher{config: cfg, env: a.env, noStart: a.noStart}
	ctx, cancel := context.WithCancelCause(ctx)
	s := &session{stop: cancel}
	s.gone = time.AfterFunc(time.Hour, func() { cancel(errDaemonGone) })
	s.gone.Stop()
	var again atomic.Bool
	opts := &sdk.Options{
		ClientInfo: protocol.ClientInfo{Name: "spool", Title: "Spool command line", Version: buildInfo().Version},
		Dial: func(ctx context.Context) (io.ReadWriteCloser, error) {
			if again.Swap(true) {
				return l.dial(ctx)
			}
			return l.dialOrStart(ctx)
		},
		OnConnection: func(change sdk.ConnectionChange) {
			if change.Connected {
				s.gone.Stop()
			} else {
				s.gone.Reset(reconnectPatience)
				a.warn("the connection to the daemon is lost; waiting for it to come back")
			}
		},
	}
	a.asker.declare(opts)
	s.Client, err = sdk.Connect(ctx, "unix://"+cfg.Socket, opts)
	if err != nil {
		s.gone.Stop()
		cancel(err)
		if cause, ok := errors.AsType[*unavailableError](err); ok {
			err = cause
		}
		return nil, nil, err
	}
	return s, ctx, nil
}

// warn tells people something, on standard error. Programs see it in what happens.
func (a *app) warn(text string) {
	if !a.json {
		fmt.Fprintf(a.err, "spool: %s\n", text)
	}
}

// close ends the session.
func (s *session) close() {
	s.gone.Stop()
	s.stop(nil)
	s.Client.Close() //nolint:errcheck // there is nothing left to send
}

// with connects, calls do, and explains its error where the connection is the reason.
func (a *app) with(ctx context.Context, do func(context.Context, *session) error) error {
	s, ctx, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	err = do(ctx, s)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errDaemonGone) {
		return cause
	}
	return err
}

// withThread is with, for a command about one thread.
func (a *app) withThread(ctx context.Context, name string, do func(context.Context, *sdk.Thread) error) error {
	return a.with(ctx, func(ctx context.Context, s *session) error {
		id, err := resolveThread(ctx, s.Client, name)
		if err != nil {
			return err
		}
		return do(ctx, s.Threads().Get(id))
	})
}

// readText returns the words of a command line as one text; a single "-" means all of
// stdin.
func (a *app) readText(words []string) (string, error) {
	if len(words) == 1 && words[0] == "-" {
		raw, err := io.ReadAll(io.LimitReader(a.in, maxStdin+1))
		if err != nil {
			return "", fmt.Errorf("cannot read the text from standard input: %w", err)
		}
		if len(raw) > maxStdin {
			return "", fmt.Errorf("the text on standard input is longer than %s", size(maxStdin))
		}
		return checkText(trimNewline(string(raw)))
	}
	return checkText(joinWords(words))
}
