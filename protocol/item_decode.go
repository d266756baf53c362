package protocol

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
)

var commonItemFields = []string{"id", "turnId", "type", "status", "createdAt", "completedAt", "revision", "origin", "metadata"}

// DecodeItem reads an item that a client wrote, strictly: its type must be known and have
// the fields that are there. Id, status, createdAt, revision and origin may be absent.
// field is the path of the item, for errors, which are InvalidParams. raw must be valid
// JSON.
func DecodeItem(raw []byte, field string, it *Item) error {
	if err := checkItem(raw); err != nil {
		at := err.in(field)
		return InvalidParams(at.Field, at.Problem)
	}
	if err := json.Unmarshal(raw, it); err != nil {
		return InvalidParams(field, "cannot be read: "+err.Error())
	}
	return nil
}

func checkItem(raw []byte) *FieldError {
	if raw[0] != '{' {
		return &FieldError{"", "must be an object"}
	}
	var typ ItemType
	_ = json.Unmarshal(Member(raw, "type"), &typ)
	if typ.Fields() == nil {
		return &FieldError{"type", "must be one of " + strings.Join(typ.Values(), ", ")}
	}
	seen, types := map[string]bool{}, itemFieldTypes()
	for key, value := range members(raw) {
		t, known := types[key]
		switch {
		case !known || !slices.Contains(typ.Fields(), key) && !slices.Contains(commonItemFields, key):
			return &FieldError{clip(key), "is not a field of an item of type " + string(typ)}
		case seen[key]:
			return &FieldError{clip(key), "is there twice"}
		case key == "content" && typ == ItemUserMessage:
			t = reflect.TypeFor[[]Part]()
		}
		seen[key] = true
		if err := checkOf(t)(value); err != nil {
			return err.in(key)
		}
	}
	return nil
}

// itemFieldTypes gives the Go type of each field of an item.
var itemFieldTypes = sync.OnceValue(func() map[string]reflect.Type {
	types := map[string]reflect.Type{}
	for f := range structFields(reflect.TypeFor[Item]()) {
		types[f.name] = f.typ
	}
	return types
})
