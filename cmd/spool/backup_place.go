package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spoolhq/spool/storage"
)

// A backup gets its name when it is whole.

// place gives the copy its name. A file that appeared there meanwhile is not replaced,
// unless it may be.
func (b *backup) place() error {
	if b.force {
		if err := os.Rename(b.tmp, b.dest); err != nil {
			return err
		}
		b.tmp = ""
		return syncDir(filepath.Dir(b.dest))
	}
	err := os.Link(b.tmp, b.dest) // a link never replaces a file
	switch _, statErr := os.Lstat(b.dest); {
	case errors.Is(err, fs.ErrExist):
		return b.exists()
	case err != nil && !errors.Is(statErr, fs.ErrNotExist):
		return err
	case err != nil: // a file system without links has to do with less
		err = os.Rename(b.tmp, b.dest)
	default:
		err = os.Remove(b.tmp)
	}
	if err != nil {
		return err
	}
	b.tmp = ""
	return syncDir(filepath.Dir(b.dest))
}

// cleanUp removes what did not get a name.
func (b *backup) cleanUp() {
	if b.tmp != "" {
		_ = os.Remove(b.tmp) // what can be done was done
	}
}

// syncDir makes the names in a folder durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// damagedError says that a data file is damaged.
type damagedError struct{ err error }

// Error says what is damaged.
func (e *damagedError) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *damagedError) Unwrap() error { return e.err }

// damagedOr marks an error that is about damage as such.
func damagedOr(err error) error {
	if errors.Is(err, storage.ErrCorrupt) {
		return &damagedError{err}
	}
	return err
}
