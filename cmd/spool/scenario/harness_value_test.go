package scenario_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// p is params, or any other JSON object that a test writes down.
type p = map[string]any

// value is decoded JSON. Its methods take a path such as "turn.error.code" or
// "turns.0.id"; what is not there is the zero value.
type value struct{ v any }

// parse decodes JSON; it panics where a daemon sent none, which the client checked.
func parse(raw []byte) value {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(fmt.Sprintf("no JSON: %v: %.200s", err, raw))
	}
	return value{v}
}

// of makes a value of anything that can be marshalled.
func of(v any) value {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return parse(raw)
}

// At returns the member at a path; "" is the value itself.
func (v value) At(path string) value {
	if path == "" {
		return v
	}
	for name := range strings.SplitSeq(path, ".") {
		switch in := v.v.(type) {
		case map[string]any:
			v = value{in[name]}
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(in) {
				return value{}
			}
			v = value{in[i]}
		default:
			return value{}
		}
	}
	return v
}

// Has tells whether there is anything at a path.
func (v value) Has(path string) bool { return v.At(path).v != nil }

// Str returns the string at a path.
func (v value) Str(path string) string {
	s, _ := v.At(path).v.(string)
	return s
}

// Int returns the whole number at a path.
func (v value) Int(path string) int {
	n, _ := v.At(path).v.(json.Number)
	i, _ := strconv.Atoi(string(n))
	return i
}

// Bool returns the truth value at a path.
func (v value) Bool(path string) bool {
	b, _ := v.At(path).v.(bool)
	return b
}

// List returns the elements of the list at a path.
func (v value) List(path string) []value {
	list, _ := v.At(path).v.([]any)
	values := make([]value, len(list))
	for i := range list {
		values[i] = value{list[i]}
	}
	return values
}

// Strs returns the strings of the list at a path.
func (v value) Strs(path string) []string {
	list := v.List(path)
	out := make([]string, len(list))
	for i := range list {
		out[i] = list[i].Str("")
	}
	return out
}

// Each returns the strings at a path of every element of the list.
func (v value) Each(list, path string) []string {
	in := v.List(list)
	out := make([]string, len(in))
	for i := range in {
		out[i] = in[i].Str(path)
	}
	return out
}

// Without returns a copy of an object without some members.
func (v value) Without(names ...string) value {
	in, ok := v.v.(map[string]any)
	if !ok {
		return v
	}
	out := make(map[string]any, len(in))
	for k, e := range in {
		out[k] = e
	}
	for _, n := range names {
		delete(out, n)
	}
	return value{out}
}

// With returns a copy of an object with one member set.
func (v value) With(name string, e any) value {
	out := v.Without()
	if m, ok := out.v.(map[string]any); ok {
		m[name] = of(e).v
	}
	return out
}

// String returns the JSON, with the members of objects in order: equal values have equal
// strings.
func (v value) String() string {
	raw, err := json.Marshal(v.v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// fits tells whether v has the given values at the given paths.
func (v value) fits(where p) bool {
	for path, want := range where {
		if v.At(path).String() != of(want).String() {
			return false
		}
	}
	return true
}
