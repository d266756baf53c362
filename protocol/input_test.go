package protocol

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestInputForms(t *testing.T) {
	text := func(s string) Part { return Part{Type: "text", Text: s} }
	user := func(parts ...Part) Message { return Message{Role: RoleUser, Parts: parts} }
	tests := []struct {
		raw  string
		want Input
	}{
		{`""`, Input{user(text(""))}},
		{`"a\nb"`, Input{user(text("a\nb"))}},
		{`"\ud800"`, Input{user(text("\ufffd"))}},
		{`{"type":"text","text":"a"}`, Input{user(text("a"))}},
		{`[]`, nil},
		{`[{"type":"text","text":"a"},{"type":"text","text":"b"}]`, Input{user(text("a"), text("b"))}},
		{`{"role":"developer","parts":[{"type":"text","text":"a"}]}`, Input{{Role: RoleDeveloper, Parts: []Part{text("a")}}}},
		{
			`[{"role":"user","parts":[{"type":"text","text":"a"}]},{"parts":[{"type":"text","text":"b"}],"role":"user"}]`,
			Input{user(text("a")), user(text("b"))},
		},
		{`[{"role":"assistant","parts":[]}]`, Input{{Role: RoleAssistant, Parts: []Part{}}}},
		{
			` [ {"type":"data","data":null} , {"type":"custom","kind":"k","content":{"a":[1]}} ] `,
			Input{user(Part{Type: "data", Data: json.RawMessage("null")}, Part{Type: "custom", Kind: "k", Content: json.RawMessage(`{"a":[1]}`)})},
		},
	}
	for _, tt := range tests {
		var got Input
		if err := json.Unmarshal([]byte(tt.raw), &got); err != nil {
			t.Errorf("%s: %v", tt.raw, err)
		} else if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.raw, diff)
		}
		var p TurnSteerParams
		checkRefusal(t, tt.raw, Decode([]byte(`{"threadId":"t","expectedTurnId":"u","input":`+tt.raw+`}`), &p), "", "")
	}
}

func TestInputRefused(t *testing.T) {
	tests := []struct{ raw, field, problem string }{
		{`5`, "input", "must be a string, a part, a list of parts or {role, parts}"},
		{`true`, "input", "must be a string, a part"},
		{`null`, "input", "must not be null"},
		{`{}`, "input.type", "is required"},
		{`{"type":"video"}`, "input.type", `is "video" but must be one of text, image`},
		{`{"type":5}`, "input.type", "must be a string"},
		{`{"type":"text"}`, "input.text", "is required in a part of type text"},
		{`{"text":"a"}`, "input.type", "is required"},
		{`{"type":"text","text":5}`, "input.text", "must be a string"},
		{`{"type":"text","text":null}`, "input.text", "must not be null"},
		{`{"type":"text","text":"a","url":"u"}`, "input.url", "is not a field of a part of type text"},
		{`{"type":"text","text":"a","colour":"red"}`, "input.colour", "is not a known field"},
		{`{"type":"text","Text":"a"}`, "input.Text", "did you mean text?"},
		{`{"type":"text","text":"a","text":"b"}`, "input.text", "is there twice"},
		{`{"type":"image"}`, "input.url", "needs either url or data"},
		{`{"type":"image","url":"u","data":"AA=="}`, "input.url", "needs either url or data"},
		{`{"type":"image","url":""}`, "input.url", "must not be empty"},
		{`{"type":"image","data":{"a":1}}`, "input.data", "must be a string in base64"},
		{`{"type":"image","data":null}`, "input.data", "must be a string in base64"},
		{`{"type":"file","url":"u"}`, "input.url", "is not a field of a part of type file"},
		{`{"type":"mention","path":"p"}`, "input.name", "is required"},
		{`{"type":"mention","name":""}`, "input.name", "must not be empty"},
		{`{"type":"custom","kind":"k"}`, "input.content", "is required"},
		{`["a"]`, "input[0]", "must be a part or {role, parts}"},
		{`[null]`, "input[0]", "must be a part or {role, parts}"},
		{`[[]]`, "input[0]", "must be a part or {role, parts}"},
		{`[{"type":"text","text":"a"},{"type":"text"}]`, "input[1].text", "is required"},
		{`{"role":"user"}`, "input.parts", "is required"},
		{`{"parts":[]}`, "input.role", "is required"},
		{`{"role":"system","parts":[]}`, "input.role", "must be one of user, developer, assistant"},
		{`{"role":"user","parts":"a"}`, "input.parts", "must be a list"},
		{`{"role":"user","parts":["a"]}`, "input.parts[0]", "must be an object"},
		{`{"role":"user","parts":[{"type":"x"}]}`, "input.parts[0].type", "must be one of"},
		{`{"role":"user","parts":[],"type":"text"}`, "input.type", "is not a known field"},
		{`[{"role":"user","parts":[]},{"type":"text","text":"a"}]`, "input[1]", "either parts or {role, parts}, not both"},
		{`[{"type":"text","text":"a"},{"role":"user","parts":[]}]`, "input[1]", "either parts or {role, parts}, not both"},
	}
	for _, tt := range tests {
		var p TurnSteerParams
		checkRefusal(t, tt.raw, Decode([]byte(`{"threadId":"t","expectedTurnId":"u","input":`+tt.raw+`}`), &p), tt.field, tt.problem)
	}
}

func TestInputCanonicalForm(t *testing.T) {
	tests := []struct {
		in   Input
		want string
	}{
		{nil, `[]`},
		{TextInput(""), `[{"type":"text","text":""}]`},
		{TextInput("<a&b>"), `[{"type":"text","text":"<a&b>"}]`},
		{Input{{Role: RoleUser}}, `[]`},
		{Input{{Role: RoleDeveloper}}, `[{"role":"developer","parts":[]}]`},
		{append(TextInput("a"), TextInput("b")...), `[{"role":"user","parts":[{"type":"text","text":"a"}]},{"role":"user","parts":[{"type":"text","text":"b"}]}]`},
	}
	for _, tt := range tests {
		if got, err := Marshal(tt.in); err != nil || string(got) != tt.want {
			t.Errorf("%+v: %s, %v, want %s", tt.in, got, err, tt.want)
		}
	}
}

func TestInputText(t *testing.T) {
	in := Input{
		{Role: RoleDeveloper, Parts: []Part{{Type: "text", Text: "hidden"}}},
		{Role: RoleUser, Parts: []Part{{Type: "text", Text: "a"}, {Type: "image", URL: "u"}, {Type: "text", Text: "b"}}},
		{Role: RoleUser, Parts: []Part{{Type: "text", Text: "c"}}},
	}
	if got := in.Text(); got != "a\nb\nc" || !in.HasUser() || in[:1].HasUser() {
		t.Errorf("text %q", got)
	}
}

func TestInputRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		raw, err := Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var got Input
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(in, got); diff != "" {
			t.Fatalf("%s: %s", raw, diff)
		}
	})
}

// What the decoder accepts, encoding/json reads; what it reads has a canonical form that
// says the same.
func FuzzInput(f *testing.F) {
	for _, s := range []string{
		`"a"`, `{"type":"text","text":"a"}`, `[{"type":"file","path":"p","name":"n"}]`, `{"role":"user","parts":[{"type":"data","data":[1]}]}`,
		`[{"role":"assistant","parts":[]},{"role":"user","parts":[]}]`, `[{"type":"mention","name":"\ud83d"}]`, `[{"\u0074ype":"text","text":""}]`, `[]`, `{}`, `[[]]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var in Input
		uerr := json.Unmarshal(raw, &in)
		if !json.Valid(raw) {
			return
		}
		raw = bytes.TrimSpace(raw)
		if string(raw) == "null" {
			return
		}
		if cerr := (Input{}).checkStrict(raw); cerr != nil {
			if cerr.Problem == "" {
				t.Fatalf("%s: no problem said", raw)
			}
			return
		}
		if uerr != nil {
			t.Fatalf("%s: accepted, but cannot be read: %v", raw, uerr)
		}
		first, err := Marshal(in)
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if cerr := (Input{}).checkStrict(first); cerr != nil {
			t.Fatalf("%s: written as %s: %v", raw, first, cerr)
		}
		var again Input
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatalf("%s: written as %s: %v", raw, first, err)
		}
		if second, _ := Marshal(again); !bytes.Equal(first, second) {
			t.Fatalf("%s: written as %s, then as %s", raw, first, second)
		}
	})
}
