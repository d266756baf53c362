package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spoolhq/spool/cmd/spool/config"
)

// startPatience bounds the wait for a daemon that was started: after a crash it first
// looks through its data, a second for each GiB.
const startPatience = 2 * time.Minute

// launcher finds the daemon of a configuration and starts it where there is none.
type launcher struct {
	config  *config.Config
	env     config.Env
	noStart bool
}

// dial connects to the daemon. notRunning tells whether its error means that there is
// none.
func (l launcher) dial(ctx context.Context) (net.Conn, error) {
	if err := checkDir(filepath.Dir(l.config.Socket)); err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", l.config.Socket)
}

func notRunning(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// dialOrStart connects to the daemon and starts it if nobody answers. Of many processes
// that do so at once one starts it; the others wait for that.
func (l launcher) dialOrStart(ctx context.Context) (net.Conn, error) {
	conn, err := l.dial(ctx)
	switch {
	case err == nil:
		return conn, nil
	case !notRunning(err):
		return nil, &unavailableError{err: fmt.Errorf("cannot reach the daemon: %w", err)}
	case l.noStart:
		return nil, &unavailableError{err: fmt.Errorf("no daemon is running on the socket %s", l.config.Socket)}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, fmt.Errorf("the daemon is not ready after %s; its log is %s", startPatience, l.logPath()))
	defer cancel()
	conn, err = l.startOnce(ctx)
	if err != nil {
		return nil, &unavailableError{err: err}
	}
	return conn, nil
}

// startOnce starts the daemon under a lock, unless one answers by then.
func (l launcher) startOnce(ctx context.Context) (net.Conn, error) {
	if err := makePrivateDir(filepath.Dir(l.config.Socket)); err != nil {
		return nil, err
	}
	unlock, err := lockFile(ctx, l.config.Socket+".lock")
	if err != nil {
		return nil, fmt.Errorf("cannot wait for another process that starts the daemon: %w", err)
	}
	defer unlock()
	conn, err := l.dial(ctx)
	if err == nil {
		return conn, nil
	}
	if !notRunning(err) {
		return nil, fmt.Errorf("cannot reach the daemon: %w", err)
	}
	if err := l.start(ctx); err != nil {
		return nil, err
	}
	if conn, err = l.dial(ctx); err != nil {
		return nil, fmt.Errorf("the daemon was started, but it cannot be reached: %w; its log is %s", err, l.logPath())
	}
	return conn, nil
}

// start runs "spool serve" in the background and waits until it is ready.
func (l launcher) start(ctx context.Context) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot start the daemon: %w", err)
	}
	log, err := l.openLog()
	if err != nil {
		return fmt.Errorf("cannot start the daemon without a log: %w", err)
	}
	defer func() { _ = log.Close() }()
	args := []string{"serve", "--ready-fd", "3", "--data", l.config.Data, "--socket", l.config.Socket}
	if l.config.File != "" {
		args = append(args, "--config", l.config.File)
	}
	ready, told, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot start the daemon: %w", err)
	}
	defer func() { _ = ready.Close() }()
	err = startDetached(exe, args, l.env, log, told)
	_ = told.Close() // the daemon has its own
	if err != nil {
		return fmt.Errorf("cannot start the daemon: %w", err)
	}
	return l.awaitReady(ctx, ready)
}

// readyWord is what a daemon writes to the file of --ready-fd when it can be reached. One
// that cannot start writes why instead.
const readyWord = "ready\n"

// awaitReady reads what the daemon says until it closes the pipe.
func (l launcher) awaitReady(ctx context.Context, ready *os.File) error {
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Now()) })
	defer stop()
	said, err := io.ReadAll(io.LimitReader(ready, 64<<10))
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		return fmt.Errorf("cannot hear from the daemon: %w", err)
	}
	switch text := strings.TrimSpace(string(said)); {
	case string(said) == readyWord:
		return nil
	case text == "":
		return fmt.Errorf("the daemon ended before it was ready; its log is %s", l.logPath())
	default:
		return fmt.Errorf("the daemon did not start: %s", text)
	}
}

func (l launcher) logPath() string { return filepath.Join(l.config.State, "daemon.log") }

// maxLog is the size at which the log of a daemon in the background is put aside when the
// next one starts.
const maxLog = 10 << 20

// openLog opens the log for a daemon that has no terminal.
func (l launcher) openLog() (*os.File, error) {
	if err := os.MkdirAll(l.config.State, 0o700); err != nil {
		return nil, err
	}
	path := l.logPath()
	if st, err := os.Stat(path); err == nil && st.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}
