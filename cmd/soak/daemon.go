package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// daemon is the binary under load, with folders of its own.
type daemon struct {
	cmd      *exec.Cmd
	socket   string
	database string
	logFile  string
	ended    chan struct{} // closed when the process has ended
}

const (
	startPatience = 20 * time.Second
	stopPatience  = 30 * time.Second
)

// startDaemon starts the binary and waits until it says that it is ready.
func startDaemon(ctx context.Context, o options, home string) (*daemon, error) {
	d := &daemon{
		socket: filepath.Join(home, "s"), database: filepath.Join(home, "data", "spool.db"),
		logFile: filepath.Join(home, "log"), ended: make(chan struct{}),
	}
	log, err := os.Create(d.logFile)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	ready, told, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	d.cmd = exec.Command(o.spool, "serve", "--ready-fd", "3", "--log-format", "json")
	d.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home,
		"SPOOL_DATA=" + filepath.Dir(d.database), "SPOOL_SOCKET=" + d.socket,
		"SPOOL_LIMITS_IDLE_UNLOAD=" + o.idle.String(),
		"SPOOL_LIMITS_OUTBOX_BYTES=64KiB", // so that slow readers fall behind soon
	}
	d.cmd.Stdout, d.cmd.Stderr, d.cmd.ExtraFiles = log, log, []*os.File{told}
	err = d.cmd.Start()
	_ = told.Close()
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(d.ended)
		_ = d.cmd.Wait()
	}()
	_ = ready.SetReadDeadline(time.Now().Add(startPatience))
	if said, err := io.ReadAll(ready); string(said) != "ready\n" || ctx.Err() != nil {
		d.kill()
		return nil, fmt.Errorf("the daemon is not ready: %q %w\n%s", said, errors.Join(err, ctx.Err()), d.log())
	}
	return d, nil
}

// stop ends the daemon as an operator would and requires that it does so by itself.
func (d *daemon) stop(ctx context.Context) error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	select {
	case <-d.ended:
	case <-ctx.Done():
		return errors.New("the daemon does not stop after SIGTERM")
	}
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("after SIGTERM the daemon ended with %v", d.cmd.ProcessState)
	}
	return nil
}

// kill ends the daemon if it still runs.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.ended
}

// log returns the end of what the daemon said.
func (d *daemon) log() string {
	const most = 4000
	text, err := os.ReadFile(d.logFile)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}
