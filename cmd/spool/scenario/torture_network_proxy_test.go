package scenario_test

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
)

// proxy stands between clients and the daemon and is a bad network: it cuts connections
// behind so many bytes of the daemon's, or stops forwarding and keeps both ends open.
type proxy struct {
	t             testing.TB
	d             *daemon
	url           string
	listener      net.Listener
	network, addr string // of the daemon
	all           sync.WaitGroup
	closed        chan struct{}

	mu     sync.Mutex
	cuts   []int // for the connections to come; behind them nothing is cut
	conns  []net.Conn
	frozen bool
	made   int
}

// proxy listens with network, which is tcp or unix, for connections to the same listener
// of the daemon.
func (d *daemon) proxy(network string) *proxy {
	d.t.Helper()
	x := &proxy{t: d.t, d: d, network: network, closed: make(chan struct{})}
	addr := "127.0.0.1:0"
	x.addr = d.host()
	if network == "unix" {
		addr, x.addr = filepath.Join(d.dir, "proxy.sock"), d.socket
	}
	var err error
	if x.listener, err = net.Listen(network, addr); err != nil {
		d.t.Fatal(err)
	}
	x.url = "unix://" + addr
	if network == "tcp" {
		x.url = "ws://" + x.listener.Addr().String() + "/ws"
	}
	x.all.Go(x.accept)
	d.t.Cleanup(x.Close)
	return x
}

// Dial connects a client through the proxy.
func (x *proxy) Dial(opts ...dialOption) *client {
	x.t.Helper()
	was := x.d.wsURL
	defer func() { x.d.wsURL = was }()
	x.d.wsURL = x.url
	return x.d.Dial("ws", opts...)
}

func (x *proxy) accept() {
	for {
		near, err := x.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial(x.network, x.addr)
		if err != nil {
			_ = near.Close()
			continue
		}
		x.mu.Lock()
		cut := -1
		if len(x.cuts) > 0 {
			cut, x.cuts = x.cuts[0], x.cuts[1:]
		}
		x.made++
		x.conns = append(x.conns, near, far)
		x.mu.Unlock()
		x.all.Go(func() { x.forward(far, near, -1) })
		x.all.Go(func() { x.forward(near, far, cut) })
	}
}

// forward copies until one end is closed, or most bytes are.
func (x *proxy) forward(to, from net.Conn, most int) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for most != 0 {
		piece := buf
		if most > 0 {
			piece = buf[:min(len(buf), most)]
		}
		n, err := from.Read(piece)
		if x.isFrozen() {
			<-x.closed
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
			most -= min(n, max(most, 0))
		}
		if err != nil {
			if errors.Is(err, io.EOF) && most < 0 {
				if half, ok := to.(interface{ CloseWrite() error }); ok {
					_ = half.CloseWrite()
				}
			}
			return
		}
	}
}

func (x *proxy) isFrozen() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.frozen
}

// Freeze stops forwarding. No end is closed.
func (x *proxy) Freeze() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.frozen = true
}

// Cut lets the next connections pass so many bytes of the daemon's each, then cuts them.
func (x *proxy) Cut(behind ...int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cuts = behind
}

// Made is how many connections there were.
func (x *proxy) Made() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.made
}

// Close ends all connections. It may be repeated.
func (x *proxy) Close() {
	x.mu.Lock()
	select {
	case <-x.closed:
	default:
		close(x.closed)
	}
	_ = x.listener.Close()
	for _, c := range x.conns {
		_ = c.Close()
	}
	x.mu.Unlock()
	x.all.Wait()
}
