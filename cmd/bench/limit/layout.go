package limit

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"time"

	bolt "go.etcd.io/bbolt"
)

// layoutThreads is how many threads the file of Layout holds.
const layoutThreads = 2000

// Layout appends an event to each of some threads in one commit, again and again, in one bucket
// whose keys are thread and number, and returns how many events a second became durable. More
// than that no store of this layout can do with so many threads at once.
func Layout(ctx context.Context, dir string, active, commits int) (perSecond float64, err error) {
	db, remove, err := temporary(dir, "layout.db", fast)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	threads := make([][16]byte, layoutThreads)
	for i := range threads {
		binary.BigEndian.PutUint64(threads[i][:], rand.Uint64())
		binary.BigEndian.PutUint64(threads[i][8:], rand.Uint64())
	}
	if err := append1(db, threads, 1); err != nil {
		return 0, err
	}
	start := time.Now()
	for i := range commits {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := append1(db, threads[:active], uint64(i)+2); err != nil {
			return 0, err
		}
	}
	return float64(active*commits) / time.Since(start).Seconds(), nil
}

// append1 stores one event of each thread in one commit.
func append1(db *bolt.DB, threads [][16]byte, seq uint64) error {
	return db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(eventsBucket)
		if err != nil {
			return err
		}
		b.FillPercent = 0.8
		for _, thread := range threads {
			if err := b.Put(binary.BigEndian.AppendUint64(thread[:], seq), Frame); err != nil {
				return err
			}
		}
		return nil
	})
}
