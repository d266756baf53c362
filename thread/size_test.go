package thread

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/spoolhq/spool/protocol"
)

// Everything that an item can hold counts, also in a field that comes new.
func TestSizeCountsEveryField(t *testing.T) {
	const much = 1000
	typ := reflect.TypeFor[protocol.Item]()
	for i := range typ.NumField() {
		var item protocol.Item
		if f := typ.Field(i); fill(reflect.ValueOf(&item).Elem().Field(i), strings.Repeat("\x01", much)) && !fixed[f.Name] {
			if n := size(&item); n < much {
				t.Errorf("%s: %d bytes are counted, it has %d or more", f.Name, n, much)
			}
		}
	}
}

// fixed are fields that neither clients nor agents fill.
var fixed = map[string]bool{
	"ID": true, "TurnID": true, "Type": true, "Status": true, "Origin": true, "Delivery": true, "Executor": true,
	"ApprovalID": true, "RequestID": true, "By": true,
}

// fill puts s wherever v holds text; false: it holds none.
func fill(v reflect.Value, s string) bool {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
		return true
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return fill(v.Elem(), s)
	case reflect.Struct:
		some := false
		for i := range v.NumField() {
			some = v.Field(i).CanSet() && fill(v.Field(i), s) || some
		}
		return some
	case reflect.Map:
		one := reflect.New(v.Type().Elem()).Elem()
		v.Set(reflect.MakeMap(v.Type()))
		fill(one, s)
		v.SetMapIndex(reflect.ValueOf(s).Convert(v.Type().Key()), one)
		return true
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.SetBytes(append(append([]byte{'"'}, strings.Repeat("x", len(s))...), '"'))
			return true
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		return fill(v.Index(0), s)
	default:
		return false
	}
}
