package storagetest

import (
	"bytes"
	"reflect"

	"github.com/google/go-cmp/cmp"
)

// diff describes how two values differ, where nothing and an empty list are the same.
// It is empty where they do not.
func diff(want, got any) string {
	if reflect.DeepEqual(want, got) { // many times as fast
		return ""
	}
	return cmp.Diff(want, got,
		cmp.Comparer(bytes.Equal),
		cmp.FilterValues(bothEmpty, cmp.Comparer(func(_, _ any) bool { return true })),
	)
}

// bothEmpty leaves bytes to their own comparer.
func bothEmpty(a, b any) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	if !x.IsValid() || !y.IsValid() || x.Type() != y.Type() {
		return false
	}
	switch x.Kind() {
	case reflect.Slice:
		return x.Type().Elem().Kind() != reflect.Uint8 && x.Len() == 0 && y.Len() == 0
	case reflect.Map:
		return x.Len() == 0 && y.Len() == 0
	default:
		return false
	}
}
