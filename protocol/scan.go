package protocol

import (
	"bytes"
	"encoding/json"
	"iter"
	"unicode/utf8"
)

// A scanner walks over the members of one JSON object or the elements of one array,
// without copying. It expects valid JSON; of anything else it yields what it can make
// out, and stops.
type scanner struct {
	raw []byte
	pos int
}

// scan begins at the content of the object or array that raw is; open is '{' or '['.
// Of another kind of value nothing is found.
func scan(raw []byte, open byte) scanner {
	i := skipSpace(raw, 0)
	if i >= len(raw) || raw[i] != open {
		return scanner{raw, len(raw)}
	}
	return scanner{raw, i + 1}
}

// member returns the next member of an object: the key with its quotes, and the value.
func (s *scanner) member() (key, value []byte, ok bool) {
	i := skipSpace(s.raw, s.pos)
	if i >= len(s.raw) || s.raw[i] != '"' {
		return nil, nil, false
	}
	end := skipString(s.raw, i)
	key = s.raw[i:end]
	if i = skipSpace(s.raw, end); i >= len(s.raw) || s.raw[i] != ':' {
		return nil, nil, false
	}
	s.pos = i + 1
	value, ok = s.element()
	return key, value, ok
}

// element returns the next element of an array.
func (s *scanner) element() (value []byte, ok bool) {
	i := skipSpace(s.raw, s.pos)
	end := skipValue(s.raw, i)
	if end == i {
		return nil, false
	}
	s.pos = skipSpace(s.raw, end)
	if s.pos < len(s.raw) && s.raw[s.pos] == ',' {
		s.pos++
	}
	return s.raw[i:end], true
}

// members yields the members of a JSON object in order, elements those of an array. Of
// another kind of value they yield nothing. Keys are unescaped; values are slices of
// raw.
func members(raw []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		s := scan(raw, '{')
		for key, value, ok := s.member(); ok; key, value, ok = s.member() {
			if !yield(unquote(key), value) {
				return
			}
		}
	}
}

func elements(raw []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		s := scan(raw, '[')
		n := 0
		for value, ok := s.element(); ok; value, ok = s.element() {
			if !yield(n, value) {
				return
			}
			n++
		}
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns the index after the value that begins at i, which is i where none
// does.
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

// skipString returns the index after the string that begins at i.
func skipString(b []byte, i int) int {
	begin := i
	for i++; ; i++ {
		n := bytes.IndexByte(b[min(i, len(b)):], '"')
		if n < 0 {
			return len(b)
		}
		i += n
		backslashes := 0
		for k := i - 1; k > begin && b[k] == '\\'; k-- {
			backslashes++
		}
		if backslashes%2 == 0 {
			return i + 1
		}
	}
}

// unquote returns what a JSON string says, as encoding/json reads it; empty for another
// kind of value.
func unquote(b []byte) string {
	if s, ok := plainString(b); ok {
		return string(s)
	}
	var s string
	_ = json.Unmarshal(b, &s)
	return s
}

// plainString returns the inside of a JSON string that says what is written: it holds
// neither escapes nor bytes that are not UTF-8.
func plainString(b []byte) ([]byte, bool) {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return nil, false
	}
	b = b[1 : len(b)-1]
	ascii := true
	for _, c := range b {
		if c == '\\' {
			return nil, false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return b, ascii || utf8.Valid(b)
}

// Member returns the value of one member of a JSON object as it stands there, a slice
// of raw; nil if there is none, or raw is no object. Of members with the same name it is
// the first.
func Member(raw []byte, key string) json.RawMessage {
	s := scan(raw, '{')
	for k, v, ok := s.member(); ok; k, v, ok = s.member() {
		if saysString(k, key) {
			return v
		}
	}
	return nil
}

// saysString reports whether the JSON string b says s.
func saysString(b []byte, s string) bool {
	if plain, ok := plainString(b); ok {
		return string(plain) == s
	}
	return unquote(b) == s
}

// maxDepth bounds the nesting of what a client sends.
const maxDepth = 200

// tooDeep reports whether raw nests deeper than the daemon accepts.
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
