package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
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

// errReachable refuses an address that others could reach.
var errReachable = errors.New("it is no loopback address, and without authentication, which this version does not have, others could use the daemon as you; use 127.0.0.1, ::1 or localhost, and an SSH tunnel from other machines")

// CheckAddress refuses what ListenWebSocket could never listen on. It resolves no names.
func CheckAddress(addr string) error {
	host, _, err := splitAddress(addr)
	if ip := net.ParseIP(host); err == nil && ip != nil && !ip.IsLoopback() {
		return errReachable
	}
	return err
}

// loopback resolves the address of a WebSocket listener, which may be written as
// ws://HOST:PORT, ws://HOST:PORT/ws or HOST:PORT, and refuses what others could reach.
func loopback(addr string) (string, error) {
	host, port, err := splitAddress(addr)
	if err != nil {
		return "", err
	}
	ips := []net.IP{net.ParseIP(host)}
	if ips[0] == nil {
		if ips, err = net.LookupIP(host); err != nil {
			return "", err
		}
	}
	for _, ip := range ips {
		if !ip.IsLoopback() {
			return "", errReachable
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
	if _, err := net.LookupPort("tcp", port); err != nil {
		return "", "", fmt.Errorf("%q is no port", port)
	}
	return host, port, nil
}

// defaultPorts are those that a browser leaves out of an origin.
var defaultPorts = map[string]string{"http": "80", "https": "443"}

// CheckOrigin refuses what no browser says of a page, so that it would allow nobody.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	switch {
	case err != nil || u.Scheme == "" || u.Host == "" || !strings.EqualFold(origin, u.Scheme+"://"+u.Host):
		return errors.New("it must have a scheme and a host, a port if it is not the usual one, and nothing else, such as https://app.example.com")
	case strings.Contains(u.Host, "*"):
		return errors.New("origins are compared as they are, without wildcards; name each of them")
	case strings.HasSuffix(u.Host, ":") || u.Port() != "" && u.Port() == defaultPorts[u.Scheme]:
		return errors.New("browsers leave out the port that the scheme has by itself; leave it out here, too")
	case strings.ContainsFunc(u.Host, func(r rune) bool { return r > unicode.MaxASCII }):
		return errors.New("browsers write such a host in its ASCII form, xn--…; write it so")
	}
	return nil
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
