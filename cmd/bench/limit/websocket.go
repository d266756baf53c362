package limit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// flushBytes is how much a corked connection collects before it sends.
const flushBytes = 64 << 10

// cork is a connection that can hold back what is written and send it at once. It belongs to
// one goroutine after the handshake.
type cork struct {
	net.Conn
	corked bool
	buf    []byte
}

// Write implements net.Conn.
func (c *cork) Write(b []byte) (int, error) {
	if !c.corked {
		return c.Conn.Write(b)
	}
	if len(c.buf)+len(b) > flushBytes {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	c.buf = append(c.buf, b...)
	return len(b), nil
}

func (c *cork) flush() error {
	_, err := c.Conn.Write(c.buf)
	c.buf = c.buf[:0]
	return err
}

func (c *cork) uncork() error {
	c.corked = false
	return c.flush()
}

type corkKey struct{}

type corkListener struct{ net.Listener }

// Accept implements net.Listener.
func (l corkListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &cork{Conn: c}, nil
}

// peer is a connection of a client, with the socket under it.
type peer struct {
	*websocket.Conn
	sock *cork
}

// send writes ready messages with one flush.
func (p peer) send(ctx context.Context, msgs ...[]byte) error {
	p.sock.corked = true
	for _, m := range msgs {
		if err := p.Write(ctx, websocket.MessageText, m); err != nil {
			return err
		}
	}
	return p.sock.uncork()
}

// serve listens on the loopback, writes its URL to out and gives each connection to handle,
// until in ends.
func serve(in io.Reader, out io.Writer, handle func(context.Context, peer)) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	srv := &http.Server{
		ReadHeaderTimeout: time.Minute,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, corkKey{}, c)
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			running.Add(1)
			defer running.Done()
			sock, _ := r.Context().Value(corkKey{}).(*cork)
			conn, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			defer conn.CloseNow()
			handle(ctx, peer{conn, sock})
		}),
	}
	running.Go(func() { _ = srv.Serve(corkListener{l}) }) // ends by Close
	fmt.Fprintf(out, "ws://%s/\n", l.Addr())
	_, err = io.Copy(io.Discard, in)
	cancel()
	err = errors.Join(err, srv.Close())
	running.Wait()
	return err
}
