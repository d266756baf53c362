package exec

import "syscall"

// inGroup makes a program a member of a process group, or with 0 the leader of one, that
// dies with the thread that started it.
func inGroup(group int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pgid: group, Pdeathsig: syscall.SIGKILL}
}
