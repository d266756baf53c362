package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// dialog FILE PROGRAM ARG... runs a program at a terminal of its own. Lines of the file
// that begin with "< " are patterns to wait for, one behind the other; "> " types a line,
// "^ " a control character; "$ " runs another program. The program must end with 0; what stood on the terminal is in
// the file dialog then.
func dialog(ts *testscript.TestScript, _ bool, args []string) {
	screen, terminal, err := openTerminal()
	ts.Check(err)
	defer screen.Close()
	cmd := program(ts, args[1:])
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	terminal.Close()
	ts.Check(err)
	s := &screenText{changed: make(chan struct{}, 1)}
	var reading sync.WaitGroup
	reading.Go(func() { s.copy(screen) })
	end := time.AfterFunc(4*patience, func() { _ = cmd.Process.Kill() })
	defer end.Stop()
	err = s.play(ts, ts.ReadFile(args[0]), screen)
	if err != nil {
		_ = cmd.Process.Kill()
	}
	ended := cmd.Wait()
	reading.Wait()
	ts.Check(os.WriteFile(ts.MkAbs("dialog"), s.text.Bytes(), 0o600))
	if err != nil || ended != nil {
		ts.Fatalf("%v, %v; on the screen stood:\n%s", err, ended, &s.text)
	}
}

// screenText is what a program wrote on its terminal.
type screenText struct {
	mu      sync.Mutex
	text    bytes.Buffer
	over    bool
	changed chan struct{}
}

func (s *screenText) copy(screen *os.File) {
	piece := make([]byte, 4096)
	for {
		n, err := screen.Read(piece)
		s.mu.Lock()
		s.text.Write(piece[:n])
		s.over = err != nil // the program has closed its end
		s.mu.Unlock()
		select {
		case s.changed <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (s *screenText) play(ts *testscript.TestScript, script string, screen *os.File) error {
	seen := 0
	for line := range strings.Lines(script) {
		what, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		var err error
		switch what {
		case "<":
			seen, err = s.await(regexp.MustCompile(text), seen)
		case ">":
			_, err = fmt.Fprintln(screen, text)
		case "^":
			_, err = screen.Write([]byte{text[0] & 0x1f})
		case "$":
			err = program(ts, strings.Fields(text)).Run()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// await waits for a pattern behind what was seen before, and returns where it ends.
func (s *screenText) await(pattern *regexp.Regexp, seen int) (int, error) {
	for {
		s.mu.Lock()
		m := pattern.FindIndex(s.text.Bytes()[seen:])
		over := s.over
		s.mu.Unlock()
		switch {
		case m != nil:
			return seen + m[1], nil
		case over:
			return 0, fmt.Errorf("the program has ended without saying %s", pattern)
		}
		select {
		case <-s.changed:
		case <-time.After(patience):
			return 0, fmt.Errorf("nothing says %s", pattern)
		}
	}
}

// openTerminal opens the two ends of a terminal.
func openTerminal() (screen, terminal *os.File, err error) {
	screen, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	fd := int(screen.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		screen.Close()
		return nil, nil, err
	}
	return screen, terminal, nil
}
