//go:build linux || darwin || freebsd

package bolt

import (
	"errors"
	"os"
	"strings"
	"syscall"
)

// mapAhead is how much more than the file is mapped. A commit that needs more waits for all
// who read, a backup among them, and those who come later wait for it. Nothing but addresses
// is taken by that.
const mapAhead int64 = 4 << 30

// tryLock takes the lock that bbolt will take on the same file, so that nobody writes
// while the file is looked at. It does not wait; false means that another process has
// it.
func tryLock(f *os.File, exclusive bool) (bool, error) {
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// freeBytes is the space that the file system of a file has for this user.
func freeBytes(path string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:unconvert // the types differ between systems
}

// isFull also knows the errors that bbolt passes on as text.
func isFull(err error) bool {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, full) || strings.Contains(err.Error(), full.Error()) {
			return true
		}
	}
	return false
}

func isReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

// sameOwner gives a new file the owner of another, where that is somebody else: the super
// user must not take a file away from the one it belongs to.
func sameOwner(path string, as os.FileInfo) error {
	st, ok := as.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return nil
	}
	return os.Chown(path, int(st.Uid), int(st.Gid))
}
