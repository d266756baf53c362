package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ErrInUse is returned by ListenUnix where another daemon answers on the socket.
var ErrInUse = errors.New("another daemon is listening there")

// maxSocketPath is the least of what systems take for the path of a Unix socket.
const maxSocketPath = 103

// ListenUnix listens on a Unix socket at path. Its folder is made for the user alone
// (0700) if it is not there. At no moment can somebody else connect: the socket is made in
// a folder of its own, gets its rights (0600), and only then its name. A socket that
// nobody answers on is replaced; everything else that has the name is left alone, as an
// error. Where the system tells who connects, only the same user and root may.
func (h *Hub) ListenUnix(path string) (Listener, error) {
	l, err := listenUnix(path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on the socket %s: %w", path, err)
	}
	made, err := os.Lstat(path)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &unixListener{hub: h, net: l, path: path, made: made, done: make(chan struct{})}, nil
}

func listenUnix(path string) (*net.UnixListener, error) {
	dir := filepath.Dir(path)
	if err := makeFolder(dir); err != nil {
		return nil, err
	}
	defer lockFolder(dir)()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	private := filepath.Join(dir, ".s"+rand.Text()[:6])
	hidden := filepath.Join(private, "s")
	if len(hidden) > maxSocketPath || len(path) > maxSocketPath {
		return nil, fmt.Errorf("the path is too long for a socket, which may have about %d bytes", maxSocketPath-len("/.s123456/s"))
	}
	if err := os.Mkdir(private, 0o700); err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(private) }()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := publish(hidden, path); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// publish gives the socket its name, unless that was taken meanwhile.
func publish(hidden, path string) error {
	if err := os.Chmod(hidden, 0o600); err != nil {
		return err
	}
	err := os.Link(hidden, path)
	if errors.Is(err, fs.ErrExist) {
		return ErrInUse
	}
	if err != nil { // a file system without hard links
		return os.Rename(hidden, path)
	}
	return nil
}

// makeFolder makes the folder of the socket and refuses one where others could put a
// socket of theirs in place of it.
func makeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no folder", dir)
	}
	if info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("others may write to the folder %s; make it private with: chmod 700 %s", dir, dir)
	}
	return nil
}

// removeStale removes a socket that nobody answers on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("something that is no socket has this name; remove it or choose another path")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		_ = c.Close()
		return ErrInUse
	case isRefused(err):
		return os.Remove(path)
	case errors.Is(err, fs.ErrNotExist):
		return nil // gone meanwhile
	}
	return fmt.Errorf("a socket is there and it is not clear whether a daemon answers: %w", err)
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// unixListener serves the clients of one Unix socket.
type unixListener struct {
	hub  *Hub
	net  *net.UnixListener
	path string
	made os.FileInfo // what Close may remove
	once sync.Once
	done chan struct{}
	err  error // of Close
}

// Serve takes connections until Close.
func (u *unixListener) Serve() error {
	const longest = time.Second
	wait := time.Duration(0)
	for {
		c, err := u.net.AcceptUnix()
		switch {
		case err == nil:
			wait = 0
			u.accept(c)
			continue
		case errors.Is(err, net.ErrClosed):
			return nil
		}
		// Most likely no descriptor is free; some will be.
		wait = min(max(2*wait, 5*time.Millisecond), longest)
		u.hub.log.Warn().Err(err).Str("socket", u.path).Msg("cannot take a connection; trying again")
		select {
		case <-u.done:
			return nil
		case <-time.After(wait):
		}
	}
}

func (u *unixListener) accept(c *net.UnixConn) {
	if err := checkPeer(c); err != nil {
		u.hub.counters.refused.Add(1)
		u.hub.log.Warn().Err(err).Str("socket", u.path).Msg("connection refused")
		_ = c.Close()
		return
	}
	n := u.hub.newcomers.enter(func() { _ = c.Close() })
	u.hub.start(context.Background(), Lines(c, u.hub.limits.MaxMessageBytes), Local("unix"), n)
}

// Close takes no more connections and removes the socket, if it is still this one.
func (u *unixListener) Close() error {
	u.once.Do(func() {
		close(u.done)
		u.err = u.net.Close()
		defer lockFolder(filepath.Dir(u.path))()
		if now, err := os.Lstat(u.path); err == nil && os.SameFile(now, u.made) {
			u.err = errors.Join(u.err, os.Remove(u.path))
		}
	})
	return u.err
}

// URL is the path of the socket as a URL.
func (u *unixListener) URL() string { return "unix://" + u.path }
