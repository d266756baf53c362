package exec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spoolhq/spool/protocol"
)

// line is what a program wrote in one line, read and checked.
type line interface {
	// do carries it out. An error ends the turn.
	do(s *session) error
}

// lines makes an empty line of each type. What a line may hold is what its struct has;
// members without omitempty must be there.
var lines = map[string]func() line{
	"text":      func() line { return new(textLine) },
	"reasoning": func() line { return new(reasoningLine) },
	"end":       func() line { return new(endLine) },
	"item":      func() line { return new(itemLine) },
	"state":     func() line { return new(stateLine) },
	"plan":      func() line { return new(planLine) },
	"usage":     func() line { return new(usageLine) },
	"event":     func() line { return new(eventLine) },
	"approve":   func() line { return new(approveLine) },
	"ask":       func() line { return new(askLine) },
	"call":      func() line { return new(callLine) },
	"steer":     func() line { return new(steerLine) },
	"fail":      func() line { return new(failLine) },
}

type (
	// textLine adds to the message that is being said.
	textLine struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}

	// reasoningLine adds to the reasoning that is being said.
	reasoningLine struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}

	// endLine completes what is being said.
	endLine struct {
		Type string `json:"type"`
	}

	// itemLine says an item that is complete.
	itemLine struct {
		Type string          `json:"type"`
		Item json.RawMessage `json:"item"`

		item protocol.Item
	}

	// stateLine changes the state item of the turn.
	stateLine struct {
		Type  string          `json:"type"`
		Patch json.RawMessage `json:"patch"`
	}

	// planLine replaces the plan.
	planLine struct {
		Type    string               `json:"type"`
		Entries []protocol.PlanEntry `json:"entries"`
	}

	// usageLine reports tokens.
	usageLine struct {
		Type string `json:"type"`
		protocol.Usage
	}

	// eventLine says something to those who watch.
	eventLine struct {
		Type string `json:"type"`
		Kind string `json:"kind"`
		Text string `json:"text"`
	}

	// approveLine asks for permission.
	approveLine struct {
		Type      string          `json:"type"`
		ID        string          `json:"id"`
		Kind      string          `json:"kind"`
		Operation string          `json:"operation"`
		Target    json.RawMessage `json:"target,omitempty"`
		ScopeKey  string          `json:"scopeKey,omitempty"`
		Reason    string          `json:"reason,omitempty"`
	}

	// askLine asks the user.
	askLine struct {
		Type      string     `json:"type"`
		ID        string     `json:"id"`
		Questions []question `json:"questions"`
	}

	// question is a protocol.Question where less must be said.
	question struct {
		ID         string            `json:"id,omitempty"`     // q1, q2 … if absent
		Header     string            `json:"header,omitempty"` // the question if absent
		Question   string            `json:"question"`
		Options    []protocol.Option `json:"options,omitempty"`
		AllowOther *bool             `json:"allowOther,omitempty"` // where there are no options, if absent
		Secret     bool              `json:"secret,omitempty"`
	}

	// callLine has a client carry a tool out.
	callLine struct {
		Type      string          `json:"type"`
		ID        string          `json:"id"`
		Tool      string          `json:"tool"`
		Namespace string          `json:"namespace,omitempty"`
		Arguments json.RawMessage `json:"arguments,omitempty"`
	}

	// steerLine takes the next message that was sent into the turn.
	steerLine struct {
		Type string `json:"type"`
		ID   string `json:"id"`
		Wait *bool  `json:"wait,omitempty"` // false: do not wait for one
	}

	// failLine fails the turn.
	failLine struct {
		Type      string `json:"type"`
		Message   string `json:"message"`
		Retryable bool   `json:"retryable,omitempty"`
	}
)

// parse reads a line. Its error says what is wrong with it, without its text.
func parse(raw []byte) (line, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] != '{' || !json.Valid(raw) {
		return nil, errors.New("it is not a JSON object")
	}
	var name string
	if err := json.Unmarshal(protocol.Member(raw, "type"), &name); err != nil {
		return nil, errors.New("it has no type")
	}
	empty := lines[name]
	if empty == nil {
		return nil, fmt.Errorf("its type is not one of %s", strings.Join(slices.Sorted(maps.Keys(lines)), ", "))
	}
	l := empty()
	if err := protocol.Decode(raw, l); err != nil {
		return nil, err
	}
	if c, ok := l.(interface{ check() error }); ok {
		if err := c.check(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// clip bounds what an error repeats of a line.
func clip(s string) string {
	const longest = 80
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "…"
}

func (l *itemLine) check() error {
	if err := protocol.DecodeItem(l.Item, "item", &l.item); err != nil {
		return err
	}
	switch it := &l.item; {
	case it.Type == protocol.ItemApproval, it.Type == protocol.ItemQuestion:
		return protocol.InvalidParams("item.type", "is for lines of the types approve and ask")
	case it.Status == protocol.ItemInProgress:
		return protocol.InvalidParams("item.status", "must be final")
	default:
		return nil
	}
}

func (l *stateLine) check() error {
	if l.Patch[0] != '{' {
		return protocol.InvalidParams("patch", "must be an object")
	}
	return nil
}

func (l *planLine) check() error {
	for i, e := range l.Entries {
		if !slices.Contains([]string{"pending", "inProgress", "completed"}, e.Status) {
			return protocol.InvalidParams(fmt.Sprintf("entries[%d].status", i), "must be one of pending, inProgress, completed")
		}
	}
	return nil
}

func (l *usageLine) check() error {
	if min(l.InputTokens, l.OutputTokens, l.CachedTokens, l.ReasoningTokens) < 0 {
		return protocol.InvalidParams("tokens", "must not be negative")
	}
	return nil
}

func (l *approveLine) check() error {
	if l.Operation == "" {
		return protocol.InvalidParams("operation", "must not be empty")
	}
	return nil
}

func (l *askLine) check() error {
	if len(l.Questions) == 0 {
		return protocol.InvalidParams("questions", "must not be empty")
	}
	return nil
}

func (l *callLine) check() error {
	if l.Tool == "" {
		return protocol.InvalidParams("tool", "must not be empty")
	}
	return nil
}
