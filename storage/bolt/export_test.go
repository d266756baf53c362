package bolt

import (
	"context"
	"fmt"
	"io"

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

// FreePages returns the pages of a whole file that hold nothing. What is in them are older
// states of other pages, as a rule.
func FreePages(file io.ReaderAt, size int64) ([]uint64, error) {
	p := &preflight{file: file, size: size}
	if _, err := p.readHead(); err != nil {
		return nil, err
	}
	err := p.walk(context.Background(), func(_ string, err error) error { return err })
	var free []uint64
	for page := uint64(2); page < p.head.pages; page++ {
		if p.seen[page/64]>>(page%64)&1 == 0 && page != p.head.freelist {
			free = append(free, page)
		}
	}
	return free, err
}
