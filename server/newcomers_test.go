package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/spoolhq/spool/protocol"
)

func TestTheOldestNewcomerMakesRoom(t *testing.T) {
	dropped := 0
	all := newcomers{most: 2, dropped: func() { dropped++ }}
	var gone []string
	enter := func(name string) *newcomer { return all.enter(func() { gone = append(gone, name) }) }
	a, b := enter("a"), enter("b")
	a.leave() // it said initialize
	c := enter("c")
	d := enter("d")
	b.leave()
	c.leave()
	c.leave()
	e, conn := enter("e"), &conn{}
	e.settle(conn)
	if all.yield() != conn || all.canYield() || all.yield() != nil {
		t.Error("the wrong one made room for a connection")
	}
	if got := strings.Join(gone, ", "); got != "b, e" || dropped != 2 || d.place == nil || all.list.Len() != 1 {
		t.Errorf("dropped %q (%d), %d are left", got, dropped, all.list.Len())
	}
	(*newcomer)(nil).settle(nil)
	(*newcomer)(nil).leave()
}

// TestInitializeHasATime: also for those who send something else meanwhile, or parts of it.
func TestInitializeHasATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWeb(t, newHub(t, limits(Limits{Handshake: 20 * time.Second})))
		late, err := w.dial(t, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		ready, err := w.dial(t, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		ready.open()
		<-time.After(19 * time.Second)
		if got := one(t, late.ask(`{"id":1,"method":"server/ping"}`)); code(t, got) != protocol.CodeNotInitialized {
			t.Errorf("got %s", got)
		}
		<-time.After(2 * time.Second)
		if got := closeOf(late); got != websocket.StatusPolicyViolation || !strings.Contains(late.err.Error(), "no initialize within 20s") {
			t.Errorf("closed with %v: %v", got, late.err)
		}
		if got := one(t, late.said()); code(t, got) != protocol.CodeNotInitialized {
			t.Errorf("before the end it was told %s", got)
		}
		<-time.After(time.Hour)
		one(t, ready.ask(`{"id":1,"method":"server/ping"}`))
	})
}

func TestStdioMayTakeItsTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := dialLines(t, newHub(t))
		<-time.After(time.Hour)
		c.open()
	})
}

// TestSilentSocketsKeepNobodyOut: whichever bound they reach first.
func TestSilentSocketsKeepNobodyOut(t *testing.T) {
	t.Run("of newcomers", func(t *testing.T) { crowd(t, Limits{MaxNewcomers: 3}) })
	t.Run("of connections", func(t *testing.T) { crowd(t, Limits{MaxConnections: 3}) })
}

func crowd(t *testing.T, l Limits) {
	h := newHub(t, limits(l))
	path := filepath.Join(socketDir(t), "s")
	serveUnix(t, h, path)
	for i := range 20 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			_, _ = io.WriteString(c, `{"id":1,"method":"initialize","params":{"client`)
		}
		if i < 17 {
			defer func() {
				if _, err := c.Read(make([]byte, 1)); err == nil {
					t.Errorf("number %d, which was to make room, was told something", i)
				}
			}()
		}
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintln(c, `{"id":1,"method":"initialize","params":{"clientInfo":{"name":"x"}}}`)
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, `"result"`) {
		t.Errorf("a client behind 20 silent ones is told %q %v", line, err)
	}
}
