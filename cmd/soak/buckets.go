package main

import (
	"cmp"
	"slices"

	"go.etcd.io/bbolt"
)

// bucketSize is what one bucket of the data file holds.
type bucketSize struct {
	name    string
	records int
	used    int64 // bytes of keys and values
	pages   int64 // bytes of the pages that hold them
}

// readBuckets measures the buckets of a file that nobody has open, the largest first.
func readBuckets(path string) (sizes []bucketSize, err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = cmp.Or(err, db.Close()) }()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			size := bucketSize{name: string(name)}
			err := b.ForEach(func(k, v []byte) error {
				size.records++
				size.used += int64(len(k) + len(v))
				return nil
			})
			st := b.Stats()
			size.pages = int64(st.BranchAlloc + st.LeafAlloc)
			sizes = append(sizes, size)
			return err
		})
	})
	slices.SortFunc(sizes, func(a, b bucketSize) int { return cmp.Compare(b.pages, a.pages) })
	return sizes, err
}
