//go:build unix

package exec

import (
	"os"
	osexec "os/exec"
	"strconv"
	"syscall"
)

const (
	terminate = syscall.SIGTERM
	kill      = syscall.SIGKILL
)

// signal sends a signal to the whole group of the program.
func (p *process) signal(s syscall.Signal) {
	_ = syscall.Kill(-p.cmd.Process.Pid, s) // it may be empty
}

// guard kills a process group when the daemon ends without doing so itself. It is a shell
// that waits for the end of a pipe whose other end only the daemon has.
type guard struct {
	cmd  *osexec.Cmd
	pipe *os.File
}

const guardScript = `read -r _; kill -s KILL -- "-$1"`

// startGuard starts the guard of a group; nil where there is no shell.
func startGuard(group int) *guard {
	r, w, err := os.Pipe()
	if err != nil {
		return nil
	}
	defer closeAll(r)
	cmd := osexec.Command("/bin/sh", "-c", guardScript, "spool-guard", strconv.Itoa(group))
	cmd.Dir, cmd.Env, cmd.Stdin = "/", []string{}, r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		closeAll(w)
		return nil
	}
	return &guard{cmd, w}
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
