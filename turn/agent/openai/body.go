package openai

import (
	"encoding/json"

	"github.com/openai/openai-go/v3/packages/param"

	"github.com/spoolhq/spool/protocol"
)

// schemaName is what the endpoint calls config.outputSchema.
const schemaName = "answer"

// extraFields returns config.extra as fields of the request body.
func extraFields(c protocol.Config) map[string]any {
	if len(c.Extra) == 0 {
		return nil
	}
	fields := make(map[string]any, len(c.Extra))
	for name, value := range c.Extra {
		switch {
		case name == "stream" || name == "input" || name == "messages":
		case string(value) == "null":
			fields[name] = param.Omit
		default:
			fields[name] = value
		}
	}
	return fields
}

// outputSchema returns config.outputSchema, nil if there is none, and whether the endpoint
// can be asked to keep to it strictly.
func outputSchema(c protocol.Config) (schema map[string]any, strict bool) {
	if len(c.OutputSchema) == 0 || json.Unmarshal(c.OutputSchema, &schema) != nil {
		return nil, false
	}
	return schema, strictable(schema)
}

// strictable reports whether every object of a schema requires all its properties and
// takes no others, which is what strict mode asks for.
func strictable(schema any) bool {
	switch s := schema.(type) {
	case []any:
		for _, v := range s {
			if !strictable(v) {
				return false
			}
		}
	case map[string]any:
		if s["type"] == "object" && !strictObject(s) {
			return false
		}
		for _, v := range s {
			if !strictable(v) {
				return false
			}
		}
	}
	return true
}

func strictObject(s map[string]any) bool {
	if s["additionalProperties"] != false {
		return false
	}
	properties, _ := s["properties"].(map[string]any)
	required, _ := s["required"].([]any)
	names := map[any]bool{}
	for _, name := range required {
		names[name] = true
	}
	for name := range properties {
		if !names[name] {
			return false
		}
	}
	return true
}
