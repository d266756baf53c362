package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestEncodeExactBytes(t *testing.T) {
	at := Time(1769860800007)
	head := Header{ThreadID: "thr_1", TurnID: "trn_1", ItemID: "itm_1", TraceID: "trc_1", At: at}
	delta, err := Encode(EventAgentMessageDelta, DeltaEvent{Header: head, Offset: 12, Delta: "<b>\n\"é\""})
	checkBytes(t, delta, err, `{"jsonrpc":"2.0","method":"item/agentMessage/delta","params":{"threadId":"thr_1","turnId":"trn_1","itemId":"itm_1",`+
		`"traceId":"trc_1","at":"2026-01-31T12:00:00.007Z","offset":12,"delta":"<b>\n\"é\""}}`)

	deleted, err := Encode(EventThreadDeleted, ThreadDeletedEvent{Header{ThreadID: "thr_1", At: at}})
	checkBytes(t, deleted, err, `{"jsonrpc":"2.0","method":"thread/deleted","params":{"threadId":"thr_1","at":"2026-01-31T12:00:00.007Z"}}`)

	queue, err := Encode(EventQueueUpdated, QueueUpdatedEvent{Header: Header{ThreadID: "thr_1", Seq: 7, At: at}, Revision: 3})
	checkBytes(t, queue, err, `{"jsonrpc":"2.0","method":"thread/queue/updated","params":{"threadId":"thr_1","seq":7,"at":"2026-01-31T12:00:00.007Z",`+
		`"revision":3,"paused":false,"turnIds":[]}}`)

	initialized, err := Encode(EventInitialized, Empty{})
	checkBytes(t, initialized, err, `{"jsonrpc":"2.0","method":"initialized","params":{}}`)
}

func checkBytes(t *testing.T, got []byte, err error, want string) {
	t.Helper()
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

func TestEncodeResult(t *testing.T) {
	for id, want := range map[string]string{`7`: `7`, `"a\u0062 "`: `"a\u0062 "`, `-1`: `-1`, ``: `null`} {
		f, err := EncodeResult(RawID(id), QueueResult{Revision: 5})
		checkBytes(t, f, err, `{"jsonrpc":"2.0","id":`+want+`,"result":{"revision":5}}`)
	}
	f, err := EncodeResult(RawID("1"), nil)
	checkBytes(t, f, err, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	f, err = EncodeResult(RawID("1"), &ThreadListResult{})
	checkBytes(t, f, err, `{"jsonrpc":"2.0","id":1,"result":{"data":[]}}`)
	f, err = EncodeResult(RawID("1"), json.RawMessage("{\n \"a\": 1\n}"))
	checkBytes(t, f, err, `{"jsonrpc":"2.0","id":1,"result":{"a":1}}`)
	if f, err = EncodeResult(RawID("1"), json.RawMessage("{")); err == nil {
		t.Errorf("broken JSON became %s", f)
	}
	if f, err = EncodeResult(RawID("1"), StateDeltaEvent{Patch: json.RawMessage("}")}); err == nil {
		t.Errorf("broken JSON became %s", f)
	}
}

func TestEncodeError(t *testing.T) {
	tests := []struct {
		id   string
		err  error
		want string
	}{
		{`"a"`, InvalidParams("input[0].type", "is required"), `"a","error":{"code":-32602,"message":"input[0].type is required","data":{"name":"InvalidParams","field":"input[0].type"}}}`},
		{``, Errorf(CodeParseError, "not <JSON>"), `null,"error":{"code":-32700,"message":"not <JSON>","data":{"name":"ParseError"}}}`},
		{`1`, &Error{Code: CodeQueueFull, Message: "full", Data: ErrorData{Limit: 8}}, `1,"error":{"code":-31117,"message":"full","data":{"name":"QueueFull","limit":8}}}`},
		{`1`, fmt.Errorf("reading the row: %w", ThreadNotFound()), `1,"error":{"code":-32010,"message":"thread not found","data":{"name":"ThreadNotFound"}}}`},
		{`1`, errors.New("password=hunter2"), `1,"error":{"code":-32603,"message":"internal error; the daemon's log says more","data":{"name":"InternalError"}}}`},
		{`1`, &Error{Code: CodeConflict, Data: ErrorData{Item: &Item{State: json.RawMessage("{")}}}, `1,"error":{"code":-32603,"message":"internal error; the daemon's log says more","data":{"name":"InternalError"}}}`},
		{`1`, &Error{Code: CodeConflict, Message: "m", Data: ErrorData{Name: "Own", TurnIDs: new([]string)}}, `1,"error":{"code":-31112,"message":"m","data":{"name":"Own","turnIds":[]}}}`},
	}
	for _, tt := range tests {
		checkBytes(t, EncodeError(RawID(tt.id), tt.err), nil, `{"jsonrpc":"2.0","id":`+tt.want)
	}
	bare := &Error{Code: CodeQueueFull}
	EncodeError(nil, bare)
	if bare.Data.Name != "" {
		t.Error("EncodeError changed the error")
	}
}

func TestFrameMethod(t *testing.T) {
	delta, _ := Encode(EventAgentMessageDelta, DeltaEvent{})
	turn, _ := Encode(EventTurnStarted, TurnEvent{})
	result, _ := EncodeResult(RawID("1"), Empty{})
	for want, f := range map[string]Frame{"item/agentMessage/delta": delta, "turn/started": turn, "": result} {
		if got := f.Method(); got != want || got != ParseFrame(f).Method {
			t.Errorf("%s: method %q, want %q", f, got, want)
		}
	}
}

// outTypes lists what the daemon says: payloads, results, params of its requests.
func outTypes() map[string]reflect.Type {
	types := map[string]reflect.Type{"error": reflect.TypeFor[Error]()}
	for _, r := range ClientRequests() {
		types[r.Name+" result"] = r.Result
		types[r.Name+" params"] = r.Params
	}
	for _, r := range ServerRequests() {
		types[r.Name+" params"] = r.Params
		types[r.Name+" result"] = r.Result
	}
	for _, n := range ServerNotifications() {
		types[n.Name] = n.Params
	}
	return types
}

// reachable adds t and every type that it leads to.
func reachable(t reflect.Type, found map[reflect.Type]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		reachable(t.Elem(), found)
	case reflect.Struct:
		if found[t] {
			return
		}
		found[t] = true
		for f := range structFields(t) {
			reachable(f.typ, found)
		}
	default:
	}
}

// No zero value writes a null, wherever it stands: in itself, behind a pointer, in a
// list, in a map.
func TestNothingIsNull(t *testing.T) {
	types := map[reflect.Type]bool{}
	for _, typ := range outTypes() {
		reachable(typ, types)
	}
	if len(types) < 100 {
		t.Fatalf("only %d types found", len(types))
	}
	for typ := range types {
		zero := reflect.Zero(typ).Interface()
		list := reflect.MakeSlice(reflect.SliceOf(typ), 1, 1).Interface()
		object := reflect.MakeMap(reflect.MapOf(reflect.TypeFor[string](), typ))
		object.SetMapIndex(reflect.ValueOf("a"), reflect.Zero(typ))
		for _, v := range []any{zero, reflect.New(typ).Interface(), list, object.Interface(), filledPointers(typ).Interface()} {
			if raw, err := Marshal(v); err != nil || bytes.Contains(raw, []byte("null")) {
				t.Errorf("%T: %s, %v", v, raw, err)
			}
		}
	}
}

// filledPointers returns a value of a struct in which every pointer leads to a zero value
// and every list has one, down to the leaves.
func filledPointers(typ reflect.Type) reflect.Value {
	v := reflect.New(typ).Elem()
	switch {
	case typ == rawType, typ == reflect.TypeFor[Input]():
	case typ.Kind() == reflect.Struct:
		for i := range typ.NumField() {
			v.Field(i).Set(filledPointers(typ.Field(i).Type))
		}
	case typ.Kind() == reflect.Pointer && typ.Elem().Kind() == reflect.Slice:
		v.Set(reflect.New(typ.Elem()))
	case typ.Kind() == reflect.Pointer:
		v.Set(reflect.New(typ.Elem()))
		v.Elem().Set(filledPointers(typ.Elem()))
	case typ.Kind() == reflect.Slice && typ.Elem().Kind() != reflect.Slice:
		v.Set(reflect.Append(v, filledPointers(typ.Elem())))
	case typ.Kind() == reflect.Map && typ.Elem() != rawType:
		v.Set(reflect.MakeMap(typ))
		v.SetMapIndex(reflect.ValueOf("a"), filledPointers(typ.Elem()))
	}
	return v
}

// Filling in leaves the value of the caller as it was, and what is there is written as
// encoding/json writes it.
func TestMarshalLikeEncodingJSON(t *testing.T) {
	for name, typ := range outTypes() {
		t.Run(name, func(t *testing.T) {
			zero := reflect.New(typ).Interface()
			if _, err := Marshal(zero); err != nil || !reflect.ValueOf(zero).Elem().IsZero() {
				t.Errorf("the value changed: %+v, %v", zero, err)
			}
			rapid.Check(t, func(t *rapid.T) {
				v := drawValue(t, typ, true).Interface()
				raw, err := Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				var want bytes.Buffer
				e := json.NewEncoder(&want)
				e.SetEscapeHTML(false)
				if err := e.Encode(v); err != nil {
					t.Fatal(err)
				}
				if string(raw)+"\n" != want.String() {
					t.Fatalf("got  %s\nwant %s", raw, &want)
				}
				if bytes.ContainsAny(raw, "\n\r") {
					t.Fatalf("a line end in %s", raw)
				}
			})
		})
	}
}

type recursive struct {
	Names []string   `json:"names"`
	Next  *recursive `json:"next,omitempty"`
	any   []string   //nolint:unused // shows that unexported fields are left alone
}

func TestMarshalOfOtherTypes(t *testing.T) {
	raw, err := Marshal(recursive{Next: &recursive{Names: []string{"a"}}})
	checkBytes(t, raw, err, `{"names":[],"next":{"names":["a"]}}`)
	raw, err = Marshal(map[string][]Answer{"a": nil, "b": {{}}})
	checkBytes(t, raw, err, `{"a":null,"b":[{"answers":[]}]}`)
	raw, err = Marshal([]string(nil))
	checkBytes(t, raw, err, `[]`)
	raw, err = Marshal(strings.Repeat("x", 2*keepWriter))
	checkBytes(t, raw, err, `"`+strings.Repeat("x", 2*keepWriter)+`"`)
	if raw, err = Marshal(make(chan int)); err == nil {
		t.Errorf("a channel became %s", raw)
	}
}

// A frame is the caller's: making the next one does not change it.
func TestFramesAreTheirOwn(t *testing.T) {
	a, _ := Encode(EventThreadDeleted, ThreadDeletedEvent{Header{ThreadID: "a"}})
	copied := bytes.Clone(a)
	for range 10 {
		_, _ = Encode(EventThreadDeleted, ThreadDeletedEvent{Header{ThreadID: "bbbbbbbb"}})
	}
	if !bytes.Equal(a, copied) {
		t.Errorf("%s became %s", copied, a)
	}
}

// checkDelta holds the fast way and the general one together.
func checkDelta(t interface{ Fatalf(string, ...any) }, d DeltaEvent) {
	got, err := Encode(EventReasoningDelta, d)
	if err != nil {
		t.Fatalf("%+v: %v", d, err)
	}
	want, err := encode([]string{frameMethod, EventReasoningDelta.Name, frameParams}, d, "}")
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got  %s\nwant %s, %v", got, want, err)
	}
}

func TestEncodeDeltaLikeEncodingJSON(t *testing.T) {
	var all strings.Builder
	for r := rune(0); r < 0x3000; r++ {
		all.WriteRune(r)
	}
	for b := 0; b < 256; b++ {
		all.WriteByte(byte(b))
	}
	checkDelta(t, DeltaEvent{Delta: all.String()})
	checkDelta(t, DeltaEvent{Header: Header{ThreadID: all.String(), TurnID: "\x7f", ItemID: "\u2028", TraceID: "\xed\xa0\x80"}, Offset: -1})
	rapid.Check(t, func(t *rapid.T) {
		checkDelta(t, drawValue(t, reflect.TypeFor[DeltaEvent](), true).Interface().(DeltaEvent))
	})
}

func FuzzEncodeDelta(f *testing.F) {
	f.Add("thr_1", "trn_1", "itm_1", "", uint64(0), int64(1769860800007), 12, "word ")
	f.Add("\"", "\\", "\x00\x1f\b\f\n\r\t", "<&>", uint64(1), int64(-1), -5, "\u2028\u2029\ufffd\xff\xc3")
	f.Fuzz(func(t *testing.T, thread, turn, item, trace string, seq uint64, at int64, offset int, delta string) {
		checkDelta(t, DeltaEvent{
			Header: Header{ThreadID: thread, TurnID: turn, ItemID: item, TraceID: trace, Seq: seq, At: Time(at)},
			Offset: offset, Delta: delta,
		})
	})
}

func TestEncodeDeltaAllocates(t *testing.T) {
	d := sampleDelta()
	if n := testing.AllocsPerRun(100, func() { _, _ = Encode(EventAgentMessageDelta, d) }); n > 1 {
		t.Errorf("%v allocations, want 1", n)
	}
}

// What is counted is what is written.
func FuzzStringSize(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\\b\f\n\r\t\x00\x1f\x7f", "<&>", "üß€😀", "\u2028\u2029\ufffd", "\xff\xc3(\xed\xa0\x80", "12345678\x01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		written, err := Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if n := StringSize(s); n != len(written) {
			t.Errorf("%d bytes are counted for %q, %d are written", n, s, len(written))
		}
	})
}

// TestInputSize compares what is counted with what is written.
func TestInputSize(t *testing.T) {
	const some = "a\x01\u2028\"é"
	typ := reflect.TypeFor[Part]()
	for i := range typ.NumField() {
		parts := []Part{{Type: "custom"}}
		switch f := reflect.ValueOf(&parts[0]).Elem().Field(i); f.Kind() {
		case reflect.String:
			f.SetString(strings.Repeat(some, 100))
		default:
			f.SetBytes([]byte(`["` + strings.Repeat("ab", 500) + `"]`))
		}
		for what, in := range map[string]Input{
			"a user":            {{Role: RoleUser, Parts: parts}},
			"others":            {{Role: RoleDeveloper, Parts: parts}, {Role: RoleAssistant, Parts: append(parts, parts...)}},
			"an empty text":     {{Role: RoleUser, Parts: []Part{{Type: "text"}}}},
			"nothing":           {},
			"many":              {{Role: RoleUser, Parts: slices.Repeat(parts, 9)}},
			"messages of parts": slices.Repeat(Input{{Role: RoleUser, Parts: parts}}, 5),
		} {
			written, err := Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			if n := in.Size(); n < len(written) || n > len(written)+50+len(written)/20 {
				t.Errorf("%s with %s: %d bytes are counted, %d are written", what, typ.Field(i).Name, n, len(written))
			}
		}
	}
}
