package bolt_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
)

// shrinkable makes a file with much free room in it.
func shrinkable(t testing.TB) (path string, ids []string) {
	t.Helper()
	path = dataFile(t)
	s, err := bolt.Open(t.Context(), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	ids = fillStore(t, s, 60)
	for _, id := range keep(t, s, 100) {
		if err := commit(s, &storage.Batch{Thread: id, Delete: true}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path, ids
}

// onlyFile demands that a rewrite has left nothing beside the file.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v: %v", entries, err)
	}
}

func TestCompact(t *testing.T) {
	path, ids := shrinkable(t)
	want := dump(t, path)
	done, err := bolt.Compact(t.Context(), bolt.Options{Path: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode() != 0o600 || st.Size() != done.After || done.After > done.Before/4 || done.Old != "" {
		t.Errorf("%+v, and the file is %v: %v", done, st, err)
	}
	if r := mustBeClean(t, path); !r.Clean || r.Threads != len(ids) {
		t.Errorf("the report is %+v", r)
	}
	if !maps.Equal(dump(t, path), want) {
		t.Error("the records have changed")
	}
	onlyFile(t, path)
	keep(t, openAt(t, path), 10)
}

// TestCompactRefuses checks files that must be left as they are.
func TestCompactRefuses(t *testing.T) {
	path, _ := filled(t, 30, true)
	s, err := bolt.Open(t.Context(), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Compact(t.Context(), bolt.Options{Path: path}, nil); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("a file in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	reader, err := bolt.OpenReadOnly(t.Context(), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Compact(t.Context(), bolt.Options{Path: path}, nil); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("a file that somebody looks at: %v", err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	calls := 0
	_, err = bolt.Compact(ctx, bolt.Options{Path: path}, func(int64) {
		if calls++; calls == 20 {
			cancel(errors.New("no longer wanted"))
		}
	})
	if err == nil || !strings.Contains(err.Error(), "no longer wanted") {
		t.Errorf("a compaction that is cut off: %v", err)
	}
	onlyFile(t, path)
	mustBeClean(t, path)
	breakRecord(t, path)
	if _, err := bolt.Compact(t.Context(), bolt.Options{Path: path}, nil); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("a damaged file: %v", err)
	}
	onlyFile(t, path)
}

// breakRecord changes an event of a file.
func breakRecord(t *testing.T, path string) {
	t.Helper()
	s, err := bolt.Open(t.Context(), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	err = bolt.Raw(s, func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("journal"))
		k, _ := b.Cursor().First()
		return b.Put(k, []byte("not what was written"))
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestRebuild takes all indexes away, by record or by damaging their pages, and has them
// made anew.
func TestRebuild(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string){
		"records": func(t *testing.T, path string) {
			s, err := bolt.Open(t.Context(), bolt.Options{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			err = bolt.Raw(s, func(tx *bbolt.Tx) error {
				for _, name := range []string{"byUpdated", "byCreated", "reuse", "busy", "keysByTime", "turns", "edits"} {
					b := tx.Bucket([]byte(name))
					c := b.Cursor()
					for k, _ := c.First(); k != nil; k, _ = c.Next() {
						if err := c.Delete(); err != nil {
							return err
						}
					}
					if err := b.Put(append(make([]byte, 40), 1), []byte("wrong")); err != nil {
						return err
					}
				}
				return nil
			})
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
		},
		"pages": func(t *testing.T, path string) {
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := bolt.OpenReadOnly(t.Context(), bolt.Options{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			var roots []int
			err = bolt.Look(s, func(tx *bbolt.Tx) error {
				for _, name := range []string{"byUpdated", "turns", "edits", "keysByTime"} {
					roots = append(roots, int(tx.Bucket([]byte(name)).RootPage()))
				}
				return nil
			})
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
			size := int(binary.NativeEndian.Uint32(whole[16+8:]))
			for _, page := range roots {
				clear(whole[page*size : (page+1)*size])
			}
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, ids := filled(t, 60, true)
			want := dump(t, path)
			s, err := bolt.OpenReadOnly(t.Context(), bolt.Options{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			known := map[string]bolt.Derived{}
			for row := range s.Rows(t.Context()) {
				known[row.ID] = derivedOf(t, s, row.ID)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			spoil(t, path)
			r, err := verifyFile(t, path)
			if err != nil || len(r.Problems) < 4 {
				t.Fatalf("only %d problems were found: %v", len(r.Problems), err)
			}
			for _, p := range r.Problems {
				if !p.Repairable() {
					t.Errorf("%s cannot be repaired: %s", p.Kind, p)
				}
			}
			done, err := bolt.Rebuild(t.Context(), bolt.Options{Path: path}, func(_ context.Context, _ *bolt.Store, row storage.Row) (bolt.Derived, error) {
				return known[row.ID], nil
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r := mustBeClean(t, path); r.Threads != len(ids) || !r.Clean {
				t.Errorf("the report is %+v", r)
			}
			if got := dump(t, path); !maps.Equal(got, want) {
				t.Error("the records are not what they were")
			}
			if r, err := verifyFile(t, done.Old); err != nil || len(r.Problems) == 0 {
				t.Errorf("the old file is not kept as %s: %v", done.Old, err)
			}
			if done.Old == "" || filepath.Dir(done.Old) != filepath.Dir(path) {
				t.Errorf("the old file is kept as %q", done.Old)
			}
			keep(t, openAt(t, path), 3)
		})
	}
}

// derivedOf reads the indexes of a thread.
func derivedOf(t *testing.T, s *bolt.Store, id string) (d bolt.Derived) {
	t.Helper()
	turns, err := s.Turns(t.Context(), id, storage.TurnQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	d.Turns = turns
	edits, err := s.Edits(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for item, seq := range edits {
		d.Edits = append(d.Edits, storage.Edit{Item: item, Seq: seq})
	}
	return d
}

// TestRebuildRefuses checks that damage of what cannot be made anew is no reason to write.
func TestRebuildRefuses(t *testing.T) {
	path, _ := filled(t, 60, true)
	s, err := bolt.OpenReadOnly(t.Context(), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	var page int
	err = bolt.Look(s, func(tx *bbolt.Tx) error {
		page = int(tx.Bucket([]byte("journal")).RootPage())
		return nil
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	poke(t, path, page*os.Getpagesize()+8, 0xff)
	_, err = bolt.Rebuild(t.Context(), bolt.Options{Path: path}, nil, nil)
	if !errors.Is(err, storage.ErrCorrupt) || !strings.Contains(err.Error(), "bucket journal cannot be read") {
		t.Errorf("got error %v", err)
	}
	onlyFile(t, path)
}

// rewriteEnv makes the test binary a program that compacts the file it names, again and
// again, until it is killed.
const rewriteEnv = "SPOOL_TEST_BOLT_REWRITE"

func rewriteChild(path string) {
	for {
		if _, err := bolt.Compact(context.Background(), bolt.Options{Path: path}, func(int64) { fmt.Println("read") }); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println("done")
	}
}

// TestCompactKilled kills compactions at any moment: the name always stands for one whole
// file, and the next compaction removes what they left.
func TestCompactKilled(t *testing.T) {
	path, ids := shrinkable(t)
	want := dump(t, path)
	for round := range 8 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), rewriteEnv+"="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		kill := 1 + rand.IntN(120)
		lines := bufio.NewScanner(out)
		for n := 1; lines.Scan(); n++ {
			if n == kill {
				_ = child.Process.Kill()
			}
		}
		_ = child.Wait()
		if child.ProcessState.Exited() {
			t.Fatalf("round %d: the child ended by itself: %v", round, child.ProcessState)
		}
		if r := mustBeClean(t, path); r.Threads != len(ids) || !maps.Equal(dump(t, path), want) {
			t.Fatalf("round %d: %d of %d threads, or other records", round, r.Threads, len(ids))
		}
	}
	if _, err := bolt.Compact(t.Context(), bolt.Options{Path: path}, nil); err != nil {
		t.Fatal(err)
	}
	onlyFile(t, path)
}

// TestOpenAwaitsRewrite checks that a store that waits for the lock of a file that is being
// compacted opens the new one, not the one that has lost its name.
func TestOpenAwaitsRewrite(t *testing.T) {
	path, ids := shrinkable(t)
	type opened struct {
		s   *bolt.Store
		err error
	}
	result := make(chan opened, 1)
	begun := false
	_, err := bolt.Compact(t.Context(), bolt.Options{Path: path}, func(int64) {
		if begun {
			return
		}
		begun = true
		go func() {
			s, err := bolt.Open(context.Background(), bolt.Options{Path: path, LockTimeout: time.Minute})
			result <- opened{s, err}
		}()
	})
	if err != nil {
		t.Fatal(err)
	}
	o := <-result
	if o.err != nil {
		t.Fatal(o.err)
	}
	more := keep(t, o.s, 5)
	if err := o.s.Close(); err != nil {
		t.Fatal(err)
	}
	if r := mustBeClean(t, path); r.Threads != len(ids)+len(more) {
		t.Errorf("%d threads are in the file, %d were kept", r.Threads, len(ids)+len(more))
	}
}
