package sdk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/coder/websocket"

	"github.com/spoolhq/spool/protocol"
)

// dialer makes connections to one endpoint.
type dialer struct {
	name string // the endpoint without credentials, for errors
	// dial makes a transport. ctx is about making it only.
	dial func(ctx context.Context, token string) (transport, error)
	// once: the endpoint cannot be dialled again.
	once bool
}

// newDialer reads an endpoint.
func newDialer(endpoint string, o *Options) (dialer, error) {
	if o.Dial != nil {
		return streamDialer(endpoint, o), nil
	}
	scheme, rest, _ := strings.Cut(endpoint, ":")
	switch scheme {
	case "ws", "wss":
		return wsDialer(endpoint, o)
	case "unix":
		return unixDialer(strings.TrimPrefix(rest, "//"), o)
	case "stdio":
		words := strings.Fields(rest)
		if len(words) == 0 {
			return dialer{}, errors.New("the endpoint stdio: names no command; use for example stdio:spool stdio")
		}
		return commandDialer(o, words[0], words[1:]), nil
	default:
		return dialer{}, errors.New("the endpoint is of no known kind; use ws://host:port, unix:///path/to/socket or stdio:command")
	}
}

func streamDialer(endpoint string, o *Options) dialer {
	return dialer{name: cmp.Or(redact(endpoint), "the given stream"), dial: func(ctx context.Context, _ string) (transport, error) {
		stream, err := o.Dial(ctx)
		if err != nil {
			return nil, err
		}
		return newLineTransport(stream, o.MaxMessageBytes), nil
	}}
}

func unixDialer(path string, o *Options) (dialer, error) {
	if path == "" {
		return dialer{}, errors.New("the endpoint has no path to a socket; use unix:///path/to/socket")
	}
	return dialer{name: "unix://" + path, dial: func(ctx context.Context, _ string) (transport, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", path)
		if err != nil {
			return nil, err
		}
		return newLineTransport(conn, o.MaxMessageBytes), nil
	}}, nil
}

func wsDialer(endpoint string, o *Options) (dialer, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return dialer{}, errors.New("the endpoint names no host; use ws://host:port")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/ws"
	}
	target := u.String()
	return dialer{name: redact(target), dial: func(ctx context.Context, token string) (transport, error) {
		options := &websocket.DialOptions{HTTPHeader: authorization(token)}
		conn, resp, err := websocket.Dial(ctx, target, options) //nolint:bodyclose // Dial closes it
		if err != nil {
			return nil, upgradeError(resp, err)
		}
		return newWSTransport(conn, o.MaxMessageBytes), nil
	}}, nil
}

func pipeDialer(stream io.ReadWriteCloser, o *Options) dialer {
	return dialer{name: "pipe", once: true, dial: func(context.Context, string) (transport, error) {
		return newLineTransport(stream, o.MaxMessageBytes), nil
	}}
}

func authorization(token string) http.Header {
	if token == "" {
		return nil
	}
	return http.Header{"Authorization": {"Bearer " + token}}
}

// upgradeError says why a WebSocket could not be made. The refusals that will not go away
// by trying again are a *protocol.Error, as they would be in the handshake.
func upgradeError(resp *http.Response, err error) error {
	// A *url.Error would tell the query, which may hold a token.
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	if resp == nil {
		return err
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return protocol.Errorf(protocol.CodeUnauthenticated, "the daemon does not accept the token")
	case http.StatusForbidden:
		return protocol.Errorf(protocol.CodeForbidden, "the daemon does not accept connections from this origin")
	case http.StatusBadRequest:
		return protocol.Errorf(protocol.CodeInvalidRequest, "the daemon does not accept the WebSocket's query or headers")
	default:
		return fmt.Errorf("no WebSocket there: the answer is %s", resp.Status)
	}
}

// redact takes user, password and query, which may hold a token, out of an endpoint.
func redact(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "the endpoint"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// permanent reports whether trying again is of no use: the daemon is there and refuses.
func permanent(err error) bool {
	e, ok := errors.AsType[*protocol.Error](err)
	if !ok {
		return false
	}
	switch e.Code {
	case protocol.CodeServerOverloaded, protocol.CodeInternalError, protocol.CodeStorageUnavailable:
		return false
	default:
		return true
	}
}
