//go:build !unix

package exec

import "syscall"

// ending is how a program is made to end.
type ending int

const (
	terminate ending = iota
	kill
)

// signal ends the program; here nothing knows its group.
func (p *process) signal(ending) { _ = p.cmd.Process.Kill() }

func groupLeader() *syscall.SysProcAttr { return nil }

func awaitEnd(int) bool { return false }

// guard is not offered here.
type guard struct{}

func startGuard(int) *guard { return nil }

func (*guard) release() {}
