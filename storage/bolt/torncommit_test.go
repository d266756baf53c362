package bolt_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
)

// lastCommit is a file before and after a commit that changes records of all kinds.
type lastCommit struct {
	before, after []byte
	meta          int // length of the meta pages, which are written after all others
}

func makeLastCommit(t *testing.T) lastCommit {
	t.Helper()
	path := dataFile(t)
	s, err := bolt.Open(t.Context(), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	ids := keep(t, s, 30)
	c := lastCommit{before: readUsed(t, path)}
	turn, item := "trn_"+ids[1][4:], "itm_"+ids[2][4:]
	b := &storage.Batch{
		Thread: ids[0],
		Row:    &storage.Row{ID: ids[0], Owner: "alice", Readers: []string{"bob"}, Updated: 99, Busy: true, Data: bytes.Repeat([]byte("r"), 3000)},
		Turns:  []storage.TurnEntry{{ID: turn, Accepted: 6, Started: 7}},
		Edits:  []storage.Edit{{Item: item, Seq: 8}}, Checkpoints: []storage.Checkpoint{{Item: item, Data: make([]byte, 20_000)}},
		Key: &storage.KeyResult{Owner: "alice", Thread: ids[0], Key: "k", Hash: []byte("h"), Result: []byte("{}"), At: 1},
	}
	for seq := uint64(6); seq < 12; seq++ {
		b.Events = append(b.Events, storage.Event{Seq: seq, Frame: bytes.Repeat([]byte{byte(seq)}, int(seq)*700)})
	}
	if err := commit(s, b); err != nil {
		t.Fatal(err)
	}
	c.after = readUsed(t, path)
	bolt.Abandon(s)
	c.meta = 2 * int(binary.NativeEndian.Uint32(c.after[16+8:]))
	c.before = append(c.before, make([]byte, max(0, len(c.after)-len(c.before)))...)
	c.after = append(c.after, make([]byte, max(0, len(c.before)-len(c.after)))...)
	return c
}

// readUsed reads a file without the megabytes that bbolt keeps ready.
func readUsed(t *testing.T, path string) []byte {
	t.Helper()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return whole[:usedBytes(t, whole)]
}

// changed lists the blocks of a size that the commit wrote behind the meta pages.
func (c lastCommit) changed(size int) (blocks []int) {
	for at := c.meta; at < len(c.after); at += size {
		if !bytes.Equal(c.before[at:at+size], c.after[at:at+size]) {
			blocks = append(blocks, at)
		}
	}
	return blocks
}

// with is the file before the commit with some of its blocks.
func (c lastCommit) with(blocks []int, size int) []byte {
	torn := bytes.Clone(c.before)
	for _, at := range blocks {
		copy(torn[at:at+size], c.after[at:at+size])
	}
	return torn
}

// contents opens a file as the store does and returns a sum over all its records.
func contents(t *testing.T, whole []byte) ([sha256.Size]byte, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spool.db")
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	s, err := bolt.Open(t.Context(), bolt.Options{Path: path})
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	sum := sha256.New()
	err = bolt.Raw(s, func(tx *bbolt.Tx) error {
		err := tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			fmt.Fprintf(sum, "%q\n", name)
			return b.ForEach(func(k, v []byte) error {
				fmt.Fprintf(sum, "%x %x\n", k, v)
				return nil
			})
		})
		return errors.Join(err, errJustLooking)
	})
	if !errors.Is(err, errJustLooking) || err.Error() != errJustLooking.Error() {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	bolt.Abandon(s)
	return [sha256.Size]byte(sum.Sum(nil)), nil
}

var errJustLooking = errors.New("nothing shall be written")

// TestTornCommit loses the power in the middle of a commit: of its pages any part may have
// reached the disk, in any order, before the meta page. Whatever is cut, the file holds what
// it held before the commit, or all of it, and nothing in between.
func TestTornCommit(t *testing.T) {
	c := makeLastCommit(t)
	old, err1 := contents(t, c.before)
	new, err2 := contents(t, c.after)
	if err := errors.Join(err1, err2); err != nil || old == new {
		t.Fatalf("the commit changes nothing: %v", err)
	}
	must := func(what string, whole []byte, want ...[sha256.Size]byte) {
		t.Helper()
		got, err := contents(t, whole)
		if err != nil || !slices.Contains(want, got) {
			t.Errorf("%s: it is neither as before nor as after: %v", what, err)
		}
	}
	for _, size := range []int{4096, 512} {
		if size == 512 && testing.Short() {
			continue
		}
		blocks := c.changed(size)
		if len(blocks) < 8 {
			t.Fatalf("the commit writes only %d blocks of %d bytes", len(blocks), size)
		}
		for n := range len(blocks) + 1 {
			must(fmt.Sprintf("the first %d of %d blocks of %d bytes", n, len(blocks), size), c.with(blocks[:n], size), old)
			must(fmt.Sprintf("the last %d of %d blocks of %d bytes", n, len(blocks), size), c.with(blocks[len(blocks)-n:], size), old)
		}
		for range 20 {
			rand.Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
			some := blocks[:rand.IntN(len(blocks))]
			must(fmt.Sprintf("blocks of %d bytes at %v", size, some), c.with(some, size), old)
		}
	}
	// All pages are there, and of the meta pages some bytes: the sum in them tells.
	pages := c.with(c.changed(512), 512)
	for n := 1; n < c.meta; n++ {
		if c.before[n-1] != c.after[n-1] {
			must(fmt.Sprintf("%d bytes of the meta pages", n), append(bytes.Clone(c.after[:n]), pages[n:]...), old, new)
		}
	}
}
