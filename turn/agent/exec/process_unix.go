//go:build unix

package exec

import (
	"errors"
	"os"
	osexec "os/exec"
	"syscall"
)

const (
	terminate = syscall.SIGTERM
	kill      = syscall.SIGKILL
)

// signal sends a signal to the whole group of the program.
func (p *process) signal(s syscall.Signal) {
	group := p.cmd.Process.Pid
	if p.guard != nil {
		group = p.guard.cmd.Process.Pid
	}
	_ = syscall.Kill(-group, s) // it may be empty
}

// guard leads the process group of a program, and kills it when the daemon ends without
// doing so itself. It is a shell that waits for the end of a pipe whose other end the daemon
// has, and a program until it is in the group: whenever the daemon is killed, nothing
// escapes. As long as the guard is not released, the number of the group belongs to nobody else.
type guard struct {
	cmd  *osexec.Cmd
	pipe *os.File
}

// guardScript hears no signal that is meant for the program.
const guardScript = `trap '' HUP INT QUIT TERM PIPE ALRM USR1 USR2; read -r _; kill -s KILL 0`

// startGuard starts a guard; nil where there is no shell.
func startGuard() *guard {
	r, w, err := os.Pipe()
	if err != nil {
		return nil
	}
	defer closeAll(r)
	cmd := osexec.Command("/bin/sh", "-c", guardScript, "spool-guard")
	cmd.Dir, cmd.Env, cmd.Stdin = "/", []string{}, r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		closeAll(w)
		return nil
	}
	return &guard{cmd, w}
}

// take makes a program that is to be started a member of the group; with no guard it leads
// a group of its own.
func (g *guard) take(program *osexec.Cmd) {
	group := 0
	if g != nil {
		group = g.cmd.Process.Pid
	}
	program.SysProcAttr = inGroup(group)
}

// release ends the guard; the group is gone.
func (g *guard) release() {
	if g == nil {
		return
	}
	_ = g.cmd.Process.Kill()
	_ = g.cmd.Wait()
	closeAll(g.pipe)
}

// readNow reads what is in a pipe without waiting for more; 0 if there is nothing.
func readNow(f *os.File, p []byte) (n int) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Read(func(fd uintptr) bool {
		for {
			if n, err = syscall.Read(int(fd), p); !errors.Is(err, syscall.EINTR) {
				return true // false would wait
			}
		}
	})
	return max(n, 0)
}
