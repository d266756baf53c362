package bolt_test

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
)

// TestDiskRunsFull fills a small disk. It needs the right to mount one.
func TestDiskRunsFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	path := filepath.Join(dir, "spool.db")
	s, err := bolt.Open(t.Context(), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	id := newThread()
	kept := 0
	for err == nil {
		err = commit(s, &storage.Batch{Thread: id, Events: []storage.Event{{Seq: uint64(kept + 1), Frame: make([]byte, 10_000)}}})
		if err == nil {
			kept++
		}
	}
	if !errors.Is(err, storage.ErrFull) || !errors.Is(err, storage.ErrFailed) || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("got error %v", err)
	}
	if n, err := s.Free(); n > 1<<20 || err != nil {
		t.Errorf("%d bytes are free: %v", n, err)
	}
	for range 2 {
		if head, err := s.Head(t.Context(), id); head != uint64(kept) || kept == 0 || err != nil {
			t.Errorf("%d of %d events are there: %v", head, kept, err)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
		_ = s.Close()
		if s, err = bolt.Open(t.Context(), bolt.Options{Path: path}); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close()
}
