package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/spoolhq/spool/protocol"
)

// What a client that is no WebSocket yet may take.
const (
	headerTime     = 5 * time.Second
	idleTime       = 30 * time.Second
	maxHeaderBytes = 64 << 10 // the query may hold a config
)

// ListenWebSocket listens on addr (ws://HOST:PORT), which must be a loopback address, for
// WebSockets at /ws. Pages of origins (such as https://app.example.com) may connect from a
// browser; others only if they come from the address itself. GET /healthz answers while
// the process lives, GET /readyz while it takes turns.
func (h *Hub) ListenWebSocket(addr string, origins []string) (Listener, error) {
	resolved, err := loopback(addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", addr, err)
	}
	for _, o := range origins {
		if err := CheckOrigin(o); err != nil {
			return nil, fmt.Errorf("the origin %q cannot be allowed: %w", o, err)
		}
	}
	l, err := net.Listen("tcp", resolved)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", addr, err)
	}
	return h.serveWebSocket(l, origins), nil
}

// webListener is the HTTP server around the WebSockets of one address.
type webListener struct {
	hub     *Hub
	net     net.Listener
	origins []string
	http    *http.Server
}

func (h *Hub) serveWebSocket(l net.Listener, origins []string) *webListener {
	w := &webListener{hub: h, net: l, origins: origins}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", w.health)
	mux.HandleFunc("GET /readyz", w.ready)
	mux.HandleFunc("GET /ws", w.upgrade)
	w.http = &http.Server{
		Handler: mux, ConnContext: withSocket, ErrorLog: newQuietLog(h.log),
		ReadHeaderTimeout: min(headerTime, h.limits.Handshake), ReadTimeout: 2 * headerTime, WriteTimeout: 2 * headerTime,
		IdleTimeout: idleTime, MaxHeaderBytes: maxHeaderBytes,
	}
	return w
}

// Serve takes connections until Close.
func (w *webListener) Serve() error {
	err := w.http.Serve(socketListener{w.net, &w.hub.newcomers})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close takes no more connections. WebSockets that are open go on.
func (w *webListener) Close() error { return w.http.Close() }

// URL is the address of the WebSockets.
func (w *webListener) URL() string { return "ws://" + w.net.Addr().String() + "/ws" }

func (w *webListener) health(rw http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(rw, "ok")
}

func (w *webListener) ready(rw http.ResponseWriter, _ *http.Request) {
	if !w.hub.manager.AcceptingTurns() {
		http.Error(rw, "no turns are accepted: the daemon stops, or its storage does not work", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(rw, "ready")
}

// upgrade makes a WebSocket of a request and hands it to a goroutine of its own, so that
// what the HTTP server holds for it is freed.
func (w *webListener) upgrade(rw http.ResponseWriter, r *http.Request) {
	if status, err := w.check(r); err != nil {
		w.hub.counters.refused.Add(1)
		http.Error(rw, err.Error(), status)
		return
	}
	defaults, err := queryDefaults(r.URL.RawQuery)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	if w.hub.full() {
		w.hub.counters.refused.Add(1)
		rw.Header().Set("Retry-After", "5")
		http.Error(rw, "too many connections; try again later", http.StatusServiceUnavailable)
		return
	}
	sock, _ := r.Context().Value(socketKey{}).(*socket)
	// The origin was checked above, more strictly than the library does.
	conn, err := websocket.Accept(rw, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // it was answered
	}
	who := Local("websocket")
	who.Defaults = defaults
	ctx, cancel := context.WithCancelCause(context.Background())
	w.hub.start(ctx, newWebSocket(conn, sock, w.hub.limits, cancel), who, sock.newcomer)
}

// check refuses requests that a web page of somebody else made, and credentials where none
// are configured.
func (w *webListener) check(r *http.Request) (int, error) {
	if !isLoopbackHost(r.Host) {
		return http.StatusForbidden, fmt.Errorf("the host %.100q does not name this machine; use 127.0.0.1 or localhost", r.Host)
	}
	if origins := r.Header.Values("Origin"); len(origins) > 0 && !w.allowed(origins, r.Host) {
		return http.StatusForbidden, fmt.Errorf("pages of the origin %.100q may not connect; the daemon's configuration can allow it", origins[0])
	}
	if r.Header.Get("Authorization") != "" || r.URL.Query().Has("token") {
		return http.StatusUnauthorized, noTokens()
	}
	return 0, nil
}

func (w *webListener) allowed(origins []string, host string) bool {
	if len(origins) != 1 {
		return false
	}
	if slices.ContainsFunc(w.origins, func(o string) bool { return strings.EqualFold(o, origins[0]) }) {
		return true
	}
	u, err := url.Parse(origins[0])
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && strings.EqualFold(u.Host, host)
}

// queryDefaults reads the defaults of a connection from the query of its URL.
func queryDefaults(query string) (protocol.Defaults, error) {
	var d protocol.Defaults
	values, err := url.ParseQuery(query)
	if err != nil {
		return d, errors.New("the query of the URL is malformed")
	}
	for name, v := range values {
		if len(v) != 1 {
			return d, fmt.Errorf("the query has %.100q %d times", name, len(v))
		}
		switch name {
		case "agent":
			d.Agent = v[0]
		case "threadId":
			d.ThreadID = v[0]
		case "config":
			if d.Config, err = parseConfig(v[0]); err != nil {
				return d, err
			}
		default:
			return d, fmt.Errorf("the query has %.100q, but knows only agent, threadId and config", name)
		}
	}
	return d, nil
}

func parseConfig(text string) (protocol.Object, error) {
	var p struct {
		Config protocol.Object `json:"config"`
	}
	if !json.Valid([]byte(text)) {
		return nil, errors.New("config in the query is not valid JSON")
	}
	if err := protocol.Decode([]byte(`{"config":`+text+`}`), &p); err != nil {
		return nil, err
	}
	if _, err := protocol.ParseConfig(p.Config); err != nil {
		return nil, fmt.Errorf("config in the query: %w", err)
	}
	return p.Config, nil
}
