package main

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// A dialect is how a server names what all of them have: threads, turns, deltas. With it the
// same driver measures servers of sibling protocols.
type dialect interface {
	// hello shakes hands.
	hello(c *client) error
	// startThread makes a thread, subscribed to, and returns its id.
	startThread(c *client) (string, error)
	// turn returns the request that starts a turn with a text.
	turn(thread, text string) (method string, params any)
	// prompt is a text that makes the server stream, where the user names none.
	prompt() string
	// kind tells what a notification is.
	kind(msg []byte) kind
}

// kind is what the driver wants to know of a notification.
type kind int

const (
	kindOther kind = iota
	kindDelta      // a piece of a message
	kindEnd        // a turn is over and did what it could
	kindFail       // a turn is over, and not so
	kindLag        // deltas were left out
)

var dialects = map[string]dialect{"spool": spoolDialect{}, "codex": codexDialect{}}

// method returns the name of a notification's method, nil for what is none. Servers put it
// first or nearly so; what is hidden deeper is looked for with more work.
func method(msg []byte) []byte {
	const key = `"method":`
	head := msg[:min(len(msg), methodPart)]
	if i := bytes.Index(head, []byte(key)); i >= 0 {
		rest := bytes.TrimLeft(msg[i+len(key):], " ")
		if len(rest) > 0 && rest[0] == '"' {
			if j := bytes.IndexByte(rest[1:], '"'); j >= 0 {
				return rest[1 : 1+j]
			}
		}
	}
	var m struct{ Method string }
	if json.Unmarshal(msg, &m) != nil {
		return nil
	}
	return []byte(m.Method)
}

// spoolDialect is ours; see docs/protocol.md.
type spoolDialect struct{}

func (spoolDialect) hello(c *client) error { return c.hello(nil) }

func (spoolDialect) startThread(c *client) (string, error) {
	var r struct{ Thread struct{ ID string } }
	err := c.call("thread/start", p{"agent": "script"}, &r)
	return r.Thread.ID, err
}

func (spoolDialect) turn(thread, text string) (string, any) {
	return "turn/run", p{"threadId": thread, "input": text}
}

func (spoolDialect) prompt() string { return fmt.Sprintf("/deltas 50 %d", deltaSize) }

func (spoolDialect) kind(msg []byte) kind {
	switch string(method(msg)) {
	case "item/agentMessage/delta":
		return kindDelta
	case "turn/completed":
		return kindEnd
	case "turn/failed", "turn/cancelled":
		return kindFail
	case "thread/subscription/lagged":
		return kindLag
	}
	return kindOther
}

// codexDialect is that of an app-server with the same nouns, as coding agents have it.
type codexDialect struct{}

func (codexDialect) hello(c *client) error {
	params := p{"clientInfo": p{"name": "bench", "title": "bench", "version": "1"}}
	if err := c.call("initialize", params, nil); err != nil {
		return err
	}
	return c.notify("initialized", nil)
}

func (codexDialect) startThread(c *client) (string, error) {
	var r struct{ Thread struct{ ID string } }
	err := c.call("thread/start", p{}, &r)
	return r.Thread.ID, err
}

func (codexDialect) turn(thread, text string) (string, any) {
	return "turn/start", p{"threadId": thread, "input": []p{{"type": "text", "text": text}}}
}

func (codexDialect) prompt() string { return "Say hello." }

// kind also looks how the turn ended: there is one notification for all ends.
func (codexDialect) kind(msg []byte) kind {
	switch string(method(msg)) {
	case "item/agentMessage/delta":
		return kindDelta
	case "turn/completed":
		var m struct {
			Params struct{ Turn struct{ Status string } }
		}
		if json.Unmarshal(msg, &m) != nil {
			return kindFail
		}
		if s := m.Params.Turn.Status; s != "" && s != "completed" {
			return kindFail
		}
		return kindEnd
	}
	return kindOther
}

// threadOf returns the thread that a notification belongs to.
func threadOf(msg []byte) string {
	var m struct{ Params struct{ ThreadID string } }
	if json.Unmarshal(msg, &m) != nil {
		return ""
	}
	return m.Params.ThreadID
}
