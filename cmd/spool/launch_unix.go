//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spoolhq/spool/cmd/spool/config"
)

// startDetached starts a program that outlives this one and its terminal. Its output goes
// to log; told is its file 3.
func startDetached(exe string, args []string, env config.Env, log, told *os.File) error {
	cmd := exec.Command(exe, args...)
	cmd.Dir = "/"
	cmd.Env = env.Pairs()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{told}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}

// lockFile takes the lock of a file and waits for it until ctx ends.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	tick := time.NewTicker(lockRetry)
	defer tick.Stop()
	for {
		f, err := tryLock(path)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, errLocked) {
			return nil, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// tryLock takes the lock of a file, which it makes, or returns errLocked. Closing the file
// gives the lock back, and so does the end of the process. The file stays: removing it
// would let two processes hold a lock on two files of one name.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
		return nil, errLocked
	}
	return nil, fmt.Errorf("cannot lock %s: %w", path, err)
}

// makePrivateDir makes a folder that only this user can enter, and checks one that exists.
func makePrivateDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return checkDir(path)
}

// checkDir refuses a folder in which somebody else could put a socket in our place.
func checkDir(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case !st.IsDir():
		return fmt.Errorf("%s is no folder", path)
	case ok && int(sys.Uid) != os.Getuid() && sys.Uid != 0:
		return fmt.Errorf("the folder %s belongs to another user; set another place with --socket or XDG_RUNTIME_DIR", path)
	case st.Mode().Perm()&0o022 != 0 && st.Mode()&os.ModeSticky == 0:
		return fmt.Errorf("others may write to the folder %s (mode %04o) and could take the place of the daemon; run chmod 700 %s, or set another place with --socket", path, st.Mode().Perm(), path)
	}
	return nil
}
