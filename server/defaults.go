package server

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/spoolhq/spool/protocol"
)

// The defaults of a connection stand in for what its requests leave out:
//
//   - agent: where a thread is started, and where a method needs an agent;
//   - threadId: where a method needs one;
//   - config: where a thread is started, and in turns on the default thread, as a client
//     that is bound to a thread never starts it.

// mergeDefaults puts over on top of base.
func mergeDefaults(base, over protocol.Defaults) protocol.Defaults {
	if over.Agent != "" {
		base.Agent = over.Agent
	}
	if over.ThreadID != "" {
		base.ThreadID = over.ThreadID
	}
	if over.Config != nil {
		base.Config = over.Config
	}
	return base
}

// fillIn says which defaults the params of a method take.
type fillIn struct {
	agent, thread bool
	config        bool
	turn          bool // config only together with the default thread
}

var (
	startType = reflect.TypeFor[protocol.ThreadStartParams]()
	turnTypes = map[reflect.Type]bool{reflect.TypeFor[protocol.TurnRunParams](): true, reflect.TypeFor[protocol.TurnInput](): true}
)

func fillInOf(params reflect.Type) fillIn {
	start, turn := params == startType, turnTypes[params]
	return fillIn{
		agent: start || needs(params, "Agent"), thread: needs(params, "ThreadID"),
		config: start || turn, turn: turn,
	}
}

// needs reports whether params have this field and it is required.
func needs(params reflect.Type, name string) bool {
	f, ok := params.FieldByName(name)
	return ok && !strings.Contains(f.Tag.Get("json"), ",omit")
}

// apply returns params with what they leave out. Params that are no object are left for
// the decoder to refuse.
func (f fillIn) apply(params json.RawMessage, d protocol.Defaults) json.RawMessage {
	if d.Agent == "" && d.ThreadID == "" && d.Config == nil {
		return params
	}
	if len(params) == 0 {
		params = json.RawMessage("{}")
	}
	if f.agent && d.Agent != "" {
		params = setDefault(params, "agent", d.Agent)
	}
	if f.thread && d.ThreadID != "" {
		params = setDefault(params, "threadId", d.ThreadID)
	}
	if f.config && d.Config != nil && (!f.turn || onThread(params, d.ThreadID)) {
		params = setDefault(params, "config", d.Config)
	}
	return params
}

func onThread(params json.RawMessage, id string) bool {
	var got string
	return id != "" && json.Unmarshal(protocol.Member(params, "threadId"), &got) == nil && got == id
}

// setDefault adds a member to an object that has none of that name.
func setDefault(object json.RawMessage, name string, value any) json.RawMessage {
	if object[0] != '{' || protocol.Member(object, name) != nil {
		return object
	}
	v, err := protocol.Marshal(value)
	if err != nil {
		return object // it was made from JSON
	}
	out := make([]byte, 0, len(object)+len(name)+len(v)+5)
	out = append(append(append(append(out, `{"`...), name...), `":`...), v...)
	if rest := skipSpace(object[1:]); rest[0] != '}' {
		out = append(out, ',')
	}
	return append(out, object[1:]...)
}

func skipSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}
