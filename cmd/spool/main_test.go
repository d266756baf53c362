package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// patience bounds every wait. It matters only where something is broken.
const patience = time.Minute

var update = flag.Bool("update", false, "write the expected help texts anew")

// TestMain lets scripts run this test binary as the program spool.
func TestMain(m *testing.M) {
	testscript.Main(leakless{m}, map[string]func(){
		"spool": func() {
			os.Exit(Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
		},
	})
}

// leakless fails a run of tests that leaves goroutines behind.
type leakless struct{ m *testing.M }

func (l leakless) Run() int {
	code := l.m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// TestScripts runs the conversations in testdata/script against the real program. Each has
// a home of its own, and every daemon that it started is stopped in the end.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"OPENAI_API_KEY", "OPENAI_BASE_URL", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"} {
				env.Setenv(name, "")
			}
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_RUNTIME_DIR", filepath.Join(env.WorkDir, "run"))
			env.Setenv("SPOOL_LIMITS_DISK_RESERVE", "0")
			env.Setenv("GORACE", "atexit_sleep_ms=0") // or every command takes a second
			env.Defer(func() { stopDaemons(env) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": code, "await": await, "capture": capture, "jsonlines": jsonLines, "storm": storm, "kill9": kill9,
			"gone": gone, "orphan": orphan, "dialog": dialog,
		},
	})
}

// stopDaemons stops whatever daemon has data of this script.
func stopDaemons(env *testscript.Env) {
	locks, _ := filepath.Glob(filepath.Join(env.WorkDir, ".local/share/*/daemon.lock"))
	more, _ := filepath.Glob(filepath.Join(env.WorkDir, "*/daemon.lock"))
	for _, lock := range append(locks, more...) {
		if pid := ownerOf(lock); pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGTERM)
			_ = syscall.Kill(pid, syscall.SIGTERM) // do not wait for turns
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			unlock, err := lockFile(ctx, lock)
			cancel()
			if err != nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				continue
			}
			unlock()
		}
	}
}

// ownerOf returns the process that has a lock, 0 for none.
func ownerOf(lock string) int {
	f, err := tryLock(lock)
	if err == nil {
		f.Close()
		return 0
	}
	m := regexp.MustCompile(`^process (\d+),`).FindStringSubmatch(readOwner(filepath.Dir(lock)))
	if m == nil {
		return 0
	}
	pid, _ := strconv.Atoi(m[1])
	return pid
}

// code N PROGRAM ARG... runs a program that must end with the code N.
func code(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("it ended with %d, not %d", got, want)
	}
}

// program prepares a program with what the script has set of its environment.
func program(ts *testscript.TestScript, args []string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "GORACE", "XDG_RUNTIME_DIR", "SPOOL_DATA", "SPOOL_LIMITS_DRAIN_TIMEOUT", "SPOOL_LIMITS_INTERRUPT_GRACE", "SPOOL_LIMITS_DISK_RESERVE", "NO_COLOR"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	return cmd
}

// await PATTERN PROGRAM ARG... runs a program again and again until its output fits.
func await(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(args[0])
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for {
		out, err := program(ts, args[1:]).Output()
		if err == nil && pattern.Match(out) {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			ts.Fatalf("%s never said %s but in the end %s (%v)", strings.Join(args[1:], " "), args[0], out, err)
		}
	}
}

// capture NAME PATTERN sets a variable to what the first group fits in the last output.
func capture(ts *testscript.TestScript, _ bool, args []string) {
	m := regexp.MustCompile(`(?m)` + args[1]).FindStringSubmatch(ts.ReadFile("stdout") + ts.ReadFile("stderr"))
	if m == nil {
		ts.Fatalf("the last output does not fit %s", args[1])
	}
	ts.Setenv(args[0], m[1])
}

// gone FILE waits until a file does not exist.
func gone(ts *testscript.TestScript, _ bool, args []string) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); ; {
		if _, err := os.Lstat(ts.MkAbs(args[0])); errors.Is(err, fs.ErrNotExist) {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			ts.Fatalf("%s is still there", args[0])
		}
	}
}

// orphan starts a bridge, kills the daemon behind it, and demands that the bridge says so.
func orphan(ts *testscript.TestScript, _ bool, _ []string) {
	cmd := program(ts, []string{"spool", "stdio"})
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	ts.Check(err)
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	_, err = io.WriteString(in, `{"id":1,"method":"initialize","params":{"clientInfo":{"name":"editor"}}}`+"\n")
	ts.Check(err)
	lines := bufio.NewReader(out)
	_, err = lines.ReadString('\n')
	ts.Check(err)
	kill9(ts, false, nil)
	rest, err := io.ReadAll(lines)
	ts.Check(err)
	err = cmd.Wait()
	in.Close()
	if code := cmd.ProcessState.ExitCode(); code != exitUnavailable || len(rest) > 0 || !strings.Contains(stderr.String(), "the daemon") {
		ts.Fatalf("the bridge ended with %d (%v), wrote %q and said %q", code, err, rest, &stderr)
	}
}

// jsonlines FILE demands that each line of a file is a JSON object, and that there is one.
func jsonLines(ts *testscript.TestScript, _ bool, args []string) {
	n := 0
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var object map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			ts.Fatalf("%s: %v: %s", args[0], err, line)
		}
		n++
	}
	if n == 0 {
		ts.Fatalf("%s is empty", args[0])
	}
}

// storm N PROGRAM ARG... runs N processes at the same time, all of which must succeed.
func storm(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	var wg sync.WaitGroup
	failed := make(chan string, n)
	for range n {
		wg.Go(func() {
			var out bytes.Buffer
			cmd := program(ts, args[1:])
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); err != nil {
				failed <- fmt.Sprintf("%v: %s", err, &out)
			}
		})
	}
	wg.Wait()
	close(failed)
	for f := range failed {
		ts.Fatalf("%s", f)
	}
}

// kill9 kills the daemon that has the script's data.
func kill9(ts *testscript.TestScript, _ bool, _ []string) {
	pid := ownerOf(filepath.Join(ts.Getenv("HOME"), ".local/share/spool/daemon.lock"))
	if pid == 0 {
		ts.Fatalf("no daemon is running")
	}
	ts.Check(syscall.Kill(pid, syscall.SIGKILL))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	unlock, err := lockFile(ctx, filepath.Join(ts.Getenv("HOME"), ".local/share/spool/daemon.lock"))
	ts.Check(err)
	unlock()
}
