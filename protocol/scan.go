package protocol

import (
	"encoding/json"
	"iter"
)

// members yields the members of a JSON object in order, elements those of an array.
// raw must be valid JSON; of another kind of value they yield nothing. Keys are
// unescaped; values are slices of raw.
func members(raw []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		i := skipSpace(raw, 0)
		if i >= len(raw) || raw[i] != '{' {
			return
		}
		for i = skipSpace(raw, i+1); i < len(raw) && raw[i] != '}'; {
			end := skipValue(raw, i)
			key := unquote(raw[i:end])
			i = skipSpace(raw, skipSpace(raw, end)+1) // past the colon
			end = skipValue(raw, i)
			if !yield(key, raw[i:end]) {
				return
			}
			if i = skipSpace(raw, end); i < len(raw) && raw[i] == ',' {
				i = skipSpace(raw, i+1)
			}
		}
	}
}

func elements(raw []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		i := skipSpace(raw, 0)
		if i >= len(raw) || raw[i] != '[' {
			return
		}
		n := 0
		for i = skipSpace(raw, i+1); i < len(raw) && raw[i] != ']'; n++ {
			end := skipValue(raw, i)
			if !yield(n, raw[i:end]) {
				return
			}
			if i = skipSpace(raw, end); i < len(raw) && raw[i] == ',' {
				i = skipSpace(raw, i+1)
			}
		}
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns the index after the value that begins at i.
func skipValue(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = skipString(b, i) - 1
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // the end of what a bare value stands in
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

func unquote(b []byte) string {
	for _, c := range b {
		if c == '\\' {
			var s string
			_ = json.Unmarshal(b, &s)
			return s
		}
	}
	if len(b) < 2 {
		return ""
	}
	return string(b[1 : len(b)-1])
}

// Member returns the value of one member of a JSON object as it stands there, nil if
// there is none. raw must be valid JSON.
func Member(raw []byte, key string) json.RawMessage {
	for k, v := range members(raw) {
		if k == key {
			return v
		}
	}
	return nil
}

// maxDepth bounds the nesting of what a client sends.
const maxDepth = 200

// Depth reports whether raw nests deeper than the daemon accepts.
func tooDeep(raw []byte) bool {
	depth := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			i = skipString(raw, i) - 1
		case '{', '[':
			if depth++; depth > maxDepth {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}
