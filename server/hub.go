package server

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
)

// Config is what a Hub is made of.
type Config struct {
	Manager *thread.Manager
	Log     zerolog.Logger
	Version string // of the daemon, told to clients
	Limits  Limits
	// Info is asked for what server/info and server/stats say beside what the Hub
	// knows itself. nil: nothing.
	Info func() Info
	// Backup writes a copy of all threads to a new file, for server/backup, until ctx ends.
	// It is called for one request at a time. nil: the method is refused.
	Backup func(ctx context.Context) (protocol.ServerBackupResult, error)
	// Shutdown begins to stop the daemon, for server/shutdown, and returns at once.
	// drain: running turns get time to end. nil: the method is refused.
	Shutdown func(drain bool)
}

// Info is about the daemon as a whole.
type Info struct {
	Listeners     []string // addresses, for people
	DataPath      string
	DatabaseBytes int64
}

// Hub connects clients to a Manager: it holds the table of methods and all connections.
// Its methods may be called at any time, from any goroutine.
type Hub struct {
	manager   *thread.Manager
	log       zerolog.Logger
	version   string
	limits    Limits
	info      func() Info
	shutdown  func(drain bool)
	methods   map[string]*method
	started   time.Time
	counters  counters
	backups   backups
	newcomers newcomers

	mu     sync.Mutex
	conns  map[*conn]struct{}
	closed bool
	wg     sync.WaitGroup // connections
}

// counters are those of server/stats, by the names that snapshot gives them.
type counters struct {
	connections, refused, slow                           atomic.Int64
	requests, invalid, cancelled, overloaded, panics     atomic.Int64
	unknownNotifications, unknownResponses, unknownCalls atomic.Int64
}

func (c *counters) snapshot(into map[string]int64) {
	for name, v := range map[string]*atomic.Int64{
		"connections": &c.connections, "connectionsRefused": &c.refused, "slowConsumers": &c.slow,
		"requests": &c.requests, "invalidMessages": &c.invalid, "requestsCancelled": &c.cancelled,
		"requestsOverloaded": &c.overloaded, "handlerPanics": &c.panics,
		"unknownNotifications": &c.unknownNotifications, "unknownResponses": &c.unknownResponses,
		"unknownMethods": &c.unknownCalls,
	} {
		into[name] = v.Load()
	}
}

// New returns a Hub without connections.
func New(cfg Config) *Hub {
	h := &Hub{
		manager: cfg.Manager, log: cfg.Log, version: cfg.Version, limits: cfg.Limits.withDefaults(),
		info: cfg.Info, shutdown: cfg.Shutdown, backups: backups{make: cfg.Backup}, started: time.Now(), conns: map[*conn]struct{}{},
	}
	if h.info == nil {
		h.info = func() Info { return Info{} }
	}
	h.newcomers = newcomers{most: h.limits.MaxNewcomers, dropped: func() { h.counters.refused.Add(1) }}
	h.methods = methods(h)
	return h
}

// Identity is who is at the other end of a transport, as the listener knows it.
type Identity struct {
	Transport string // stdio, unix, websocket
	User      string
	Scopes    []protocol.Scope
	Defaults  protocol.Defaults // those of initialize come on top
}

// Local returns the identity of the user who runs the daemon, with all rights.
func Local(transport string) Identity {
	return Identity{
		Transport: transport, User: "local",
		Scopes: []protocol.Scope{protocol.ScopeRead, protocol.ScopeRun, protocol.ScopeApprove, protocol.ScopeAdmin},
	}
}

var (
	// ErrClosed is returned by Serve of a Hub that was closed.
	ErrClosed = errors.New("the daemon stops")
	// ErrTooMany is returned by Serve when Limits.MaxConnections are open.
	ErrTooMany = errors.New("too many connections")
)

// Serve serves one connection until it ends or ctx does, and closes t. It returns when
// all that the connection started has ended: nil if the client closed it or the daemon
// stops, else why it was closed or refused.
func (h *Hub) Serve(ctx context.Context, t Transport, who Identity) error {
	c, err := h.admit(newConn(ctx, h, t, who))
	if err != nil {
		return err
	}
	return h.run(c)
}

// start is Serve on a goroutine that Close waits for, for a client on a socket: it must say
// initialize soon.
func (h *Hub) start(ctx context.Context, t Transport, who Identity, n *newcomer) {
	c := newConn(ctx, h, t, who)
	c.newcomer = n
	if _, err := h.admit(c); err == nil {
		go func() { _ = h.run(c) }()
	}
}

// admit takes a connection, or tells the client why not and closes its transport.
func (h *Hub) admit(c *conn) (*conn, error) {
	err := h.register(c)
	if err == nil {
		h.counters.connections.Add(1)
		return c, nil
	}
	h.counters.refused.Add(1)
	c.end(err)
	c.newcomer.leave()
	refusal := protocol.Errorf(protocol.CodeServerOverloaded, "%v; try again later", err)
	refusal.Data.RetryAfterMs = 1000
	_ = c.transport.Write([]protocol.Frame{protocol.EncodeError(nil, refusal)})
	_ = c.transport.Close(CloseTryLater, err.Error())
	return nil, err
}

func (h *Hub) run(c *conn) error {
	defer h.wg.Done()
	defer h.unregister(c)
	return c.serve()
}

// register counts c in, so that Close waits for it.
func (h *Hub) register(c *conn) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return ErrClosed
	case len(h.conns) >= h.limits.MaxConnections:
		silent := h.newcomers.yield()
		if silent == nil {
			return ErrTooMany
		}
		delete(h.conns, silent)
	}
	h.conns[c] = struct{}{}
	c.newcomer.settle(c)
	h.wg.Add(1)
	return nil
}

func (h *Hub) unregister(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}

// full reports whether another connection would be refused.
func (h *Hub) full() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed || len(h.conns) >= h.limits.MaxConnections && !h.newcomers.canYield()
}

// connections returns the open connections, oldest first.
func (h *Hub) connections() []*conn {
	h.mu.Lock()
	list := make([]*conn, 0, len(h.conns))
	for c := range h.conns {
		list = append(list, c)
	}
	h.mu.Unlock()
	slices.SortFunc(list, func(a, b *conn) int { return cmp.Compare(a.id, b.id) })
	return list
}

// Announce tells every client that the daemon stops and when running turns are cancelled.
func (h *Hub) Announce(deadline time.Time) {
	n := protocol.EventServerShuttingDown
	f, err := protocol.Encode(n, protocol.ShuttingDownEvent{Deadline: protocol.Time(deadline.UnixMilli())})
	if err != nil {
		h.log.Error().Err(err).Msg("cannot announce the end")
		return
	}
	for _, c := range h.connections() {
		if c.session.at() == stateActive && c.Wants(n.Name) {
			c.out.respond(f)
		}
	}
}

// Close sends what waits to be sent, closes all connections (1001) and waits for them. No
// new ones are taken. When ctx ends it sends no more and returns, some seconds later, its
// error.
func (h *Hub) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	var flushes sync.WaitGroup
	for _, c := range h.connections() {
		flushes.Go(func() {
			c.out.flush(ctx)
			c.end(&CloseError{CloseGoingAway, "the daemon stops"})
		})
	}
	flushes.Wait()
	h.wg.Wait()
	return ctx.Err()
}
