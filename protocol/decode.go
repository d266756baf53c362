package protocol

import (
	"encoding/json"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
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
// names the member. Absent params are an empty object.
func Decode(params []byte, v any) error {
	if len(params) == 0 {
		params = []byte("{}")
	}
	err := decodeStrict(params, v)
	if err == nil {
		return nil
	}
	return InvalidParams(err.Field, err.Problem)
}

func decodeStrict(raw []byte, v any) *FieldError {
	if !json.Valid(raw) {
		return &FieldError{"params", "is not valid JSON"}
	}
	if tooDeep(raw) {
		return &FieldError{"params", fmt.Sprintf("nests deeper than %d levels", maxDepth)}
	}
	raw = raw[skipSpace(raw, 0):]
	if raw[0] != '{' {
		return &FieldError{"params", "must be an object"}
	}
	if err := checkType(reflect.TypeOf(v).Elem(), raw, ""); err != nil {
		if fe, ok := err.(*FieldError); ok { //nolint:errorlint // checkType gives it bare
			return fe
		}
		return &FieldError{"params", err.Error()}
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return &FieldError{"params", err.Error()}
	}
	return nil
}

// strict is implemented by types whose form encoding/json alone cannot check.
type strict interface {
	checkStrict(raw []byte, path string) error
}

type field struct {
	name     string
	required bool
	typ      reflect.Type
}

var (
	strictType  = reflect.TypeFor[strict]()
	enumType    = reflect.TypeFor[Enum]()
	timeType    = reflect.TypeFor[Time]()
	rawType     = reflect.TypeFor[json.RawMessage]()
	partType    = reflect.TypeFor[Part]()
	messageType = reflect.TypeFor[Message]()

	fieldCache sync.Map // reflect.Type -> map[string]field
)

// structFields yields the members of a struct as encoding/json names them.
func structFields(t reflect.Type) iter.Seq[field] {
	return func(yield func(field) bool) {
		for i := range t.NumField() {
			f := t.Field(i)
			name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case f.Anonymous && name == "":
				for inner := range structFields(f.Type) {
					if !yield(inner) {
						return
					}
				}
				continue
			case name == "-" || !f.IsExported():
				continue
			}
			required := !strings.Contains(opts, "omit")
			if !yield(field{name, required, f.Type}) {
				return
			}
		}
	}
}

func fieldsOf(t reflect.Type) map[string]field {
	if m, ok := fieldCache.Load(t); ok {
		return m.(map[string]field)
	}
	m := map[string]field{}
	for f := range structFields(t) {
		m[f.name] = f
	}
	fieldCache.Store(t, m)
	return m
}

// checkType refuses raw, which is valid JSON without leading space, where it is not
// what t takes.
func checkType(t reflect.Type, raw []byte, path string) error {
	if string(raw) == "null" && t != rawType {
		return &FieldError{orParams(path), "must not be null; leave it out instead"}
	}
	if t.Kind() == reflect.Pointer {
		return checkType(t.Elem(), raw, path)
	}
	if t == rawType {
		return nil
	}
	if t == timeType {
		var tm Time
		if err := tm.UnmarshalJSON(raw); err != nil {
			return &FieldError{path, err.Error()}
		}
		return nil
	}
	if t.Implements(strictType) {
		if err := reflect.Zero(t).Interface().(strict).checkStrict(raw, path); err != nil {
			return err
		}
		if t.Kind() != reflect.Struct {
			return nil
		}
	}
	return checkKind(t, raw, path)
}

func checkKind(t reflect.Type, raw []byte, path string) error {
	switch t.Kind() {
	case reflect.Struct:
		return checkStruct(t, raw, path)
	case reflect.Map:
		return checkMap(t, raw, path)
	case reflect.Slice:
		if raw[0] != '[' {
			return &FieldError{path, "must be a list"}
		}
		for i, e := range elements(raw) {
			if err := checkType(t.Elem(), e, index(path, i)); err != nil {
				return err
			}
		}
		return nil
	case reflect.String:
		return checkString(t, raw, path)
	case reflect.Bool:
		if s := string(raw); s != "true" && s != "false" {
			return &FieldError{path, "must be true or false"}
		}
		return nil
	case reflect.Int, reflect.Int64:
		if _, err := strconv.ParseInt(string(raw), 10, 64); err != nil {
			return &FieldError{path, "must be a whole number"}
		}
		return nil
	case reflect.Uint64:
		if _, err := strconv.ParseUint(string(raw), 10, 64); err != nil {
			return &FieldError{path, "must be a whole number that is not negative"}
		}
		return nil
	case reflect.Float64:
		if c := raw[0]; c != '-' && (c < '0' || c > '9') {
			return &FieldError{path, "must be a number"}
		}
		return nil
	default:
		return nil
	}
}

func checkStruct(t reflect.Type, raw []byte, path string) error {
	if raw[0] != '{' {
		return &FieldError{orParams(path), "must be an object"}
	}
	fields := fieldsOf(t)
	seen := make(map[string]bool, 8)
	for key, value := range members(raw) {
		f, ok := fields[key]
		if !ok {
			return &FieldError{join(path, key), "is not a known field" + suggest(key, fields)}
		}
		if seen[key] {
			return &FieldError{join(path, key), "is there twice"}
		}
		seen[key] = true
		if err := checkType(f.typ, value, join(path, key)); err != nil {
			return err
		}
	}
	for f := range structFields(t) {
		if f.required && !seen[f.name] {
			return &FieldError{join(path, f.name), "is required"}
		}
	}
	return nil
}

func checkMap(t reflect.Type, raw []byte, path string) error {
	if raw[0] != '{' {
		return &FieldError{path, "must be an object"}
	}
	seen := map[string]bool{}
	for key, value := range members(raw) {
		if seen[key] {
			return &FieldError{join(path, key), "is there twice"}
		}
		seen[key] = true
		if err := checkType(t.Elem(), value, join(path, key)); err != nil {
			return err
		}
	}
	return nil
}

func checkString(t reflect.Type, raw []byte, path string) error {
	if raw[0] != '"' {
		return &FieldError{path, "must be a string"}
	}
	if !t.Implements(enumType) {
		return nil
	}
	values := reflect.Zero(t).Interface().(Enum).Values()
	if s := unquote(raw); !slices.Contains(values, s) {
		return &FieldError{path, fmt.Sprintf("is %q but must be one of %s", s, strings.Join(values, ", "))}
	}
	return nil
}

// suggest names the known field that differs from key in letter case only.
func suggest(key string, fields map[string]field) string {
	for name := range fields {
		if strings.EqualFold(name, key) {
			return "; did you mean " + name + "?"
		}
	}
	return ""
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func orParams(path string) string {
	if path == "" {
		return "params"
	}
	return path
}
