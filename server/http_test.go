package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/spoolhq/spool/protocol"
)

func TestWhoMayConnectOverWebSocket(t *testing.T) {
	for name, tc := range map[string]struct {
		host   string
		header http.Header
		query  string
		want   string // start of the refusal, empty if accepted
	}{
		"no browser":                       {},
		"page of the address itself":       {header: http.Header{"Origin": {"http://127.0.0.1:7717"}}},
		"allowed page":                     {header: http.Header{"Origin": {"https://APP.example.com"}}},
		"localhost":                        {host: "localhost:7717", header: http.Header{"Origin": {"http://localhost:7717"}}},
		"another loopback address":         {host: "[::1]:7717"},
		"foreign page":                     {header: http.Header{"Origin": {"https://evil.example"}}, want: "403 pages of the origin"},
		"page of another local server":     {header: http.Header{"Origin": {"http://127.0.0.1:3000"}}, want: "403 pages"},
		"page without an origin":           {header: http.Header{"Origin": {"null"}}, want: "403 pages"},
		"other scheme":                     {header: http.Header{"Origin": {"ftp://127.0.0.1:7717"}}, want: "403 pages"},
		"two origins":                      {header: http.Header{"Origin": {"https://app.example.com", "https://evil.example"}}, want: "403 pages"},
		"name that was made to point here": {host: "evil.example:7717", header: http.Header{"Origin": {"http://evil.example:7717"}}, want: "403 the host"},
		"such a name, without browser":     {host: "evil.example:7717", want: "403 the host"},
		"allowed page over such a name":    {host: "evil.example:7717", header: http.Header{"Origin": {"https://app.example.com"}}, want: "403 the host"},
		"token":                            {header: http.Header{"Authorization": {"Bearer x"}}, want: "401 this daemon has no tokens"},
		"token in the query":               {query: "?token=x", want: "401 this daemon has no tokens"},
		"config that is no JSON":           {query: "?config=%7B", want: "400 config in the query is not valid JSON"},
		"config that is no object":         {query: "?config=5", want: "400 config must be an object"},
		"config with an unknown key":       {query: "?config=" + url.QueryEscape(`{"modell":"x"}`), want: "400 config in the query: modell"},
		"unknown parameter":                {query: "?agnet=x", want: `400 the query has "agnet"`},
		"parameter twice":                  {query: "?agent=a&agent=b", want: `400 the query has "agent" 2 times`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWeb(t, newHub(t), "https://app.example.com")
				conn, err := w.dialRaw(t, tc.query, &websocket.DialOptions{HTTPHeader: tc.header, Host: tc.host})
				got := ""
				if err != nil {
					got = err.Error()
				} else {
					conn.CloseNow()
				}
				if tc.want == "" && got != "" || !strings.HasPrefix(got, tc.want) {
					t.Errorf("got %q, want %q", got, tc.want)
				}
			})
		})
	}
}

func TestTheQueryGivesDefaults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub(t)
		id := func() string { c := dialLines(t, h); c.open(); return c.start() }()
		w := newWeb(t, h)
		c, err := w.dial(t, "?agent=script&threadId="+id+"&config="+url.QueryEscape(`{"model":"m-1"}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		c.open(`"defaults":{"config":{"model":"m-2"}}`) // goes on top, member by member
		var run protocol.TurnRunResult
		if err := json.Unmarshal(c.call("turn/run", `{"input":"hello"}`), &run); err != nil {
			t.Fatal(err)
		}
		if run.Turn.ThreadID != id || string(run.Turn.Config["model"]) != `"m-2"` {
			t.Errorf("turn %+v", run.Turn)
		}
		var start protocol.ThreadResult
		if err := json.Unmarshal(c.call("thread/start", `{}`), &start); err != nil {
			t.Fatal(err)
		}
		if start.Thread.ID == id || string(start.Thread.Config["model"]) != `"m-2"` {
			t.Errorf("thread %+v", start.Thread)
		}
		if err := json.Unmarshal(c.call("turn/run", `{"input":"hello","threadId":"`+start.Thread.ID+`","config":{"model":"m-3"}}`), &run); err != nil {
			t.Fatal(err)
		}
		if run.Turn.ThreadID != start.Thread.ID || string(run.Turn.Config["model"]) != `"m-3"` {
			t.Errorf("turn %+v", run.Turn)
		}
	})
}

func TestHealth(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub(t)
		w := newWeb(t, h)
		get := func(path string) int {
			res, err := w.http.Get("http://127.0.0.1:7717" + path)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			_, _ = io.Copy(io.Discard, res.Body)
			return res.StatusCode
		}
		for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/": 404, "/metrics": 404, "/ws": 426} {
			if got := get(path); got != want {
				t.Errorf("%s: %d, want %d", path, got, want)
			}
		}
		if err := h.manager.Shutdown(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if got := get("/readyz"); got != 503 {
			t.Errorf("/readyz of a manager that stops: %d", got)
		}
		if got := get("/healthz"); got != 200 {
			t.Errorf("/healthz of a manager that stops: %d", got)
		}
	})
}

func TestTooManyConnections(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub(t, limits(Limits{MaxConnections: 2}))
		w := newWeb(t, h)
		for range 2 {
			c, err := w.dial(t, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			c.open()
		}
		if _, err := w.dial(t, "", nil); err == nil || !strings.HasPrefix(err.Error(), "503 ") {
			t.Errorf("a third WebSocket: %v", err)
		}
		c := dialLines(t, h)
		if got := one(t, c.said()); code(t, got) != protocol.CodeServerOverloaded {
			t.Errorf("a third connection: %s", got)
		}
		<-c.ended
	})
}

// closeOf returns the close code that ended a WebSocket client.
func closeOf(c *client) websocket.StatusCode {
	<-c.ended
	return websocket.CloseStatus(c.err)
}

func TestHowWebSocketsAreClosed(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(*client, *websocket.Conn)
		want Code
	}{
		"binary": {func(_ *client, w *websocket.Conn) {
			_ = w.Write(context.Background(), websocket.MessageBinary, []byte("{}"))
		}, CloseUnsupported},
		"too long": {func(c *client, _ *websocket.Conn) { c.send(`{"x":"` + strings.Repeat("x", 5000) + `"}`) }, CloseTooLong},
		"credentials": {func(c *client, _ *websocket.Conn) {
			c.send(`{"id":1,"method":"initialize","params":{"clientInfo":{"name":"x"},"auth":{"token":"t"}}}`)
		}, ClosePolicy},
		"by the client": {func(c *client, _ *websocket.Conn) { c.close() }, -1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHub(t, limits(Limits{MaxMessageBytes: 4096}))
				w := newWeb(t, h)
				conn, err := w.dialRaw(t, "", &websocket.DialOptions{})
				if err != nil {
					t.Fatal(err)
				}
				c := wsClient(t, conn)
				tc.do(c, conn)
				if got := closeOf(c); got != websocket.StatusCode(tc.want) {
					t.Errorf("closed with %v: %v", got, c.err)
				}
				synctest.Wait()
				<-time.After(h.limits.Closing)
				synctest.Wait()
				if n := len(h.connections()); n != 0 {
					t.Errorf("%d connections are left", n)
				}
				if tc.want == ClosePolicy {
					if got := one(t, c.said()); code(t, got) != protocol.CodeUnauthenticated {
						t.Errorf("answered with %s", got)
					}
				}
			})
		})
	}
}

// TestTheLongestMessage: exactly the limit is taken, on every transport.
func TestTheLongestMessage(t *testing.T) {
	overAll(t, func(t *testing.T, dial func(testing.TB, *Hub) *client) {
		h := newHub(t, limits(Limits{MaxMessageBytes: 2000}))
		c := dial(t, h)
		c.open()
		m := `{"id":1,"method":"server/ping","x":"`
		m += strings.Repeat("x", 2000-len(m)-2) + `"}`
		if got := one(t, c.ask("%s", m)); code(t, got) != 0 {
			t.Errorf("got %s", got)
		}
	})
}

func TestALineThatIsTooLongIsSkipped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub(t, limits(Limits{MaxMessageBytes: 2000}))
		c := dialLines(t, h)
		c.open()
		c.send(`{"id":1,"method":"server/ping","x":"` + strings.Repeat("x", 100000) + `"}`)
		got := one(t, c.said())
		if code(t, got) != protocol.CodeInvalidRequest || !strings.Contains(got, `"limit":2000`) || !strings.Contains(got, `"id":null`) {
			t.Errorf("got %s", got)
		}
		if got := one(t, c.ask(`{"id":2,"method":"server/ping"}`)); code(t, got) != 0 {
			t.Errorf("got %s", got)
		}
	})
}

func TestPingsKeepAWebSocketOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub(t)
		c := dialWeb(t, h) // it reads, so it answers
		c.open()
		<-time.After(time.Hour)
		one(t, c.ask(`{"id":1,"method":"server/ping"}`))
	})
}

func TestAWebSocketThatDoesNotAnswerPingsIsClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub(t)
		w := newWeb(t, h)
		conn, err := w.dialRaw(t, "", &websocket.DialOptions{OnPingReceived: func(context.Context, []byte) bool { return false }})
		if err != nil {
			t.Fatal(err)
		}
		c := wsClient(t, conn)
		c.open()
		<-time.After(89 * time.Second)
		if n := len(h.connections()); n != 1 {
			t.Fatalf("%d connections after 89 s", n)
		}
		<-time.After(2 * time.Second)
		if got := closeOf(c); got != websocket.StatusTryAgainLater {
			t.Errorf("closed with %v: %v", got, c.err)
		}
	})
}

// TestAClientThatTakesNothingIsClosed: over a real socket, so that what the kernel holds
// is part of it. The client reads again after the daemon gave it up, and still gets the
// close with its code.
func TestAClientThatTakesNothingIsClosed(t *testing.T) {
	gaveUp := make(chan struct{})
	h := newHub(t, limits(Limits{SlowConsumer: time.Second, Closing: time.Minute}), func(c *Config) {
		c.Log = onLog("closed a client that does not read", func() { close(gaveUp) })
	})
	l, err := h.ListenWebSocket("ws://127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- l.Serve() }()
	defer func() {
		l.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	dialer := &net.Dialer{}
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dialer.DialContext(ctx, network, addr)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return c, err
	}}
	defer tr.CloseIdleConnections()
	conn, err := (&web{url: l.URL(), http: &http.Client{Transport: tr}}).dialRaw(t, "", &websocket.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(-1)
	send := func(s string) {
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	send(`{"id":1,"method":"initialize","params":{"clientInfo":{"name":"slow"}}}`)
	send(`{"method":"initialized"}`)
	send(`{"id":2,"method":"thread/start"}`)
	var start struct {
		Result protocol.ThreadResult `json:"result"`
	}
	for start.Result.Thread.ID == "" {
		_, b, err := conn.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if protocol.ParseFrame(b).Result != nil {
			_ = json.Unmarshal(b, &start)
		}
	}
	send(fmt.Sprintf(`{"id":3,"method":"turn/run","params":{"threadId":%q,"input":"/deltas 5000 200"}}`, start.Result.Thread.ID))
	<-gaveUp
	for err == nil {
		_, _, err = conn.Read(t.Context())
	}
	if websocket.CloseStatus(err) != websocket.StatusTryAgainLater {
		t.Errorf("closed with %v", err)
	}
}

func TestListenRefusesWhatOthersCanReach(t *testing.T) {
	h := newHub(t)
	for addr, want := range map[string]string{
		"0.0.0.0:0":               "no loopback address",
		"ws://0.0.0.0:0":          "no loopback address",
		"ws://[::]:0":             "no loopback address",
		"ws://192.0.2.1:7717":     "no loopback address",
		":7717":                   "without a host",
		"ws://:7717":              "without a host",
		"127.0.0.1":               "needs a host and a port",
		"ws://127.0.0.1":          "needs a host and a port",
		"wss://127.0.0.1:7717":    "scheme must be ws",
		"ws://127.0.0.1:1/other":  "path is always /ws",
		"ws://127.0.0.1:1/?a=b":   "path is always /ws",
		"ws://u:p@127.0.0.1:1":    "path is always /ws",
		"ws://127.0.0.1:70000000": "cannot listen",
	} {
		l, err := h.ListenWebSocket(addr, nil)
		if err == nil {
			l.Close()
			t.Errorf("%s: it listens", addr)
		} else if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), addr) {
			t.Errorf("%s: %v", addr, err)
		}
	}
	for _, origin := range []string{
		"foo", "app.example.com", "https://", "https://app.example.com/", "https://app.example.com?", "https://app.example.com#", "https://me@app.example.com",
		"*", "null", "https://*.example.com", "https://app.example.com:443", "http://localhost:80", "https://app.example.com:", "https://bücher.example",
	} {
		if l, err := h.ListenWebSocket("127.0.0.1:0", []string{origin}); err == nil {
			l.Close()
			t.Errorf("the origin %q is accepted", origin)
		}
	}
	for _, addr := range []string{"ws://127.0.0.1:0", "127.0.0.2:0", "ws://localhost:0/ws"} {
		l, err := h.ListenWebSocket(addr, nil)
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		if !strings.HasPrefix(l.URL(), "ws://127.0.0.") && !strings.HasPrefix(l.URL(), "ws://[::1]:") {
			t.Errorf("%s: URL %s", addr, l.URL())
		}
		l.Close()
	}
}

// TestASlowHandshakeIsCutOff: a client that sends its headers byte by byte holds nothing.
func TestASlowHandshakeIsCutOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWeb(t, newHub(t))
		conn, err := w.pipes.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		began := time.Now()
		_, _ = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: ")
		_, err = bufio.NewReader(conn).ReadByte()
		if !errors.Is(err, io.EOF) && err == nil {
			t.Error("the server answered")
		}
		if d := time.Since(began); d > 2*headerTime {
			t.Errorf("cut off after %v", d)
		}
	})
}
