package server

import (
	"context"
	"log"
	"net"

	"github.com/rs/zerolog"
)

// socketListener makes every connection a socket, where upgrade finds it again, and counts it
// among the newcomers: what speaks HTTP is not more until it is a WebSocket that says
// initialize.
type socketListener struct {
	net.Listener
	newcomers *newcomers
}

// Accept waits for the next connection.
func (l socketListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	k := newSocket(c)
	k.newcomer = l.newcomers.enter(func() { _ = c.Close() })
	return k, nil
}

type socketKey struct{}

func withSocket(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, socketKey{}, c)
}

// newQuietLog returns a logger for net/http, whose complaints are about clients.
func newQuietLog(l zerolog.Logger) *log.Logger {
	return log.New(writerFunc(func(p []byte) (int, error) {
		l.Debug().Bytes("http", p).Msg("bad HTTP request")
		return len(p), nil
	}), "", 0)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
