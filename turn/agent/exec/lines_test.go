package exec

import (
	"bufio"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/spoolhq/spool/protocol"
)

// FuzzLines: whatever a program writes in a line, it is carried out or refused with a text
// for people.
func FuzzLines(f *testing.F) {
	for _, line := range []string{
		`{"type":"text","text":"a"}`, `{"type":"reasoning","text":""}`, `{"type":"end"}`, `{"type":"state","patch":{"a":null}}`,
		`{"type":"item","item":{"type":"toolCall","tool":"t","arguments":{"a":1},"result":{"content":[]}}}`,
		`{"type":"plan","entries":[{"text":"a","status":"pending","priority":"high"}]}`, `{"type":"usage","inputTokens":1,"outputTokens":2}`,
		`{"type":"event","kind":"k","text":"t"}`, `{"type":"approve","id":"1","kind":"command","operation":"rm","target":[1]}`,
		`{"type":"ask","id":"1","questions":[{"question":"?","options":[{"label":"a"}],"allowOther":true}]}`,
		`{"type":"call","id":"1","tool":"t","namespace":"n","arguments":{}}`, `{"type":"steer","id":"1","wait":false}`,
		`{"type":"fail","message":"no","retryable":true}`, `{"type":"text","text":"\ud800"}`, `{"type":`, `[]`, ` `, "\xff", `{"type":"text","type":"end"}`,
	} {
		f.Add(line)
	}
	a := &agent{options: Options{Command: []string{"x"}}, hidden: strings.NewReplacer("secret", "$KEY")}
	f.Fuzz(func(t *testing.T, raw string) {
		l, err := parse([]byte(raw))
		if err != nil {
			if text := a.clean(err.Error()); text == "" || !utf8.ValidString(text) || len(text) > 1000 || strings.ContainsAny(text, "\x1b\x00") {
				t.Errorf("the error is %q", text)
			}
			return
		}
		switch l := l.(type) {
		case *itemLine:
			if it, err := protocol.Marshal(l.item); err != nil {
				t.Errorf("the item %s cannot be written: %v", it, err)
			}
		case *textLine:
			if !utf8.ValidString(l.Text) {
				t.Errorf("%q", l.Text)
			}
		case *failLine:
			if err := l.do(nil); err == nil || err.Error() == "" {
				t.Error("a fail line does not say why")
			}
		}
	})
}

// The lines that are read are those that were written, whatever the sizes. The length of a
// line that is too long by one is not left to chance.
func TestReadLine(t *testing.T) {
	const most = 50
	for _, end := range []string{"", "\n"} {
		for _, buffer := range []int{16, 2 * most} {
			if _, err := readLine(bufio.NewReaderSize(strings.NewReader(strings.Repeat("a", most+1)+end), buffer), most); err != errTooLong { //nolint:errorlint // it is that very one
				t.Fatalf("a line too long by one that ends with %q, read by pieces of %d: %v", end, buffer, err)
			}
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringMatching(`([a-c]{0,60}\n){0,5}[a-c]{0,60}`).Draw(rt, "text")
		r := bufio.NewReaderSize(strings.NewReader(text), 16)
		for want := range strings.SplitAfterSeq(text, "\n") {
			got, err := readLine(r, most)
			if len(strings.TrimSuffix(want, "\n")) > most {
				if err != errTooLong { //nolint:errorlint // it is that very one
					rt.Fatalf("%q: %v", want, err)
				}
				return
			}
			if string(got) != want || err == nil != strings.HasSuffix(want, "\n") {
				rt.Fatalf("%q %v; want %q", got, err, want)
			}
		}
	})
}

// What is said in plain mode is what was printed, however it was cut, but for the last
// newline and what is no text.
func TestPlainText(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		printed := rapid.OneOf(rapid.String(), rapid.StringMatching(`[aé€😀\n]{0,20}`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(rt, "printed")
		var p plainText
		var said strings.Builder
		for rest := printed; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "n")
			piece := p.next([]byte(rest[:n]))
			if !utf8.ValidString(piece) {
				rt.Fatalf("%q is said", piece)
			}
			said.WriteString(piece)
			rest = rest[n:]
		}
		said.WriteString(p.rest())
		got, want := said.String(), strings.TrimSuffix(printed, "\n")
		if utf8.ValidString(printed) && got != want || strings.ReplaceAll(got, "�", "") != strings.ReplaceAll(strings.ToValidUTF8(want, ""), "�", "") {
			rt.Fatalf("%q was printed and %q said", printed, got)
		}
	})
}
