package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// FieldError says what is wrong with one field of what a client sent.
type FieldError struct {
	Field   string // path, such as input[0].type
	Problem string // such as "is required"
}

// Error names the field and the problem.
func (e *FieldError) Error() string { return e.Field + " " + e.Problem }

// Decode reads params strictly into v, a pointer to a params struct. Unknown, double,
// missing and ill-typed members, other letter case, null, values outside an [Enum] and
// nesting deeper than 200 are refused with an InvalidParams error whose data.field
// names the member. Absent params are an empty object. After an error v holds nothing
// of use. Decode keeps no part of params.
func Decode(params []byte, v any) error {
	if len(params) == 0 {
		params = []byte("{}")
	}
	if err := decodeStrict(params, v); err != nil {
		return InvalidParams(err.Field, err.Problem)
	}
	return nil
}

// decodeStrict lets encoding/json read first, which also says whether raw is JSON, and
// then looks for what encoding/json is too kind to mind.
func decodeStrict(raw []byte, v any) *FieldError {
	if tooDeep(raw) {
		return &FieldError{"params", fmt.Sprintf("nests deeper than %d levels", maxDepth)}
	}
	err := json.Unmarshal(raw, v)
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return &FieldError{"params", "is not valid JSON"}
	}
	raw = raw[skipSpace(raw, 0):]
	if fe := checkOf(reflect.TypeOf(v).Elem())(raw[:skipValue(raw, 0)]); fe != nil {
		if fe.Field == "" {
			fe.Field = "params"
		}
		return fe
	}
	if err != nil {
		return &FieldError{"params", "cannot be read: " + err.Error()}
	}
	return nil
}
