package turn

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spoolhq/spool/protocol"
)

func object(t testing.TB, text string) protocol.Object {
	t.Helper()
	var o protocol.Object
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func prepared(t testing.TB, schema json.RawMessage) *Spec {
	t.Helper()
	s := &Spec{Name: "test", Kind: "test", Schema: schema, Agent: returns(nil)}
	if err := s.Prepare(); err != nil {
		t.Fatal(err)
	}
	return s
}

// The schema names exactly the keys of protocol.Config.
func TestConfigSchemaHasAllKeys(t *testing.T) {
	type node struct {
		Properties map[string]struct {
			Description string          `json:"description"`
			Enum        []string        `json:"enum"`
			Default     json.RawMessage `json:"default"`
		} `json:"properties"`
		AdditionalProperties *bool `json:"additionalProperties"`
	}
	var schema node
	if err := json.Unmarshal(ConfigSchema(""), &schema); err != nil {
		t.Fatal(err)
	}
	if schema.AdditionalProperties == nil || *schema.AdditionalProperties {
		t.Error("the schema takes unknown keys")
	}
	var want []string
	for f := range reflect.TypeFor[protocol.Config]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		want = append(want, name)
		p := schema.Properties[name]
		if p.Description == "" {
			t.Errorf("%s has no description", name)
		}
		if e, ok := reflect.Zero(f.Type).Interface().(protocol.Enum); ok {
			if diff := cmp.Diff(e.Values(), p.Enum); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			if string(p.Default) != `"`+e.Values()[0]+`"` {
				t.Errorf("%s: the default is %s", name, p.Default)
			}
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(schema.Properties))); diff != "" {
		t.Error(diff)
	}
}

func TestCheckConfig(t *testing.T) {
	narrow := ConfigSchema(`{"properties":{
		"temperature":{"maximum":1},
		"model":{"enum":["small","large"]},
		"streamFormat":null,
		"provider":false,
		"instructions":{"maxLength":5},
		"extraInstructions":{"pattern":"^a"},
		"extra":{"required":["seed"],"properties":{"seed":{"type":"integer","exclusiveMinimum":0},"top":{"maximum":9},"low":{"minimum":2}},"additionalProperties":false}
	}}`)
	s := prepared(t, narrow)
	tests := []struct {
		config, field, message string
	}{
		{`{}`, "", ""},
		{`{"temperature":1,"model":"small","extra":{"seed":7},"modes":[{"id":"m","tools":["x"]}],"history":{"maxTurns":3}}`, "", ""},
		{`{"temperature":1.5}`, "temperature", "temperature must be between 0 and 1"},
		{`{"temperature":-1}`, "temperature", "temperature must be between 0 and 2"},
		{`{"temperature":"hot"}`, "temperature", "temperature must be a number"},
		{`{"temprature":1}`, "temprature", "temprature is not a known field"},
		{`{"streamFormat":"x"}`, "streamFormat", "streamFormat is not a known key"},
		{`{"provider":"x"}`, "provider", "provider is not a known key"},
		{`{"model":"huge"}`, "model", "model must be one of small, large"},
		{`{"instructions":"too long"}`, "instructions", "instructions must have at most 5 characters"},
		{`{"extraInstructions":"b"}`, "extraInstructions", "extraInstructions must fit the pattern ^a"},
		{`{"extra":{}}`, "extra.seed", "extra.seed is required"},
		{`{"extra":{"seed":0}}`, "extra.seed", "extra.seed must be more than 0"},
		{`{"extra":{"seed":"x"}}`, "extra.seed", "extra.seed must be integer"},
		{`{"extra":{"seed":1,"top":10}}`, "extra.top", "extra.top must be at most 9"},
		{`{"extra":{"seed":1,"nope":1}}`, "extra.nope", "extra.nope is not a known key"},
		{`{"outputSchema":[]}`, "outputSchema", "outputSchema must be object"},
		{`{"extra":{"seed":1,"low":1}}`, "extra.low", "extra.low must be at least 2"},
		{`{"provider":"x","model":"huge"}`, "model", "model must be one of small, large"},
	}
	for _, tt := range tests {
		_, err := s.CheckConfig(object(t, tt.config))
		if tt.field == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.config, err)
			}
			continue
		}
		e, ok := errors.AsType[*protocol.Error](err)
		if !ok {
			t.Errorf("%s: %v", tt.config, err)
			continue
		}
		if e.Code != protocol.CodeInvalidConfig || e.Data.Field != tt.field || e.Message != tt.message {
			t.Errorf("%s: %d %q %q; want %q %q", tt.config, e.Code, e.Data.Field, e.Message, tt.field, tt.message)
		}
	}
}

func TestCheckConfigWithoutPrepare(t *testing.T) {
	s := &Spec{Schema: ConfigSchema(`{"properties":{"temperature":{"maximum":1}}}`)}
	if _, err := s.CheckConfig(object(t, `{"temperature":1.5}`)); !errors.Is(err, &protocol.Error{Code: protocol.CodeInvalidConfig}) {
		t.Error(err)
	}
	s = &Spec{}
	c, err := s.CheckConfig(object(t, `{"temperature":1.5}`))
	if err != nil || *c.Temperature != 1.5 {
		t.Error(c, err)
	}
}

func TestPrepare(t *testing.T) {
	run := returns(nil)
	tests := []struct {
		name string
		spec Spec
		want string
	}{
		{"good", Spec{Name: "a", Kind: "k", Agent: run}, ""},
		{"no name", Spec{Kind: "k", Agent: run}, "no name"},
		{"no kind", Spec{Name: "a", Agent: run}, "no kind"},
		{"no agent", Spec{Name: "a", Kind: "k"}, "nothing runs"},
		{"bad JSON", Spec{Name: "a", Kind: "k", Agent: run, Schema: json.RawMessage(`{`)}, "not valid"},
		{"bad schema", Spec{Name: "a", Kind: "k", Agent: run, Schema: json.RawMessage(`{"type":"nothing"}`)}, "not valid"},
		{"schema from elsewhere", Spec{Name: "a", Kind: "k", Agent: run, Schema: json.RawMessage(`{"$ref":"file:///etc/passwd"}`)}, "must stand alone"},
		{"bad defaults", Spec{Name: "a", Kind: "k", Agent: run, Defaults: object(t, `{"temperature":3}`)}, "temperature must be between 0 and 2"},
		{"bad modes", Spec{Name: "a", Kind: "k", Agent: run, Modes: []protocol.Mode{{}}}, "modes[0].id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.spec.Prepare()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v; want %q", err, tt.want)
			}
		})
	}
}

func TestConfigSchemaRefusesBadPatch(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a patch that is no JSON was taken")
		}
	}()
	ConfigSchema(`{`)
}

func TestEffective(t *testing.T) {
	s := &Spec{
		Defaults: object(t, `{"model":"m","temperature":0.5}`),
		Modes:    []protocol.Mode{{ID: "plan", Instructions: "Plan only."}},
	}
	got := s.Effective(object(t, `{"model":"n"}`), nil, object(t, `{"temperature":1}`))
	want := object(t, `{"model":"n","temperature":1,"modes":[{"id":"plan","instructions":"Plan only."}]}`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(object(t, `{"model":"m","temperature":0.5}`), s.Defaults); diff != "" {
		t.Errorf("the defaults changed: %s", diff)
	}
	if diff := cmp.Diff(object(t, `{"model":"m","temperature":0.5,"modes":[]}`), s.Effective(object(t, `{"modes":[]}`))); diff != "" {
		t.Errorf("a layer's modes: %s", diff)
	}
}

func TestInfo(t *testing.T) {
	s := &Spec{Name: "a", Kind: "k", Description: "d", Modes: []protocol.Mode{{ID: "plan"}}}
	got := s.Info(true)
	want := protocol.AgentInfo{
		Name: "a", Kind: "k", Description: "d", Default: true, Modes: []protocol.Mode{{ID: "plan"}},
		ConfigSchema: ConfigSchema(""), Defaults: object(t, `{"modes":[{"id":"plan"}]}`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := (&Spec{}).Info(false); got.Modes == nil || got.Defaults == nil {
		t.Error("lists and objects must be there where they are empty")
	}
}

func BenchmarkCheckConfig(b *testing.B) {
	s := prepared(b, ConfigSchema(""))
	config := object(b, `{"model":"m","temperature":1,"instructions":"Be brief.","history":{"maxTurns":5}}`)
	for b.Loop() {
		if _, err := s.CheckConfig(config); err != nil {
			b.Fatal(err)
		}
	}
}
