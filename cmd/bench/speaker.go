package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spoolhq/spool/cmd/bench/limit"
)

// speaker says what the agents "stamps" say: it writes lines with the time in them straight to the
// pipes that the daemon has made for their standard output.
type speaker struct {
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	failed []error
}

// newSpeaker starts to listen for agents, until stop.
func (b *bench) newSpeaker(ctx context.Context) (*speaker, error) {
	dir, err := os.MkdirTemp(b.sockets, "")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return nil, err
	}
	s := &speaker{listener: l}
	s.running.Go(func() { s.accept(ctx) })
	return s, nil
}

// config is the daemon's configuration of the agent.
func (s *speaker) config() (string, error) {
	self, err := os.Executable()
	return fmt.Sprintf("[agents.stamps]\nkind = \"exec\"\ncommand = [%q, %q, \"agent\", %q]\n", self, childWord, s.listener.Addr()), err
}

// startWithStamps starts a daemon that has the agent. The function stops both.
func (b *bench) startWithStamps(ctx context.Context) (*daemon, func() error, error) {
	s, err := b.newSpeaker(ctx)
	if err != nil {
		return nil, nil, err
	}
	config, err := s.config()
	if err != nil {
		return nil, nil, errors.Join(err, s.stop())
	}
	d, err := b.start(ctx, startOptions{config: config})
	if err != nil {
		return nil, nil, errors.Join(err, s.stop())
	}
	return d, func() error { return errors.Join(d.stop(), s.stop()) }, nil
}

// stop ends the listening, waits for what is being said, and returns what went wrong.
func (s *speaker) stop() error {
	s.listener.Close()
	s.running.Wait()
	return errors.Join(s.failed...)
}

func (s *speaker) accept(ctx context.Context) {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.running.Go(func() {
			defer c.Close()
			if err := s.serve(ctx, c); err != nil {
				s.mu.Lock()
				s.failed = append(s.failed, err)
				s.mu.Unlock()
			}
		})
	}
}

// serve speaks for one agent.
func (s *speaker) serve(ctx context.Context, c net.Conn) error {
	var e errand
	if err := json.NewDecoder(c).Decode(&e); err != nil {
		return err
	}
	out, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/1", e.PID), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("the output of an agent cannot be written to: %w", err)
	}
	wait(ctx, time.Until(e.Stamps.Begin))
	if err := errors.Join(e.Stamps.say(ctx, out), out.Close()); err != nil {
		return fmt.Errorf("speaking for an agent: %w", err)
	}
	_, err = fmt.Fprintln(c, "done")
	return err
}

// say prints lines with the time in each.
func (s stamps) say(ctx context.Context, to *os.File) error {
	form := `{"type":"text","text":"%s"}` + "\n"
	if s.Items {
		form = `{"type":"item","item":{"type":"notice","kind":"stamp","text":"%s"}}` + "\n"
	}
	out := bufio.NewWriterSize(to, 64<<10)
	if s.Apart == 0 {
		for range s.N {
			fmt.Fprintf(out, form, limit.Stamp(time.Now()))
		}
		return out.Flush()
	}
	beat := time.NewTicker(s.Apart)
	defer beat.Stop()
	for range s.N {
		select {
		case <-beat.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		fmt.Fprintf(out, form, limit.Stamp(time.Now()))
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return nil
}
