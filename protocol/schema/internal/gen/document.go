package gen

import (
	"reflect"

	"github.com/invopop/jsonschema"

	"github.com/spoolhq/spool/protocol"
)

const schemaID = "https://github.com/spoolhq/spool/protocol/schema/spool.schema.json"

// document is the JSON Schema: a message of either side, all types, and where to find
// the params and results of each name.
func (ts *types) document() *jsonschema.Schema {
	return &jsonschema.Schema{
		Version:     jsonschema.Version,
		ID:          schemaID,
		Title:       "Spool wire protocol, version " + protocol.Version,
		Description: "One message of either side. The types are in $defs; params and results by method in x-requests, x-serverRequests, x-notifications and x-clientNotifications.",
		AnyOf: []*jsonschema.Schema{
			ref("ClientRequest"), ref("ClientNotification"), ref("ServerRequest"), ref("ServerNotification"), ref("Response"),
		},
		Definitions: ts.defs,
		Extras: map[string]any{
			"x-requests":            ts.calls(protocol.ClientRequests(), true),
			"x-serverRequests":      ts.calls(protocol.ServerRequests(), false),
			"x-notifications":       ts.news(protocol.ServerNotifications(), false),
			"x-clientNotifications": ts.news(protocol.ClientNotifications(), true),
		},
	}
}

type call struct {
	Params *jsonschema.Schema `json:"params"`
	Result *jsonschema.Schema `json:"result,omitempty"`
}

// calls gives the params and result of each request. fromClient says who sends it.
func (ts *types) calls(requests []protocol.RequestInfo, fromClient bool) map[string]call {
	m := map[string]call{}
	for _, r := range requests {
		m[r.Name] = call{ts.typeRef(r.Params, fromClient), ts.typeRef(r.Result, !fromClient)}
	}
	return m
}

func (ts *types) news(notifications []protocol.NotificationInfo, fromClient bool) map[string]call {
	m := map[string]call{}
	for _, n := range notifications {
		m[n.Name] = call{Params: ts.typeRef(n.Params, fromClient)}
	}
	return m
}

// typeRef refers to a type, closed where a client sends it.
func (ts *types) typeRef(t reflect.Type, fromClient bool) *jsonschema.Schema {
	s := ref(t.Name())
	if fromClient && ts.told[t.Name()] {
		s.Extras = map[string]any{"unevaluatedProperties": false}
	}
	return s
}

// addMessages makes the types of whole messages.
func (ts *types) addMessages() {
	requests := func(list []protocol.RequestInfo, fromClient bool, description string) *jsonschema.Schema {
		s := &jsonschema.Schema{Description: description}
		for _, r := range list {
			s.OneOf = append(s.OneOf, ts.message(r.Name, r.Doc, r.Params, fromClient, true))
		}
		return s
	}
	notifications := func(list []protocol.NotificationInfo, fromClient bool, description string) *jsonschema.Schema {
		s := &jsonschema.Schema{Description: description}
		for _, n := range list {
			s.OneOf = append(s.OneOf, ts.message(n.Name, n.Doc, n.Params, fromClient, false))
		}
		return s
	}
	ts.defs["ClientRequest"] = requests(protocol.ClientRequests(), true, "A request of a client.")
	ts.defs["ServerRequest"] = requests(protocol.ServerRequests(), false, "A request of the daemon.")
	ts.defs["ClientNotification"] = notifications(protocol.ClientNotifications(), true, "A notification of a client.")
	ts.defs["ServerNotification"] = notifications(protocol.ServerNotifications(), false, "A notification of the daemon.")
	ts.defs["Response"] = response()
}

func (ts *types) message(name, doc string, params reflect.Type, fromClient, request bool) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", Description: doc, Properties: jsonschema.NewProperties()}
	s.Properties.Set("jsonrpc", &jsonschema.Schema{Const: "2.0"})
	if request {
		s.Properties.Set("id", ref("RequestId"))
		s.Required = append(s.Required, "id")
	} else {
		s.Properties.Set("id", jsonschema.FalseSchema)
	}
	s.Properties.Set("method", &jsonschema.Schema{Const: name})
	s.Properties.Set("params", ts.typeRef(params, fromClient))
	s.Required = append(s.Required, "method")
	if !fromClient || len(ts.defs[params.Name()].Required) > 0 {
		s.Required = append(s.Required, "params")
	}
	return s
}

func response() *jsonschema.Schema {
	s := &jsonschema.Schema{
		Type:        "object",
		Description: "The answer to a request: a result, whose type is up to the method, or an error. The id is null where it could not be read.",
		Properties:  jsonschema.NewProperties(),
		Required:    []string{"id"},
		OneOf:       []*jsonschema.Schema{{Required: []string{"result"}}, {Required: []string{"error"}}},
	}
	s.Properties.Set("jsonrpc", &jsonschema.Schema{Const: "2.0"})
	s.Properties.Set("id", &jsonschema.Schema{AnyOf: []*jsonschema.Schema{ref("RequestId"), {Type: "null"}}})
	s.Properties.Set("method", jsonschema.FalseSchema)
	s.Properties.Set("result", &jsonschema.Schema{Type: "object"})
	s.Properties.Set("error", ref("Error"))
	return s
}
