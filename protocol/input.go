package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

var (
	partType    = reflect.TypeFor[Part]()
	messageType = reflect.TypeFor[Message]()
)

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
	default:
		return in.addAll(b)
	}
}

// addAll reads a list. Parts in a row make one user message.
func (in *Input) addAll(list []byte) error {
	for _, raw := range elements(list) {
		if isMessage(raw) {
			return in.addEach(list)
		}
	}
	var parts []Part
	if err := json.Unmarshal(list, &parts); err != nil || len(parts) == 0 {
		return err
	}
	*in = Input{{Role: RoleUser, Parts: parts}}
	return nil
}

func (in *Input) addEach(list []byte) error {
	for _, raw := range elements(list) {
		if err := in.add(raw); err != nil {
			return err
		}
	}
	return nil
}

// add appends one {role, parts} or one part.
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
	return Member(raw, "role") != nil || Member(raw, "parts") != nil
}

// checkStrict checks every part and role, and that a list does not mix parts and
// messages.
func (Input) checkStrict(raw []byte) *FieldError {
	switch raw[0] {
	case '"':
		return nil
	case '{':
		return checkInputElement(raw, isMessage(raw))
	case '[':
		return checkInputList(raw)
	default:
		return &FieldError{"", "must be a string, a part, a list of parts or {role, parts}"}
	}
}

func checkInputList(raw []byte) *FieldError {
	var messages, parts bool
	for i, e := range elements(raw) {
		if e[0] != '{' {
			return (&FieldError{"", "must be a part or {role, parts}"}).at(i)
		}
		message := isMessage(e)
		messages, parts = messages || message, parts || !message
		if err := checkInputElement(e, message); err != nil {
			return err.at(i)
		}
		if messages && parts {
			return (&FieldError{"", "a list holds either parts or {role, parts}, not both"}).at(i)
		}
	}
	return nil
}

func checkInputElement(raw []byte, message bool) *FieldError {
	if message {
		return checkOf(messageType)(raw)
	}
	return checkOf(partType)(raw)
}
