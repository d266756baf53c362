package gen

import (
	"bytes"
	"cmp"
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/spoolhq/spool/protocol"
)

// The parts of an OpenRPC document that we use, with extensions of our own.
type (
	rpcDocument struct {
		OpenRPC             string            `json:"openrpc"`
		Info                rpcInfo           `json:"info"`
		Servers             []rpcServer       `json:"servers"`
		Methods             []rpcMethod       `json:"methods"`
		ServerRequests      []rpcCall         `json:"x-server-requests"`
		Notifications       []rpcNotification `json:"x-notifications"`
		ClientNotifications []rpcNotification `json:"x-client-notifications"`
		Components          rpcComponents     `json:"components"`
	}
	rpcInfo struct {
		Title       string     `json:"title"`
		Version     string     `json:"version"`
		Description string     `json:"description"`
		License     rpcLicense `json:"license"`
	}
	rpcLicense struct {
		Name string `json:"name"`
	}
	rpcServer struct {
		Name string `json:"name"`
		URL  string `json:"url"`
	}
	rpcMethod struct {
		Name           string          `json:"name"`
		Summary        string          `json:"summary"`
		Tags           []rpcTag        `json:"tags"`
		ParamStructure string          `json:"paramStructure"`
		Params         []rpcDescriptor `json:"params"`
		Result         rpcDescriptor   `json:"result"`
		Errors         []rpcRef        `json:"errors"`
		Order          string          `json:"x-order"`
		Scope          string          `json:"x-scope"`
		Mutating       bool            `json:"x-mutating"`
	}
	rpcTag struct {
		Name string `json:"name"`
	}
	rpcDescriptor struct {
		Name     string             `json:"name"`
		Summary  string             `json:"summary,omitempty"`
		Required bool               `json:"required,omitempty"`
		Schema   *jsonschema.Schema `json:"schema"`
	}
	rpcCall struct {
		Name    string             `json:"name"`
		Summary string             `json:"summary"`
		Params  *jsonschema.Schema `json:"params"`
		Result  *jsonschema.Schema `json:"result"`
	}
	rpcNotification struct {
		Name    string             `json:"name"`
		Summary string             `json:"summary"`
		Params  *jsonschema.Schema `json:"params"`
		Durable bool               `json:"durable"`
		List    bool               `json:"list"`
	}
	rpcComponents struct {
		Schemas map[string]*jsonschema.Schema `json:"schemas"`
		Errors  map[string]rpcError           `json:"errors"`
	}
	rpcError struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	rpcRef struct {
		Ref string `json:"$ref"`
	}
)

func (ts *types) openRPC() ([]byte, error) {
	doc := rpcDocument{
		OpenRPC: "1.3.2",
		Info: rpcInfo{
			Title:       "Spool",
			Version:     protocol.Version,
			Description: "The requests of a client. Requests of the daemon are under x-server-requests, notifications under x-notifications and x-client-notifications.",
			License:     rpcLicense{"Apache-2.0"},
		},
		Servers: []rpcServer{{"local", "ws://127.0.0.1:7717/ws"}},
		Components: rpcComponents{
			Schemas: ts.defs,
			Errors:  map[string]rpcError{},
		},
		Notifications:       ts.rpcNotifications(protocol.ServerNotifications(), false),
		ClientNotifications: ts.rpcNotifications(protocol.ClientNotifications(), true),
	}
	for code, name := range protocol.ErrorNames {
		doc.Components.Errors[name] = rpcError{code, name + ": " + ts.notes.codes[name]}
	}
	for _, r := range protocol.ClientRequests() {
		doc.Methods = append(doc.Methods, ts.rpcMethod(r))
	}
	for _, r := range protocol.ServerRequests() {
		doc.ServerRequests = append(doc.ServerRequests, rpcCall{r.Name, r.Doc, ts.typeRef(r.Params, false), ts.typeRef(r.Result, true)})
	}
	out, err := indent(doc)
	return bytes.ReplaceAll(out, []byte(`"`+defsPrefix), []byte(`"#/components/schemas/`)), err
}

func (ts *types) rpcMethod(r protocol.RequestInfo) rpcMethod {
	noun, _, _ := strings.Cut(r.Name, "/")
	m := rpcMethod{
		Name: r.Name, Summary: r.Doc, Tags: []rpcTag{{noun}}, ParamStructure: "by-name",
		Params: []rpcDescriptor{}, Order: orderName(r.Order), Scope: scopeName(r.Scope), Mutating: r.Mutating,
		Result: rpcDescriptor{Name: r.Result.Name(), Schema: ts.typeRef(r.Result, false)},
	}
	def := ts.defs[r.Params.Name()]
	for p := def.Properties.Oldest(); p != nil; p = p.Next() {
		schema := *p.Value
		schema.Description = ""
		m.Params = append(m.Params, rpcDescriptor{p.Key, p.Value.Description, slices.Contains(def.Required, p.Key), &schema})
	}
	for _, code := range errorsOf(r) {
		m.Errors = append(m.Errors, rpcRef{"#/components/errors/" + protocol.ErrorNames[code]})
	}
	return m
}

func (ts *types) rpcNotifications(list []protocol.NotificationInfo, fromClient bool) []rpcNotification {
	var out []rpcNotification
	for _, n := range list {
		out = append(out, rpcNotification{n.Name, n.Doc, ts.typeRef(n.Params, fromClient), n.Durable, n.List})
	}
	return out
}

func orderName(o protocol.Order) string {
	return map[protocol.Order]string{protocol.OrderNow: "now", protocol.OrderInOrder: "inOrder", protocol.OrderFree: "free"}[o]
}

func scopeName(s protocol.Scope) string { return cmp.Or(string(s), "none") }

// memberNames returns the names of the members of a params type.
func memberNames(t reflect.Type) map[string]bool {
	names := map[string]bool{}
	for _, f := range members(t) {
		names[f.name] = true
	}
	return names
}
