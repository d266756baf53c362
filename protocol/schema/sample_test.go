package schema_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/spoolhq/spool/protocol"
)

const anyJSON = `{"any":null}`

// sample makes a value of a wire type: with all members, or with those that are always
// there.
func sample(t *testing.T, typ reflect.Type, full bool) reflect.Value {
	t.Helper()
	v := reflect.New(typ).Elem()
	switch typ {
	case reflect.TypeFor[json.RawMessage]():
		v.SetBytes([]byte(anyJSON))
		return v
	case reflect.TypeFor[protocol.Time]():
		v.SetInt(1769860800007)
		return v
	case reflect.TypeFor[protocol.Input]():
		return reflect.ValueOf(protocol.Input{{Role: protocol.RoleDeveloper, Parts: parts()}, {Role: protocol.RoleUser, Parts: parts()}})
	case reflect.TypeFor[protocol.Part]():
		return reflect.ValueOf(parts()[1])
	case reflect.TypeFor[protocol.Item]():
		return reflect.ValueOf(item(t, protocol.ItemToolCall, full))
	}
	if typ.Kind() == reflect.String {
		v.SetString("text")
		if e, ok := v.Interface().(protocol.Enum); ok {
			v.SetString(e.Values()[len(e.Values())-1])
		}
		return v
	}
	switch typ.Kind() {
	case reflect.Struct:
		for i := range typ.NumField() {
			f := typ.Field(i)
			if full || !strings.Contains(f.Tag.Get("json"), "omit") {
				v.Field(i).Set(sample(t, f.Type, full))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(typ.Elem()))
		v.Elem().Set(sample(t, typ.Elem(), full))
	case reflect.Slice:
		v.Set(reflect.Append(v, sample(t, typ.Elem(), full)))
	case reflect.Map:
		v.Set(reflect.MakeMap(typ))
		v.SetMapIndex(reflect.ValueOf("key"), sample(t, typ.Elem(), full))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint64:
		v.SetUint(7)
	case reflect.Float64:
		v.SetFloat(0.5)
	default:
		t.Fatalf("no sample of %s", typ)
	}
	return v
}

// parts has one part of each form.
func parts() []protocol.Part {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	return []protocol.Part{
		{Type: "text"},
		{Type: "image", URL: "https://example.org/a.png", MimeType: "image/png"},
		{Type: "image", Data: raw(`"AAEC"`)},
		{Type: "audio", Data: raw(`"AAEC"`), MimeType: "audio/wav"},
		{Type: "file", Path: "/tmp/a", Name: "a"},
		{Type: "data", Data: raw(`null`)},
		{Type: "mention", Name: "readme", Path: "README.md"},
		{Type: "custom", Kind: "k", Content: raw(`[1]`)},
	}
}

// item makes an item with all fields of its type, or with nothing but the type.
func item(t *testing.T, typ protocol.ItemType, full bool) protocol.Item {
	t.Helper()
	it := protocol.Item{ID: "itm_1", Type: typ, Status: protocol.ItemCompleted, Origin: protocol.OriginTurn, CreatedAt: 1769860800007}
	if !full {
		return it
	}
	fields := map[string]bool{"turnId": true, "completedAt": true, "metadata": true}
	for _, name := range typ.Fields() {
		fields[name] = true
	}
	v := reflect.ValueOf(&it).Elem()
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); fields[name] {
			v.Field(i).Set(sample(t, v.Type().Field(i).Type, true))
		}
	}
	if typ == protocol.ItemUserMessage {
		it.Content, _ = protocol.Marshal(parts())
	}
	return it
}
