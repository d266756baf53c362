package bolt

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"
)

// The head of a data file, in the bucket meta.
const (
	magic  = "spool data file\n"
	format = 2 // of the buckets below and of rows; a program reads its own and refuses all others
)

var (
	keyMagic   = []byte("magic")
	keyFormat  = []byte("format")
	keyCreated = []byte("created")
)

// bucket is one of the buckets of a data file. A thread, turn or item is its ULID (16
// bytes), a time is 8 bytes that sort as the milliseconds do, hash is the first 16
// bytes of a SHA-256. Every value but those of the indexes begins with a CRC-32C of
// its key and the rest of it.
type bucket int

const (
	meta        bucket = iota // what the file is
	journal                   // thread + seq -> frame; with seq 0: the first seq that was not erased
	threads                   // thread -> last seq when this was written, row
	byUpdated                 // hash of reader + Updated + thread -> nothing
	byCreated                 // hash of reader + Created + thread -> nothing
	reuse                     // hash of Reuse + Created + thread -> nothing
	busy                      // thread -> nothing
	turns                     // thread + turn -> four seqs, prefix
	edits                     // thread + item -> seq, prefix
	checkpoints               // thread + item -> prefix, data
	idempotency               // thread or zeros + hash of owner and key -> answer
	keysByTime                // At + key in idempotency -> nothing
	deleted                   // thread -> nothing
	values                    // key -> value
	buckets                   // how many there are
)

// schema says how each bucket is called in the file, and how full a page stays when it
// is split. Keys of the journal rise within a thread but threads take turns: measured
// with 64 of 2,000 threads writing at a time, 0.8 needs 348 bytes for an event of 200,
// where bbolt's own 0.5 needs 500; journals of thousands of events are also written a
// fifth faster. Threads are made in the order of their ids and deleted in any: measured, an
// id in deleted needs 42 to 54 bytes with 0.7 whatever the order, 41 to 68 with 0.5, and
// 37 to 111 with 0.9.
var schema = [buckets]bucketSchema{
	meta:        {"meta", 0.9},
	journal:     {"journal", 0.8},
	threads:     {"threads", 0.7},
	byUpdated:   {"byUpdated", 0.7},
	byCreated:   {"byCreated", 0.9},
	reuse:       {"reuse", 0.5},
	busy:        {"busy", 0.5},
	turns:       {"turns", 0.8},
	edits:       {"edits", 0.8},
	checkpoints: {"checkpoints", 0.5},
	idempotency: {"idempotency", 0.5},
	keysByTime:  {"keysByTime", 0.9},
	deleted:     {"deleted", 0.7},
	values:      {"settings", 0.5},
}

type bucketSchema struct {
	name string
	fill float64
}

// nothing is the value of an index entry: bbolt cannot tell an empty value from none.
var nothing = []byte{0}

func (b bucket) in(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket([]byte(schema[b].name)) }

// initialise makes the buckets of a new file.
func initialise(tx *bbolt.Tx, now int64) error {
	for b := range buckets {
		if _, err := tx.CreateBucket([]byte(schema[b].name)); err != nil {
			return fmt.Errorf("bucket %s: %w", schema[b].name, err)
		}
	}
	m := meta.in(tx)
	for _, kv := range [][2][]byte{
		{keyMagic, []byte(magic)},
		{keyFormat, binary.BigEndian.AppendUint32(nil, format)},
		{keyCreated, binary.BigEndian.AppendUint64(nil, uint64(now))},
	} {
		if err := m.Put(kv[0], kv[1]); err != nil {
			return err
		}
	}
	return nil
}
