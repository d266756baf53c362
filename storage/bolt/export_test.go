package bolt

import "go.etcd.io/bbolt"

// Abandon closes the file of a store as a crash would: without a list of free pages.
func Abandon(s *Store) {
	s.line.Close()
	_ = s.db.Close()
}

// BreakDisk makes every later write fail.
func BreakDisk(s *Store) { _ = s.file.Close() }

// Raw changes the file behind the store's back, while it is open.
func Raw(s *Store, fn func(tx *bbolt.Tx) error) error { return s.db.Update(fn) }

// IsFull tells whether an error of the system is a full disk.
var IsFull = isFull
