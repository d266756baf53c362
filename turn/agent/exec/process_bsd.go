//go:build unix && !linux

package exec

import "syscall"

// groupLeader makes a program the leader of a process group.
func groupLeader() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitEnd is not offered by these systems.
func awaitEnd(int) bool { return false }
