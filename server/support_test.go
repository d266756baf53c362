package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage/mem"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
	"github.com/spoolhq/spool/turn/agent/script"
)

// newHub returns a hub over a real manager whose stores are in memory. It is closed at
// the end of the test.
func newHub(t testing.TB, change ...func(*Config)) *Hub {
	t.Helper()
	store, ephemeral := mem.New(), mem.New()
	m, err := thread.Open(t.Context(), thread.Config{
		Store: store, Ephemeral: ephemeral, Agents: []turn.Spec{script.Spec("script")}, Default: "script", Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Manager: m, Log: zerolog.Nop(), Version: "1.2.3"}
	for _, c := range change {
		c(&cfg)
	}
	h := New(cfg)
	t.Cleanup(func() {
		ctx := context.Background()
		if err := h.Close(ctx); err != nil {
			t.Error("close the hub:", err)
		}
		if err := m.Shutdown(ctx, 0); err != nil {
			t.Error("stop the manager:", err)
		}
		store.Close()
		ephemeral.Close()
	})
	return h
}

func limits(l Limits) func(*Config) { return func(c *Config) { c.Limits = l } }

// client is the other end of a connection: it collects all that the daemon says.
type client struct {
	t     testing.TB
	send  func(string)
	close func()
	ended chan struct{} // reading has ended
	err   error         // why

	mu  sync.Mutex
	got []string
}

func (c *client) collect(next func() (string, error)) {
	c.ended = make(chan struct{})
	go func() {
		defer close(c.ended)
		for {
			m, err := next()
			if err != nil {
				c.err = err
				return
			}
			c.mu.Lock()
			c.got = append(c.got, m)
			c.mu.Unlock()
		}
	}()
}

// said waits until the daemon is idle and returns what it said since the last time.
func (c *client) said() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	return got
}

// ask sends a line and returns what the daemon says until it is idle.
func (c *client) ask(format string, args ...any) []string {
	c.send(fmt.Sprintf(format, args...))
	return c.said()
}

// open does the handshake. extra is more members of the params of initialize.
func (c *client) open(extra ...string) {
	c.t.Helper()
	c.send(`{"id":"open","method":"initialize","params":{"clientInfo":{"name":"test"}` + strings.Join(append([]string{""}, extra...), ",") + `}}`)
	c.send(`{"method":"initialized"}`)
	if got := c.said(); len(got) != 1 || !strings.Contains(got[0], `"result"`) {
		c.t.Fatalf("handshake: %q", got)
	}
}

// call sends a request and returns its result, or fails the test. Notifications are lost.
func (c *client) call(method, params string) json.RawMessage {
	c.t.Helper()
	said := c.ask(`{"id":"call","method":%q,"params":%s}`, method, params)
	for range 10 {
		for _, m := range said {
			if e := protocol.ParseFrame([]byte(m)); string(e.ID) == `"call"` {
				if e.Error != nil {
					c.t.Fatalf("%s: %s", method, e.Error)
				}
				return e.Result
			}
		}
		<-time.After(time.Second) // of the bubble: an agent may wait for its audience
		said = c.said()
	}
	c.t.Fatalf("%s was not answered", method)
	return nil
}

// start begins a thread and returns its id.
func (c *client) start() string {
	c.t.Helper()
	var r protocol.ThreadResult
	if err := json.Unmarshal(c.call("thread/start", `{}`), &r); err != nil {
		c.t.Fatal(err)
	}
	return r.Thread.ID
}

// dialLines connects over a pipe with one message a line.
func dialLines(t testing.TB, h *Hub) *client { return dialAs(t, h, Local("stdio")) }

func dialAs(t testing.TB, h *Hub, who Identity) *client {
	t.Helper()
	ours, theirs := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- h.Serve(context.Background(), Lines(theirs, h.limits.MaxMessageBytes), who) }()
	c := lineClient(t, ours)
	t.Cleanup(func() {
		c.close()
		<-c.ended
		if err := <-served; err != nil {
			t.Log("served:", err)
		}
	})
	return c
}

func lineClient(t testing.TB, conn net.Conn) *client {
	c := &client{t: t, close: func() { conn.Close() }}
	c.send = func(s string) {
		if _, err := io.WriteString(conn, s+"\n"); err != nil {
			t.Log("send:", err)
		}
	}
	r := bufio.NewReader(conn)
	c.collect(func() (string, error) {
		s, err := r.ReadString('\n')
		return strings.TrimSuffix(s, "\n"), err
	})
	return c
}

// pipes is a listener whose connections are pipes, so that it works in a bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7717} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours, nil
}

// web is the HTTP side of a hub over pipes.
type web struct {
	url   string
	http  *http.Client
	pipes *pipes
}

func newWeb(t testing.TB, h *Hub, origins ...string) *web {
	p := newPipes()
	l := h.serveWebSocket(p, origins)
	served := make(chan error, 1)
	go func() { served <- l.Serve() }()
	tr := &http.Transport{DialContext: p.dial}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return &web{"ws://127.0.0.1:7717/ws", &http.Client{Transport: tr}, p}
}

// dial connects a WebSocket; query may be empty.
func (w *web) dial(t testing.TB, query string, header http.Header) (*client, error) {
	conn, err := w.dialRaw(t, query, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		return nil, err
	}
	return wsClient(t, conn), nil
}

// dialRaw is dial with all options. The error of a refusal is status and text.
func (w *web) dialRaw(t testing.TB, query string, opts *websocket.DialOptions) (*websocket.Conn, error) {
	opts.HTTPClient = w.http
	//nolint:bodyclose // the library says that it need not be closed
	conn, res, err := websocket.Dial(t.Context(), w.url+query, opts)
	if err != nil && res != nil {
		body, _ := io.ReadAll(res.Body)
		return nil, fmt.Errorf("%d %s", res.StatusCode, strings.TrimSpace(string(body)))
	}
	return conn, err
}

func wsClient(t testing.TB, conn *websocket.Conn) *client {
	conn.SetReadLimit(-1)
	c := &client{t: t, close: func() { conn.CloseNow() }}
	c.send = func(s string) {
		if err := conn.Write(context.Background(), websocket.MessageText, []byte(s)); err != nil {
			t.Log("send:", err)
		}
	}
	c.collect(func() (string, error) {
		_, b, err := conn.Read(context.Background())
		return string(b), err
	})
	t.Cleanup(func() {
		c.close()
		<-c.ended
	})
	return c
}

func dialWeb(t testing.TB, h *Hub) *client {
	t.Helper()
	c, err := newWeb(t, h).dial(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// transports are what must all behave the same.
var transports = map[string]func(testing.TB, *Hub) *client{"lines": dialLines, "websocket": dialWeb}

// overAll runs a test in a bubble, once for each transport.
func overAll(t *testing.T, test func(t *testing.T, dial func(testing.TB, *Hub) *client)) {
	for name, dial := range transports {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, dial) })
		})
	}
}

// code returns the code of the error in a response, 0 for a result.
func code(t testing.TB, frame string) int {
	t.Helper()
	var m struct {
		Error *protocol.Error `json:"error"`
	}
	if err := json.Unmarshal([]byte(frame), &m); err != nil {
		t.Fatalf("%s: %v", frame, err)
	}
	if m.Error == nil {
		return 0
	}
	return m.Error.Code
}

// one fails the test unless there is exactly one frame.
func one(t testing.TB, frames []string) string {
	t.Helper()
	if len(frames) != 1 {
		t.Fatalf("got %d messages, want one: %q", len(frames), frames)
	}
	return frames[0]
}

// onLog returns a log that calls do once, when it is told message.
func onLog(message string, do func()) zerolog.Logger {
	var once sync.Once
	return zerolog.New(writerFunc(func(p []byte) (int, error) {
		if strings.Contains(string(p), message) {
			once.Do(do)
		}
		return len(p), nil
	}))
}
