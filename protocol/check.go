package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// A check refuses raw where it is not what a type takes. raw is valid JSON without space
// around it. The field of the error is relative to raw; who calls puts its own name in
// front, so that a path is only made where something is wrong.
type check func(raw []byte) *FieldError

// strict is implemented by types with rules beyond those of their Go type.
type strict interface {
	checkStrict(raw []byte) *FieldError
}

var (
	strictType = reflect.TypeFor[strict]()
	enumType   = reflect.TypeFor[Enum]()
	timeType   = reflect.TypeFor[Time]()
	rawType    = reflect.TypeFor[json.RawMessage]()

	checks sync.Map // reflect.Type -> check
)

// checkOf returns the check of t. It is made at the first use; types must not be
// recursive.
func checkOf(t reflect.Type) check {
	if c, ok := checks.Load(t); ok {
		return c.(check)
	}
	c := newCheck(t)
	if t != rawType {
		c = notNull(c)
	}
	checks.Store(t, c)
	return c
}

func newCheck(t reflect.Type) check {
	switch {
	case t == rawType:
		return func([]byte) *FieldError { return nil }
	case t == timeType:
		return checkTime
	case !t.Implements(strictType):
		return kindCheck(t)
	}
	own := reflect.Zero(t).Interface().(strict).checkStrict
	if t.Kind() != reflect.Struct {
		return own
	}
	fields := kindCheck(t)
	return func(raw []byte) *FieldError {
		if err := fields(raw); err != nil {
			return err
		}
		return own(raw)
	}
}

func kindCheck(t reflect.Type) check {
	switch t.Kind() {
	case reflect.Pointer:
		return checkOf(t.Elem())
	case reflect.Struct:
		return shapeOf(t).check
	case reflect.Map:
		return mapCheck(checkOf(t.Elem()))
	case reflect.Slice:
		return listCheck(checkOf(t.Elem()))
	case reflect.String:
		return stringCheck(t)
	case reflect.Bool:
		return checkBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return intCheck(t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return uintCheck(t.Bits())
	case reflect.Float64:
		return checkFloat
	default:
		panic("protocol: no wire form of " + t.String())
	}
}

func notNull(c check) check {
	return func(raw []byte) *FieldError {
		if raw[0] == 'n' {
			return &FieldError{"", "must not be null; leave it out instead"}
		}
		return c(raw)
	}
}

func mapCheck(value check) check {
	return func(raw []byte) *FieldError {
		if raw[0] != '{' {
			return &FieldError{"", "must be an object"}
		}
		seen := map[string]bool{}
		for key, v := range members(raw) {
			if seen[key] {
				return &FieldError{clip(key), "is there twice"}
			}
			seen[key] = true
			if err := value(v); err != nil {
				return err.in(clip(key))
			}
		}
		return nil
	}
}

func listCheck(element check) check {
	return func(raw []byte) *FieldError {
		if raw[0] != '[' {
			return &FieldError{"", "must be a list"}
		}
		for i, e := range elements(raw) {
			if err := element(e); err != nil {
				return err.at(i)
			}
		}
		return nil
	}
}

func stringCheck(t reflect.Type) check {
	var values []string
	if t.Implements(enumType) {
		values = reflect.Zero(t).Interface().(Enum).Values()
	}
	return func(raw []byte) *FieldError {
		if raw[0] != '"' {
			return &FieldError{"", "must be a string"}
		}
		if values == nil {
			return nil
		}
		for _, v := range values {
			if saysString(raw, v) {
				return nil
			}
		}
		return &FieldError{"", fmt.Sprintf("is %q but must be one of %s", clip(unquote(raw)), strings.Join(values, ", "))}
	}
}

func checkTime(raw []byte) *FieldError {
	var t Time
	if err := t.UnmarshalJSON(raw); err != nil {
		return &FieldError{"", err.Error()}
	}
	return nil
}

func checkBool(raw []byte) *FieldError {
	if raw[0] != 't' && raw[0] != 'f' {
		return &FieldError{"", "must be true or false"}
	}
	return nil
}

func intCheck(bits int) check {
	return func(raw []byte) *FieldError {
		_, err := strconv.ParseInt(string(raw), 10, bits)
		return numberError(err, "must be a whole number")
	}
}

func uintCheck(bits int) check {
	return func(raw []byte) *FieldError {
		_, err := strconv.ParseUint(string(raw), 10, bits)
		return numberError(err, "must be a whole number that is not negative")
	}
}

func checkFloat(raw []byte) *FieldError {
	_, err := strconv.ParseFloat(string(raw), 64)
	return numberError(err, "must be a number")
}

func numberError(err error, otherwise string) *FieldError {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, strconv.ErrRange):
		return &FieldError{"", "is too large a number"}
	default:
		return &FieldError{"", otherwise}
	}
}

// in puts the name of a member in front of the path.
func (e *FieldError) in(name string) *FieldError {
	switch {
	case e.Field == "":
		e.Field = name
	case e.Field[0] == '[':
		e.Field = name + e.Field
	default:
		e.Field = name + "." + e.Field
	}
	return e
}

// at puts the index of an element in front of the path.
func (e *FieldError) at(i int) *FieldError { return e.in("[" + strconv.Itoa(i) + "]") }

// clip bounds what an error repeats of what a client sent.
func clip(s string) string {
	const longest = 64
	if len(s) <= longest {
		return s
	}
	end := longest
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
