package protocol

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"

	"pgregory.net/rapid"
)

// drawValue makes a random value of a wire type. With written, a nil is not an option:
// the field is always on the wire.
func drawValue(t *rapid.T, typ reflect.Type, written bool) reflect.Value {
	v := reflect.New(typ).Elem()
	switch {
	case typ == rawType:
		v.SetBytes(drawJSON(t, written))
		return v
	case typ == timeType:
		v.SetInt(rapid.Int64Range(0, 253402300799999).Draw(t, "time"))
		return v
	case typ == partType:
		return reflect.ValueOf(drawPart(t))
	case typ == reflect.TypeFor[Input]():
		return reflect.ValueOf(drawInput(t))
	case typ == reflect.TypeFor[Item]():
		return reflect.ValueOf(drawItem(t))
	case typ.Implements(enumType):
		v.SetString(rapid.SampledFrom(v.Interface().(Enum).Values()).Draw(t, "enum"))
		return v
	}
	switch typ.Kind() {
	case reflect.Struct:
		drawStruct(t, v)
	case reflect.Pointer:
		if written || rapid.Bool().Draw(t, "there") {
			v.Set(reflect.New(typ.Elem()))
			v.Elem().Set(drawValue(t, typ.Elem(), true))
		}
	case reflect.Slice:
		n := rapid.IntRange(0, 3).Draw(t, "length")
		v.Set(reflect.MakeSlice(typ, 0, n))
		for range n {
			v.Set(reflect.Append(v, drawValue(t, typ.Elem(), true)))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(typ))
		for range rapid.IntRange(0, 3).Draw(t, "size") {
			v.SetMapIndex(reflect.ValueOf(rapid.String().Draw(t, "key")), drawValue(t, typ.Elem(), true))
		}
	case reflect.String:
		v.SetString(rapid.String().Draw(t, "string"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int"))
	case reflect.Int8:
		v.SetInt(int64(rapid.Int8().Draw(t, "int8")))
	case reflect.Uint16:
		v.SetUint(uint64(rapid.Uint16().Draw(t, "uint16")))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, "uint"))
	case reflect.Float64:
		v.SetFloat(rapid.Float64().Draw(t, "float"))
	default:
		t.Fatalf("no random value of %s", typ)
	}
	return v
}

func drawStruct(t *rapid.T, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		written := !strings.Contains(opts, "omit")
		if written || rapid.Bool().Draw(t, f.Name+"?") {
			v.Field(i).Set(drawValue(t, f.Type, written))
		}
	}
}

func drawPart(t *rapid.T) Part {
	p := Part{Type: rapid.SampledFrom(PartTypes()).Draw(t, "part")}
	text := rapid.StringN(1, 10, -1)
	rule := partRules[p.Type]
	fields := append([]string(nil), rule.Required...)
	if len(rule.OneOf) > 0 {
		fields = append(fields, rapid.SampledFrom(rule.OneOf).Draw(t, "one of"))
	}
	for _, name := range rule.Optional {
		if rapid.Bool().Draw(t, name) {
			fields = append(fields, name)
		}
	}
	for _, name := range fields {
		switch name {
		case "text":
			p.Text = rapid.String().Draw(t, "text")
		case "url":
			p.URL = text.Draw(t, "url")
		case "data":
			if p.Data = drawJSON(t, true); rule.Binary {
				p.Data = json.RawMessage(`"AAEC"`)
			}
		case "mimeType":
			p.MimeType = text.Draw(t, "mimeType")
		case "path":
			p.Path = text.Draw(t, "path")
		case "name":
			p.Name = text.Draw(t, "name")
		case "kind":
			p.Kind = text.Draw(t, "kind")
		case "content":
			p.Content = drawJSON(t, true)
		default:
			t.Fatalf("no random value of the part's %s", name)
		}
	}
	return p
}

func drawInput(t *rapid.T) Input {
	var in Input
	for range rapid.IntRange(0, 3).Draw(t, "messages") {
		m := Message{Role: MessageRole(rapid.SampledFrom(RoleUser.Values()).Draw(t, "role")), Parts: []Part{}}
		for range rapid.IntRange(1, 3).Draw(t, "parts") {
			m.Parts = append(m.Parts, drawPart(t))
		}
		in = append(in, m)
	}
	return in
}

// drawItem makes an item with the fields of its type, and now and then unknown ones.
func drawItem(t *rapid.T) Item {
	typ := ItemType(rapid.SampledFrom(ItemNotice.Values()).Draw(t, "type"))
	it := Item{
		ID: NewID(PrefixItem), Type: typ, Status: ItemCompleted, Origin: OriginTurn,
		CreatedAt: Time(rapid.Int64Range(0, 1<<42).Draw(t, "createdAt")),
		Revision:  rapid.Uint64().Draw(t, "revision"),
	}
	v := reflect.ValueOf(&it).Elem()
	for _, name := range typ.Fields() {
		f := v.Field(itemIndex[name])
		if rapid.Bool().Draw(t, name) {
			f.Set(drawValue(t, f.Type(), true))
		}
	}
	for range rapid.IntRange(0, 2).Draw(t, "unknown fields") {
		if it.Extra == nil {
			it.Extra = Object{}
		}
		it.Extra["new"+rapid.String().Draw(t, "key")] = drawJSON(t, true)
	}
	return it
}

// drawJSON makes a compact JSON value; nil only where that is allowed.
func drawJSON(t *rapid.T, written bool) json.RawMessage {
	if !written && rapid.Bool().Draw(t, "nothing") {
		return nil
	}
	b, err := Marshal(drawAny(t, 3))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func drawAny(t *rapid.T, depth int) any {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.Float64().Draw(t, "number")
	case 3:
		return rapid.String().Draw(t, "string")
	case 4:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			list = append(list, drawAny(t, depth-1))
		}
		return list
	default:
		object := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "size") {
			object[rapid.String().Draw(t, "key")] = drawAny(t, depth-1)
		}
		return object
	}
}

// sameJSON compares what two texts say, not how: objects have no order, and & may be
// written as \u0026.
func sameJSON(t interface{ Fatalf(string, ...any) }, a, b []byte) bool {
	return reflect.DeepEqual(readAny(t, a), readAny(t, b))
}

func readAny(t interface{ Fatalf(string, ...any) }, raw []byte) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	return v
}
