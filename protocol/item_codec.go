package protocol

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// itemField is a field that a type of item has beside the common ones.
type itemField struct {
	name string
	// empty is what is written where a field that is always there has no value; fields
	// without it are left out then.
	empty string
}

var itemFields = map[ItemType][]itemField{
	ItemUserMessage:      {{"content", `[]`}, {"sender", ""}, {"delivery", `"input"`}},
	ItemDeveloperMessage: {{"text", `""`}, {"visibility", `"hidden"`}},
	ItemAgentMessage:     {{"text", `""`}, {"citations", ""}},
	ItemReasoning:        {{"text", `""`}},
	ItemToolCall: {
		{"tool", `""`},
		{"namespace", ""},
		{"callId", `""`},
		{"executor", `"client"`},
		{"arguments", `{}`},
		{"result", ""},
		{"error", ""},
		{"durationMs", ""},
	},
	ItemCommandExecution: {
		{"callId", `""`},
		{"command", `[]`},
		{"cwd", `""`},
		{"output", `""`},
		{"outputTruncated", ""},
		{"exitCode", ""},
		{"durationMs", ""},
	},
	ItemFileChange: {{"callId", `""`}, {"changes", `[]`}},
	ItemPlan:       {{"entries", `[]`}},
	ItemApproval: {
		{"approvalId", `""`},
		{"kind", `"other"`},
		{"operation", `""`},
		{"target", ""},
		{"scopeKey", `""`},
		{"reason", ""},
		{"decisions", `[]`},
		{"expiresAt", ""},
		{"decision", ""},
		{"by", ""},
	},
	ItemQuestion: {{"requestId", `""`}, {"questions", `[]`}, {"answers", ""}, {"outcome", ""}, {"by", ""}},
	ItemState:    {{"state", `{}`}},
	ItemCustom:   {{"kind", `""`}, {"role", `""`}, {"content", `{}`}},
	ItemNotice:   {{"kind", `""`}, {"text", `""`}},
	ItemError:    {{"code", `""`}, {"message", `""`}},
}

// Fields returns the names of the fields that items of type t have beside the common
// ones, nil for an unknown type.
func (t ItemType) Fields() []string {
	var names []string
	for _, f := range itemFields[t] {
		names = append(names, f.name)
	}
	return names
}

// RequiredFields returns those of Fields that are always written, also where they are
// empty.
func (t ItemType) RequiredFields() []string {
	var names []string
	for _, f := range itemFields[t] {
		if f.empty != "" {
			names = append(names, f.name)
		}
	}
	return names
}

// HasText reports whether items of type t carry Text.
func (t ItemType) HasText() bool {
	return slices.ContainsFunc(itemFields[t], func(f itemField) bool { return f.name == "text" })
}

type plainItem Item // without methods, so that encoding/json does the work

// itemIndex gives the place of each field of Item by its name on the wire.
var itemIndex = func() map[string]int {
	index := map[string]int{}
	t := reflect.TypeFor[Item]()
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "-" {
			index[name] = i
		}
	}
	return index
}()

// MarshalJSON writes the item with its extra fields, and those that its type always has
// also where they are empty.
func (it Item) MarshalJSON() ([]byte, error) {
	b, err := marshal((*plainItem)(&it))
	if err != nil {
		return nil, err
	}
	b = b[:len(b)-1]
	v := reflect.ValueOf(&it).Elem()
	for _, f := range itemFields[it.Type] {
		if f.empty != "" && isEmpty(v.Field(itemIndex[f.name])) {
			b = append(append(append(b, `,"`...), f.name...), `":`...)
			b = append(b, f.empty...)
		}
	}
	if extra := it.extra(); len(extra) > 0 {
		more, err := marshal(extra)
		if err != nil {
			return nil, err
		}
		return append(append(b, ','), more[1:]...), nil
	}
	return append(b, '}'), nil
}

// isEmpty reports whether omitempty leaves a string or a list out.
func isEmpty(v reflect.Value) bool { return v.Len() == 0 }

// extra returns the extra fields but those whose name is one of the known.
func (it *Item) extra() Object {
	known := func(key string, _ json.RawMessage) bool {
		_, ok := itemIndex[key]
		return ok
	}
	for key, value := range it.Extra {
		if known(key, value) {
			extra := maps.Clone(it.Extra)
			maps.DeleteFunc(extra, known)
			return extra
		}
	}
	return it.Extra
}

func isItemField(key string) bool {
	_, ok := itemIndex[key]
	return ok
}

// UnmarshalJSON reads an item and keeps the fields it does not know in Extra.
func (it *Item) UnmarshalJSON(b []byte) error {
	var p plainItem
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	s := scan(b, '{')
	for quoted, raw, ok := s.member(); ok; quoted, raw, ok = s.member() {
		if name, plain := plainString(quoted); plain && isItemField(string(name)) {
			continue // most are, and need no string
		}
		key := unquote(quoted)
		if isItemField(key) {
			continue
		}
		if p.Extra == nil {
			p.Extra = Object{}
		}
		p.Extra[key] = slices.Clone(raw)
	}
	*it = Item(p)
	return nil
}
