package limit

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

// IdleCommits makes n durable commits of one small value in a bbolt file, apart from each
// other, as a daemon that has little to do makes them, and returns how long each took.
func IdleCommits(ctx context.Context, dir string, n int, apart time.Duration) (took []time.Duration, err error) {
	db, remove, err := temporary(dir, "commits.db", &bolt.Options{NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	beat := time.NewTicker(apart)
	defer beat.Stop()
	for i := range n {
		select {
		case <-beat.C:
		case <-ctx.Done():
			return took, ctx.Err()
		}
		start := time.Now()
		err := db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(eventsBucket)
			if err != nil {
				return err
			}
			return b.Put(binary.BigEndian.AppendUint64(nil, uint64(i)), Frame)
		})
		if err != nil {
			return took, err
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}

// temporary opens a new bbolt file. The function closes and removes it.
func temporary(dir, name string, o *bolt.Options) (*bolt.DB, func() error, error) {
	path := filepath.Join(dir, name)
	db, err := bolt.Open(path, 0o600, o)
	if err != nil {
		return nil, nil, err
	}
	return db, func() error { return errors.Join(db.Close(), os.Remove(path)) }, nil
}
