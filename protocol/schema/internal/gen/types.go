package gen

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/invopop/jsonschema"

	"github.com/spoolhq/spool/protocol"
)

const defsPrefix = "#/$defs/"

// types holds the schema of every type of the contract, by name.
type types struct {
	notes *notes
	defs  map[string]*jsonschema.Schema
	// sent are the types that clients send, told those that the daemon sends. What is in
	// sent only refuses unknown members; a type in both is open, and closed where a sent
	// type refers to it.
	sent, told map[string]bool
}

func newTypes(n *notes) (*types, error) {
	ts := &types{notes: n, defs: map[string]*jsonschema.Schema{}, sent: map[string]bool{}, told: map[string]bool{}}
	for _, t := range sentTypes() {
		ts.add(t, ts.sent)
	}
	for _, t := range toldTypes() {
		ts.add(t, ts.told)
	}
	ts.addParts()
	ts.addItems()
	ts.addInput()
	if err := ts.override(); err != nil {
		return nil, err
	}
	if err := ts.close(); err != nil {
		return nil, err
	}
	ts.addMessages()
	return ts, nil
}

// sentTypes lists what clients send.
func sentTypes() []reflect.Type {
	list := []reflect.Type{reflect.TypeFor[protocol.Config]()}
	for _, r := range protocol.ClientRequests() {
		list = append(list, r.Params)
	}
	for _, r := range protocol.ServerRequests() {
		list = append(list, r.Result)
	}
	for _, n := range protocol.ClientNotifications() {
		list = append(list, n.Params)
	}
	return list
}

// toldTypes lists what the daemon sends.
func toldTypes() []reflect.Type {
	list := []reflect.Type{reflect.TypeFor[protocol.Error]()}
	for _, r := range protocol.ClientRequests() {
		list = append(list, r.Result)
	}
	for _, r := range protocol.ServerRequests() {
		list = append(list, r.Params)
	}
	for _, n := range protocol.ServerNotifications() {
		list = append(list, n.Params)
	}
	return list
}

// add makes the schema of t and of all that it refers to, and puts their names in set.
func (ts *types) add(t reflect.Type, set map[string]bool) {
	r := ts.reflector()
	for name, def := range r.ReflectFromType(t).Definitions {
		ts.defs[name] = def
		set[name] = true
	}
}

func (ts *types) reflector() *jsonschema.Reflector {
	return &jsonschema.Reflector{
		Anonymous:                 true,
		AllowAdditionalProperties: true,
		CommentMap:                ts.notes.fields,
		Mapper:                    ts.mapped,
	}
}

// mapped gives the schema of types whose form on the wire is not that of the Go type.
func (ts *types) mapped(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[json.RawMessage]():
		return &jsonschema.Schema{}
	case reflect.TypeFor[protocol.Object]():
		return &jsonschema.Schema{Type: "object"}
	case reflect.TypeFor[protocol.Time]():
		ts.defs["Time"] = &jsonschema.Schema{Type: "string", Format: "date-time", Description: ts.notes.of(t, "")}
		return ref("Time")
	case reflect.TypeFor[protocol.Input](), reflect.TypeFor[protocol.Part](), reflect.TypeFor[protocol.Item]():
		return ref(t.Name())
	}
	if values := enumValues(t); values != nil {
		ts.defs[t.Name()] = enum(values, ts.notes.of(t, ""))
		return ref(t.Name())
	}
	if t.Kind() == reflect.Uint64 {
		return &jsonschema.Schema{Type: "integer", Minimum: "0"}
	}
	return nil
}

// enumValues returns the values of an enum type, nil for any other.
func enumValues(t reflect.Type) []string {
	if t.Kind() != reflect.String {
		return nil
	}
	if e, ok := reflect.Zero(t).Interface().(protocol.Enum); ok {
		return e.Values()
	}
	return nil
}

func enum(values []string, description string) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string", Description: description}
	for _, v := range values {
		s.Enum = append(s.Enum, v)
	}
	return s
}

func ref(name string) *jsonschema.Schema { return &jsonschema.Schema{Ref: defsPrefix + name} }

func listOf(s *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "array", Items: s}
}

// names returns the names of all types, in order.
func (ts *types) names() []string { return slices.Sorted(maps.Keys(ts.defs)) }

// narrower says more of a member than its Go type does.
type narrower struct {
	text   string // in the tables
	schema func() *jsonschema.Schema
}

func anObject() *jsonschema.Schema { return &jsonschema.Schema{Type: "object"} }
func objects() *jsonschema.Schema  { return listOf(anObject()) }
func newItems() *jsonschema.Schema { return listOf(ref("NewItem")) }

// overrides lists the members that the Go type leaves open, by type and member.
var overrides = map[[2]string]narrower{
	{"ThreadItemsAppendParams", "items"}:        {"NewItem[]", newItems},
	{"ThreadItemsReplaceParams", "items"}:       {"NewItem[]", newItems},
	{"ThreadMetadataUpdateParams", "metadata"}:  {"patch", anObject},
	{"ThreadConfigUpdateParams", "config"}:      {"patch", anObject},
	{"ThreadItemsUpdateParams", "patch"}:        {"patch", anObject},
	{"ConnectionUpdateParams", "metadataPatch"}: {"patch", anObject},
	{"ThreadImportParams", "events"}:            {"object[]", objects},
	{"ThreadExportResult", "events"}:            {"object[]", objects},
	{"CancelRequestParams", "id"}:               {"string|int", func() *jsonschema.Schema { return ref("RequestId") }},
}

// override puts overrides and what they refer to into the types.
func (ts *types) override() error {
	ts.defs["RequestId"] = &jsonschema.Schema{
		Description: "The id of a request; it is echoed with type and value.",
		AnyOf:       []*jsonschema.Schema{{Type: "string"}, {Type: "integer"}},
	}
	for member, o := range overrides {
		old, ok := ts.defs[member[0]].Properties.Get(member[1])
		if !ok {
			return fmt.Errorf("%s has no member %s to override", member[0], member[1])
		}
		schema := o.schema()
		schema.Description = old.Description
		ts.defs[member[0]].Properties.Set(member[1], schema)
	}
	return nil
}
