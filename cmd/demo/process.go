package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// command prepares the binary with the folders of the demo.
func (d *demo) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(d.ctx, d.spool, args...)
	cmd.Env = d.env
	cmd.Dir = d.home
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// show runs a command, as a user would, with its output on the screen.
func (d *demo) show(args ...string) error {
	d.prompt(args)
	cmd := d.command(args...)
	cmd.Stdout, cmd.Stderr = indented(os.Stdout), indented(os.Stdout)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("spool %s: %w", args[0], err)
	}
	return nil
}

// ask runs a command with --json, without showing it, and reads its output.
func (d *demo) ask(into any, args ...string) error {
	cmd := d.command(append(args, "--json", "--no-start")...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("spool %s: %w: %s", strings.Join(args, " "), err, &stderr)
	}
	return json.Unmarshal(out, into)
}

// prompt prints the command line.
func (d *demo) prompt(args []string) {
	words := make([]string, len(args))
	for i, a := range args {
		if words[i] = a; strings.ContainsAny(a, " \n'") {
			words[i] = "'" + strings.ReplaceAll(a, "\n", `\n`) + "'"
		}
	}
	fmt.Printf("  $ spool %s\n", strings.Join(words, " "))
}

// indented writes to out with two spaces before each line, at once.
func indented(out io.Writer) io.Writer { return &indent{out: out, fresh: true} }

type indent struct {
	out   io.Writer
	fresh bool
}

// Write implements io.Writer.
func (w *indent) Write(p []byte) (int, error) {
	var b bytes.Buffer
	for _, c := range p {
		if w.fresh && c != '\n' {
			b.WriteString("    ")
		}
		b.WriteByte(c)
		w.fresh = c == '\n'
	}
	if _, err := w.out.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// daemon is a "spool serve" that the demo started.
type daemon struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how it ended
}

// startDaemon starts a daemon and waits until it says that it is ready.
func (d *demo) startDaemon() error {
	d.prompt([]string{"serve"})
	log, err := os.OpenFile(d.logFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	cmd := d.command("serve", "--log-format", "json")
	pipe, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return errors.Join(err, log.Close())
	}
	p := &daemon{cmd: cmd, done: make(chan struct{})}
	ready := make(chan struct{})
	go func() {
		defer close(p.done)
		p.err = errors.Join(copyLog(pipe, log, ready), cmd.Wait())
	}()
	select {
	case <-ready:
		d.daemon = p
		fmt.Printf("    ready, process %d\n", cmd.Process.Pid)
		return nil
	case <-p.done:
		return fmt.Errorf("the daemon ended before it was ready: %w", p.err)
	}
}

// copyLog keeps the log of a daemon and notes when it is ready.
func copyLog(pipe io.Reader, log *os.File, ready chan<- struct{}) error {
	in := bufio.NewScanner(pipe)
	for in.Scan() {
		fmt.Fprintln(log, in.Text())
		if ready != nil && strings.Contains(in.Text(), `"message":"ready"`) {
			close(ready)
			ready = nil
		}
	}
	return errors.Join(in.Err(), log.Close())
}

// kill ends the daemon as a power failure would.
func (d *demo) kill() error {
	p := d.daemon
	fmt.Printf("  $ kill -9 %d\n", p.cmd.Process.Pid)
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	<-p.done
	d.daemon = nil
	return nil
}

// ended waits until the daemon has ended by itself.
func (d *demo) ended() error {
	p := d.daemon
	select {
	case <-p.done:
		d.daemon = nil
		return p.err
	case <-d.ctx.Done():
		return d.ctx.Err()
	}
}

// event is what the demo wants to know of a notification.
type event struct {
	Method string
	TurnID string        `json:"turnId"`
	Seq    uint64        `json:"seq"`
	Delta  string        `json:"delta"`
	Turn   protocol.Turn `json:"turn"`
}

// watcher is a client that follows the thread all the time, also over a crash.
type watcher struct {
	cmd    *exec.Cmd
	events chan event
	done   chan error
	seq    uint64 // of the last durable event
}

// watch starts "spool attach", from the first event on.
func (d *demo) watch() error {
	args := []string{"attach", d.thread, "--no-input", "--json", "--after-seq", "0"}
	d.prompt(append(args, "&"))
	cmd := d.command(args...)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = indented(os.Stdout)
	if err := cmd.Start(); err != nil {
		return err
	}
	w := &watcher{cmd: cmd, events: make(chan event, 1<<16), done: make(chan error, 1)}
	go func() {
		defer close(w.events)
		w.done <- errors.Join(w.read(pipe), cmd.Wait())
	}()
	d.watcher = w
	return nil
}

func (w *watcher) read(pipe io.Reader) error {
	in := bufio.NewScanner(pipe)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		frame := protocol.ParseFrame(in.Bytes())
		ev := event{Method: frame.Method}
		if err := json.Unmarshal(frame.Params, &ev); err != nil {
			return fmt.Errorf("the watcher printed what is no event: %w", err)
		}
		w.events <- ev
	}
	return in.Err()
}

// await reads events up to one that fits. On the way it checks that no durable event is
// missing or comes twice.
func (d *demo) await(what string, fits func(event) bool) (event, error) {
	for {
		select {
		case ev, ok := <-d.watcher.events:
			if !ok {
				return event{}, fmt.Errorf("the watcher ended before it saw %s: %w", what, <-d.watcher.done)
			}
			if ev.Seq > 0 && ev.Seq != d.watcher.seq+1 {
				return event{}, fmt.Errorf("the watcher got event %d after event %d", ev.Seq, d.watcher.seq)
			}
			d.watcher.seq = max(d.watcher.seq, ev.Seq)
			if fits(ev) {
				return ev, nil
			}
		case <-d.ctx.Done():
			return event{}, fmt.Errorf("waiting for %s: %w", what, d.ctx.Err())
		}
	}
}

// cleanUp ends what the demo started and what still runs.
func (d *demo) cleanUp() {
	if w := d.watcher; w != nil {
		_ = w.cmd.Process.Kill()
		for range w.events { // until its output ends
		}
	}
	if p := d.daemon; p != nil {
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// printLog prints the end of the daemon's log, where something went wrong.
func (d *demo) printLog() {
	const most = 4000
	if text, err := os.ReadFile(d.logFile); err == nil {
		fmt.Fprintf(os.Stderr, "\nThe log of the daemon ends with:\n%s\n", text[max(0, len(text)-most):])
	}
}
