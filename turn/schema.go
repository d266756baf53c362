package turn

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/spoolhq/spool/protocol"
)

//go:embed config.schema.json
var baseSchema []byte

// ConfigSchema returns the JSON Schema of protocol.Config, narrowed by a JSON merge patch
// (RFC 7396): `{"properties":{"temperature":{"maximum":1}}}`. An empty patch changes
// nothing. It panics if patch is not valid JSON, as it is meant for constants.
func ConfigSchema(patch string) json.RawMessage {
	if patch == "" {
		patch = "{}"
	}
	if !json.Valid([]byte(patch)) {
		panic("turn: the patch of a config schema is not valid JSON: " + patch)
	}
	schema, err := protocol.MergePatch(baseSchema, json.RawMessage(patch))
	if err != nil {
		panic("turn: config.schema.json is not valid JSON: " + err.Error())
	}
	return schema
}

// noLoader keeps a schema from reading files and other documents.
type noLoader struct{}

// Load refuses.
func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("it refers to %s, but a schema must stand alone", url)
}

// Schema is a compiled JSON Schema.
type Schema struct{ compiled *jsonschema.Schema }

// CompileSchema reads a JSON Schema. It must stand alone: references to other documents
// are refused.
func CompileSchema(schema json.RawMessage) (*Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	const name = "urn:spool:schema"
	if err := c.AddResource(name, doc); err != nil {
		return nil, err
	}
	compiled, err := c.Compile(name)
	if err != nil {
		return nil, err
	}
	return &Schema{compiled}, nil
}

// Check says what is wrong with a value: the path of the first field, by name, that does
// not fit ("" for the value itself), and its problem. A value that fits has no problem.
func (s *Schema) Check(value json.RawMessage) (field, problem string) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return "", "is not valid JSON"
	}
	err = s.compiled.Validate(doc)
	if err == nil {
		return "", ""
	}
	ve, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return "", "does not fit the schema: " + err.Error()
	}
	first := slices.MinFunc(leaves(ve), func(a, b *jsonschema.ValidationError) int {
		return slices.Compare(a.InstanceLocation, b.InstanceLocation)
	})
	return explain(s.compiled, first)
}

// compileConfigSchema compiles the schema of an agent's config, by default that of
// protocol.Config.
func compileConfigSchema(schema json.RawMessage) (*Schema, error) {
	if len(schema) == 0 {
		schema = baseSchema
	}
	return CompileSchema(schema)
}

// checkConfig returns an InvalidConfig error for the first key, by name, that does not fit.
func checkConfig(schema *Schema, config protocol.Object) error {
	raw, err := json.Marshal(config)
	if err != nil {
		return protocol.InvalidConfig("config", "is not valid JSON")
	}
	field, problem := schema.Check(raw)
	if problem == "" {
		return nil
	}
	return protocol.InvalidConfig(cmp.Or(field, "config"), problem)
}

// leaves returns the errors that have no other behind them, at least one.
func leaves(ve *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(ve.Causes) == 0 {
		return []*jsonschema.ValidationError{ve}
	}
	var all []*jsonschema.ValidationError
	for _, cause := range ve.Causes {
		all = append(all, leaves(cause)...)
	}
	return all
}

// explain says which field a validation error is about and what is wrong with it.
func explain(schema *jsonschema.Schema, ve *jsonschema.ValidationError) (field, problem string) {
	at := ve.InstanceLocation
	switch k := ve.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		return fieldPath(append(at, k.Properties[0])), "is not a known key"
	case *kind.FalseSchema:
		return fieldPath(at), "is not a known key"
	case *kind.Required:
		return fieldPath(append(at, k.Missing[0])), "is required"
	case *kind.Minimum, *kind.Maximum, *kind.ExclusiveMinimum, *kind.ExclusiveMaximum:
		return fieldPath(at), "must be " + bounds(schemaAt(schema, at), k)
	case *kind.Type:
		return fieldPath(at), "must be " + strings.Join(k.Want, " or ")
	case *kind.Enum:
		return fieldPath(at), "must be one of " + list(k.Want)
	case *kind.Const:
		return fieldPath(at), "must be " + list([]any{k.Want})
	case *kind.MinLength:
		return fieldPath(at), fmt.Sprintf("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		return fieldPath(at), fmt.Sprintf("must have at most %d characters", k.Want)
	case *kind.Pattern:
		return fieldPath(at), "must fit the pattern " + k.Want
	default:
		return fieldPath(at), "does not fit the agent's schema: " + k.LocalizedString(message.NewPrinter(language.English))
	}
}

// bounds says which numbers the schema takes; broken is the rule that one did not fit.
func bounds(s *jsonschema.Schema, broken jsonschema.ErrorKind) string {
	if s != nil && s.Minimum != nil && s.Maximum != nil {
		return "between " + number(s.Minimum) + " and " + number(s.Maximum)
	}
	switch k := broken.(type) {
	case *kind.Minimum:
		return "at least " + number(k.Want)
	case *kind.Maximum:
		return "at most " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "more than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "less than " + number(k.Want)
	default:
		return "another number"
	}
}

func number(r *big.Rat) string {
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func list(values []any) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, ", ")
}

// schemaAt finds the schema of a place in the config; nil where it cannot tell.
func schemaAt(s *jsonschema.Schema, at []string) *jsonschema.Schema {
	for _, step := range at {
		switch {
		case s == nil:
			return nil
		case s.Properties[step] != nil:
			s = s.Properties[step]
		default:
			s = s.Items2020
		}
	}
	return s
}

// fieldPath writes a place in the form modes[0].id.
func fieldPath(at []string) string {
	if len(at) == 0 {
		return "config"
	}
	var b strings.Builder
	for _, step := range at {
		switch _, err := strconv.Atoi(step); {
		case err == nil:
			b.WriteString("[" + step + "]")
		case b.Len() > 0:
			b.WriteString("." + step)
		default:
			b.WriteString(step)
		}
	}
	return b.String()
}
