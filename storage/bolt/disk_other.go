//go:build !(linux || darwin || freebsd)

package bolt

import (
	"math"
	"os"
)

// tryLock leaves the lock to bbolt.
func tryLock(*os.File) (bool, error) { return true, nil }

// freeBytes is unknown here.
func freeBytes(string) (int64, error) { return math.MaxInt64, nil }

func isFull(error) bool { return false }

func isReadOnly(error) bool { return false }
