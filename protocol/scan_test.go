package protocol

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// checkScan compares members, elements and skipValue with encoding/json, for valid JSON.
func checkScan(t interface{ Fatalf(string, ...any) }, raw []byte) {
	begin := skipSpace(raw, 0)
	end := skipValue(raw, begin)
	if rest := bytes.TrimSpace(raw[end:]); len(rest) > 0 {
		t.Fatalf("%q: the value ends before %q", raw, rest)
	}
	value := raw[begin:end]
	var object map[string]json.RawMessage
	if value[0] == '{' {
		_ = json.Unmarshal(value, &object)
	}
	found := map[string]bool{}
	for key, v := range members(raw) {
		found[key] = true
		if _, ok := object[key]; !ok || !json.Valid(v) {
			t.Fatalf("%q: member %q: %q", raw, key, v)
		}
		checkScan(t, v)
	}
	if len(found) != len(object) {
		t.Fatalf("%q: %d members, want %d", raw, len(found), len(object))
	}
	var list []json.RawMessage
	if value[0] == '[' {
		_ = json.Unmarshal(value, &list)
	}
	n := 0
	for i, v := range elements(raw) {
		if i != n || n >= len(list) || !bytes.Equal(v, list[n]) {
			t.Fatalf("%q: element %d: %q", raw, i, v)
		}
		checkScan(t, v)
		n++
	}
	if n != len(list) {
		t.Fatalf("%q: %d elements, want %d", raw, n, len(list))
	}
	if value[0] == '"' {
		var s string
		if err := json.Unmarshal(value, &s); err != nil || unquote(value) != s {
			t.Fatalf("%q: says %q, want %q", raw, unquote(value), s)
		}
	}
}

func TestScanLikeEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := drawJSON(t, true)
		checkScan(t, raw)
		var spaced bytes.Buffer
		_ = json.Indent(&spaced, raw, "\r", "\t ")
		checkScan(t, append([]byte(" \n"), spaced.Bytes()...))
	})
}

func FuzzMembers(f *testing.F) {
	for _, s := range []string{
		`{"a":1,"b":[true,null,"\"}"],"\u0061":{}}`, `[[],{},"",-1.5e3]`, `{`, `{"a"`, `{"a":`, `{"a":1,`, `[`, `[,`, `[:`, `[}`, `{"a":}`,
		`"\\\\\""`, `"`, `"\`, `{,`, "{\"\xff\":1}", ` [ 1 , 2 ] `, `{"a" : "b" , "c":"\ud800"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if json.Valid(raw) {
			checkScan(t, raw)
			return
		}
		// Anything else: no panic, an end, and nothing that is not there.
		for _, v := range members(raw) {
			if len(v) == 0 || !bytes.Contains(raw, v) {
				t.Fatalf("%q: member %q", raw, v)
			}
		}
		for _, v := range elements(raw) {
			if len(v) == 0 || !bytes.Contains(raw, v) {
				t.Fatalf("%q: element %q", raw, v)
			}
		}
		ParseFrame(raw)
		tooDeep(raw)
	})
}

// Scanning must not take the square of the size, whatever a client sends.
func TestScanIsLinear(t *testing.T) {
	const size = 4 << 20
	for name, s := range map[string]string{
		"backslashes": `"` + strings.Repeat(`\\`, size/2) + `"`,
		"quotes":      `"` + strings.Repeat(`\"`, size/2) + `"`,
		"many":        `[` + strings.Repeat(`"",`, size/3) + `""]`,
	} {
		begin := time.Now()
		checkTooDeep := tooDeep([]byte(s))
		end := skipValue([]byte(s), 0)
		if took := time.Since(begin); checkTooDeep || end != len(s) || took > 5*time.Second {
			t.Errorf("%s: ends at %d of %d after %v", name, end, len(s), took)
		}
	}
}

func TestMember(t *testing.T) {
	raw := []byte(` { "a" : 1 , "\u0062" : [2] , "a": 3, "c":null } `)
	for key, want := range map[string]string{"a": "1", "b": "[2]", "c": "null", "d": "", "": ""} {
		if got := Member(raw, key); string(got) != want {
			t.Errorf("Member %q: %s, want %s", key, got, want)
		}
	}
	for _, other := range []string{"", " ", "[1]", `"a"`, "7", "null", "{", "{}"} {
		if got := Member([]byte(other), "a"); got != nil {
			t.Errorf("Member of %q: %s", other, got)
		}
	}
}

func TestParseFrame(t *testing.T) {
	e := ParseFrame([]byte(`{"jsonrpc":"2.0", "id": "a\u0062", "method":"thread/\u0072ead","params":{"x":[1]},"more":1}`))
	if string(e.ID) != `"a\u0062"` || e.Method != "thread/read" || string(e.Params) != `{"x":[1]}` || e.Result != nil || e.Error != nil {
		t.Errorf("request: %+v", e)
	}
	e = ParseFrame([]byte(`{"id":null,"error":{"code":1},"result":null}`))
	if string(e.ID) != "null" || string(e.Error) != `{"code":1}` || string(e.Result) != "null" || e.Params != nil {
		t.Errorf("response: %+v", e)
	}
	for _, other := range []string{``, `[]`, `[{"method":"x"}]`, `"method"`, `5`, `null`, `{}`, `{"method":123}`, `{"method":null}`, `{"method":{"a":1}}`} {
		if e := ParseFrame([]byte(other)); e.Method != "" || e.ID != nil {
			t.Errorf("%s: %+v", other, e)
		}
	}
}

func TestDepth(t *testing.T) {
	for depth, want := range map[int]bool{1: false, 199: false, 200: false, 201: true, 5000: true} {
		raw := strings.Repeat(`{"a":[`, depth/2) + strings.Repeat(`[`, depth%2) + `"[[["` +
			strings.Repeat(`]`, depth%2) + strings.Repeat(`]}`, depth/2)
		if got := tooDeep([]byte(raw)); got != want {
			t.Errorf("%d levels: too deep %v", depth, got)
		}
	}
	siblings := "[" + strings.TrimSuffix(strings.Repeat("[],", 1000), ",") + "]"
	if tooDeep([]byte(siblings)) {
		t.Error("siblings count as depth")
	}
}

func TestClip(t *testing.T) {
	if got := clip("short"); got != "short" {
		t.Error(got)
	}
	if got := clip(strings.Repeat("é", 100)); got != strings.Repeat("é", 32)+"…" {
		t.Error(got)
	}
	if got := clip("x" + strings.Repeat("é", 100)); !slices.Contains([]rune(got), '…') || strings.ContainsRune(got, '\ufffd') {
		t.Error(got)
	}
}
