package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Listener takes connections for a Hub.
type Listener interface {
	// Serve takes connections until Close, and then returns nil.
	Serve() error
	// Close takes no more connections; those that are open go on. It may be called
	// more than once.
	Close() error
	// URL is the address for people, such as ws://127.0.0.1:7717/ws.
	URL() string
}

// loopback resolves the address of a WebSocket listener, which may be written as
// ws://HOST:PORT, ws://HOST:PORT/ws or HOST:PORT, and refuses what others could reach.
func loopback(addr string) (string, error) {
	host, port, err := splitAddress(addr)
	if err != nil {
		return "", fmt.Errorf("cannot listen on %s: %w", addr, err)
	}
	ips := []net.IP{net.ParseIP(host)}
	if ips[0] == nil {
		if ips, err = net.LookupIP(host); err != nil {
			return "", fmt.Errorf("cannot listen on %s: %w", addr, err)
		}
	}
	for _, ip := range ips {
		if !ip.IsLoopback() {
			return "", fmt.Errorf("cannot listen on %s: it is no loopback address, and without authentication, which this version does not have, others could use the daemon as you; use 127.0.0.1, ::1 or localhost, and an SSH tunnel from other machines", addr)
		}
	}
	return net.JoinHostPort(ips[0].String(), port), nil
}

func splitAddress(addr string) (host, port string, err error) {
	if scheme, _, ok := strings.Cut(addr, "://"); ok {
		u, err := url.Parse(addr)
		switch {
		case err != nil:
			return "", "", errors.New("it is no URL such as ws://127.0.0.1:7717")
		case scheme != "ws":
			return "", "", fmt.Errorf("the scheme must be ws, not %s", scheme)
		case u.Path != "" && u.Path != "/" && u.Path != "/ws" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
			return "", "", errors.New("it must have a host and a port only; the path is always /ws")
		}
		addr = u.Host
	}
	if host, port, err = net.SplitHostPort(addr); err != nil {
		return "", "", errors.New("it needs a host and a port, such as ws://127.0.0.1:7717")
	}
	if host == "" {
		return "", "", errors.New("without a host it would be open to every machine; use 127.0.0.1")
	}
	return host, port, nil
}

// isLoopbackHost reports whether the Host of a request names this machine. Any other name
// may be one that a web page had resolved to 127.0.0.1 (DNS rebinding).
func isLoopbackHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
