package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
)

// p are the params of a request.
type p = map[string]any

// client speaks JSON-RPC to a server, for one goroutine at a time. It looks into a message only
// as far as it must, so that it is not what is measured.
type client struct {
	link
	on   func(msg []byte) // gets what call passes over; nil: dropped. msg is valid during the call only
	id   int
	stop func() bool // ends the watch of the context
}

// newClient makes a client of a link, which it owns. When ctx ends the link is closed.
func newClient(ctx context.Context, l link) *client {
	return &client{link: l, stop: context.AfterFunc(ctx, l.Close)}
}

// dial connects over "unix", "ws" (as programs do it), "raw" (a WebSocket that costs the reader
// less) or, once for a daemon started so, "stdio", and shakes hands.
func (d *daemon) dial(ctx context.Context, transport string) (*client, error) {
	c, err := d.connect(ctx, transport)
	if err != nil {
		return nil, err
	}
	if err := c.hello(nil); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// connect is dial without the handshake.
func (d *daemon) connect(ctx context.Context, transport string) (*client, error) {
	l, err := d.openLink(ctx, transport)
	if err != nil {
		return nil, fmt.Errorf("connecting over %s: %w", transport, err)
	}
	return newClient(ctx, l), nil
}

// hello shakes hands; capabilities may be nil.
func (c *client) hello(capabilities p) error {
	params := p{"clientInfo": p{"name": "bench", "version": "1"}}
	if capabilities != nil {
		params["capabilities"] = capabilities
	}
	if err := c.call("initialize", params, nil); err != nil {
		return err
	}
	return c.notify("initialized", nil)
}

// Close closes the connection.
func (c *client) Close() {
	c.stop()
	c.link.Close()
}

// message is what the client sends.
type message struct {
	JSONRPC string `json:"jsonrpc"`
	ID      int    `json:"id,omitempty"`
	Method  string `json:"method"`
	Params  any    `json:"params,omitempty"`
}

func (c *client) notify(method string, params any) error {
	return c.write(message{JSONRPC: "2.0", Method: method, Params: params})
}

func (c *client) write(m message) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return c.send(text)
}

// begin sends a request without waiting for its answer, and returns its id.
func (c *client) begin(method string, params any) (int, error) {
	c.id++
	return c.id, c.write(message{JSONRPC: "2.0", ID: c.id, Method: method, Params: params})
}

// call sends a request and waits for the answer, which it decodes into result, unless nil.
func (c *client) call(method string, params, result any) error {
	id, err := c.begin(method, params)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if err := c.answer(id, result); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

// answer waits for the answer of a request that was begun.
func (c *client) answer(id int, result any) error {
	for {
		msg, err := c.recv()
		if err != nil {
			return err
		}
		got, ok := answerID(msg)
		if !ok || got != id {
			if c.on != nil {
				c.on(msg)
			}
			continue
		}
		return decodeAnswer(msg, result)
	}
}

// methodPart is as far as the method of a notification is looked for.
const methodPart = 64

// answerID returns the id of an answer; false for any other message.
func answerID(msg []byte) (int, bool) {
	if bytes.Contains(msg[:min(len(msg), methodPart)], []byte(`"method":`)) {
		return 0, false
	}
	if id, _, ok := plainAnswer(msg); ok {
		return id, true
	}
	var head struct {
		ID     *int   `json:"id"`
		Method string `json:"method"`
	}
	if json.Unmarshal(msg, &head) != nil || head.ID == nil || head.Method != "" {
		return 0, false
	}
	return *head.ID, true
}

// plainAnswer reads an answer that is no error and is written as the daemon writes it, without
// looking at the result: that may be long, and reading it twice would be what is measured.
func plainAnswer(msg []byte) (id int, result []byte, ok bool) {
	const key = `,"result":`
	rest, ok := bytes.CutPrefix(msg, []byte(`{"jsonrpc":"2.0","id":`))
	i := bytes.Index(rest[:min(len(rest), methodPart)], []byte(key))
	if !ok || i < 0 || !bytes.HasSuffix(rest, []byte("}")) {
		return 0, nil, false
	}
	id, err := strconv.Atoi(string(rest[:i]))
	return id, rest[i+len(key) : len(rest)-1], err == nil
}

// decodeAnswer decodes what an answer says; an error that it says is returned as one.
func decodeAnswer(msg []byte, result any) error {
	if _, raw, ok := plainAnswer(msg); ok {
		if result == nil {
			return nil
		}
		return json.Unmarshal(raw, result)
	}
	var a struct {
		Result json.RawMessage
		Error  *struct {
			Code    int
			Message string
		}
	}
	if err := json.Unmarshal(msg, &a); err != nil {
		return err
	}
	if a.Error != nil {
		return fmt.Errorf("refused: %s (%d)", a.Error.Message, a.Error.Code)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(a.Result, result)
}

// has reports whether a notification is of a method, whose name must be given with its quotes.
func has(msg []byte, quoted string) bool {
	return bytes.Contains(msg[:min(len(msg), 2*methodPart)], []byte(quoted))
}
