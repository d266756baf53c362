package thread

import (
	"slices"
	"sync"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// boundTool is a tool that a client offers to a thread.
type boundTool struct {
	protocol.Tool
	schema *turn.Schema
	peer   Peer   // who carries it out; nil while that client is away
	user   string // of the client
	inst   string // its clientInfo.instanceId; empty: only a new tool/register brings it back
}

// toolKey is the name of a tool with its namespace.
func toolKey(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// toolOwners knows at which threads a connection has tools, and the tools it offers to all
// its threads. Its lock is a leaf.
type toolOwners struct {
	mu      sync.Mutex
	threads map[Peer]map[*Thread]bool
	common  map[Peer][]*boundTool
}

func (o *toolOwners) bound(p Peer, t *Thread) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.threads == nil {
		o.threads = map[Peer]map[*Thread]bool{}
	}
	if o.threads[p] == nil {
		o.threads[p] = map[*Thread]bool{}
	}
	o.threads[p][t] = true
}

func (o *toolOwners) setCommon(p Peer, tools []*boundTool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.common == nil {
		o.common = map[Peer][]*boundTool{}
	}
	o.common[p] = tools
}

func (o *toolOwners) commonOf(p Peer) []*boundTool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.common[p]
}

// left takes a connection that is gone from the threads where it had tools. Calls that
// wait for it get the time of toolReconnectMs.
func (o *toolOwners) left(p Peer) {
	o.mu.Lock()
	threads := o.threads[p]
	delete(o.threads, p)
	delete(o.common, p)
	o.mu.Unlock()
	for t := range threads {
		t.mu.Lock()
		t.toolsLeft(p)
		t.mu.Unlock()
	}
}

// compileTools checks what a client wants to offer. An error names the tool's field, and
// nothing has changed then.
func compileTools(tools []protocol.Tool) ([]*boundTool, error) {
	bound := make([]*boundTool, 0, len(tools))
	seen := map[string]bool{}
	for i, tool := range tools {
		key := toolKey(tool.Namespace, tool.Name)
		if tool.Name == "" || seen[key] {
			return nil, protocol.InvalidParams(indexed("tools", i, "name"), "must be a name that no other of the tools has")
		}
		seen[key] = true
		schema, err := turn.CompileSchema(tool.InputSchema)
		if err != nil {
			return nil, protocol.InvalidParams(indexed("tools", i, "inputSchema"), "is not a JSON Schema: "+err.Error())
		}
		if tool.Scope == "" {
			tool.Scope = protocol.ToolGlobal
		}
		bound = append(bound, &boundTool{Tool: tool, schema: schema})
	}
	return bound, nil
}

// offers checks the tools that a request offers: its connection must be one that carries
// tools out.
func (c Call) offers(tools []protocol.Tool) ([]*boundTool, error) {
	bound, err := compileTools(tools)
	if err == nil && len(bound) > 0 && c.Peer != nil && !c.Peer.Can(protocol.MethodToolCall.Name) {
		err = protocol.Errorf(protocol.CodeForbidden, "this connection did not declare the capability tools in initialize")
	}
	return bound, err
}

// bind makes the tools of a connection those of the thread that it offers, in place of the
// ones it offered before; names that another client offered are taken over. t.mu is held.
func (x *change) bind(p Peer, tools []*boundTool) {
	t := x.t
	c := p.Caller()
	for key, b := range t.tools {
		if b.peer == p || b.peer == nil && b.inst != "" && b.inst == c.InstanceID && b.user == c.User {
			delete(t.tools, key)
		}
	}
	if t.tools == nil {
		t.tools = map[string]*boundTool{}
	}
	for _, tool := range tools {
		b := *tool
		b.peer, b.user, b.inst = p, c.User, c.InstanceID
		t.tools[toolKey(b.Namespace, b.Name)] = &b
	}
	t.st.Binding++
	x.row = true
	if len(tools) > 0 {
		t.m.tools.bound(p, t)
	}
}

// bindNamed binds the tools that a request to begin or take up a thread names or, where it
// names none, those that the connection offers to all its threads. They were checked.
func (x *change) bindNamed(c Call, tools []protocol.Tool) {
	if c.Peer == nil {
		return
	}
	bound, _ := compileTools(tools)
	if tools == nil {
		bound = x.t.m.tools.commonOf(c.Peer)
	}
	if tools != nil || len(bound) > 0 {
		x.bind(c.Peer, bound)
		x.resend(c.Peer)
	}
}

// resend gives the calls that wait to a client that offers their tools now.
func (x *change) resend(p Peer) []string {
	t := x.t
	pending := []string{}
	if t.run == nil {
		return pending
	}
	for _, a := range t.run.asks {
		if a.kind == askTool && t.tools[a.call.key] != nil && t.tools[a.call.key].peer == p && a.call.owner != p {
			pending = append(pending, a.id)
			x.out = append(x.out, effect{kind: call, fn: func(err error) {
				if err == nil && !a.over {
					t.sendCall(a)
				}
			}})
		}
	}
	return pending
}

// ToolRegister offers tools that the calling client carries out: to one thread or, without
// threadId, to all that belong to its connection, now and later.
func (m *Manager) ToolRegister(c Call, p protocol.ToolRegisterParams, r Reply[protocol.ToolRegisterResult]) {
	if c.Peer == nil {
		r(protocol.ToolRegisterResult{}, protocol.InvalidParams("tools", "need a connection that carries them out"))
		return
	}
	tools, err := c.offers(p.Tools)
	if err != nil {
		r(protocol.ToolRegisterResult{}, err)
		return
	}
	if p.ThreadID == "" {
		m.registerCommon(c, tools, r)
		return
	}
	m.changeTools(c, p.ThreadID, p.IdempotencyKey, p.ExpectedGeneration, r, func(t *Thread, x *change) { x.bind(c.Peer, tools) })
}

// changeTools is the way of every change of a thread's tools.
func (m *Manager) changeTools(c Call, id, key string, expected *uint64, r Reply[protocol.ToolRegisterResult], set func(*Thread, *change)) {
	mutate(m, c, id, key, r, func(t *Thread, x *change) (protocol.ToolRegisterResult, error) {
		if expected != nil && *expected != t.st.Binding {
			e := protocol.Errorf(protocol.CodeStaleBinding, "the tool binding has changed")
			e.Data.BindingGeneration = t.st.Binding
			return protocol.ToolRegisterResult{}, e
		}
		if err := t.mustNotBeEnded(); err != nil {
			return protocol.ToolRegisterResult{}, err
		}
		set(t, x)
		return protocol.ToolRegisterResult{BindingGeneration: t.st.Binding, PendingCalls: x.resend(c.Peer)}, nil
	})
}

// registerCommon offers tools to all threads of the connection.
func (m *Manager) registerCommon(c Call, tools []*boundTool, r Reply[protocol.ToolRegisterResult]) {
	m.tools.setCommon(c.Peer, tools)
	ids := m.owners.threads(c.Caller.ConnectionID)
	res := protocol.ToolRegisterResult{PendingCalls: []string{}}
	var mu sync.Mutex
	left := newCountdown(len(ids), func() { r(res, nil) })
	for _, id := range ids {
		m.changeTools(c, id, "", nil, func(one protocol.ToolRegisterResult, _ error) {
			mu.Lock()
			res.BindingGeneration = max(res.BindingGeneration, one.BindingGeneration)
			res.PendingCalls = append(res.PendingCalls, one.PendingCalls...)
			mu.Unlock()
			left.done()
		}, func(t *Thread, x *change) { x.bind(c.Peer, tools) })
	}
}

// ToolUnregister takes tools back: the named ones, or all that the connection offers.
func (m *Manager) ToolUnregister(c Call, p protocol.ToolUnregisterParams, r Reply[protocol.ToolRegisterResult]) {
	if p.ThreadID == "" {
		keep := slices.DeleteFunc(slices.Clone(m.tools.commonOf(c.Peer)), func(b *boundTool) bool { return named(p.Tools, b) })
		m.registerCommon(c, keep, r)
		return
	}
	m.changeTools(c, p.ThreadID, p.IdempotencyKey, p.ExpectedGeneration, r, func(t *Thread, x *change) {
		for key, b := range t.tools {
			if b.peer == c.Peer && named(p.Tools, b) {
				delete(t.tools, key)
			}
		}
		t.st.Binding++
		x.row = true
	})
}

// named reports whether a tool is one of the names; no names mean all.
func named(names []string, b *boundTool) bool {
	return len(names) == 0 || slices.Contains(names, b.Name) || slices.Contains(names, toolKey(b.Namespace, b.Name))
}

// ToolList returns the tools that clients offer to a thread, by name.
func (m *Manager) ToolList(c Call, p protocol.ThreadParams, r Reply[protocol.ToolListResult]) {
	t, err := m.lock(c.Context, p.ThreadID, c.Caller.User)
	if err != nil {
		r(protocol.ToolListResult{}, err)
		return
	}
	defer t.mu.Unlock()
	res := protocol.ToolListResult{Data: []protocol.Tool{}, BindingGeneration: t.st.Binding}
	for _, key := range sortedKeys(t.tools) {
		res.Data = append(res.Data, t.tools[key].Tool)
	}
	t.tell(effect{kind: call, ticket: t.lastTicket(), fn: func(err error) { r(res, err) }})
}

// toolsLeft notes that a client is gone. Its tools stay offered: it may come back. t.mu is
// held.
func (t *Thread) toolsLeft(p Peer) {
	for _, b := range t.tools {
		if b.peer == p {
			b.peer = nil
		}
	}
	if t.run == nil {
		return
	}
	for _, a := range t.run.asks {
		if a.kind == askTool && a.call.owner == p {
			t.orphanCall(a)
		}
	}
}

// returned gives a client that subscribes its tools back, if it is the same instance as
// the one that offered them, and the calls that wait for it. t.mu is held.
func (t *Thread) returned(p Peer) {
	c := p.Caller()
	if c.InstanceID == "" || !p.Can(protocol.MethodToolCall.Name) {
		return
	}
	back := false
	for _, b := range t.tools {
		if b.peer == nil && b.inst == c.InstanceID && b.user == c.User {
			b.peer, back = p, true
		}
	}
	if !back {
		return
	}
	t.m.tools.bound(p, t)
	if t.run == nil {
		return
	}
	for _, a := range t.run.asks {
		if a.kind == askTool && a.told {
			t.sendCall(a)
		}
	}
}

// offer returns the tools that a turn is offered: the global ones, and those of scope mode
// that its mode names. t.mu is held.
func (t *Thread) offer(r *run) map[string]*boundTool {
	offered := map[string]*boundTool{}
	for key, b := range t.tools {
		if b.Scope == protocol.ToolGlobal || r.modeNames(b) {
			offered[key] = b
		}
	}
	return offered
}

// modeNames reports whether the mode of the turn names the tool.
func (r *run) modeNames(b *boundTool) bool {
	for _, mode := range r.conf.Modes {
		if mode.ID == r.turn.Mode && mode.Tools != nil && len(*mode.Tools) > 0 {
			return named(*mode.Tools, b)
		}
	}
	return false
}

// tools returns what the agent is told of the tools it is offered, by name.
func (r *run) tools() []protocol.Tool {
	list := make([]protocol.Tool, 0, len(r.offered))
	for _, key := range sortedKeys(r.offered) {
		list = append(list, r.offered[key].Tool)
	}
	return list
}

// reconnectTime is how long a call waits for a client that is gone.
func (r *run) reconnectTime() time.Duration {
	if ms := r.conf.ToolReconnectMs; ms != nil {
		return time.Duration(max(*ms, 0)) * time.Millisecond
	}
	return 30 * time.Second
}
