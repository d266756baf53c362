package exec

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// groupLeader makes a program the leader of a process group, that dies with the thread
// that started it.
func groupLeader() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitEnd waits for the end of a child without forgetting it, so that its number, which is
// that of its group, belongs to nobody else meanwhile. False: it does not know.
func awaitEnd(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}
