package protocol

import (
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

// PartRule says which fields the parts of one type have beside type.
type PartRule struct {
	Required []string // all of these
	OneOf    []string // and exactly one of these
	Optional []string
	Binary   bool // data is a string in base64, else any JSON
}

var partRules = map[string]PartRule{
	"text":    {Required: []string{"text"}},
	"image":   {OneOf: []string{"url", "data"}, Optional: []string{"mimeType"}, Binary: true},
	"audio":   {OneOf: []string{"url", "data"}, Optional: []string{"mimeType"}, Binary: true},
	"file":    {OneOf: []string{"path", "data"}, Optional: []string{"name", "mimeType"}, Binary: true},
	"data":    {Required: []string{"data"}},
	"mention": {Required: []string{"name"}, Optional: []string{"path"}},
	"custom":  {Required: []string{"kind", "content"}},
}

// PartRuleOf returns the rule of a type of part, false for an unknown one.
func PartRuleOf(typ string) (PartRule, bool) {
	r, ok := partRules[typ]
	return r, ok
}

// PartTypes lists the types of parts.
func PartTypes() []string {
	return []string{"text", "image", "audio", "file", "data", "mention", "custom"}
}

// checkStrict refuses parts of unknown type, with fields of another type, or without
// the fields of their own. That its members are known and of the right Go type was
// checked before.
func (Part) checkStrict(raw []byte) *FieldError {
	typ := unquote(Member(raw, "type"))
	rule, ok := partRules[typ]
	if !ok {
		return &FieldError{"type", fmt.Sprintf("is %q but must be one of %s", clip(typ), strings.Join(PartTypes(), ", "))}
	}
	needed, chosen := 0, 0
	s := scan(raw, '{')
	for k, value, ok := s.member(); ok; k, value, ok = s.member() {
		key := string(k[1 : len(k)-1])
		switch {
		case slices.Contains(rule.Required, key):
			needed++
		case slices.Contains(rule.OneOf, key):
			chosen++
		case key != "type" && !slices.Contains(rule.Optional, key):
			return &FieldError{key, "is not a field of a part of type " + typ}
		}
		if err := rule.checkValue(key, value); err != nil {
			return err.in(key)
		}
	}
	if needed < len(rule.Required) {
		return &FieldError{rule.missing(raw), "is required in a part of type " + typ}
	}
	if len(rule.OneOf) > 0 && chosen != 1 {
		return &FieldError{rule.OneOf[0], fmt.Sprintf("a part of type %s needs either %s", typ, strings.Join(rule.OneOf, " or "))}
	}
	return nil
}

// checkValue refuses data that is no string where it must be one, and an empty string
// in what makes the part; a text may be empty.
func (r PartRule) checkValue(key string, value []byte) *FieldError {
	switch {
	case key == "data" && r.Binary && value[0] != '"':
		return &FieldError{"", "must be a string in base64"}
	case string(value) != `""` || key == "text" || key == "data" || key == "content" || slices.Contains(r.Optional, key):
		return nil
	default:
		return &FieldError{"", "must not be empty"}
	}
}

// missing returns the first required field that raw lacks.
func (r PartRule) missing(raw []byte) string {
	for _, name := range r.Required {
		if Member(raw, name) == nil {
			return name
		}
	}
	return "type"
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
