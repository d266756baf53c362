package bolt_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
)

// refuse opens a store that must be refused, and checks what the user is told.
func refuse(t *testing.T, path string, want error, texts ...string) {
	t.Helper()
	s, err := bolt.Open(t.Context(), bolt.Options{Path: path})
	if err == nil {
		_ = s.Close()
		t.Fatal("the file was opened")
	}
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
	var e *storage.Error
	if !errors.As(err, &e) || e.Op != "open" || e.Path != path || e.Hint == "" {
		t.Errorf("error %#v has no operation, path or hint", err)
	}
	for _, text := range append(texts, path) {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}

func TestModes(t *testing.T) {
	path := dataFile(t)
	openAt(t, path)
	for name, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): fs.ModeDir | 0o700} {
		st, err := os.Stat(name)
		if err != nil || st.Mode() != want {
			t.Errorf("%s has mode %v, want %v: %v", name, st.Mode(), want, err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v: %v", entries, err)
	}
}

func TestLocked(t *testing.T) {
	path := dataFile(t)
	s := openAt(t, path)
	refuse(t, path, storage.ErrLocked, "another spool daemon has it open", "spool stop", "--data")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("a reason"))
	if _, err := bolt.Open(ctx, bolt.Options{Path: path, LockTimeout: time.Hour}); err == nil || !strings.Contains(err.Error(), "a reason") {
		t.Errorf("got error %v", err)
	}
	keep(t, s, 1)
}

// TestLockAwaited checks that Open waits for the one that has the file.
func TestLockAwaited(t *testing.T) {
	path := dataFile(t)
	s := openAt(t, path)
	opened := make(chan error)
	go func() {
		s2, err := bolt.Open(t.Context(), bolt.Options{Path: path, LockTimeout: time.Minute})
		if err == nil {
			err = s2.Close()
		}
		opened <- err
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
}

// TestCreatedOnce checks that of many who make the same store one gets it, and that it
// stays whole.
func TestCreatedOnce(t *testing.T) {
	path := dataFile(t)
	const n = 8
	results := make(chan error, n)
	for range n {
		go func() {
			s, err := bolt.Open(t.Context(), bolt.Options{Path: path, LockTimeout: time.Minute})
			if err == nil {
				err = commit(s, &storage.Batch{Thread: newThread(), Row: nil, Key: &storage.KeyResult{Owner: "alice", Key: newThread(), At: 1}})
				err = errors.Join(err, s.Close())
			}
			results <- err
		}()
	}
	for range n {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if got, err := openAt(t, path).PruneKeys(t.Context(), 2); got != n || err != nil {
		t.Errorf("%d of %d commits were kept: %v", got, n, err)
	}
}

// A file of another format is refused with an error that says so, and is left as it is.
func TestOtherFormats(t *testing.T) {
	for v, want := range map[uint32]struct {
		err  error
		text string
	}{7: {storage.ErrNewer, "format is 7"}, 1: {storage.ErrOlder, "format is 1"}} {
		path := dataFile(t)
		s := openAt(t, path)
		err := bolt.Raw(s, func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("meta")).Put([]byte("format"), binary.BigEndian.AppendUint32(nil, v))
		})
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		refuse(t, path, want.err, want.text, "knows 2")
		after, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("a refused file was changed: %v", err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	for name, content := range map[string][]byte{
		"short":  []byte("hello"),
		"zeros":  make([]byte, 100_000),
		"noise":  noise,
		"sqlite": append([]byte("SQLite format 3\x00"), make([]byte, 50_000)...),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		refuse(t, path, storage.ErrNotStore, "not a Spool data file")
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refuse(t, empty, storage.ErrCorrupt, "the file is empty")

	other := filepath.Join(dir, "other.db")
	db, err := bbolt.Open(other, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	refuse(t, other, storage.ErrNotStore, "another program")
}

func TestUnwritable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	refuse(t, filepath.Join(dir, "spool.db"), fs.ErrPermission, "owner and mode")
}

// TestNotAFile checks places where no file can be.
func TestNotAFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := bolt.Open(t.Context(), bolt.Options{Path: dir}); err == nil {
		t.Error("a folder was opened")
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(file, "spool.db")}); err == nil {
		t.Error("a file below a file was opened")
	}
	if _, err := os.Stat(os.DevNull); err == nil {
		refuse(t, os.DevNull, storage.ErrNotStore, "not a regular file")
	}
}
