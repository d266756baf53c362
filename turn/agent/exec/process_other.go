//go:build !unix

package exec

import "syscall"

type signal int

const (
	terminate signal = iota
	kill
)

// signal ends the program; here nothing knows its group.
func (p *process) signal(signal) { _ = p.cmd.Process.Kill() }

func groupLeader() *syscall.SysProcAttr { return nil }

func awaitEnd(int) bool { return false }

// guard is not offered here.
type guard struct{}

func startGuard(int) *guard { return nil }

func (*guard) release() {}
