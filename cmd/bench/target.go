package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// target is another server to measure with the same driver.
type target struct {
	dialect dialect
	command []string // where it is started and spoken to over standard input and output
	url     string   // where it is spoken to over a WebSocket
}

// parseTarget reads the flag -target.
func parseTarget(s string) (*target, error) {
	if s == "" {
		return nil, nil
	}
	name, where, _ := strings.Cut(s, ":")
	t := &target{dialect: dialects[name]}
	if t.dialect == nil {
		return nil, fmt.Errorf("-target %q: there is no dialect %q; there are spool and codex", s, name)
	}
	if command, ok := strings.CutPrefix(where, "stdio:"); ok {
		t.command = strings.Fields(command)
	} else if strings.HasPrefix(where, "ws://") {
		t.url = where
	}
	if len(t.command) == 0 && t.url == "" {
		return nil, fmt.Errorf("-target %q: want DIALECT:stdio:COMMAND or DIALECT:ws://ADDRESS", s)
	}
	return t, nil
}

// reached is a server that answers, over one connection.
type reached struct {
	process         // where it was started
	c       *client // after the handshake
	ready   time.Duration
	stop    func() error
}

// reach starts the server where it is started, connects and shakes hands.
func (t *target) reach(ctx context.Context) (*reached, error) {
	r := &reached{stop: func() error { return nil }}
	start := time.Now()
	l, err := t.open(ctx, r)
	if err != nil {
		return nil, err
	}
	r.c = newClient(ctx, l)
	if err := t.dialect.hello(r.c); err != nil {
		r.c.Close()
		return nil, errors.Join(fmt.Errorf("shaking hands with the target: %w", err), r.stop())
	}
	r.ready = time.Since(start)
	return r, nil
}

func (t *target) open(ctx context.Context, r *reached) (link, error) {
	if t.url != "" {
		return dialWS(ctx, t.url)
	}
	cmd := exec.CommandContext(ctx, t.command[0], t.command[1:]...)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = 10 * time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the target: %w", err)
	}
	r.pid = cmd.Process.Pid
	r.stop = func() error {
		in.Close() // such servers end with their input; one that does not is killed
		late := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		return cmd.Wait()
	}
	return newLines(out, in, in), nil
}

// close leaves the server and ends it where it was started.
func (r *reached) close() error {
	r.c.Close()
	return r.stop()
}
