package gen

import (
	"fmt"
	"strings"

	"github.com/invopop/jsonschema"
)

// close makes the types that only clients send refuse unknown members, also in the
// shared types that they refer to.
func (ts *types) close() error {
	for _, name := range ts.names() {
		def := ts.defs[name]
		if !ts.sent[name] || ts.told[name] || def.Properties == nil {
			continue
		}
		def.AdditionalProperties = jsonschema.FalseSchema
		for p := def.Properties.Oldest(); p != nil; p = p.Next() {
			if err := ts.closeRef(p.Value); err != nil {
				return fmt.Errorf("%s.%s: %w", name, p.Key, err)
			}
			ts.setDefault(def, p.Key, p.Value)
		}
	}
	return nil
}

// closeRef closes what s refers to, at the place of the reference.
func (ts *types) closeRef(s *jsonschema.Schema) error {
	if s.Items != nil {
		return ts.closeRef(s.Items)
	}
	if s.Ref == "" {
		if s.AdditionalProperties != nil && s.AdditionalProperties.Ref != "" {
			return ts.closeRef(s.AdditionalProperties)
		}
		return nil
	}
	name := strings.TrimPrefix(s.Ref, defsPrefix)
	if name != "Part" && !(ts.told[name] && ts.defs[name].Properties != nil) {
		return nil
	}
	if err := ts.isLeaf(name); err != nil {
		return err
	}
	s.Extras = map[string]any{"unevaluatedProperties": false}
	return nil
}

// isLeaf makes sure that closing name at the place of a reference closes all of it.
func (ts *types) isLeaf(name string) error {
	if name == "Part" {
		return nil
	}
	for p := ts.defs[name].Properties.Oldest(); p != nil; p = p.Next() {
		inner := strings.TrimPrefix(p.Value.Ref, defsPrefix)
		if d := ts.defs[inner]; d != nil && d.Properties != nil {
			return fmt.Errorf("%s is both sent and told and holds %s, which a reference cannot close", name, inner)
		}
	}
	return nil
}

// noDefault lists the optional enums whose absence is not the first of their values.
var noDefault = map[string]bool{"EndScope": true, "Decision": true}

// setDefault names the default of an optional enum: the first of its values.
func (ts *types) setDefault(def *jsonschema.Schema, key string, s *jsonschema.Schema) {
	name := strings.TrimPrefix(s.Ref, defsPrefix)
	target := ts.defs[name]
	if target == nil || len(target.Enum) == 0 || noDefault[name] {
		return
	}
	for _, required := range def.Required {
		if required == key {
			return
		}
	}
	s.Default = target.Enum[0]
}
