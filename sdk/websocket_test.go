package sdk

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/spoolhq/spool/protocol"
)

// wsDaemon answers the handshake and pings over WebSocket at /ws.
func wsDaemon(t *testing.T, token string) string {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/ws":
			http.NotFound(w, r)
			return
		case r.URL.Query().Get("bad") != "":
			http.Error(w, "bad", http.StatusBadRequest)
			return
		case token != "" && r.Header.Get("Authorization") != "Bearer "+token:
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		for {
			_, frame, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			e := protocol.ParseFrame(frame)
			var answer string
			switch e.Method {
			case "initialize":
				answer = `{"id":` + string(e.ID) + `,"result":{"serverInfo":{"name":"ws","version":"1","protocolVersion":"1"},"connectionId":"con_1","user":"local","scopes":[]}}`
			case "server/ping":
				answer = `{"id":` + string(e.ID) + `,"result":{"at":"2026-01-01T00:00:00.000Z"}}`
			case "server/info":
				answer = `{"id":` + string(e.ID) + `,"result":{"x":"` + strings.Repeat("x", 5000) + `"}}`
			case "server/stats":
				_ = conn.Write(r.Context(), websocket.MessageBinary, frame)
				continue
			default:
				continue
			}
			if conn.Write(r.Context(), websocket.MessageText, []byte(answer)) != nil {
				return
			}
		}
	}))
	t.Cleanup(srv.Close)
	return "ws" + strings.TrimPrefix(srv.URL, "http")
}

func TestWebSocket(t *testing.T) {
	c, err := Connect(t.Context(), wsDaemon(t, "s3cret"), &Options{Token: "s3cret", MaxMessageBytes: 4000})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Server().Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.Server().Info(t.Context()); !errors.Is(err, errTooLong) {
		t.Errorf("a long message: %v", err)
	}
	if _, err := c.Server().Ping(t.Context()); err != nil {
		t.Errorf("after the reconnect: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// A daemon that stops reading within a message holds Close up for a short time.
func TestWebSocketCloseWithoutReader(t *testing.T) {
	begun, over := make(chan struct{}), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		_, frame, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		answer := `{"id":` + string(protocol.ParseFrame(frame).ID) + `,"result":{"serverInfo":{"name":"ws","version":"1","protocolVersion":"1"},"connectionId":"con_1","user":"local","scopes":[]}}`
		err = conn.Write(r.Context(), websocket.MessageText, []byte(answer))
		_, _, initialized := conn.Read(r.Context())
		_, _, large := conn.Reader(r.Context())
		if err := errors.Join(err, initialized, large); err != nil {
			t.Error(err)
		}
		close(begun)
		<-over
	}))
	defer srv.Close()
	defer close(over)
	c, err := Connect(t.Context(), "ws"+strings.TrimPrefix(srv.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	large := &protocol.ThreadStartParams{ThreadOptions: protocol.ThreadOptions{Title: strings.Repeat("x", 30<<20)}}
	if _, err := c.Threads().Start(ctx, large); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	start := time.Now()
	_ = c.Close()
	if d := time.Since(start); d < flushTimeout || d > 30*flushTimeout {
		t.Errorf("Close took %v", d)
	}
}

func TestWebSocketBinaryFrame(t *testing.T) {
	c, err := Connect(t.Context(), wsDaemon(t, ""), &Options{DisableRedial: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Server().Stats(t.Context()); err == nil || !strings.Contains(err.Error(), "binary") {
		t.Errorf("the error is %v", err)
	}
}

func TestWebSocketRefused(t *testing.T) {
	base := wsDaemon(t, "s3cret")
	for endpoint, code := range map[string]int{
		base + "?token=s3cret2":       protocol.CodeUnauthenticated,
		base + "/ws?bad=1&t=s3cret2":  protocol.CodeInvalidRequest,
		base + "/nope?t=s3cret2":      0,
		"ws://127.0.0.1:1/?t=s3cret2": 0,
	} {
		_, err := Connect(t.Context(), endpoint, &Options{Token: "s3cret2"})
		te, isTransport := errors.AsType[*TransportError](err)
		switch {
		case code != 0 && !errors.Is(err, &protocol.Error{Code: code}):
			t.Errorf("%s: %v, want code %d", endpoint, err, code)
		case code == 0 && !isTransport:
			t.Errorf("%s: %v, want a TransportError", endpoint, err)
		case strings.Contains(err.Error(), "s3cret2") || isTransport && strings.Contains(te.Endpoint, "s3cret2"):
			t.Errorf("the error %q tells the token", err)
		}
	}
}
