package protocol

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// A filler knows where values of one type may be nil and yet are written: members of
// structs without omitempty. encoding/json writes null there, and the contract has no
// null; a filler puts an empty list or object in.
type filler struct {
	empty  reflect.Value // instead of nil; invalid where nil may stay
	elem   *filler       // what a pointer, list or map leads to
	fields []fieldFiller // of a struct
}

type fieldFiller struct {
	index int
	*filler
}

var (
	fillers       sync.Map // reflect.Type -> *filler, nil where there is nothing to do
	marshalerType = reflect.TypeFor[json.Marshaler]()
)

// whole returns v, or a copy of it where something had to be filled in. It does not look
// into interfaces, nor into types that encode themselves: those call marshal.
func whole(v any) any {
	rv := reflect.ValueOf(v)
	if !rv.IsValid() {
		return Empty{}
	}
	if f := fillerOf(rv.Type()); f != nil && f.lacks(rv) {
		return f.fill(rv).Interface()
	}
	return v
}

func fillerOf(t reflect.Type) *filler {
	if f, ok := fillers.Load(t); ok {
		return f.(*filler)
	}
	f := newFiller(t, true, nil)
	fillers.Store(t, f)
	return f
}

// newFiller makes the filler of t; written says that a nil of that type is written.
// Types that are already being looked into, above, are left alone.
func newFiller(t reflect.Type, written bool, above []reflect.Type) *filler {
	encodesItself := t != rawType && (t.Implements(marshalerType) || reflect.PointerTo(t).Implements(marshalerType))
	if encodesItself || slices.Contains(above, t) {
		return nil
	}
	above = append(above, t)
	f := &filler{}
	switch t.Kind() {
	case reflect.Struct:
		f.fields = fieldFillers(t, above)
	case reflect.Pointer:
		f.elem = newFiller(t.Elem(), true, above)
	case reflect.Map, reflect.Slice:
		f.elem = newFiller(t.Elem(), false, above)
		if written {
			f.empty = emptyOf(t)
		}
	default:
	}
	if !f.empty.IsValid() && f.elem == nil && len(f.fields) == 0 {
		return nil
	}
	return f
}

// emptyOf returns the value that is written as {} or [].
func emptyOf(t reflect.Type) reflect.Value {
	switch {
	case t == rawType:
		return reflect.ValueOf(json.RawMessage("{}"))
	case t.Kind() == reflect.Map:
		return reflect.MakeMap(t)
	default:
		return reflect.MakeSlice(t, 0, 0)
	}
}

func fieldFillers(t reflect.Type, above []reflect.Type) []fieldFiller {
	var fields []fieldFiller
	for i := range t.NumField() {
		sf := t.Field(i)
		name, opts, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if name == "-" || !sf.IsExported() {
			continue
		}
		if f := newFiller(sf.Type, !strings.Contains(opts, "omit"), above); f != nil {
			fields = append(fields, fieldFiller{i, f})
		}
	}
	return fields
}

// lacks reports whether there is something to fill in.
func (f *filler) lacks(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct:
		for _, ff := range f.fields {
			if ff.lacks(v.Field(ff.index)) {
				return true
			}
		}
		return false
	case reflect.Pointer:
		return !v.IsNil() && f.elem.lacks(v.Elem())
	case reflect.Slice:
		if v.IsNil() {
			return f.empty.IsValid()
		}
		for i := 0; f.elem != nil && i < v.Len(); i++ {
			if f.elem.lacks(v.Index(i)) {
				return true
			}
		}
		return false
	default: // a map
		if v.IsNil() {
			return f.empty.IsValid()
		}
		for it := v.MapRange(); f.elem != nil && it.Next(); {
			if f.elem.lacks(it.Value()) {
				return true
			}
		}
		return false
	}
}

// fill returns v with everything filled in. What changes is copied, the rest is shared.
func (f *filler) fill(v reflect.Value) reflect.Value {
	if !f.lacks(v) {
		return v
	}
	switch v.Kind() {
	case reflect.Struct:
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		for _, ff := range f.fields {
			c.Field(ff.index).Set(ff.fill(v.Field(ff.index)))
		}
		return c
	case reflect.Pointer:
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(f.elem.fill(v.Elem()))
		return c
	default:
		if v.IsNil() {
			return f.empty
		}
		return f.fillAll(v)
	}
}

// fillAll fills in the elements of a list or a map.
func (f *filler) fillAll(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Slice {
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			c.Index(i).Set(f.elem.fill(v.Index(i)))
		}
		return c
	}
	c := reflect.MakeMapWithSize(v.Type(), v.Len())
	for it := v.MapRange(); it.Next(); {
		c.SetMapIndex(it.Key(), f.elem.fill(it.Value()))
	}
	return c
}
