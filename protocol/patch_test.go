package protocol

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMergePatch(t *testing.T) {
	tests := []struct{ target, patch, want string }{
		// RFC 7396, appendix A.
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		// Ours.
		{``, `{"a":1}`, `{"a":1}`},
		{`null`, `{"a":1}`, `{"a":1}`},
		{` { "a" : 1.50 , "b" : { "c" : [ 1 ] } } `, ` { "b" : { "d" : 2 } } `, `{"a":1.50,"b":{"c":[1],"d":2}}`},
		{`{"a":1,"b":2,"c":3}`, `{"b":null,"d":4,"a":5}`, `{"a":5,"c":3,"d":4}`},
		{`{"a":1}`, `{"a":null,"a":2}`, `{"a":2}`},
		{`{"a":{"x":1},"a":{"y":2}}`, `{}`, `{"a":{"y":2}}`},
		{`{"a/b":1,"\u0061":2,"<&>":3}`, `{"a":null}`, `{"a/b":1,"<&>":3}`},
		{`{"":1}`, `{"":{"":2}}`, `{"":{"":2}}`},
	}
	for _, tt := range tests {
		got, err := MergePatch(json.RawMessage(tt.target), json.RawMessage(tt.patch))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s with %s: %s, %v, want %s", tt.target, tt.patch, got, err, tt.want)
		}
	}
}

func TestMergePatchOfNothing(t *testing.T) {
	if got, err := MergePatch(json.RawMessage(`{}`), nil); err == nil {
		t.Errorf("no patch: %s", got)
	}
}

func TestMergePatchCopies(t *testing.T) {
	target, patch := json.RawMessage(`{"a":[1]}`), json.RawMessage(`{"b":[2]}`)
	got, err := MergePatch(target, patch)
	clear(target)
	clear(patch)
	if err != nil || string(got) != `{"a":[1],"b":[2]}` {
		t.Errorf("%s, %v", got, err)
	}
}

func TestMergePatchDeep(t *testing.T) {
	nested := func(leaf string) json.RawMessage {
		return json.RawMessage(strings.Repeat(`{"a":`, 199) + `{"b":"` + leaf + `"}` + strings.Repeat(`}`, 199))
	}
	begin := time.Now()
	got, err := MergePatch(nested(strings.Repeat("x", 1<<20)), nested(strings.Repeat("y", 1<<20)))
	if took := time.Since(begin); err != nil || len(got) < 1<<20 || took > 3*time.Second {
		t.Errorf("%d bytes, %v, after %v", len(got), err, took)
	}
}

// mergeAny is MergePatch as RFC 7396 writes it, on decoded values.
func mergeAny(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for key, value := range p {
		if value == nil {
			delete(t, key)
		} else {
			t[key] = mergeAny(t[key], value)
		}
	}
	return t
}

func checkMergePatch(t interface{ Fatalf(string, ...any) }, target, patch []byte) {
	got, err := MergePatch(target, patch)
	if err != nil {
		t.Fatalf("%s with %s: %v", target, patch, err)
	}
	want := mergeAny(readAny(t, target), readAny(t, patch))
	if !reflect.DeepEqual(readAny(t, got), want) {
		t.Fatalf("%s with %s: %s, want %v", target, patch, got, want)
	}
}

func TestMergePatchLikeTheRFC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMergePatch(t, drawJSON(t, true), drawJSON(t, true)) })
}

func FuzzMergePatch(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1}}`), []byte(`{"a":{"b":null,"c":{}}}`))
	f.Add([]byte(`[1]`), []byte(`{"a":{"a":null}}`))
	f.Add([]byte(`{"a":1,"a":{"b":2}}`), []byte(`{"\u0061":{"b":null}}`))
	f.Add([]byte("{\"\xff\":1}"), []byte(`{"\ufffd":null}`))
	f.Fuzz(func(t *testing.T, target, patch []byte) {
		if !json.Valid(target) || !json.Valid(patch) {
			_, _ = MergePatch(target, patch) // must come back
			return
		}
		if hasDoubles(target) || hasDoubles(patch) {
			out, err := MergePatch(target, patch)
			if err != nil || !json.Valid(out) {
				t.Fatalf("%s with %s: %s, %v", target, patch, out, err)
			}
			return
		}
		checkMergePatch(t, target, patch)
	})
}

// hasDoubles reports whether an object has two members of one name; encoding/json joins
// them in its own way.
func hasDoubles(raw []byte) bool {
	seen := map[string]bool{}
	for key, value := range members(bytes.TrimSpace(raw)) {
		if seen[key] || hasDoubles(value) {
			return true
		}
		seen[key] = true
	}
	for _, value := range elements(bytes.TrimSpace(raw)) {
		if hasDoubles(value) {
			return true
		}
	}
	return false
}
