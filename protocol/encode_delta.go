package protocol

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// One delta is encoded for every word that an agent says, so this one event is written
// without reflection. The bytes are those that encode would make; a fuzz test holds the
// two together.

func encodeDelta(method string, d *DeltaEvent) Frame {
	const names = `"threadId":"","turnId":"","itemId":"","traceId":"","seq":,"at":"","offset":,"delta":""}}`
	h := &d.Header
	size := len(frameMethod) + len(method) + len(frameParams) + len(names) + len(timeLayout) + 16 +
		len(h.ThreadID) + len(h.TurnID) + len(h.ItemID) + len(h.TraceID) + len(d.Delta) + len(d.Delta)/16
	b := make(Frame, 0, size)
	b = append(b, frameMethod...)
	b = append(b, method...)
	b = append(b, frameParams...)
	b = appendHeader(b, h)
	b = append(b, `,"offset":`...)
	b = strconv.AppendInt(b, int64(d.Offset), 10)
	b = append(b, `,"delta":`...)
	b = appendString(b, d.Delta)
	return append(b, '}', '}')
}

// appendHeader writes h and leaves the object open.
func appendHeader(b []byte, h *Header) []byte {
	b = append(b, `{"threadId":`...)
	b = appendString(b, h.ThreadID)
	b = appendOptional(b, `,"turnId":`, h.TurnID)
	b = appendOptional(b, `,"itemId":`, h.ItemID)
	b = appendOptional(b, `,"traceId":`, h.TraceID)
	if h.Seq != 0 {
		b = append(b, `,"seq":`...)
		b = strconv.AppendUint(b, h.Seq, 10)
	}
	b = append(b, `,"at":"`...)
	b = h.At.append(b)
	return append(b, '"')
}

func appendOptional(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(append(b, name...), value)
}

// append writes t as String does.
func (t Time) append(b []byte) []byte {
	u := t.Time()
	year, month, day := u.Date()
	if year < 0 || year > 9999 {
		return u.AppendFormat(b, timeLayout)
	}
	hour, minute, second := u.Clock()
	ms := u.Nanosecond() / int(time.Millisecond)
	b = appendPadded(b, year, 1000)
	b = appendPadded(append(b, '-'), int(month), 10)
	b = appendPadded(append(b, '-'), day, 10)
	b = appendPadded(append(b, 'T'), hour, 10)
	b = appendPadded(append(b, ':'), minute, 10)
	b = appendPadded(append(b, ':'), second, 10)
	b = appendPadded(append(b, '.'), ms, 100)
	return append(b, 'Z')
}

// appendPadded writes n with all digits from that of unit down.
func appendPadded(b []byte, n, unit int) []byte {
	for ; unit > 0; unit /= 10 {
		b = append(b, byte('0'+n/unit%10))
	}
	return b
}

// appendString writes s as a JSON string, as encoding/json does without HTML escapes.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := plain(s); i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = appendEscape(append(b, s[start:i]...), c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(append(b, s[start:i]...), `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029': // line ends in JavaScript
			b = append(append(b, s[start:i]...), `\u202`...)
			b = append(b, byte('8'+r-'\u2028'))
			start = i + size
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// plain returns how many bytes at the start of s, in steps of eight, are ASCII that needs no
// escape. It looks at eight at once, as ids and most text are nothing else.
func plain(s string) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; n+8 <= len(s); n += 8 {
		w := uint64(s[n]) | uint64(s[n+1])<<8 | uint64(s[n+2])<<16 | uint64(s[n+3])<<24 |
			uint64(s[n+4])<<32 | uint64(s[n+5])<<40 | uint64(s[n+6])<<48 | uint64(s[n+7])<<56
		quote, backslash := w^ones*'"', w^ones*'\\'
		// The high bit of each byte that is below ' ', is one of the two, or is not ASCII.
		if ((w-ones*' ')|(quote-ones)|(backslash-ones)|w)&highs != 0 {
			break
		}
	}
	return n
}

func appendEscape(b []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	default:
		return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
}
