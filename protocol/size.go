package protocol

import "unicode/utf8"

// StringSize returns how many bytes s takes as the daemon writes it, quotes and escapes
// included. Limits count what travels, and six bytes are written for some that take one.
func StringSize(s string) int {
	n := len(s) + len(`""`)
	for i := plain(s); i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == '"' || c == '\\' {
				n += escapeSize(c) - 1
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
			n += len(`\u2028`) - size
		}
		i += size
	}
	return n
}

func escapeSize(c byte) int {
	var b [8]byte
	return len(appendEscape(b[:0], c))
}
