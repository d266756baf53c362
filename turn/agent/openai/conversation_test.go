package openai

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

func user(t testing.TB, parts ...protocol.Part) protocol.Item {
	t.Helper()
	content, err := json.Marshal(parts)
	if err != nil {
		t.Fatal(err)
	}
	return protocol.Item{Type: protocol.ItemUserMessage, Content: content}
}

func text(s string) protocol.Part { return protocol.Part{Type: "text", Text: s} }

func inBase64(s string) json.RawMessage {
	return json.RawMessage(`"` + base64.StdEncoding.EncodeToString([]byte(s)) + `"`)
}

func remember(in turn.Input, items ...protocol.Item) turn.Input {
	in.History = func(context.Context) ([]protocol.Item, error) { return items, nil }
	return in
}

func TestHistory(t *testing.T) {
	group := user(t, text("I vote yes"))
	group.Sender = &protocol.Sender{Name: "Ann", GroupID: "g1"}
	single := user(t, text("Hi"))
	single.Sender = &protocol.Sender{Name: "Bob"}
	in := remember(
		ask("ignored, as the history ends with the input"), single,
		protocol.Item{Type: protocol.ItemDeveloperMessage, Text: "User is in New York"},
		protocol.Item{Type: protocol.ItemReasoning, Text: "hm"},
		protocol.Item{Type: protocol.ItemAgentMessage, Text: "Hello the", Status: protocol.ItemInterrupted},
		protocol.Item{Type: protocol.ItemAgentMessage},
		protocol.Item{Type: protocol.ItemNotice, Text: "Operation interrupted by user"},
		protocol.Item{Type: protocol.ItemUserMessage, Content: json.RawMessage(`[]`)},
		group,
	)
	said := func(role, text string) any { return map[string]any{"role": role, "content": text} }
	s := newServer(t, answer("ok"), chatAnswer("ok"))
	mustComplete(t, s.agent(nil), in)
	mustComplete(t, s.agent(useChat), in)
	diff(t, []any{
		said("user", "Hi"), said("developer", "User is in New York"), said("assistant", "Hello the"), said("user", "Ann says:\n\nI vote yes"),
	}, s.bodies[0]["input"].([]any))
	diff(t, []any{
		said("user", "Hi"), said("system", "User is in New York"), said("assistant", "Hello the"), said("user", "Ann says:\n\nI vote yes"),
	}, s.bodies[1]["messages"].([]any))
}

func TestNothingToAnswer(t *testing.T) {
	s := newServer(t)
	for name, in := range map[string]turn.Input{"no items": remember(turn.Input{}), "no input": {}} {
		if o, _ := run(t, s.agent(nil), in); o.Error == nil || o.Error.Message != "there is no message to answer" {
			t.Errorf("%s: %+v", name, o.Error)
		}
	}
	in := ask("x")
	in.History = func(context.Context) ([]protocol.Item, error) { return nil, errors.New("the journal cannot be read") }
	if o, _ := run(t, s.agent(nil), in); o.Error == nil || o.Error.Message != "the journal cannot be read" {
		t.Errorf("%+v", o.Error)
	}
}

func TestParts(t *testing.T) {
	in := remember(turn.Input{}, user(t,
		text("What is this?"),
		protocol.Part{Type: "image", URL: "https://example.com/a.png"},
		protocol.Part{Type: "image", Data: inBase64("png"), MimeType: "image/jpeg"},
		protocol.Part{Type: "file", Data: inBase64("a,b\n"), Name: "t.csv"},
		protocol.Part{Type: "file", Data: inBase64("\xff\x00"), Name: "x.bin", MimeType: "application/x"},
		protocol.Part{Type: "file", Path: "/etc/passwd"},
		protocol.Part{Type: "data", Data: json.RawMessage(`{"n":1}`)},
		protocol.Part{Type: "mention", Name: "main.go", Path: "cmd/main.go"},
		protocol.Part{Type: "audio", URL: "https://example.com/a.mp3", MimeType: "audio/mpeg"},
		protocol.Part{Type: "custom", Kind: "form", Content: json.RawMessage(`{"a":2}`)},
	))
	texts := []string{
		"File t.csv:\na,b\n", "[file x.bin (application/x), 2 bytes that are not text]", "[file /etc/passwd (/etc/passwd)]", `{"n":1}`,
		"@main.go (cmd/main.go)", "[audio (audio/mpeg), which cannot be shown]", `form: {"a":2}`,
	}
	s := newServer(t, answer("ok"), chatAnswer("ok"))
	mustComplete(t, s.agent(nil), in)
	mustComplete(t, s.agent(useChat), in)

	data := "data:image/jpeg;base64," + base64.StdEncoding.EncodeToString([]byte("png"))
	want := []any{
		map[string]any{"type": "input_text", "text": "What is this?"},
		map[string]any{"type": "input_image", "detail": "auto", "image_url": "https://example.com/a.png"},
		map[string]any{"type": "input_image", "detail": "auto", "image_url": data},
	}
	wantChat := []any{
		map[string]any{"type": "text", "text": "What is this?"},
		map[string]any{"type": "image_url", "image_url": map[string]any{"url": "https://example.com/a.png"}},
		map[string]any{"type": "image_url", "image_url": map[string]any{"url": data}},
	}
	for _, s := range texts {
		want = append(want, map[string]any{"type": "input_text", "text": s})
		wantChat = append(wantChat, map[string]any{"type": "text", "text": s})
	}
	diff(t, want, s.bodies[0]["input"].([]any)[0].(map[string]any)["content"].([]any))
	diff(t, wantChat, s.bodies[1]["messages"].([]any)[0].(map[string]any)["content"].([]any))
}

func TestConfig(t *testing.T) {
	const loose = `{"type":"object","properties":{"a":{"type":"string"}}}`
	const strict = `{"type":"object","properties":{"a":{"type":"array","items":{"type":"object","properties":{},"additionalProperties":false}}},"required":["a"],"additionalProperties":false}`
	config := func(schema string) string {
		return `{"model":"m2","temperature":0.5,"extraInstructions":"Be brief.","outputSchema":` + schema + `,
			"modes":[{"id":"plan","instructions":"Plan only."},{"id":"other","instructions":"Never."}],
			"extra":{"reasoning":{"effort":"low"},"store":null,"stream":false,"a.b":"c","max_output_tokens":100}}`
	}
	for name, schema := range map[string]string{"loose": loose, "strict": strict} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, answer("ok"), chatAnswer("ok"))
			in := configured(t, ask("x"), config(schema))
			in.Turn.Mode = "plan"
			mustComplete(t, s.agent(func(o *Options) { o.Instructions = "You help." }), in)
			mustComplete(t, s.agent(func(o *Options) { o.Instructions, o.API = "You help.", APIChat }), in)

			var parsed any
			if err := json.Unmarshal([]byte(schema), &parsed); err != nil {
				t.Fatal(err)
			}
			format := map[string]any{"name": "answer", "schema": parsed, "strict": name == "strict"}
			const instructions = "You help.\n\nBe brief.\n\nPlan only."
			diff(t, map[string]any{
				"model": "m2", "temperature": 0.5, "reasoning": map[string]any{"effort": "low"}, "stream": true, "a.b": "c",
				"max_output_tokens": 100.0, "instructions": instructions, "input": s.bodies[0]["input"],
				"text": map[string]any{"format": map[string]any{
					"type": "json_schema", "name": "answer", "schema": parsed, "strict": name == "strict",
				}},
			}, s.bodies[0])
			diff(t, map[string]any{"type": "json_schema", "json_schema": format}, s.bodies[1]["response_format"].(map[string]any))
			diff(t, map[string]any{"role": "system", "content": instructions}, s.bodies[1]["messages"].([]any)[0].(map[string]any))
		})
	}
}

func TestInstructionsAreReplaced(t *testing.T) {
	for config, want := range map[string]any{
		`{}`:                           "You help.",
		`{"instructions":"You sing."}`: "You sing.",
		`{"instructions":""}`:          nil,
		`{"instructions":"","extraInstructions":"Be brief."}`: "Be brief.",
	} {
		s := newServer(t, answer("ok"))
		mustComplete(t, s.agent(func(o *Options) { o.Instructions = "You help." }), configured(t, ask("x"), config))
		diff(t, want, s.bodies[0]["instructions"])
	}
}

// Where nothing chooses a model, the first that the endpoint lists is asked.
func TestNoModel(t *testing.T) {
	list := `{"object":"list","data":[{"id":"first","object":"model"},{"id":"second","object":"model"}]}`
	s := newServer(t, answer("ok"))
	lists := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/models") {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, list)
			return
		}
		s.serve(w, r)
	})
	s.http.Config.Handler = lists
	mustComplete(t, s.agent(func(o *Options) { o.Model = "" }), ask("x"))
	diff(t, "first", s.bodies[0]["model"])
	list = `{"object":"list","data":[]}`
	o, _ := run(t, s.agent(func(o *Options) { o.Model = "" }), ask("x"))
	if o.Error == nil || !strings.Contains(o.Error.Message, "no model is chosen") {
		t.Errorf("%+v", o.Error)
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"api":           {API: "soap"},
		"base_url":      {BaseURL: "localhost:11434"},
		"base_url must": {BaseURL: "http://user:password@localhost/"},
		"timeout":       {Timeout: -1},
	} {
		if _, err := Spec("m", o); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "password@") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := Spec("m", Options{Model: "m1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Prepare(); err != nil {
		t.Fatal(err)
	}
	if string(s.Info(true).Defaults["model"]) != `"m1"` {
		t.Error("the model is not among the defaults")
	}
	if _, err := s.CheckConfig(protocol.Object{"extra": json.RawMessage(`{"messages":[]}`)}); err == nil {
		t.Error("extra may replace the messages")
	}
	if _, err := s.CheckConfig(protocol.Object{"extra": json.RawMessage(`{"seed":7}`)}); err != nil {
		t.Error(err)
	}
}

func TestSecretIsHidden(t *testing.T) {
	o := Options{APIKey: testKey}
	b, err := json.Marshal(o.APIKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(o), fmt.Sprintf("%+v", o), fmt.Sprintf("%#v", o), fmt.Sprintf("%q", o.APIKey), string(b)} {
		if strings.Contains(shown, "0123456789") {
			t.Errorf("the key shows in %s", shown)
		}
	}
}
