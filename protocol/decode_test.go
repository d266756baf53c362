package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// everyKind has a field of every kind that the decoder knows, also of those that no
// params have today.
type everyKind struct {
	Paging
	ID     string               `json:"id"`
	Small  int8                 `json:"small,omitempty"`
	Int    int                  `json:"int,omitempty"`
	Long   int64                `json:"long,omitempty"`
	Seq    uint64               `json:"seq,omitempty"`
	Tiny   uint16               `json:"tiny,omitempty"`
	Float  float64              `json:"float,omitempty"`
	Flag   *bool                `json:"flag,omitempty"`
	Role   Role                 `json:"role,omitempty"`
	At     Time                 `json:"at,omitempty"`
	Any    json.RawMessage      `json:"any,omitempty"`
	Grants []Grant              `json:"grants,omitempty"`
	Names  *[]string            `json:"names,omitempty"`
	Meta   Object               `json:"meta,omitempty"`
	Counts map[string]int64     `json:"counts,omitempty"`
	Nested map[string][]Grant   `json:"nested,omitempty"`
	Life   *Lifetime            `json:"life,omitempty"`
	Input  Input                `json:"input,omitempty"`
	Hidden string               `json:"-"`
	Sets   map[string]*Identity `json:"sets,omitempty"`
}

func TestDecodeStrict(t *testing.T) {
	deep := strings.Repeat("[", 199) + strings.Repeat("]", 199)
	tests := []struct{ raw, field, problem string }{
		// The whole.
		{``, "id", "is required"},
		{`{"id":"x"}`, "", ""},
		{" \n{ \"id\" : \"x\" } \t", "", ""},
		{`[]`, "params", "must be an object"},
		{`"x"`, "params", "must be an object"},
		{`7`, "params", "must be an object"},
		{`true`, "params", "must be an object"},
		{`null`, "params", "must not be null"},
		{` `, "params", "is not valid JSON"},
		{`{"id":"x"`, "params", "is not valid JSON"},
		{`{"id":"x"} {}`, "params", "is not valid JSON"},
		{`{"id":"x",}`, "params", "is not valid JSON"},
		{`{"id":'x'}`, "params", "is not valid JSON"},
		{`{"id":"x","any":` + deep + `}`, "", ""},
		{`{"id":"x","any":[` + deep + `]}`, "params", "nests deeper than 200 levels"},
		{strings.Repeat("[", 100000), "params", "nests deeper"},

		// Names.
		{`{"id":"x","what":1}`, "what", "is not a known field"},
		{`{"id":"x","ID":"y"}`, "ID", "did you mean id?"},
		{`{"Id":"x"}`, "Id", "did you mean id?"},
		{`{"id":"x","Hidden":"y"}`, "Hidden", "is not a known field"},
		{`{"id":"x","-":"y"}`, "-", "is not a known field"},
		{`{"id":"x","id":"x"}`, "id", "is there twice"},
		{`{"id":"x","\u0069d":"x"}`, "id", "is there twice"},
		{`{"\u0069d":"x"}`, "", ""},
		{`{"id":"x","` + strings.Repeat("k", 100000) + `":1}`, strings.Repeat("k", 64) + "…", "is not a known field"},

		// Null and absent.
		{`{"id":null}`, "id", "must not be null"},
		{`{"id":"x","flag":null}`, "flag", "must not be null"},
		{`{"id":"x","meta":null}`, "meta", "must not be null"},
		{`{"id":"x","grants":[null]}`, "grants[0]", "must not be null"},
		{`{"id":"x","input":null}`, "input", "must not be null"},
		{`{"id":"x","any":null,"meta":{"a":null}}`, "", ""},
		{`{}`, "id", "is required"},
		{`{"id":"x","grants":[{"role":"observer","user":"a"},{"role":"observer"}]}`, "grants[1].user", "is required"},

		// Types, at every level.
		{`{"id":1}`, "id", "must be a string"},
		{`{"id":{}}`, "id", "must be a string"},
		{`{"id":["x"]}`, "id", "must be a string"},
		{`{"id":"x","int":"1"}`, "int", "must be a whole number"},
		{`{"id":"x","int":1.0}`, "int", "must be a whole number"},
		{`{"id":"x","int":1e2}`, "int", "must be a whole number"},
		{`{"id":"x","int":true}`, "int", "must be a whole number"},
		{`{"id":"x","int":-5,"long":-9223372036854775808,"seq":18446744073709551615}`, "", ""},
		{`{"id":"x","long":9223372036854775808}`, "long", "is too large"},
		{`{"id":"x","long":` + strings.Repeat("9", 400) + `}`, "long", "is too large"},
		{`{"id":"x","seq":-1}`, "seq", "not negative"},
		{`{"id":"x","seq":18446744073709551616}`, "seq", "is too large"},
		{`{"id":"x","small":127,"tiny":65535}`, "", ""},
		{`{"id":"x","small":128}`, "small", "is too large"},
		{`{"id":"x","small":-129}`, "small", "is too large"},
		{`{"id":"x","tiny":65536}`, "tiny", "is too large"},
		{`{"id":"x","float":1e400}`, "float", "is too large"},
		{`{"id":"x","float":"1"}`, "float", "must be a number"},
		{`{"id":"x","float":-1.5e-3}`, "", ""},
		{`{"id":"x","flag":"true"}`, "flag", "must be true or false"},
		{`{"id":"x","flag":0}`, "flag", "must be true or false"},
		{`{"id":"x","grants":{}}`, "grants", "must be a list"},
		{`{"id":"x","grants":["a"]}`, "grants[0]", "must be an object"},
		{`{"id":"x","grants":[[]]}`, "grants[0]", "must be an object"},
		{`{"id":"x","names":"a"}`, "names", "must be a list"},
		{`{"id":"x","names":["a",2]}`, "names[1]", "must be a string"},
		{`{"id":"x","meta":[]}`, "meta", "must be an object"},
		{`{"id":"x","counts":{"a":1,"b":1.5}}`, "counts.b", "must be a whole number"},
		{`{"id":"x","life":[]}`, "life", "must be an object"},
		{`{"id":"x","at":5}`, "at", "must be a time"},
		{`{"id":"x","at":"yesterday"}`, "at", "must be a time"},
		{`{"id":"x","at":"2026-01-31T12:00:00+02:00"}`, "", ""},

		// Values.
		{`{"id":"x","role":"observer"}`, "", ""},
		{`{"id":"x","role":"obs\u0065rver"}`, "", ""},
		{`{"id":"x","role":"Observer"}`, "role", `is "Observer" but must be one of participant, observer`},
		{`{"id":"x","role":""}`, "role", "must be one of"},
		{`{"id":"x","role":"` + strings.Repeat("é", 100000) + `"}`, "role", "must be one of"},

		// Paths through lists, maps, pointers and embedded structs.
		{`{"id":"x","limit":"5"}`, "limit", "must be a whole number"},
		{`{"id":"x","Paging":{}}`, "Paging", "is not a known field"},
		{`{"id":"x","life":{"mode":"forever"}}`, "life.mode", "must be one of"},
		{`{"id":"x","life":{"mode":"durable","mode":"durable"}}`, "life.mode", "is there twice"},
		{`{"id":"x","nested":{"k":[{"user":"a","role":"observer"},{"user":"b","role":7}]}}`, "nested.k[1].role", "must be a string"},
		{`{"id":"x","meta":{"a":1,"a":2}}`, "meta.a", "is there twice"},
		{"{\"id\":\"x\",\"meta\":{\"\xff\":1,\"\xfe\":2}}", "meta.\ufffd", "is there twice"},
		{`{"id":"x","meta":{"\ud800":1,"\ud801":2}}`, "meta.\ufffd", "is there twice"},
		{`{"id":"x","sets":{"a":{"channel":"c","colour":1}}}`, "sets.a.colour", "is not a known field"},
	}
	for _, tt := range tests {
		var v everyKind
		checkRefusal(t, tt.raw, Decode([]byte(tt.raw), &v), tt.field, tt.problem)
	}
}

func checkRefusal(t *testing.T, raw string, err error, field, problem string) {
	t.Helper()
	if len(raw) > 100 {
		raw = raw[:100] + "…"
	}
	if field == "" {
		if err != nil {
			t.Errorf("%s: %v, want it accepted", raw, err)
		}
		return
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Errorf("%s: error %v, want one of field %s", raw, err, field)
		return
	}
	if e.Code != CodeInvalidParams || e.Data.Name != "InvalidParams" || e.Data.Field != field || !strings.Contains(e.Message, problem) {
		t.Errorf("%s: %d %s field %q: %q, want field %q and %q", raw, e.Code, e.Data.Name, e.Data.Field, e.Message, field, problem)
	}
	if len(e.Message) > 500 {
		t.Errorf("%s: a message of %d bytes", raw, len(e.Message))
	}
}

func TestDecodeKeepsNothing(t *testing.T) {
	raw := []byte(`{"id":"abc","any":{"k":"v"},"meta":{"a":[1]},"input":[{"type":"custom","kind":"k","content":[2]}]}`)
	var v everyKind
	if err := Decode(raw, &v); err != nil {
		t.Fatal(err)
	}
	want, _ := Marshal(v)
	clear(raw)
	if got, _ := Marshal(v); !bytes.Equal(got, want) {
		t.Errorf("after the params were overwritten: %s, want %s", got, want)
	}
}

// paramTypes lists what clients send: params of requests and notifications, and results
// of the daemon's requests.
func paramTypes() map[string]reflect.Type {
	types := map[string]reflect.Type{"every kind": reflect.TypeFor[everyKind](), "config": reflect.TypeFor[Config]()}
	for _, r := range ClientRequests() {
		types[r.Name] = r.Params
	}
	for _, r := range ServerRequests() {
		types[r.Name] = r.Result
	}
	for _, n := range ClientNotifications() {
		types[n.Name] = n.Params
	}
	return types
}

// What encoding/json makes of any params is accepted and says the same after it was read.
func TestDecodeAcceptsWhatMarshalWrites(t *testing.T) {
	for name, typ := range paramTypes() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				v := drawValue(t, typ, true).Interface()
				if typ == reflect.TypeFor[everyKind]() {
					k := v.(everyKind)
					k.Hidden = ""
					v = k
				}
				raw, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				got := reflect.New(typ)
				if err := Decode(raw, got.Interface()); err != nil {
					t.Fatalf("%s: %v", raw, err)
				}
				want, _ := Marshal(v)
				if again, _ := Marshal(got.Interface()); !sameJSON(t, again, want) {
					t.Fatalf("read\n%s\nas\n%s", want, again)
				}
			})
		})
	}
}

// No params are refused with the words of encoding/json, which name no field.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"threadId":"thr_1","input":"hi","ifBusy":"enqueue","config":{"a":1},"sender":{"id":"x"}}`))
	f.Add([]byte(`{"threadId":"t","input":[{"type":"image","url":"u"},{"type":"data","data":null}],"wait":true}`))
	f.Add([]byte(`{"threadId":"t","input":[{"role":"user","parts":[{"type":"text","text":""}]}]}`))
	f.Add([]byte(`{"threadId":"t","input":{"role":"user","parts":[]},"mode":"\ud800"}`))
	f.Add([]byte(`{"id":"x","counts":{"a":-0},"float":1e999,"at":"2026-01-31T12:00:00,5Z","small":-128}`))
	f.Add([]byte("{\"id\":\"x\",\"meta\":{\"\xff\":1}}"))
	f.Add([]byte(`{"clientInfo":{"name":"x"},"capabilities":{"streaming":false}}`))
	types := []reflect.Type{
		reflect.TypeFor[TurnRunParams](), reflect.TypeFor[everyKind](), reflect.TypeFor[InitializeParams](),
		reflect.TypeFor[Config](), reflect.TypeFor[QuestionRespondParams](),
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, typ := range types {
			v := reflect.New(typ).Interface()
			err := Decode(raw, v)
			if err != nil {
				e, ok := errors.AsType[*Error](err)
				if !ok || e.Data.Field == "" || strings.Contains(e.Message, "json:") || strings.Contains(e.Message, "cannot be read") {
					t.Fatalf("%q into %s: %v", raw, typ, err)
				}
				continue
			}
			if len(raw) > 0 {
				if err := json.Unmarshal(raw, reflect.New(typ).Interface()); err != nil {
					t.Fatalf("%q into %s: accepted, but encoding/json says %v", raw, typ, err)
				}
			}
			// What was accepted is also accepted in the form in which we write it.
			out, err := Marshal(v)
			if err != nil {
				t.Fatalf("%q into %s: cannot be written again: %v", raw, typ, err)
			}
			if err := Decode(out, reflect.New(typ).Interface()); err != nil {
				t.Fatalf("%q into %s: written as %s: %v", raw, typ, out, err)
			}
		}
	})
}
