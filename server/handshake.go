package server

import (
	"context"
	"fmt"

	"github.com/spoolhq/spool/protocol"
)

// capabilities say what this version offers.
var capabilities = protocol.ServerCapabilities{Approvals: true, Questions: true, Tools: true}

// noTokens refuses credentials where none are configured.
func noTokens() *protocol.Error {
	return protocol.Errorf(protocol.CodeUnauthenticated, "this daemon has no tokens configured; connect without one")
}

// initialize opens a connection.
func (c *conn) initialize(p protocol.InitializeParams) (protocol.InitializeResult, error) {
	if p.Auth != nil {
		c.session.refused = true
		return protocol.InitializeResult{}, noTokens()
	}
	if err := c.session.open(p); err != nil {
		return protocol.InitializeResult{}, err
	}
	c.newcomer.leave()
	c.hub.manager.Attach(c) // the outbox lets nothing out before initialized
	return protocol.InitializeResult{
		ServerInfo: c.hub.serverInfo(), ConnectionID: c.id, User: c.who.User, Scopes: c.who.Scopes,
		Limits: c.hub.limits.announced(), Capabilities: capabilities,
	}, nil
}

func (h *Hub) serverInfo() protocol.ServerInfo {
	return protocol.ServerInfo{Name: "spool", Version: h.version, ProtocolVersion: protocol.Version}
}

// activate takes the notification initialized: from here on events are sent.
func (c *conn) activate(m message) {
	var p protocol.Empty
	if err := protocol.Decode(m.params, &p); err != nil {
		c.ignored(m, err.Error())
		return
	}
	if !c.session.state.CompareAndSwap(int32(stateOpen), int32(stateActive)) {
		c.ignored(m, "it belongs after initialize, once")
		return
	}
	c.out.begin()
}

// refuse closes a connection whose credentials are not accepted, after it was told so.
func (c *conn) refuse() {
	c.wg.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, settleTime)
		defer cancel()
		c.out.flush(ctx)
		c.end(&CloseError{ClosePolicy, "unauthenticated"})
	})
}

// tooLate ends a connection that did not say initialize in time, after it was told so.
func (c *conn) tooLate() {
	c.hub.counters.refused.Add(1)
	limit := c.hub.limits.Handshake
	c.out.respond(protocol.EncodeError(nil, protocol.Errorf(protocol.CodeNotInitialized, "initialize did not come within %v", limit)))
	ctx, cancel := context.WithTimeout(c.ctx, settleTime)
	defer cancel()
	c.out.flush(ctx)
	c.end(&CloseError{ClosePolicy, fmt.Sprintf("no initialize within %v", limit)})
}

// update renews what a connection said of itself.
func (c *conn) update(p protocol.ConnectionUpdateParams) (protocol.ConnectionUpdateResult, error) {
	if p.Auth != nil {
		return protocol.ConnectionUpdateResult{}, noTokens()
	}
	metadata, err := c.session.update(p)
	if err != nil {
		return protocol.ConnectionUpdateResult{}, err
	}
	return protocol.ConnectionUpdateResult{User: c.who.User, Metadata: metadata}, nil
}
