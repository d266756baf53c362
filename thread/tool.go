package thread

import (
	"maps"
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

// offeredBy reports whether the tool is of this client, on whichever connection.
func (b *boundTool) offeredBy(c Caller) bool {
	return b.inst != "" && b.inst == c.InstanceID && b.user == c.User
}

// toolKey is the name of a tool with its namespace.
func toolKey(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
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
// ones it offered before, or an older connection of the same instance, whose loss may not be
// noticed yet; names that another client offered are taken over. t.mu is held.
func (x *change) bind(p Peer, tools []*boundTool) {
	t := x.t
	c := p.Caller()
	for key, b := range t.tools {
		if b.peer == p || b.offeredBy(c) {
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
		if t.mustResend(a, p) {
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

// mustResend reports whether an ask is a call of a tool that this client offers now, and is
// with another or with nobody.
func (t *Thread) mustResend(a *ask, p Peer) bool {
	if a.kind != askTool || a.call.owner == p {
		return false
	}
	b := t.tools[a.call.key]
	return b != nil && b.peer == p
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
	set := func(_ *Thread, x *change) { x.bind(c.Peer, tools) }
	if p.ThreadID == "" {
		m.changeCommon(c, p.ExpectedGeneration, tools, r, set)
		return
	}
	m.changeTools(c, p.ThreadID, p.IdempotencyKey, p.ExpectedGeneration, r, set)
}

// changeTools is the way of every change of a thread's tools. An idempotency key counts on
// one connection only: tools that were bound to another one are not bound to this.
func (m *Manager) changeTools(c Call, id, key string, expected *uint64, r Reply[protocol.ToolRegisterResult], set func(*Thread, *change)) {
	if key != "" {
		key = c.Caller.ConnectionID + " " + key
	}
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

// changeCommon changes the tools that the connection offers to all its threads, and with set
// those of each that it has.
func (m *Manager) changeCommon(c Call, expected *uint64, tools []*boundTool, r Reply[protocol.ToolRegisterResult], set func(*Thread, *change)) {
	err := m.refuse()
	if expected != nil {
		err = protocol.InvalidParams("expectedGeneration", "is that of one thread; name it in threadId")
	}
	if err != nil {
		r(protocol.ToolRegisterResult{}, err)
		return
	}
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
		}, set)
	}
}

// ToolUnregister takes tools back: the named ones, or all that the connection offers.
func (m *Manager) ToolUnregister(c Call, p protocol.ToolUnregisterParams, r Reply[protocol.ToolRegisterResult]) {
	if c.Peer == nil {
		r(protocol.ToolRegisterResult{}, protocol.InvalidParams("tools", "need a connection that carries them out"))
		return
	}
	set := func(t *Thread, x *change) {
		maps.DeleteFunc(t.tools, func(_ string, b *boundTool) bool { return b.peer == c.Peer && named(p.Tools, b) })
		t.st.Binding++
		x.row = true
	}
	if p.ThreadID == "" {
		keep := slices.DeleteFunc(slices.Clone(m.tools.commonOf(c.Peer)), func(b *boundTool) bool { return named(p.Tools, b) })
		m.changeCommon(c, p.ExpectedGeneration, keep, r, set)
		return
	}
	m.changeTools(c, p.ThreadID, p.IdempotencyKey, p.ExpectedGeneration, r, set)
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

// toolsLeft notes that a client is gone. Its tools stay offered: it may come back, or have
// come back before its loss was noticed. t.mu is held.
func (t *Thread) toolsLeft(p Peer) {
	for _, b := range t.tools {
		if b.peer == p {
			b.peer = nil
		}
	}
	if t.run != nil {
		for _, a := range t.run.asks {
			if a.kind == askTool && a.call.owner == p {
				t.orphanCall(a)
			}
		}
	}
	for _, s := range t.subs {
		t.returned(s.peer)
	}
}

// toolsRevoked takes the tools from clients that may not change the thread any more, and the
// calls that they carry out. t.mu is held.
func (t *Thread) toolsRevoked() {
	mayNot := func(user string) bool { return t.st.role(user) != protocol.RoleParticipant }
	maps.DeleteFunc(t.tools, func(_ string, b *boundTool) bool { return mayNot(b.user) })
	if t.run == nil {
		return
	}
	for _, a := range t.run.asks {
		if a.kind == askTool && a.call.owner != nil && mayNot(a.call.owner.Caller().User) {
			t.orphanCall(a)
		}
	}
}

// noTools forgets the tools of a thread that has ended. t.mu is held.
func (t *Thread) noTools() {
	t.tools = nil
	t.m.tools.forget(t)
}

// bound reports whether a client that is there offers tools to the thread. t.mu is held.
func (t *Thread) bound() bool {
	for _, b := range t.tools {
		if b.peer != nil {
			return true
		}
	}
	return false
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
		if b.peer == nil && b.offeredBy(c) {
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
		if t.mustResend(a, p) {
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
		return milliseconds(*ms)
	}
	return 30 * time.Second
}
