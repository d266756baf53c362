package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// realFile makes a data file with threads that had turns, and returns it and the threads.
func realFile(t *testing.T) (path string, ids []string) {
	t.Helper()
	d := newTestDaemon(t)
	for _, text := range []string{"hello", "/say one\n/say two"} {
		ids = append(ids, d.talk(t, text))
	}
	d.stop(t)
	return filepath.Join(d.data, databaseName), ids
}

// spoil changes a data file behind Spool's back.
func spoil(t *testing.T, path string, change func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// verifyJSON runs spool verify --json.
func verifyJSON(t *testing.T, wantCode int, args ...string) verified {
	t.Helper()
	var out, stderr bytes.Buffer
	env := []string{"HOME=" + t.TempDir(), "XDG_RUNTIME_DIR=" + t.TempDir()}
	code := Run(context.Background(), append([]string{"verify", "--json"}, args...), nil, &out, &stderr, env)
	var v verified
	if err := json.Unmarshal(out.Bytes(), &v); err != nil || code != wantCode {
		t.Fatalf("exit code %d, not %d: %s%s (%v)", code, wantCode, &out, &stderr, err)
	}
	return v
}

// journalKey is the key of an event.
func journalKey(t *testing.T, thread string, seq uint64) []byte {
	t.Helper()
	_, id, err := storage.ParseID(thread)
	if err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.AppendUint64(id[:], seq)
}

// sealed is a record with the checksum that it must have.
func sealed(key, value []byte) []byte {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(crc32.Checksum(key, table), table, value)
	return append(binary.BigEndian.AppendUint32(nil, sum), value...)
}

// eventNamed returns the seq and the frame of the first event of a method.
func eventNamed(tx *bbolt.Tx, thread []byte, method string) (seq uint64, frame []byte) {
	c := tx.Bucket([]byte("journal")).Cursor()
	for k, v := c.Seek(thread); bytes.HasPrefix(k, thread); k, v = c.Next() {
		if strings.Contains(string(v), `"method":"`+method+`"`) {
			return binary.BigEndian.Uint64(k[16:]), slices.Clone(v[4:])
		}
	}
	return 0, nil
}

// TestVerifyHandBroken breaks a real data file by hand, and demands that verify says
// precisely what is wrong.
func TestVerifyHandBroken(t *testing.T) {
	whole, ids := realFile(t)
	if v := verifyJSON(t, exitOK, whole); v.Threads != len(ids) || v.Events < 10 || !v.OK || !v.ClosedProperly {
		t.Fatalf("the file of real turns: %+v", v)
	}
	thread := ids[0]
	id := journalKey(t, thread, 0)[:16]
	bucket := func(tx *bbolt.Tx, name string) *bbolt.Bucket { return tx.Bucket([]byte(name)) }
	for name, c := range map[string]struct {
		change func(tx *bbolt.Tx) error
		want   storage.Problem
		rest   int // problems that follow from it
	}{
		"a missing seq": {
			func(tx *bbolt.Tx) error { return bucket(tx, "journal").Delete(journalKey(t, thread, 3)) },
			storage.Problem{Kind: storage.ProblemJournal, Thread: thread, Seq: 3, Text: "is missing"},
			1,
		},
		"a wrong checksum": {func(tx *bbolt.Tx) error {
			k := journalKey(t, thread, 4)
			v := slices.Clone(bucket(tx, "journal").Get(k))
			v[len(v)-3] ^= 0x20
			return bucket(tx, "journal").Put(k, v)
		}, storage.Problem{Kind: storage.ProblemRecord, Thread: thread, Seq: 4, Text: "its checksum is wrong: it is not what was written"}, 1},
		"a second end": {func(tx *bbolt.Tx) error {
			seq, frame := eventNamed(tx, id, "turn/completed")
			last := seq + 1
			for bucket(tx, "journal").Get(journalKey(t, thread, last)) != nil {
				last++
			}
			frame = bytes.Replace(frame, seqMember(seq), seqMember(last), 1)
			k := journalKey(t, thread, last)
			return bucket(tx, "journal").Put(k, sealed(k, frame))
		}, storage.Problem{Kind: storage.ProblemJournal, Thread: thread, Text: "comes after its end"}, 0},
		"a missing turn": {func(tx *bbolt.Tx) error {
			k, _ := bucket(tx, "turns").Cursor().Seek(id)
			return bucket(tx, "turns").Delete(k)
		}, storage.Problem{Kind: storage.ProblemIndex, Thread: thread, Text: "the index of turns lacks turn trn_"}, 0},
		"an extra turn": {func(tx *bbolt.Tx) error {
			k := append(slices.Clone(id), id...)
			return bucket(tx, "turns").Put(k, sealed(k, append(make([]byte, 32), "trn"...)))
		}, storage.Problem{Kind: storage.ProblemIndex, Thread: thread, Text: "the index of turns has turn trn_"}, 0},
		"a missing list entry": {func(tx *bbolt.Tx) error {
			c := bucket(tx, "byUpdated").Cursor()
			for k, _ := c.First(); k != nil; k, _ = c.Next() {
				if bytes.HasSuffix(k, id) {
					return c.Delete()
				}
			}
			return errors.New("there is none")
		}, storage.Problem{Kind: storage.ProblemIndex, Thread: thread, Text: "index byUpdated lacks an entry"}, 0},
		"an extra running": {
			func(tx *bbolt.Tx) error { return bucket(tx, "busy").Put(id, []byte{0}) },
			storage.Problem{Kind: storage.ProblemIndex, Thread: thread, Text: "index busy has an entry"},
			0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := copyOf(t, whole)
			spoil(t, path, c.change)
			v := verifyJSON(t, exitDamaged, path)
			i := slices.IndexFunc(v.Problems, func(p storage.Problem) bool {
				return p.Kind == c.want.Kind && p.Thread == c.want.Thread && (c.want.Seq == 0 || p.Seq == c.want.Seq) && strings.Contains(p.Text, c.want.Text)
			})
			if i < 0 || len(v.Problems) != 1+c.rest || v.OK {
				t.Errorf("the problems are %v", v.Problems)
			}
			if i >= 0 && v.Problems[i].Repairable() {
				mended(t, path, whole)
			}
		})
	}
}

func seqMember(seq uint64) []byte { return []byte(`"seq":` + string(mustJSON(seq)) + `,`) }

func mustJSON(v any) []byte {
	b, err := protocol.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// mended has the indexes of a file made anew: it must be what it was, and the broken one kept.
func mended(t *testing.T, path, whole string) {
	t.Helper()
	v := verifyJSON(t, exitOK, "--rebuild-indexes", path)
	if !v.OK || !v.Rebuilt || v.OldFile == "" {
		t.Errorf("after the rebuild: %+v", v)
	}
	if old := verifyJSON(t, exitDamaged, v.OldFile); old.OK {
		t.Error("the broken file was not kept")
	}
	if got, want := records(t, path), records(t, whole); !slices.Equal(got, want) {
		t.Errorf("the file has other records than before it was broken: %d and %d", len(got), len(want))
	}
}

// records returns all records of a data file.
func records(t *testing.T, path string) (all []string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				all = append(all, string(name)+string(k)+string(v))
				return nil
			})
		})
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return all
}

func copyOf(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), databaseName)
	if err := os.WriteFile(to, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestVerifyExplains reads what people are told.
func TestVerifyExplains(t *testing.T) {
	path, ids := realFile(t)
	spoil(t, path, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("journal")).Delete(journalKey(t, ids[0], 3)) })
	var out bytes.Buffer
	if code := Run(t.Context(), []string{"verify", path}, nil, &out, &out, []string{"HOME=" + t.TempDir(), "XDG_RUNTIME_DIR=" + t.TempDir()}); code != exitDamaged {
		t.Errorf("exit code %d", code)
	}
	for _, text := range []string{"journal: " + ids[0] + ", event 3: is missing\n", "result   2 problems", "restore a backup"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("it does not say %q:\n%s", text, &out)
		}
	}
}

// TestVerifyPromisesNothing: of a file that cannot be read nobody knows which threads are whole.
func TestVerifyPromisesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cut.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if code := Run(t.Context(), []string{"verify", path}, nil, &out, &out, []string{"HOME=" + t.TempDir(), "XDG_RUNTIME_DIR=" + t.TempDir()}); code != exitDamaged {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(out.String(), "are whole") || !strings.Contains(out.String(), "restore a backup") {
		t.Errorf("it says:\n%s", &out)
	}
}

// spoilEvent changes an event of a thread.
func spoilEvent(t *testing.T, path, thread string) {
	t.Helper()
	spoil(t, path, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("journal")).Put(journalKey(t, thread, 2), []byte("not what was written"))
	})
}
