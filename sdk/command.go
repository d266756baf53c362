package sdk

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"
)

// commandDialer starts a process for the one connection it makes.
func commandDialer(o *Options, name string, args []string) dialer {
	return dialer{name: "stdio:" + name, once: true, dial: func(context.Context, string) (transport, error) {
		return startCommand(o, name, args)
	}}
}

// commandTransport talks to a child process over its standard input and output.
type commandTransport struct {
	*lineTransport
	cmd   *exec.Cmd
	stdin io.Closer
	once  sync.Once
	err   error
}

func startCommand(o *Options, name string, args []string) (*commandTransport, error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = o.Stderr
	cmd.WaitDelay = time.Second // for a child of the child that keeps stderr open
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stream := struct {
		io.Reader
		io.WriteCloser
	}{stdout, stdin}
	return &commandTransport{lineTransport: newLineTransport(stream, o.MaxMessageBytes), cmd: cmd, stdin: stdin}, nil
}

// read says how the process ended where it did.
func (t *commandTransport) read() ([]byte, error) {
	message, err := t.lineTransport.read()
	if err != nil {
		if exit := t.close(); exit != nil {
			err = fmt.Errorf("the process %s ended: %w", t.cmd.Path, exit)
		}
	}
	return message, err
}

// close ends the process by the end of its input, or kills it if that does not help, and
// returns how it ended.
func (t *commandTransport) close() error { return t.end(closeTimeout) }

func (t *commandTransport) abort() { _ = t.end(0) }

func (t *commandTransport) end(patience time.Duration) error {
	t.once.Do(func() {
		_ = t.stdin.Close()
		kill := time.AfterFunc(patience, func() { _ = t.cmd.Process.Kill() })
		defer kill.Stop()
		t.err = t.cmd.Wait()
	})
	return t.err
}
