package bolt

import (
	"context"
	"fmt"

	"go.etcd.io/bbolt"
)

// Abandon closes the file of a store as a crash would: without a list of free pages.
func Abandon(s *Store) {
	s.line.Close()
	_ = s.db.Close()
}

// SeekBefore goes to the last key below another.
var SeekBefore = seekBefore

// Together has all batches that add commits written in one transaction.
func Together(s *Store, add func()) {
	waits, goOn := make(chan struct{}), make(chan struct{})
	s.line.Add(op{run: func(*writer) error { close(waits); <-goOn; return nil }, done: func(error) {}})
	<-waits
	add()
	close(goOn)
	_ = s.do(context.Background(), func(*writer) error { return nil })
}

// BreakDisk makes every later write fail.
func BreakDisk(s *Store) { _ = s.file.Close() }

// Raw changes the file behind the store's back, while it is open.
func Raw(s *Store, fn func(tx *bbolt.Tx) error) error { return s.db.Update(fn) }

// IsFull tells whether an error of the system is a full disk.
var IsFull = isFull

// Dump returns all records of all buckets, by bucket and key. Damage is an error.
func Dump(s *Store) (map[string]string, error) {
	all := map[string]string{}
	err := s.view(context.Background(), func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				all[fmt.Sprintf("%s %x", name, k)] = string(v)
				return nil
			})
		})
	})
	return all, err
}

// Look reads the file of a store.
func Look(s *Store, fn func(tx *bbolt.Tx) error) error { return s.db.View(fn) }
