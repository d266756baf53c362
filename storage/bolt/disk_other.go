//go:build !(linux || darwin || freebsd)

package bolt

import (
	"math"
	"os"
)

// mapAhead is how much more than the file is mapped: nothing, as the file may grow by that
// on some systems.
const mapAhead int64 = 0

// tryLock leaves the lock to bbolt.
func tryLock(*os.File, bool) (bool, error) { return true, nil }

// freeBytes is unknown here.
func freeBytes(string) (int64, error) { return math.MaxInt64, nil }

func isFull(error) bool { return false }

func isReadOnly(error) bool { return false }

// sameOwner leaves the owner as it is.
func sameOwner(string, os.FileInfo) error { return nil }
