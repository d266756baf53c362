package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Part is one piece of a message. Which fields it has is up to its type.
type Part struct {
	Type     string          `json:"type"`               // text, image, audio, file, data, mention, custom
	Text     string          `json:"text,omitempty"`     // text
	URL      string          `json:"url,omitempty"`      // image, audio: url or data
	Data     json.RawMessage `json:"data,omitempty"`     // image, audio, file: a string in base64; data: any JSON
	MimeType string          `json:"mimeType,omitempty"` // image, audio, file
	Path     string          `json:"path,omitempty"`     // file (or data), mention
	Name     string          `json:"name,omitempty"`     // file, mention
	Kind     string          `json:"kind,omitempty"`     // custom
	Content  json.RawMessage `json:"content,omitempty"`  // custom: any JSON, untouched
}

type partRule struct {
	need     []string // all of these
	oneOf    []string // and exactly one of these
	optional []string
	binary   bool // data must be a string
}

var partRules = map[string]partRule{
	"text":    {need: []string{"text"}},
	"image":   {oneOf: []string{"url", "data"}, optional: []string{"mimeType"}, binary: true},
	"audio":   {oneOf: []string{"url", "data"}, optional: []string{"mimeType"}, binary: true},
	"file":    {oneOf: []string{"path", "data"}, optional: []string{"name", "mimeType"}, binary: true},
	"data":    {need: []string{"data"}},
	"mention": {need: []string{"name"}, optional: []string{"path"}},
	"custom":  {need: []string{"kind", "content"}},
}

// PartTypes lists the types of parts.
func PartTypes() []string {
	return []string{"text", "image", "audio", "file", "data", "mention", "custom"}
}

// checkStrict refuses parts of unknown type, with fields of another type, or without
// the fields of their own.
func (Part) checkStrict(raw []byte, path string) error {
	present := map[string][]byte{}
	for key, value := range members(raw) {
		present[key] = value
	}
	var typ string
	if err := json.Unmarshal(present["type"], &typ); err != nil {
		return &FieldError{join(path, "type"), "must be one of " + strings.Join(PartTypes(), ", ")}
	}
	rule, ok := partRules[typ]
	if !ok {
		return &FieldError{join(path, "type"), fmt.Sprintf("%q is not a type of part; it must be one of %s", typ, strings.Join(PartTypes(), ", "))}
	}
	for _, name := range rule.need {
		if present[name] == nil {
			return &FieldError{join(path, name), "is required in a part of type " + typ}
		}
	}
	n := 0
	for key := range present {
		if slices.Contains(rule.oneOf, key) {
			n++
		} else if key != "type" && !slices.Contains(rule.need, key) && !slices.Contains(rule.optional, key) {
			return &FieldError{join(path, key), "is not a field of a part of type " + typ}
		}
	}
	if len(rule.oneOf) > 0 && n != 1 {
		return &FieldError{join(path, rule.oneOf[0]), fmt.Sprintf("a part of type %s needs either %s", typ, strings.Join(rule.oneOf, " or "))}
	}
	if d := present["data"]; rule.binary && d != nil && d[0] != '"' {
		return &FieldError{join(path, "data"), "must be a string in base64"}
	}
	return nil
}

// MarshalJSON writes the part, with text also where it is empty.
func (p Part) MarshalJSON() ([]byte, error) {
	type plain Part
	b, err := marshal(plain(p))
	if err == nil && p.Type == "text" && p.Text == "" {
		b = append(b[:len(b)-1], `,"text":""}`...)
	}
	return b, err
}

// MessageRole says who speaks in a message of an input.
type MessageRole string

// Who speaks.
const (
	RoleUser      MessageRole = "user"
	RoleDeveloper MessageRole = "developer"
	RoleAssistant MessageRole = "assistant"
)

// Values lists the roles.
func (MessageRole) Values() []string { return []string{"user", "developer", "assistant"} }

// Message is the parts that one role says.
type Message struct {
	Role  MessageRole `json:"role"`
	Parts []Part      `json:"parts"`
}

// Input is what a turn is asked. On the wire it is a string, one part, a list of parts,
// a {role, parts} or a list of those; it is written as a list of parts where there is
// one message of a user, else as a list of messages.
type Input []Message

// TextInput returns an input of one user message.
func TextInput(text string) Input {
	return Input{{Role: RoleUser, Parts: []Part{{Type: "text", Text: text}}}}
}

// HasUser reports whether a user says anything in it.
func (in Input) HasUser() bool {
	return slices.ContainsFunc(in, func(m Message) bool { return m.Role == RoleUser && len(m.Parts) > 0 })
}

// Text returns the text parts of the user messages, joined by newlines.
func (in Input) Text() string {
	var texts []string
	for _, m := range in {
		if m.Role == RoleUser {
			texts = append(texts, PartsText(m.Parts))
		}
	}
	return strings.Join(texts, "\n")
}

// PartsText returns the text of the text parts, joined by newlines.
func PartsText(parts []Part) string {
	var texts []string
	for _, p := range parts {
		if p.Type == "text" {
			texts = append(texts, p.Text)
		}
	}
	return strings.Join(texts, "\n")
}

// MarshalJSON writes the canonical form.
func (in Input) MarshalJSON() ([]byte, error) {
	switch {
	case len(in) == 0:
		return []byte("[]"), nil
	case len(in) == 1 && in[0].Role == RoleUser:
		return marshal(in[0].Parts)
	default:
		return marshal([]Message(in))
	}
}

// UnmarshalJSON reads any of the forms.
func (in *Input) UnmarshalJSON(b []byte) error {
	*in = nil
	switch b = bytes.TrimSpace(b); {
	case len(b) == 0 || b[0] != '"' && b[0] != '{' && b[0] != '[':
		return fmt.Errorf("must be a string, a part, a list of parts or {role, parts}")
	case b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*in = TextInput(s)
		return nil
	case b[0] == '{':
		return in.add(b)
	}
	for _, raw := range elements(b) {
		if err := in.add(raw); err != nil {
			return err
		}
	}
	return nil
}

// add appends one {role, parts} or one part; parts in a row make one user message.
func (in *Input) add(raw []byte) error {
	if isMessage(raw) {
		var m Message
		if err := json.Unmarshal(raw, &m); err != nil {
			return err
		}
		*in = append(*in, m)
		return nil
	}
	var p Part
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	if n := len(*in); n > 0 && (*in)[n-1].Role == RoleUser {
		(*in)[n-1].Parts = append((*in)[n-1].Parts, p)
	} else {
		*in = append(*in, Message{Role: RoleUser, Parts: []Part{p}})
	}
	return nil
}

func isMessage(raw []byte) bool {
	for key := range members(raw) {
		if key == "role" || key == "parts" {
			return true
		}
	}
	return false
}

// checkStrict checks every part and role, and that a list does not mix parts and
// messages.
func (Input) checkStrict(raw []byte, path string) error {
	switch raw[0] {
	case '"':
		return nil
	case '{':
		return checkInputElement(raw, path)
	case '[':
	default:
		return &FieldError{path, "must be a string, a part, a list of parts or {role, parts}"}
	}
	mixed := 0
	for i, e := range elements(raw) {
		if e[0] != '{' {
			return &FieldError{index(path, i), "must be a part or {role, parts}"}
		}
		if err := checkInputElement(e, index(path, i)); err != nil {
			return err
		}
		if isMessage(e) {
			mixed |= 1
		} else {
			mixed |= 2
		}
		if mixed == 3 {
			return &FieldError{index(path, i), "a list holds either parts or {role, parts}, not both"}
		}
	}
	return nil
}

func checkInputElement(raw []byte, path string) error {
	if isMessage(raw) {
		return checkType(messageType, raw, path)
	}
	return checkType(partType, raw, path)
}
