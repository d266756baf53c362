package storage

import (
	"errors"
	"fmt"
)

// Errors of a store, to be found with errors.Is.
var (
	// ErrNotFound: there is no such thread, turn or key.
	ErrNotFound = errors.New("not found")
	// ErrDeleted: there was such a thread. It wraps ErrNotFound.
	ErrDeleted = fmt.Errorf("deleted: %w", ErrNotFound)
	// ErrExists: the id of a new thread is, or was, in use.
	ErrExists = errors.New("the id is in use")
	// ErrConflict: the journal does not end where the batch begins.
	ErrConflict = errors.New("the journal has another end")
	// ErrBadID: an id that is not a prefix and a ULID.
	ErrBadID = errors.New("not an id")
	// ErrBadBatch: a batch that contradicts itself, such as one with a hole between
	// its events.
	ErrBadBatch = errors.New("not a valid batch")
	// ErrCursor: a cursor that no page of this list gave.
	ErrCursor = errors.New("not a cursor of this list")
	// ErrFailed: an earlier write failed, and the store takes no more of them.
	ErrFailed = errors.New("the store has failed and takes no more writes")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrCorrupt: what was read is not what was written.
	ErrCorrupt = errors.New("damaged record")
	// ErrNotStore: the file is none of Spool's.
	ErrNotStore = errors.New("not a Spool data file")
	// ErrLocked: another process has the store open.
	ErrLocked = errors.New("in use by another process")
	// ErrNewer: the store was written by a newer version of the program.
	ErrNewer = errors.New("written by a newer version")
	// ErrOlder: the store was written by an older version of the program.
	ErrOlder = errors.New("written by an older version")
	// ErrFull: the disk is full, or nearly so.
	ErrFull = errors.New("disk full")
)

// Error is a failure of a store in words for people. It wraps one of the errors above
// where one fits.
type Error struct {
	Op   string // what was tried: "open", "commit", "read"
	Path string // the file, where there is one
	Err  error  // the cause
	Hint string // what the user can do; may be empty
}

// Error says what happened, to what, and what to do.
func (e *Error) Error() string {
	s := "storage: " + e.Op
	if e.Path != "" {
		s += " " + e.Path
	}
	s += ": " + e.Err.Error()
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }
