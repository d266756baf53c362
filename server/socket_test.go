package server

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
)

// slowConn records what is written and waits while shut.
type slowConn struct {
	net.Conn
	mu     sync.Mutex
	opened sync.Cond
	shut   bool
	closed bool
	writes [][]byte
}

func newSlowConn() *slowConn {
	s := &slowConn{}
	s.opened.L = &s.mu
	return s
}

func (s *slowConn) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.shut && !s.closed {
		s.opened.Wait()
	}
	if s.closed {
		return 0, net.ErrClosed
	}
	s.writes = append(s.writes, bytes.Clone(p))
	return len(p), nil
}

func (s *slowConn) set(shut bool) { s.mu.Lock(); s.shut = shut; s.mu.Unlock(); s.opened.Broadcast() }

func (s *slowConn) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.opened.Broadcast()
	return nil
}

func (s *slowConn) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(bytes.Join(s.writes, []byte("|")))
}

func write(t *testing.T, c *socket, s string) {
	t.Helper()
	if n, err := c.Write([]byte(s)); n != len(s) || err != nil {
		t.Errorf("write %s: %d, %v", s, n, err)
	}
}

// flush sends data from another goroutine.
func flush(c *socket, data string) chan error {
	flushed := make(chan error, 1)
	go func() { flushed <- c.flush([]byte(data)) }()
	synctest.Wait()
	return flushed
}

func TestSocketSendsAtOnce(t *testing.T) {
	s := newSlowConn()
	c := newSocket(s)
	write(t, c, "ping")
	if err := c.flush([]byte("data")); err != nil {
		t.Fatal(err)
	}
	write(t, c, "pong")
	if got := s.all(); got != "ping|data|pong" || c.taken.Load() != 12 {
		t.Errorf("sent %q, %d taken", got, c.taken.Load())
	}
}

func TestSocketSendsNothingBehindAClose(t *testing.T) {
	s := newSlowConn()
	c := newSocket(s)
	write(t, c, "HTTP/1.1 101 Switching Protocols")
	write(t, c, "\x88\x02\x03\xe8")
	if err := c.flush([]byte("data")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("data behind the close: %v", err)
	}
	if got := s.all(); got != "HTTP/1.1 101 Switching Protocols|\x88\x02\x03\xe8" {
		t.Errorf("sent %q", got)
	}
}

func TestSocketLetsOthersWriteWhileTheClientDoesNotRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSlowConn()
		c := newSocket(s)
		s.set(true)
		flushed := flush(c, "data")
		write(t, c, "ping") // does not wait
		write(t, c, "pong")
		if _, err := c.Write(make([]byte, maxControl)); !errors.Is(err, errControl) {
			t.Errorf("a flood of pings: %v", err)
		}
		s.set(false)
		if err := <-flushed; err != nil {
			t.Error(err)
		}
		if got := s.all(); got != "data|pingpong" {
			t.Errorf("sent %q", got)
		}
	})
}

func TestSocketWaitsForAnothersWrite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSlowConn()
		c := newSocket(s)
		s.set(true)
		go write(t, c, "ping")
		synctest.Wait()
		flushed := flush(c, "data")
		select {
		case err := <-flushed:
			t.Error("the writer did not wait for the client:", err)
		default:
		}
		s.set(false)
		if err := <-flushed; err != nil {
			t.Error(err)
		}
		if got := s.all(); got != "ping|data" {
			t.Errorf("sent %q", got)
		}
	})
}

func TestSocketFailsForGood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSlowConn()
		c := newSocket(s)
		s.set(true)
		flushed := flush(c, "data")
		c.Close()
		if err := <-flushed; !errors.Is(err, net.ErrClosed) {
			t.Errorf("flush: %v", err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write: %v", err)
		}
	})
}
