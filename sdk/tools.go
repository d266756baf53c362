package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spoolhq/spool/protocol"
)

// Tool is a function that this client carries out for agents.
type Tool struct {
	protocol.Tool
	// Handle carries a call out. Its arguments fit InputSchema. It may be called from
	// several goroutines at once, also for one thread. ctx ends when the result is not
	// wanted any more. An error, or a panic, fails the call with ToolFailed and the error's
	// text, which the agent sees; the turn goes on.
	Handle func(ctx context.Context, call protocol.ToolCallParams) (protocol.ToolCallResult, error)
}

type toolHandler = func(context.Context, protocol.ToolCallParams) (protocol.ToolCallResult, error)

// ToolText is the result of a call that did what it should, and says so in words.
func ToolText(text string) protocol.ToolCallResult {
	return protocol.ToolCallResult{Success: true, Content: []protocol.Part{{Type: "text", Text: text}}}
}

// ThreadTools offers tools of this client to one thread.
type ThreadTools struct{ t *Thread }

// Tools gives access to the thread's tools.
func (t *Thread) Tools() ThreadTools { return ThreadTools{t} }

// List returns the tools that clients offer to the thread, by name.
func (ts ThreadTools) List(ctx context.Context) (*protocol.ToolListResult, error) {
	return callP(ctx, ts.t.c, protocol.MethodToolList, protocol.ThreadParams{ThreadID: ts.t.id})
}

// Register offers tools to the thread, in place of all that this client offered to it
// before, [Options].Tools among them. Names that another client offers are taken over. Turns
// are offered them from the next one on; calls that wait for one of them come at once. The
// tools are offered again whenever the connection is made again, until Unregister or the
// end of the thread. An error leaves the tools as they were. The client must have been
// made with [Options].Tools or [Options].OffersTools.
func (ts ThreadTools) Register(ctx context.Context, tools ...Tool) (*protocol.ToolRegisterResult, error) {
	c := ts.t.c
	tools = slices.Clone(tools)
	if err := checkTools(tools); err != nil {
		return nil, err
	}
	if !c.opts.OffersTools {
		return nil, errors.New("this client did not declare that it carries tools out; set Options.OffersTools")
	}
	return c.changeTools(ctx, ts.t.id, protocol.MethodToolRegister.Name,
		protocol.ToolRegisterParams{ThreadID: ts.t.id, Tools: definitions(tools)},
		func([]Tool) []Tool { return tools })
}

// Unregister takes back the named tools, as namespace/name where there is a namespace, or
// without names all that this client offers to the thread. Calls under way go on.
func (ts ThreadTools) Unregister(ctx context.Context, names ...string) (*protocol.ToolRegisterResult, error) {
	return ts.t.c.changeTools(ctx, ts.t.id, protocol.MethodToolUnregister.Name,
		protocol.ToolUnregisterParams{ThreadID: ts.t.id, Tools: names},
		func(tools []Tool) []Tool {
			return slices.DeleteFunc(slices.Clone(tools), func(t Tool) bool {
				return len(names) == 0 || slices.Contains(names, t.Name) || slices.Contains(names, toolKey(t.Namespace, t.Name))
			})
		})
}

// offer is what this client offers to a thread. Guarded by Client.mu.
type offer struct {
	tools  []Tool // that the daemon knows of
	trying []Tool // that it was told of last, in call: it may call them before it answers
	call   *call  // nil: it has answered
}

// changeTools sends what makes the tools of a thread those that change returns. It has no
// idempotency key: after the loss of a connection the tools are as offerAgain left them,
// so it must be carried out once more and not be answered from memory.
func (c *Client) changeTools(ctx context.Context, threadID, method string, params any, change func([]Tool) []Tool) (*protocol.ToolRegisterResult, error) {
	call, err := c.startChange(threadID, method, params, change)
	if err != nil {
		return nil, err
	}
	raw, err := c.wait(ctx, call)
	if err != nil {
		return nil, err
	}
	var r protocol.ToolRegisterResult
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%s: the answer makes no sense: %w", method, err)
	}
	return &r, nil
}

func (c *Client) startChange(threadID, method string, params any, change func([]Tool) []Tool) (*call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.offers[threadID]
	if o == nil {
		o = &offer{}
	}
	var call *call
	over := func() {
		if o.call == call {
			o.call, o.trying = nil, nil
		}
		if o.call == nil && len(o.tools)+len(c.opts.Tools) == 0 {
			delete(c.offers, threadID)
		}
	}
	call, err := c.startLocked(method, params, func(json.RawMessage) error {
		o.tools = change(o.tools)
		over()
		return nil
	})
	if err != nil {
		return nil, err
	}
	call.refused = func(error) { over() }
	o.call, o.trying = call, change(o.tools)
	c.offers[threadID] = o
	return call, nil
}

// offerFirst offers Options.Tools on the first connection.
func (c *Client) offerFirst(ctx context.Context) error {
	if len(c.opts.Tools) == 0 {
		return nil
	}
	call, err := c.start(ctx, protocol.MethodToolRegister.Name, protocol.ToolRegisterParams{Tools: definitions(c.opts.Tools)})
	if err != nil {
		return err
	}
	_, err = c.wait(ctx, call)
	return err
}

// offerAgain offers all tools on a new connection, before anything else is sent there.
// mu is held.
func (c *Client) offerAgain() {
	if len(c.opts.Tools) > 0 {
		c.offerTo("", c.opts.Tools)
	}
	for threadID, o := range c.offers {
		c.offerTo(threadID, o.tools)
	}
	c.awaitRepeats()
}

func (c *Client) offerTo(threadID string, tools []Tool) {
	call, err := c.startLocked(protocol.MethodToolRegister.Name, protocol.ToolRegisterParams{ThreadID: threadID, Tools: definitions(tools)}, nil)
	c.forget(call, err) // the next connection makes its own
	if err != nil {
		return
	}
	call.refused = func(err error) {
		if isCode(err, protocol.CodeThreadNotFound) || isCode(err, protocol.CodeThreadNotActive) {
			delete(c.offers, threadID)
		}
	}
}

// bound notes what tools a thread has that this client began or took up: those that the
// request named, or else Options.Tools.
func (c *Client) bound(threadID string, named []protocol.Tool) {
	if !c.opts.OffersTools || named == nil && len(c.opts.Tools) == 0 {
		return
	}
	tools := c.opts.Tools
	if named != nil {
		tools = make([]Tool, len(named))
		for i, t := range named {
			tools[i] = Tool{t, handlerIn(c.opts.Tools, t.Namespace, t.Name)}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offers[threadID] = &offer{tools: tools}
}

// handlerOf returns what carries a call out. mu is held.
func (c *Client) handlerOf(call protocol.ToolCallParams) toolHandler {
	lists := [][]Tool{c.opts.Tools}
	if o := c.offers[call.ThreadID]; o != nil {
		lists = [][]Tool{o.trying, o.tools, c.opts.Tools}
	}
	for _, tools := range lists {
		if h := handlerIn(tools, call.Namespace, call.Tool); h != nil {
			return h
		}
	}
	return func(context.Context, protocol.ToolCallParams) (protocol.ToolCallResult, error) {
		return toolFailure(protocol.ToolErrUnavailable, "this client has nothing that carries out "+toolKey(call.Namespace, call.Tool)), nil
	}
}

func handlerIn(tools []Tool, namespace, name string) toolHandler {
	for _, t := range tools {
		if t.Namespace == namespace && t.Name == name {
			return t.Handle
		}
	}
	return nil
}

// checkTools refuses tools that nothing would carry out.
func checkTools(tools []Tool) error {
	for i, t := range tools {
		if t.Handle == nil {
			return fmt.Errorf("tool %d, %q, has no Handle", i, toolKey(t.Namespace, t.Name))
		}
	}
	return nil
}

func definitions(tools []Tool) []protocol.Tool {
	list := make([]protocol.Tool, len(tools))
	for i, t := range tools {
		list[i] = t.Tool
	}
	return list
}

func toolKey(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}
