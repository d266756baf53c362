//go:build unix && !linux

package exec

import "syscall"

// inGroup makes a program a member of a process group, or with 0 the leader of one.
func inGroup(group int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pgid: group}
}
