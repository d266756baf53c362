package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ownerFile is the file in a folder of data that is locked while a daemon has them, and
// that says which one.
func ownerFile(data string) string { return filepath.Join(data, "daemon.lock") }

// lockRetry is the pause between two attempts to get a lock.
const lockRetry = 20 * time.Millisecond

// errLocked is returned for a lock that another process has.
var errLocked = errors.New("locked")

// ownData takes the data for this process until release is called. The store has a lock of
// its own; this one can tell who the other is. For a daemon on the same socket, which must
// be about to end if this one was started, it waits as long as patience.
func ownData(ctx context.Context, data, socket string, patience time.Duration) (release func(), err error) {
	if err := makePrivateDir(data); err != nil {
		return nil, unwritable(err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(lockRetry)
	defer tick.Stop()
	for {
		f, err := tryLock(ownerFile(data))
		if err == nil {
			return markOwner(f, socket)
		}
		if !errors.Is(err, errLocked) {
			return nil, fmt.Errorf("cannot lock the data in %s: %w", data, unwritable(err))
		}
		owner := readOwner(data)
		if owner != "" && !strings.Contains(owner, "socket "+socket) {
			return nil, inUse(data, owner)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, inUse(data, owner)
		}
	}
}

// unwritable says what to do where a folder of data cannot be written to.
func unwritable(err error) error {
	switch {
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w; mount it for writing, or choose other data with --data", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; let this user write there (see chown and chmod), or choose other data with --data", err)
	default:
		return err
	}
}

func inUse(data, owner string) error {
	if owner != "" {
		owner = " (" + owner + ")"
	}
	return fmt.Errorf("the data in %s are in use by another daemon%s; stop that one with spool stop, or choose other data with --data", data, owner)
}

// markOwner writes who has the lock.
func markOwner(f *os.File, socket string) (release func(), err error) {
	text := fmt.Sprintf("process %d, socket %s\n", os.Getpid(), socket)
	if err := errors.Join(f.Truncate(0), writeAt(f, text)); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("cannot write %s: %w", f.Name(), err)
	}
	return func() { _ = errors.Join(f.Truncate(0), f.Close()) }, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// readOwner returns what the owner of the data wrote about itself.
func readOwner(data string) string {
	f, err := os.Open(ownerFile(data))
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if text = bytes.TrimSpace(text); err != nil || len(text) == 0 {
		return ""
	}
	return clean(string(text))
}
