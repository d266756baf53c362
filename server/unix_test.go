package server

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// socketDir is a folder whose path is short enough for a socket.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "spool")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func serveUnix(t *testing.T, h *Hub, path string) Listener {
	t.Helper()
	l, err := h.ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- l.Serve() }()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestUnixSocketIsForTheUserAlone(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	h := newHub(t)
	path := filepath.Join(socketDir(t), "a", "b", "s.sock")
	l := serveUnix(t, h, path)
	if l.URL() != "unix://"+path {
		t.Errorf("URL %s", l.URL())
	}
	for p, want := range map[string]fs.FileMode{path: fs.ModeSocket | 0o600, filepath.Dir(path): fs.ModeDir | 0o700} {
		info, err := os.Lstat(p)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s is %v, want %v", p, info.Mode(), want)
		}
	}
	if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 1 {
		t.Errorf("left in the folder: %v", names)
	}
}

// TestAClientThatEndsItsSideGetsItsAnswers: as with a request piped into a tool.
func TestAClientThatEndsItsSideGetsItsAnswers(t *testing.T) {
	h := newHub(t)
	path := filepath.Join(socketDir(t), "s")
	serveUnix(t, h, path)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = io.WriteString(c, `{"id":1,"method":"initialize","params":{"clientInfo":{"name":"pipe"}}}
{"id":2,"method":"thread/start","params":{"title":"piped"}}
{"id":3,"method":"server/ping"}`) // without a line end
	if err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"id":1,"result"`, `"title":"piped"`, `"id":3,"result"`} {
		if !strings.Contains(string(all), want) {
			t.Errorf("no %s in %s", want, all)
		}
	}
}

func TestUnixSocketThatIsThereAlready(t *testing.T) {
	h := newHub(t)
	dir := socketDir(t)

	stale := filepath.Join(dir, "stale")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	if _, err := h.ListenUnix(stale); !errors.Is(err, ErrInUse) {
		t.Errorf("a socket that is in use: %v", err)
	}
	old.Close()
	l, err := h.ListenUnix(stale)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	// What took its name meanwhile is not removed.
	if err := os.Remove(stale); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stale, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(stale); string(b) != "mine" {
		t.Error("Close removed what is not its own")
	}

	for name, make := range map[string]func(string) error{
		"file":    func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"folder":  func(p string) error { return os.Mkdir(p, 0o700) },
		"symlink": func(p string) error { return os.Symlink(filepath.Join(dir, "nowhere"), p) },
	} {
		p := filepath.Join(dir, name)
		if err := make(p); err != nil {
			t.Fatal(err)
		}
		if _, err := h.ListenUnix(p); err == nil || !strings.Contains(err.Error(), "no socket") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Lstat(p); err != nil {
			t.Errorf("%s is gone", name)
		}
	}
}

func TestUnixSocketWhereOthersCouldReplaceIt(t *testing.T) {
	h := newHub(t)
	dir := filepath.Join(socketDir(t), "open")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := h.ListenUnix(filepath.Join(dir, "s")); err == nil || !strings.Contains(err.Error(), "chmod 700 "+dir) {
		t.Errorf("got %v", err)
	}
	if _, err := h.ListenUnix(filepath.Join(socketDir(t), strings.Repeat("x", 120))); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("got %v", err)
	}
}

// TestTwoDaemonsRaceForTheSocket: one wins, the others are told so, also where there is a
// socket that nobody answers on, which all of them would replace.
func TestTwoDaemonsRaceForTheSocket(t *testing.T) {
	h := newHub(t)
	for range 50 {
		path := filepath.Join(socketDir(t), "s")
		race(t, h, path)
		old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		old.SetUnlinkOnClose(false)
		if err := old.Close(); err != nil {
			t.Fatal(err)
		}
		race(t, h, path)
	}
}

func race(t *testing.T, h *Hub, path string) {
	t.Helper()
	type result struct {
		l   Listener
		err error
	}
	results := make(chan result)
	for range 8 {
		go func() {
			l, err := h.ListenUnix(path)
			results <- result{l, err}
		}()
	}
	var winners []Listener
	for range 8 {
		r := <-results
		if r.err == nil {
			winners = append(winners, r.l)
		} else if !errors.Is(r.err, ErrInUse) {
			t.Error(r.err)
		}
	}
	for _, l := range winners {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(winners) != 1 {
		t.Errorf("%d listen", len(winners))
	}
}
