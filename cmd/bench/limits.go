package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/spoolhq/spool/cmd/bench/limit"
)

func init() {
	roles["stream"] = func([]string) error { return limit.Stream(os.Stdin, os.Stdout) }
	roles["fanout"] = func([]string) error { return limit.Fanout(os.Stdin, os.Stdout) }
	roles["lines"] = func([]string) error { return limit.Lines(os.Stdin, os.Stdout) }
	roles["unixlines"] = func(args []string) error { return limit.UnixLines(args[0], os.Stdout) }
	roles["pipeline"] = func([]string) error { return limit.Pipeline(os.Stdin, os.Stdout) }
	roles["model"] = func([]string) error { return limit.Model(os.Stdin, os.Stdout) }
	roles["catchup"] = func(args []string) error {
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		size, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return limit.Catchup(args[0], n, size, os.Stdin, os.Stdout)
	}
}

// limitServer is a process that plays one of the limits.
type limitServer struct {
	process
	url    string // what it said first: where it listens
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
}

// startLimit starts a limit that listens and waits until it says where.
func startLimit(ctx context.Context, role ...string) (*limitServer, error) {
	s, err := startSilent(ctx, role...)
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(s.stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the limit %q did not start: %w", role[0], err), s.stop())
	}
	s.url = strings.TrimSpace(line)
	return s, nil
}

// startSilent starts a limit that speaks over its standard input and output.
func startSilent(ctx context.Context, role ...string) (*limitServer, error) {
	cmd, err := child(ctx, role...)
	if err != nil {
		return nil, err
	}
	s := &limitServer{cmd: cmd}
	if s.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if s.stdout, err = cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.pid = cmd.Process.Pid
	return s, nil
}

// stop ends the process and waits for it.
func (s *limitServer) stop() error {
	s.stdin.Close()
	return s.cmd.Wait()
}
