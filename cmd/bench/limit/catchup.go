package limit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"
)

// eventsBucket is where the events are.
var eventsBucket = []byte("events")

// Catchup makes a bbolt file with n events, each of the length of one of the daemon's, and
// serves WebSockets: whoever sends a number gets all events, read from the file and written
// with corked writes, and then one that says that these were all.
func Catchup(dir string, n, length int, in io.Reader, out io.Writer) (err error) {
	db, remove, err := temporary(dir, "catchup.db", &bolt.Options{NoSync: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if err := fill(db, n, Sized(length)); err != nil {
		return fmt.Errorf("making events to catch up with: %w", err)
	}
	return serve(in, out, func(ctx context.Context, p peer) {
		for {
			if _, err := readNumber(ctx, p); err != nil || replay(ctx, db, p) != nil {
				return
			}
		}
	})
}

// fill stores n events in the order of their keys.
func fill(db *bolt.DB, n int, event []byte) error {
	const batch = 50_000
	for from := 0; from < n; from += batch {
		err := db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(eventsBucket)
			if err != nil {
				return err
			}
			b.FillPercent = 0.9
			for i := from; i < min(n, from+batch); i++ {
				if err := b.Put(binary.BigEndian.AppendUint64(nil, uint64(i)), event); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// replay sends all events, page by page, as a journal is read.
func replay(ctx context.Context, db *bolt.DB, p peer) error {
	return db.View(func(tx *bolt.Tx) error {
		var page [][]byte
		size := 0
		c := tx.Bucket(eventsBucket).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			page, size = append(page, v), size+len(v)
			if size < flushBytes {
				continue
			}
			if err := p.send(ctx, page...); err != nil {
				return err
			}
			page, size = page[:0], 0
		}
		return p.send(ctx, append(page, last)...)
	})
}
