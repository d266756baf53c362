//go:build linux || darwin || freebsd

package server

import (
	"errors"
	"os"
	"syscall"
	"time"
)

const (
	// folderTime is how long lockFolder waits for others, each of which needs some
	// milliseconds, or a second where a daemon does not answer.
	folderTime  = 5 * time.Second
	folderRetry = 5 * time.Millisecond
)

// lockFolder lets one process at a time look at a socket in a folder and then replace or
// remove it: otherwise it could be another socket by then. Where a folder cannot be locked,
// or somebody does not let go of it, it does without.
func lockFolder(dir string) (unlock func()) {
	f, err := os.Open(dir)
	if err != nil {
		return func() {}
	}
	unlock = func() { _ = f.Close() }
	late := time.NewTimer(folderTime)
	defer late.Stop()
	retry := time.NewTicker(folderRetry)
	defer retry.Stop()
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
			return unlock
		}
		select {
		case <-retry.C:
		case <-late.C:
			return unlock
		}
	}
}
