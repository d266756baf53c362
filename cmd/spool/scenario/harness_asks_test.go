package scenario_test

import (
	"slices"
	"strings"
)

// able is the option of a client that can be asked: approvals, questions, tools.
func able(what ...string) dialOption {
	return func(c *client) {
		caps, _ := c.hello["capabilities"].(p)
		if caps == nil {
			caps = p{}
		}
		for _, w := range what {
			caps[w] = true
		}
		c.hello["capabilities"] = caps
	}
}

// tool describes a tool that takes any object.
func tool(name string) p {
	return p{"name": name, "description": "The tool " + name, "inputSchema": p{"type": "object"}}
}

// Register offers tools to a thread and returns the generation of the binding.
func (c *client) Register(thread string, tools ...p) int {
	c.t.Helper()
	return c.Call("tool/register", p{"threadId": thread, "tools": tools}).Int("bindingGeneration")
}

// said is the result of a tool that says a text.
func said(text string) p {
	return p{"success": true, "content": []p{{"type": "text", "text": text}}}
}

// Withdrawn waits until the daemon takes a request back.
func (c *client) Withdrawn(request *message) *message {
	c.t.Helper()
	return c.AwaitFrom(request.n, "$/cancelRequest", p{"id": parse([]byte(request.id)).v})
}

// Counted waits until a counter of server/stats has reached a value.
func (c *client) Counted(name string, n int) {
	c.t.Helper()
	poll(c, "that "+name+" is counted", func() bool {
		counters, _ := c.Call("server/stats", nil).At("counters").v.(map[string]any)
		return value{counters[name]}.Int("") >= n
	})
}

// History runs /history and returns the lines that the agent was told, that of the turn's
// own message left out.
func (c *client) History(thread string, params p) []string {
	c.t.Helper()
	all := p{"threadId": thread, "input": "/history"}
	for k, v := range params {
		all[k] = v
	}
	turn := c.Call("turn/run", all).Str("turn.id")
	said := c.Said(thread, turn)
	if len(said) != 1 {
		c.t.Fatalf("%s: to /history the agent said %q", c.name, said)
	}
	lines := strings.Split(said[0], "\n")
	last := len(lines) - 1
	if lines[last] != "userMessage: /history" {
		c.t.Fatalf("%s: /history says %q", c.name, said[0])
	}
	return slices.Clip(lines[:last])
}

// Said waits for a turn to complete and returns the messages of its agent: those that it
// was given are not among them.
func (c *client) Said(thread, turn string) []string {
	c.t.Helper()
	if end := c.End(thread, turn); end.Str("status") != "completed" {
		c.t.Fatalf("%s: the turn ended as %s", c.name, end)
	}
	var said []string
	for _, it := range c.Items(thread, turn) {
		if it.Str("type") == "agentMessage" && it.Str("origin") == "turn" {
			said = append(said, it.Str("text"))
		}
	}
	return said
}

// about returns the notifications about a turn, in the order in which they came.
func (c *client) about(turn string) []*message {
	var found []*message
	for _, m := range c.messages() {
		if !m.out && m.method != "" && m.id == "" && m.TurnID == turn {
			found = append(found, m)
		}
	}
	return found
}

// durable returns the bytes of the durable events about a turn.
func (c *client) durable(turn string) []string {
	var found []string
	for _, m := range c.about(turn) {
		if m.Seq > 0 {
			found = append(found, string(m.raw))
		}
	}
	return found
}

// Items returns the items of a turn as they are kept.
func (c *client) Items(thread, turn string) []value {
	c.t.Helper()
	return c.Call("turn/read", p{"threadId": thread, "turnId": turn, "includeItems": true}).List("turn.items")
}

// types names items by their type and status.
func types(items []value) []string {
	names := make([]string, len(items))
	for i, it := range items {
		names[i] = it.Str("type") + " " + it.Str("status")
	}
	return names
}
