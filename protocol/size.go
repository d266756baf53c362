package protocol

import (
	"encoding/json"
	"unicode/utf8"
)

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

// Size returns how many bytes the input takes as the daemon writes it, or a few more: it
// writes nothing to find out.
func (in Input) Size() int {
	n := len(`[]`)
	for _, m := range in {
		n += len(`{"role":"","parts":},`) + len(m.Role) + PartsSize(m.Parts)
	}
	return n
}

// PartsSize is what [Input.Size] is, for the parts of one message.
func PartsSize(parts []Part) int {
	n := len(`[]`)
	for i := range parts {
		n += parts[i].size()
	}
	return n
}

func (p *Part) size() int {
	n := len(`{"text":""},`) // an empty text is written, too
	for _, member := range [...]struct{ name, value string }{
		{"type", p.Type},
		{"text", p.Text},
		{"url", p.URL},
		{"mimeType", p.MimeType},
		{"path", p.Path},
		{"name", p.Name},
		{"kind", p.Kind},
	} {
		if member.value != "" {
			n += len(`"":,`) + len(member.name) + StringSize(member.value)
		}
	}
	for _, raw := range [...]json.RawMessage{p.Data, p.Content} {
		if len(raw) > 0 {
			n += len(`"content":,`) + len(raw)
		}
	}
	return n
}
