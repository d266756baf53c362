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

// fast are the options that the daemon's store has, too.
var fast = &bolt.Options{NoFreelistSync: true, FreelistType: bolt.FreelistMapType}

// Commits makes n durable commits of one small value in a bbolt file and returns how long each
// took: so far apart as a daemon that has little to do makes them or, with 0, one after the
// other.
func Commits(ctx context.Context, dir string, n int, apart time.Duration) (took []time.Duration, err error) {
	db, remove, err := temporary(dir, "commits.db", fast)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	for i := range n {
		if err := rest(ctx, apart); err != nil {
			return took, err
		}
		start := time.Now()
		if err := commit(db, uint64(i)); err != nil {
			return took, err
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}

func rest(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func commit(db *bolt.DB, key uint64) error {
	return db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(eventsBucket)
		if err != nil {
			return err
		}
		return b.Put(binary.BigEndian.AppendUint64(nil, key), Frame)
	})
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
