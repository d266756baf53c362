package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/cmd/spool/config"
	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// testDaemon is a daemon in this process, with folders of its own.
type testDaemon struct {
	d      *daemon
	data   string
	client *sdk.Client
}

func newTestDaemon(t *testing.T, env ...string) *testDaemon {
	t.Helper()
	home, err := os.MkdirTemp("", "sp") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	all := config.NewEnv(append([]string{"HOME=" + home, "XDG_RUNTIME_DIR=" + home, "SPOOL_LIMITS_DISK_RESERVE=0"}, env...))
	cfg, err := config.Load(config.Source{Env: all})
	if err != nil {
		t.Fatal(err)
	}
	d, err := startDaemon(t.Context(), cfg, all, zerolog.Nop(), 0)
	if err != nil {
		t.Fatal(err)
	}
	td := &testDaemon{d: d, data: cfg.Data}
	t.Cleanup(func() { td.stop(t) })
	td.client, err = sdk.Connect(t.Context(), "unix://"+cfg.Socket, nil)
	if err != nil {
		t.Fatal(err)
	}
	return td
}

// stop ends the daemon, once.
func (td *testDaemon) stop(t *testing.T) {
	t.Helper()
	if td.d == nil {
		return
	}
	if td.client != nil {
		_ = td.client.Close()
	}
	err := td.d.stop(0, nil)
	td.d = nil
	if err != nil {
		t.Error(err)
	}
}

// talk runs a turn on a new thread, and returns the thread.
func (td *testDaemon) talk(t *testing.T, text string) string {
	t.Helper()
	th, err := td.client.Threads().Start(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = sdk.Call(t.Context(), td.client, protocol.MethodTurnRun, protocol.TurnRunParams{
		TurnInput: protocol.TurnInput{ThreadID: th.ID(), Input: protocol.TextInput(text), Wait: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return th.ID()
}

// files lists the backups of a daemon.
func (td *testDaemon) files(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(td.data, backupsName, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestServerBackup takes backups while turns run: each has all threads that were known
// before, and obeys all rules.
func TestServerBackup(t *testing.T) {
	td := newTestDaemon(t)
	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	defer busy.Wait()
	defer stop()
	for range 3 {
		th, err := td.client.Threads().Start(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		busy.Go(func() {
			for ctx.Err() == nil {
				_, err := sdk.Call(ctx, td.client, protocol.MethodTurnRun, protocol.TurnRunParams{
					TurnInput: protocol.TurnInput{ThreadID: th.ID(), Input: protocol.TextInput("/deltas 5 10 1ms\n/say done"), Wait: true},
				})
				if err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range 5 {
		td.talk(t, fmt.Sprint("number ", n))
		r, err := td.client.Server().Backup(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(r.Path)
		if err != nil || st.Size() != r.Bytes || st.Mode() != 0o600 || filepath.Dir(r.Path) != filepath.Join(td.data, backupsName) {
			t.Errorf("the backup is %+v: %v, %v", r, st, err)
		}
		if v := verifyJSON(t, exitOK, r.Path); v.Threads != 4+n {
			t.Errorf("it has %d threads, not %d", v.Threads, 4+n)
		}
	}
}

// TestServerBackupRefused checks that one is made at a time, only with room on the disk, and
// that one that is not wanted any more leaves nothing.
func TestServerBackupRefused(t *testing.T) {
	td := newTestDaemon(t)
	td.talk(t, "hello")
	for _, cause := range []error{context.Canceled, io.EOF} { // the latter ends a connection
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		_, err := td.d.backUp(ctx)
		if _, failed := errors.AsType[*protocol.Error](err); failed || !errors.Is(err, cause) {
			t.Errorf("a request that was cancelled: %v", err)
		}
	}
	stale := filepath.Join(td.data, backupsName, "spool-old.db"+partialSuffix)
	if err := errors.Join(os.MkdirAll(filepath.Dir(stale), 0o700), os.WriteFile(stale, []byte("half"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := td.d.backUp(t.Context()); err != nil {
		t.Error(err)
	}
	if list := td.files(t); len(list) != 1 {
		t.Errorf("there are %v", list)
	}
	full := newTestDaemon(t, "SPOOL_LIMITS_DISK_RESERVE=1000000GiB")
	_, err := full.client.Server().Backup(t.Context())
	if e := protocol.AsError(err); e.Code != protocol.CodeStorageUnavailable || e.Data.Hint == "" {
		t.Errorf("without room: %v", err)
	}
	if list := full.files(t); len(list) > 0 {
		t.Errorf("there are %v", list)
	}
}

// whenNamed is a context that ends when there is a file that fits a pattern.
type whenNamed struct {
	context.Context
	pattern string
	ended   atomic.Bool
}

// Err implements context.Context.
func (w *whenNamed) Err() error {
	if list, _ := filepath.Glob(w.pattern); len(list) > 0 {
		w.ended.Store(true)
	}
	if w.ended.Load() {
		return context.Canceled
	}
	return nil
}

// TestServerBackupUnfetched takes a backup back when it has its name, and before it was
// answered: nobody will fetch it.
func TestServerBackupUnfetched(t *testing.T) {
	td := newTestDaemon(t)
	td.talk(t, "hello")
	ctx := &whenNamed{Context: t.Context(), pattern: filepath.Join(td.data, backupsName, "*.db")}
	if _, err := td.d.backUp(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("it was taken back: %v", err)
	}
	if list := td.files(t); len(list) > 0 {
		t.Errorf("there are %v", list)
	}
}

// TestBackupGivenUp has the daemon know of it before the connection is closed.
func TestBackupGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	here, there := net.Pipe()
	var methods []string
	var daemon sync.WaitGroup
	daemon.Go(func() {
		defer there.Close()
		for lines := bufio.NewScanner(there); lines.Scan(); {
			e := protocol.ParseFrame(slices.Clone(lines.Bytes()))
			methods = append(methods, e.Method)
			switch e.Method {
			case protocol.MethodServerBackup.Name:
				cancel()
			case protocol.MethodInitialize.Name:
				answer := `{"serverInfo":{"name":"spool","protocolVersion":"` + protocol.Version + `"}}`
				if _, err := fmt.Fprintf(there, `{"jsonrpc":"2.0","id":%s,"result":%s}`+"\n", e.ID, answer); err != nil {
					t.Error(err)
				}
			}
		}
	})
	if _, err := askBackup(ctx, here); !errors.Is(err, context.Canceled) {
		t.Errorf("it was given up: %v", err)
	}
	daemon.Wait()
	want := []string{"initialize", "initialized", "server/backup", "$/cancelRequest"}
	if !slices.Equal(methods, want) {
		t.Errorf("the daemon was told %v", methods)
	}
}

// TestBackupAcrossFileSystems copies where a rename cannot go.
func TestBackupAcrossFileSystems(t *testing.T) {
	const shm = "/dev/shm"
	td := newTestDaemon(t)
	td.talk(t, "hello")
	dir, err := os.MkdirTemp(shm, "sp")
	if err != nil {
		t.Skipf("no other file system: %v", err)
	}
	defer os.RemoveAll(dir)
	b := &backup{config: td.d.config, dest: filepath.Join(dir, "talks.db")}
	a := newApp(nil, os.Stdout, os.Stderr, nil)
	a.json = true
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := a.backUp(ctx, b); err != nil {
		t.Fatal(err)
	}
	if v := verifyJSON(t, exitOK, b.dest); v.Threads != 1 {
		t.Errorf("it has %d threads", v.Threads)
	}
	if list := td.files(t); len(list) > 0 {
		t.Errorf("the daemon's file is left: %v", list)
	}
	if entries, err := os.ReadDir(dir); len(entries) != 1 || err != nil {
		t.Errorf("the folder has %v: %v", entries, err)
	}
}

// TestBackupDamaged gives no copy of a damaged file a name.
func TestBackupDamaged(t *testing.T) {
	path, ids := realFile(t)
	spoilEvent(t, path, ids[0])
	dir := t.TempDir()
	cfg := &config.Config{Data: filepath.Dir(path), Socket: filepath.Join(dir, "none.sock")}
	a := newApp(nil, os.Stdout, os.Stderr, nil)
	err := a.backUp(t.Context(), &backup{config: cfg, dest: filepath.Join(dir, "talks.db")})
	if exitCode(err) != exitDamaged {
		t.Errorf("got error %v", err)
	}
	if entries, err := os.ReadDir(dir); len(entries) != 0 || err != nil {
		t.Errorf("the folder has %v: %v", entries, err)
	}
	if err := a.backUp(t.Context(), &backup{config: cfg, dest: filepath.Join(dir, "talks.db"), noVerify: true}); err != nil {
		t.Errorf("unchecked: %v", err)
	}
}
