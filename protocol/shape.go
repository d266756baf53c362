package protocol

import (
	"iter"
	"reflect"
	"strings"
)

// field is a member of a struct as encoding/json names it.
type field struct {
	name     string
	required bool
	typ      reflect.Type
}

// structFields yields the members of a struct, those of embedded structs in their place.
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
			if !yield(field{name, !strings.Contains(opts, "omit"), f.Type}) {
				return
			}
		}
	}
}

// shape is what is checked of a struct.
type shape struct {
	names    []string
	checks   []check
	index    map[string]int
	required []int
}

// maxFields bounds the members of a struct, so that those seen fit into one word.
const maxFields = 64

func shapeOf(t reflect.Type) *shape {
	s := &shape{index: map[string]int{}}
	for f := range structFields(t) {
		n := len(s.names)
		s.names = append(s.names, f.name)
		s.checks = append(s.checks, checkOf(f.typ))
		s.index[f.name] = n
		if f.required {
			s.required = append(s.required, n)
		}
	}
	if len(s.names) > maxFields {
		panic("protocol: too many fields in " + t.String())
	}
	return s
}

func (s *shape) check(raw []byte) *FieldError {
	if raw[0] != '{' {
		return &FieldError{"", "must be an object"}
	}
	var seen uint64
	scan := scan(raw, '{')
	for key, value, ok := scan.member(); ok; key, value, ok = scan.member() {
		i, known := s.find(key)
		if !known {
			name := clip(unquote(key))
			return &FieldError{name, "is not a known field" + s.suggest(name)}
		}
		if seen&(1<<i) != 0 {
			return &FieldError{s.names[i], "is there twice"}
		}
		seen |= 1 << i
		if err := s.checks[i](value); err != nil {
			return err.in(s.names[i])
		}
	}
	for _, i := range s.required {
		if seen&(1<<i) == 0 {
			return &FieldError{s.names[i], "is required"}
		}
	}
	return nil
}

func (s *shape) find(key []byte) (int, bool) {
	if plain, ok := plainString(key); ok {
		i, known := s.index[string(plain)]
		return i, known
	}
	i, known := s.index[unquote(key)]
	return i, known
}

// suggest names the known field that differs from key in letter case only.
func (s *shape) suggest(key string) string {
	for _, name := range s.names {
		if strings.EqualFold(name, key) {
			return "; did you mean " + name + "?"
		}
	}
	return ""
}
