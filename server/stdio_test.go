package server

import (
	"io"
	"os"
	"strings"
	"testing"
)

// TestStdioEndsWhileItWaits: a daemon that stops is not held up by a client that says
// nothing, or reads nothing.
func TestStdioEndsWhileItWaits(t *testing.T) {
	pipe := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			r.Close()
			w.Close()
		})
		return r, w
	}
	in, toDaemon := pipe()
	fromDaemon, out := pipe()
	h := newHub(t)
	served := make(chan error, 1)
	go func() { served <- h.Serve(t.Context(), Lines(Stdio(in, out), 1000), Local("stdio")) }()
	if _, err := io.WriteString(toDaemon, `{"id":1,"method":"server/ping"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1000)
	n, err := fromDaemon.Read(buf)
	if err != nil || !strings.Contains(string(buf[:n]), "NotInitialized") {
		t.Errorf("got %s, %v", buf[:n], err)
	}
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if n := h.counters.connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}
