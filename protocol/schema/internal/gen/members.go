package gen

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// member is a member of a struct on the wire.
type member struct {
	name     string
	required bool
	typ      reflect.Type
	in       reflect.Type // the struct it is declared in
}

// members lists the members of a struct, those of embedded structs in their place.
func members(t reflect.Type) []member {
	var list []member
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			list = append(list, members(f.Type)...)
		case name != "-":
			list = append(list, member{name, !strings.Contains(opts, "omit"), f.Type, t})
		}
	}
	return list
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
