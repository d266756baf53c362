package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/protocol/schema"
)

// schemas compiles parts of the JSON Schema by their place in it.
type schemas struct {
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
	err      error
}

var compileOnce = sync.OnceValue(func() *schemas {
	s := &schemas{compiler: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{}}
	s.compiler.AssertFormat()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema.JSONSchema()))
	if err == nil {
		err = s.compiler.AddResource("spool.json", doc)
	}
	s.err = err
	return s
})

// newSchemas returns the schemas that all tests share; they run one after another.
func newSchemas(t *testing.T) *schemas {
	t.Helper()
	s := compileOnce()
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s
}

// at returns the schema at a JSON pointer, empty for a whole message.
func (s *schemas) at(t *testing.T, pointer ...string) *jsonschema.Schema {
	t.Helper()
	at := ""
	for _, p := range pointer {
		at += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p)
	}
	if s.compiled[at] == nil {
		compiled, err := s.compiler.Compile("spool.json#" + strings.ReplaceAll(at, "$", "%24"))
		if err != nil {
			t.Fatal(err)
		}
		s.compiled[at] = compiled
	}
	return s.compiled[at]
}

func validate(s *jsonschema.Schema, raw []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := protocol.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// defs reads the types of the schema.
func defs(t *testing.T) map[string]json.RawMessage {
	t.Helper()
	var doc struct {
		Defs map[string]json.RawMessage `json:"$defs"`
	}
	if err := json.Unmarshal(schema.JSONSchema(), &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Defs
}

func TestSchemaCompiles(t *testing.T) {
	s := newSchemas(t)
	s.at(t)
	for name, def := range defs(t) {
		s.at(t, "$defs", name)
		if !strings.HasSuffix(name, "Part") && !strings.HasSuffix(name, "Item") && protocol.Member(def, "description") == nil {
			t.Errorf("%s has no description", name)
		}
	}
}

// frames gives whole messages of every kind, full and bare.
func frames(t *testing.T) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, full := range []bool{true, false} {
		add := func(def, name string, id string, params reflect.Type) {
			frame := fmt.Sprintf(`{"jsonrpc":"2.0",%s"method":%q,"params":%s}`, id, name, encode(t, sample(t, params, full).Interface()))
			out[fmt.Sprint(def, " ", name, " ", full)] = []byte(frame)
		}
		for _, r := range protocol.ClientRequests() {
			add("ClientRequest", r.Name, `"id":1,`, r.Params)
		}
		for _, r := range protocol.ServerRequests() {
			add("ServerRequest", r.Name, `"id":"a",`, r.Params)
		}
		for _, n := range protocol.ClientNotifications() {
			add("ClientNotification", n.Name, "", n.Params)
		}
		for _, n := range protocol.ServerNotifications() {
			add("ServerNotification", n.Name, "", n.Params)
		}
	}
	return out
}

func TestFramesAreValid(t *testing.T) {
	s := newSchemas(t)
	for name, frame := range frames(t) {
		frame = narrow(frame, name)
		def, _, _ := strings.Cut(name, " ")
		if err := validate(s.at(t, "$defs", def), frame); err != nil {
			t.Errorf("%s: %s\n%v", name, frame, err)
		}
		if err := validate(s.at(t), frame); err != nil {
			t.Errorf("%s: as any message: %v", name, err)
		}
	}
}

// narrow gives members that are any JSON in Go, but not on the wire, a form of the wire:
// the items of thread/items/append and replace and the id of $/cancelRequest.
func narrow(raw []byte, name string) []byte {
	if strings.Contains(name, "thread/items/") {
		raw = bytes.ReplaceAll(raw, []byte(`"items":[`+anyJSON+`]`), []byte(`"items":[{"type":"reasoning","text":"a"}]`))
	}
	if strings.Contains(name, "$/cancelRequest") {
		raw = bytes.ReplaceAll(raw, []byte(`"id":`+anyJSON), []byte(`"id":7`))
	}
	return raw
}

func TestResultsAreValid(t *testing.T) {
	s := newSchemas(t)
	for where, list := range map[string][]protocol.RequestInfo{"x-requests": protocol.ClientRequests(), "x-serverRequests": protocol.ServerRequests()} {
		for _, r := range list {
			for _, full := range []bool{true, false} {
				result := sample(t, r.Result, full).Interface()
				if err := validate(s.at(t, where, r.Name, "result"), encode(t, result)); err != nil {
					t.Errorf("%s, full %v: %v", r.Name, full, err)
				}
				frame, err := protocol.EncodeResult(protocol.RawID("1"), result)
				if err != nil {
					t.Fatal(err)
				}
				if err := validate(s.at(t), frame); err != nil {
					t.Errorf("%s: %v", frame, err)
				}
			}
		}
	}
}

func TestZeroValuesAreValidWhereEnumsAllow(t *testing.T) {
	s := newSchemas(t)
	for _, name := range []string{"ThreadListResult", "QueueListResult", "QueueUpdatedEvent", "ThreadUpdatedEvent", "ToolRegisterResult", "AgentListResult", "AgentInfo", "ToolResult"} {
		types := map[string]any{
			"ThreadListResult": protocol.ThreadListResult{}, "QueueListResult": protocol.QueueListResult{}, "QueueUpdatedEvent": protocol.QueueUpdatedEvent{},
			"ThreadUpdatedEvent": protocol.ThreadUpdatedEvent{Thread: protocol.Thread{ThreadHeader: protocol.ThreadHeader{Status: protocol.StatusActive}}}, "ToolRegisterResult": protocol.ToolRegisterResult{},
			"AgentListResult": protocol.AgentListResult{}, "AgentInfo": protocol.AgentInfo{}, "ToolResult": protocol.ToolResult{},
		}
		if err := validate(s.at(t, "$defs", name), encode(t, types[name])); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErrorsAreValid(t *testing.T) {
	s := newSchemas(t)
	full := sample(t, reflect.TypeFor[protocol.ErrorData](), true).Interface().(protocol.ErrorData)
	for code := range protocol.ErrorNames {
		for _, err := range []error{protocol.Errorf(code, "what happened"), &protocol.Error{Code: code, Message: "m", Data: full}} {
			if verr := validate(s.at(t, "$defs", "Response"), protocol.EncodeError(nil, err)); verr != nil {
				t.Errorf("%d: %v", code, verr)
			}
		}
	}
	for _, bad := range []string{`{"id":1}`, `{"id":1,"result":{},"error":{"code":1,"message":"m","data":{"name":"n"}}}`, `{"result":{}}`, `{"id":1,"error":{"code":1}}`} {
		if validate(s.at(t, "$defs", "Response"), []byte(bad)) == nil {
			t.Errorf("%s is valid", bad)
		}
	}
}

func TestItemsOfEveryType(t *testing.T) {
	s := newSchemas(t)
	for _, name := range protocol.ItemNotice.Values() {
		for _, full := range []bool{true, false} {
			raw := encode(t, item(t, protocol.ItemType(name), full))
			if err := validate(s.at(t, "$defs", "Item"), raw); err != nil {
				t.Errorf("%s: %v", raw, err)
			}
			newer := append(bytes.TrimSuffix(raw, []byte("}")), `,"new":1}`...)
			if err := validate(s.at(t, "$defs", "Item"), newer); err != nil {
				t.Errorf("a field of a newer version: %v", err)
			}
		}
		for _, field := range protocol.ItemType(name).RequiredFields() {
			var members map[string]json.RawMessage
			_ = json.Unmarshal(encode(t, item(t, protocol.ItemType(name), true)), &members)
			delete(members, field)
			if validate(s.at(t, "$defs", "Item"), encode(t, members)) == nil {
				t.Errorf("%s is valid without %s", name, field)
			}
		}
	}
}

// What the schema calls a NewItem, the decoder of items accepts, and the other way round.
func TestNewItems(t *testing.T) {
	s := newSchemas(t)
	agree := func(raw string, want bool) {
		t.Helper()
		derr := protocol.DecodeItem([]byte(raw), "items[0]", new(protocol.Item))
		verr := validate(s.at(t, "$defs", "NewItem"), []byte(raw))
		if (derr == nil) != want || (verr == nil) != want {
			t.Errorf("%s: the decoder says %v, the schema says %v, want accepted %v", raw, derr, verr, want)
		}
	}
	for _, name := range protocol.ItemNotice.Values() {
		full := string(encode(t, item(t, protocol.ItemType(name), true)))
		agree(full, true)
		agree(fmt.Sprintf(`{"type":%q}`, name), true)
		agree(fmt.Sprintf(`{"type":%q,"other":1}`, name), false)
		agree(fmt.Sprintf(`{"type":%q,"status":"over"}`, name), false)
		agree(fmt.Sprintf(`{"type":%q,"createdAt":5}`, name), false)
	}
	agree(`{"type":"hologram"}`, false)
	agree(`{}`, false)
	agree(`{"type":"reasoning","tool":"x"}`, false)
	agree(`{"type":"userMessage","content":[{"type":"text"}]}`, false)
	agree(`{"type":"userMessage","content":[{"type":"text","text":"a","other":1}]}`, false)
	agree(`{"type":"userMessage","content":"a"}`, false)
	agree(`{"type":"custom","content":"a"}`, true)
}

func TestInputForms(t *testing.T) {
	s := newSchemas(t)
	for _, r := range protocol.ClientRequests() {
		if r.Name != protocol.MethodTurnStart.Name {
			continue
		}
		for _, input := range []string{
			`"text"`, `""`, `[]`, `{"type":"text","text":""}`, `[{"type":"image","url":"u"}]`, `{"role":"user","parts":[]}`,
			`[{"role":"assistant","parts":[{"type":"data","data":null}]},{"role":"user","parts":[]}]`,
			`5`, `null`, `{}`, `[null]`, `["a"]`, `[[]]`, `{"type":"video"}`, `{"type":"text"}`, `{"type":"text","text":"a","url":"u"}`,
			`{"type":"image","url":"u","data":"AA=="}`, `{"type":"image"}`, `{"type":"image","url":""}`, `{"type":"mention","name":""}`,
			`{"type":"file","data":5}`, `{"type":"custom","kind":"k"}`, `{"role":"user"}`, `{"role":"system","parts":[]}`,
			`{"role":"user","parts":[],"other":1}`, `[{"type":"text","text":"a"},{"role":"user","parts":[]}]`,
			`[{"role":"user","parts":[{"type":"text","text":"a","other":1}]}]`,
		} {
			agree(t, s, r, []byte(`{"threadId":"thr_1","input":`+input+`}`))
		}
	}
}

// What the daemon says may have members that this version does not know.
func TestEventsAreOpen(t *testing.T) {
	s := newSchemas(t)
	for _, n := range protocol.ServerNotifications() {
		if n.Name == protocol.EventCancelRequest.Name {
			continue
		}
		raw := encode(t, sample(t, n.Params, true).Interface())
		var v any
		_ = json.Unmarshal(raw, &v)
		if err := validate(s.at(t, "x-notifications", n.Name, "params"), encode(t, withNews(v))); err != nil {
			t.Errorf("%s: %v", n.Name, err)
		}
	}
}

// withNews adds a member to every object.
func withNews(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = withNews(value)
		}
		v["newer"] = 1
	case []any:
		for i := range v {
			v[i] = withNews(v[i])
		}
	}
	return v
}

// narrowed are the members that the schema describes more narrowly than the decoder,
// which leaves them to the code behind it.
var narrowed = []string{"items", "metadata", "config", "patch", "metadataPatch", "events", "id"}

// The schema of params and the strict decoder agree, whatever is done to params.
func TestSchemaAgreesWithDecoder(t *testing.T) {
	s := newSchemas(t)
	m := mutator{}
	for _, r := range protocol.ClientRequests() {
		raw := narrow(encode(t, sample(t, r.Params, true).Interface()), r.Name)
		agree(t, s, r, raw)
		var v any
		_ = json.Unmarshal(raw, &v)
		m.mutate(r.Params.Name(), v, func(changed any) { agree(t, s, r, encode(t, changed)) })
	}
}

func agree(t *testing.T, s *schemas, r protocol.RequestInfo, raw []byte) {
	t.Helper()
	derr := protocol.Decode(raw, reflect.New(r.Params).Interface())
	verr := validate(s.at(t, "x-requests", r.Name, "params"), raw)
	if derr == nil && verr != nil && onlyNarrowed(r, raw) {
		return
	}
	if (derr == nil) != (verr == nil) {
		t.Errorf("%s: %s\nthe decoder says %v\nthe schema says %v", r.Name, raw, derr, verr)
	}
}

// onlyNarrowed reports whether raw has a member that the schema may refuse alone.
func onlyNarrowed(r protocol.RequestInfo, raw []byte) bool {
	for i := range r.Params.NumField() {
		f := r.Params.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		isRaw := f.Type == reflect.TypeFor[json.RawMessage]() || f.Type == reflect.TypeFor[[]json.RawMessage]()
		if isRaw && slices.Contains(narrowed, name) && protocol.Member(raw, name) != nil {
			return true
		}
	}
	return false
}

// mutator changes one thing at a time, at every level. What has the same name and value
// as something before is of the same type, and is not changed again.
type mutator map[string]bool

func (m mutator) mutate(name string, v any, emit func(any)) {
	raw, _ := json.Marshal(v)
	id := name + " " + string(raw)
	if m[id] {
		return
	}
	m[id] = true
	for _, other := range []any{nil, true, -1.5, "", []any{nil}, map[string]any{"other": 1}} {
		emit(other)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			without := maps.Clone(v)
			delete(without, key)
			emit(without)
			with := maps.Clone(v)
			m.mutate(key, v[key], func(changed any) {
				with[key] = changed
				emit(with)
			})
		}
		more := maps.Clone(v)
		more["other"] = "x"
		emit(more)
	case []any:
		for i := range v {
			with := slices.Clone(v)
			m.mutate(name+"[]", v[i], func(changed any) {
				with[i] = changed
				emit(with)
			})
		}
	}
}

func TestOpenRPC(t *testing.T) {
	var doc struct {
		OpenRPC string
		Methods []struct {
			Name      string
			Params    []struct{ Name string }
			Errors    []map[string]string `json:"errors"`
			Scope     string              `json:"x-scope"`
			Order     string              `json:"x-order"`
			Mutating  bool                `json:"x-mutating"`
			Structure string              `json:"paramStructure"`
		}
		ServerRequests []struct{ Name string } `json:"x-server-requests"`
		Notifications  []struct {
			Name          string
			Durable, List bool
		} `json:"x-notifications"`
		Components struct{ Schemas, Errors map[string]json.RawMessage } `json:"components"`
	}
	if err := json.Unmarshal(schema.OpenRPC(), &doc); err != nil {
		t.Fatal(err)
	}
	requests := protocol.ClientRequests()
	if !strings.HasPrefix(doc.OpenRPC, "1.3") || len(doc.Methods) != len(requests) || len(doc.ServerRequests) != len(protocol.ServerRequests()) ||
		len(doc.Components.Errors) != len(protocol.ErrorNames) || len(doc.Components.Schemas) != len(defs(t)) {
		t.Errorf("version %s, %d methods, %d errors", doc.OpenRPC, len(doc.Methods), len(doc.Components.Errors))
	}
	for i, m := range doc.Methods {
		r := requests[i]
		if m.Name != r.Name || m.Mutating != r.Mutating || m.Order == "" || m.Scope == "" || m.Structure != "by-name" || len(m.Errors) < 5 {
			t.Errorf("%+v", m)
		}
	}
	for i, n := range doc.Notifications {
		want := protocol.ServerNotifications()[i]
		if n.Name != want.Name || n.Durable != want.Durable || n.List != want.List {
			t.Errorf("%+v, want %+v", n, want)
		}
	}
	checkRefs(t, schema.OpenRPC(), doc.Components.Schemas, doc.Components.Errors)
}

// checkRefs finds references that lead nowhere.
func checkRefs(t *testing.T, document []byte, schemas, errors map[string]json.RawMessage) {
	t.Helper()
	for _, piece := range bytes.Split(document, []byte(`"$ref": "`))[1:] {
		target, _, _ := strings.Cut(string(piece[:min(200, len(piece))]), `"`)
		name, isSchema := strings.CutPrefix(target, "#/components/schemas/")
		code, isError := strings.CutPrefix(target, "#/components/errors/")
		if !(isSchema && schemas[name] != nil) && !(isError && errors[code] != nil) {
			t.Errorf("%s leads nowhere", target)
		}
	}
}
