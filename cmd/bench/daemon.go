package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startOptions say how a daemon is started. The zero value is a fresh one with defaults.
type startOptions struct {
	config string   // further lines of its configuration file, TOML
	env    []string // further variables, NAME=VALUE
	args   []string // further arguments of spool serve
	data   string   // folder of its data; a fresh one if empty
	stdio  bool     // it also serves one client on its standard input and output
	noWS   bool     // it does not listen for WebSockets
}

// daemon is a process of spool serve with folders of its own, ready to be used.
type daemon struct {
	process
	data   string // the folder with spool.db
	socket string
	ws     string        // URL of the WebSocket; empty with noWS
	ready  time.Duration // from the start of the process until it said so

	cmd    *exec.Cmd
	done   chan struct{} // closed when it has ended
	err    error         // how
	log    string        // file with what it said
	stdin  io.WriteCloser
	stdout io.Reader
}

// start starts a daemon and waits until it is ready. Whoever starts it stops it.
func (b *bench) start(ctx context.Context, o startOptions) (*daemon, error) {
	d := &daemon{data: o.data, done: make(chan struct{})}
	home, err := b.tempDir("daemon")
	if err != nil {
		return nil, err
	}
	run, err := os.MkdirTemp(b.sockets, "")
	if err != nil {
		return nil, err
	}
	if d.data == "" {
		d.data = filepath.Join(home, "data")
	}
	d.socket, d.log = filepath.Join(run, "s"), filepath.Join(home, "log")
	file := filepath.Join(home, "config.toml")
	if err := os.WriteFile(file, []byte(o.config), 0o600); err != nil {
		return nil, err
	}
	args := []string{"serve", "--ready-fd", "3", "--config", file, "--data", d.data, "--socket", d.socket}
	if !o.noWS {
		args = append(args, "--listen", "ws://127.0.0.1:0")
	}
	if o.stdio {
		args = append(args, "--stdio")
	}
	d.cmd = exec.CommandContext(ctx, b.spool, append(args, o.args...)...)
	d.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + run}, o.env...)
	d.cmd.Dir = home
	if err := d.launch(o.stdio); err != nil {
		return nil, err
	}
	if err := d.look(ctx); err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, nil
}

// launch starts the process and waits until it says that all is up.
func (d *daemon) launch(stdio bool) error {
	log, err := os.Create(d.log)
	if err != nil {
		return err
	}
	defer log.Close()
	d.cmd.Stderr = log
	if stdio {
		if d.stdin, err = d.cmd.StdinPipe(); err != nil {
			return err
		}
		if d.stdout, err = d.cmd.StdoutPipe(); err != nil {
			return err
		}
	}
	ready, told, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	d.cmd.ExtraFiles = []*os.File{told}
	start := time.Now()
	err = d.cmd.Start()
	told.Close()
	if err != nil {
		return err
	}
	d.pid = d.cmd.Process.Pid
	go func() {
		defer close(d.done)
		d.err = d.cmd.Wait()
	}()
	said, err := io.ReadAll(ready) // ends at the latest with the process
	d.ready = time.Since(start)
	if err != nil || string(said) != "ready\n" {
		_ = d.cmd.Process.Kill()
		<-d.done
		return fmt.Errorf("the daemon did not start: %q: %w", strings.TrimSpace(string(said)), errors.Join(err, d.err))
	}
	return nil
}

// look learns the address of the WebSocket.
func (d *daemon) look(ctx context.Context) error {
	c, err := d.dial(ctx, "unix")
	if err != nil {
		return err
	}
	defer c.Close()
	var info struct{ Listeners []string }
	if err := c.call("server/info", nil, &info); err != nil {
		return err
	}
	for _, url := range info.Listeners {
		if strings.HasPrefix(url, "ws://") {
			d.ws = url
		}
	}
	return nil
}

// stop ends the daemon in good order and waits for it.
func (d *daemon) stop() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-d.done:
	case <-time.After(30 * time.Second):
		d.kill()
	}
	if d.err != nil {
		return fmt.Errorf("the daemon ended with %w; its log ends: %s", d.err, tail(d.log))
	}
	return nil
}

// kill ends the daemon as a crash would.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.done
}

// tail returns the end of a file.
func tail(name string) string {
	text, _ := os.ReadFile(name)
	return string(text[max(0, len(text)-2000):])
}
