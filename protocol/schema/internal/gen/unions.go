package gen

import (
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/spoolhq/spool/protocol"
)

// plain reflects a type that mapped would replace by a reference.
func (ts *types) plain(t reflect.Type) *jsonschema.Schema {
	r := ts.reflector()
	mapped := r.Mapper
	r.Mapper = func(other reflect.Type) *jsonschema.Schema {
		if other == t {
			return nil
		}
		return mapped(other)
	}
	definitions := r.ReflectFromType(t).Definitions
	for name, def := range definitions {
		if name != t.Name() {
			ts.defs[name] = def
			ts.told[name] = true
		}
	}
	return definitions[t.Name()]
}

// variant makes the schema of one form of a type: its type member is a constant, and of
// the other members of base it has those that are named.
func variant(base *jsonschema.Schema, typ string, fields []string) *jsonschema.Schema {
	v := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties()}
	for p := base.Properties.Oldest(); p != nil; p = p.Next() {
		switch {
		case p.Key == "type":
			v.Properties.Set("type", &jsonschema.Schema{Const: typ})
		case slices.Contains(fields, p.Key):
			member := *p.Value
			v.Properties.Set(p.Key, &member)
		}
	}
	return v
}

// addParts makes Part and a type for each of its forms: TextPart, ImagePart…
func (ts *types) addParts() {
	base := ts.plain(reflect.TypeFor[protocol.Part]())
	part := &jsonschema.Schema{Description: base.Description}
	for _, typ := range protocol.PartTypes() {
		rule, _ := protocol.PartRuleOf(typ)
		v := variant(base, typ, slices.Concat(rule.Required, rule.OneOf, rule.Optional))
		v.Required = append([]string{"type"}, rule.Required...)
		for _, field := range rule.OneOf {
			v.OneOf = append(v.OneOf, &jsonschema.Schema{Required: []string{field}})
		}
		one := uint64(1)
		for p := v.Properties.Oldest(); p != nil; p = p.Next() {
			switch {
			case p.Key == "data" && rule.Binary:
				p.Value.Type, p.Value.ContentEncoding = "string", "base64"
			case p.Value.Type == "string" && p.Key != "text" && !slices.Contains(rule.Optional, p.Key):
				p.Value.MinLength = &one
			}
			p.Value.Description = ""
		}
		name := upperFirst(typ) + "Part"
		ts.defs[name] = v
		part.OneOf = append(part.OneOf, ref(name))
	}
	ts.defs["Part"] = part
}

// addItems makes Item and a type for each of its forms: UserMessageItem…
func (ts *types) addItems() {
	base := ts.plain(reflect.TypeFor[protocol.Item]())
	var kinds protocol.ItemType
	var common []string
	for p := base.Properties.Oldest(); p != nil; p = p.Next() {
		if !slices.ContainsFunc(kinds.Values(), func(typ string) bool {
			return slices.Contains(protocol.ItemType(typ).Fields(), p.Key)
		}) {
			common = append(common, p.Key)
		}
	}
	item := &jsonschema.Schema{Description: base.Description}
	newItem := &jsonschema.Schema{Description: ts.notes.fields[packagePath+".NewItem"]}
	for _, typ := range kinds.Values() {
		v := variant(base, typ, slices.Concat(common, protocol.ItemType(typ).Fields()))
		v.Required = slices.Concat(base.Required, protocol.ItemType(typ).RequiredFields())
		if content, ok := v.Properties.Get("content"); ok && typ == string(protocol.ItemUserMessage) {
			*content = *listOf(ref("Part"))
		}
		name := upperFirst(typ) + "Item"
		ts.defs[name] = v
		item.OneOf = append(item.OneOf, ref(name))
		newItem.OneOf = append(newItem.OneOf, ts.newItem(v))
	}
	ts.defs["Item"] = item
	ts.defs["NewItem"] = newItem
	ts.defs["ItemType"] = enum(kinds.Values(), ts.notes.of(reflect.TypeFor[protocol.ItemType](), ""))
}

// newItem makes the form of an item that a client writes: nothing but the type must be
// there, and nothing unknown may be.
func (ts *types) newItem(item *jsonschema.Schema) *jsonschema.Schema {
	v := *item
	v.Required = []string{"type"}
	v.AdditionalProperties = jsonschema.FalseSchema
	v.Properties = jsonschema.NewProperties()
	for p := item.Properties.Oldest(); p != nil; p = p.Next() {
		member := *p.Value
		if items := member.Items; items != nil && items.Ref == defsPrefix+"Part" {
			member.Items = closedPart()
		}
		v.Properties.Set(p.Key, &member)
	}
	return &v
}

// closedPart refers to Part where a client sends it.
func closedPart() *jsonschema.Schema {
	s := ref("Part")
	s.Extras = map[string]any{"unevaluatedProperties": false}
	return s
}

// addInput makes Input, which clients send in any of its forms, and StoredInput, which
// the daemon tells.
func (ts *types) addInput() {
	message := ts.plain(reflect.TypeFor[protocol.Message]())
	ts.defs["Message"] = message
	ts.told["Message"] = true

	closedMessage := &jsonschema.Schema{
		Type:                 "object",
		Description:          "A message with closed parts, as a client sends it.",
		Properties:           jsonschema.NewProperties(),
		AdditionalProperties: jsonschema.FalseSchema,
		Required:             message.Required,
	}
	closedMessage.Properties.Set("role", ref("MessageRole"))
	closedMessage.Properties.Set("parts", listOf(closedPart()))
	ts.defs["InputMessage"] = closedMessage

	ts.defs["Input"] = &jsonschema.Schema{
		Description: ts.notes.of(reflect.TypeFor[protocol.Input](), ""),
		OneOf: []*jsonschema.Schema{
			{Type: "string"},
			closedPart(),
			ref("InputMessage"),
			oneOfLists(closedPart(), ref("InputMessage")),
		},
	}
	ts.defs["StoredInput"] = oneOfLists(ref("Part"), ref("Message"))
	ts.defs["StoredInput"].Description = "An input as the daemon tells it: the parts of one user message, or a list of messages."
	for _, name := range ts.names() {
		if ts.told[name] && ts.defs[name].Properties != nil {
			if input, ok := ts.defs[name].Properties.Get("input"); ok && input.Ref == defsPrefix+"Input" {
				input.Ref = defsPrefix + "StoredInput"
			}
		}
	}
}

// oneOfLists is a list of one of two kinds; anyOf, because an empty list is both.
func oneOfLists(a, b *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{listOf(a), listOf(b)}}
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
