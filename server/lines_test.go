package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/spoolhq/spool/protocol"
)

type readOnly struct{ io.Reader }

func (readOnly) Write(p []byte) (int, error) { return len(p), nil }
func (readOnly) Close() error                { return nil }

// readAll returns what Lines makes of a stream; a message that was skipped is "TOO LONG".
func readAll(t testing.TB, r io.Reader, max int64) []string {
	t.Helper()
	l := Lines(readOnly{r}, max)
	var got []string
	for {
		m, err := l.Read()
		switch {
		case errors.Is(err, ErrTooLong):
			got = append(got, "TOO LONG")
		case errors.Is(err, io.EOF):
			return got
		case err != nil:
			t.Fatal(err)
		default:
			got = append(got, string(m))
		}
	}
}

func TestLinesRead(t *testing.T) {
	long := strings.Repeat("x", 10000)
	for name, tc := range map[string]struct {
		in   string
		want []string
	}{
		"several":               {"a\nbb\nccc\n", []string{"a", "bb", "ccc"}},
		"carriage returns":      {"a\r\nb\r\n", []string{"a\r", "b\r"}},
		"blank lines":           {"\n\n a\n\t\n\r\nb\n", []string{" a", "b"}},
		"no end of line":        {"a\nb", []string{"a", "b"}},
		"nothing":               {"", nil},
		"as long as the limit":  {strings.Repeat("y", 5000) + "\nb\n", []string{strings.Repeat("y", 5000), "b"}},
		"one more":              {strings.Repeat("y", 5001) + "\nb\n", []string{"TOO LONG", "b"}},
		"much more":             {"a\n" + long + long + "\nb\n" + long + "\nc", []string{"a", "TOO LONG", "b", "TOO LONG", "c"}},
		"too long, without end": {"a\n" + long, []string{"a", "TOO LONG"}},
	} {
		t.Run(name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{
				"at once":      strings.NewReader(tc.in),
				"byte by byte": iotest.OneByteReader(strings.NewReader(tc.in)),
				"with EOF":     iotest.DataErrReader(strings.NewReader(tc.in)),
			} {
				got := readAll(t, r, 5000)
				if fmt.Sprint(got) != fmt.Sprint(tc.want) {
					t.Errorf("%s: got %.100q, want %.100q", how, got, tc.want)
				}
			}
		})
	}
}

func TestLinesReadAtRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var in strings.Builder
		var want []string
		for range rnd.IntN(20) {
			n := rnd.IntN(3 * readBytes)
			line := strings.Repeat("z", n)
			in.WriteString(line + "\n")
			switch {
			case n > 2*readBytes:
				want = append(want, "TOO LONG")
			case n > 0:
				want = append(want, line)
			}
		}
		got := readAll(t, &choppy{strings.NewReader(in.String()), rnd}, 2*readBytes)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatal("another sequence of lines")
		}
	}
}

// choppy reads pieces of any size.
type choppy struct {
	r   io.Reader
	rnd *rand.Rand
}

func (c *choppy) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), 1+c.rnd.IntN(4000))]) }

func TestLinesDoNotKeepWhatTheySkip(t *testing.T) {
	l := Lines(readOnly{io.MultiReader(io.LimitReader(zeros{}, 100<<20), strings.NewReader("\n"), strings.NewReader("a\n"))}, 1<<20).(*lines)
	if _, err := l.Read(); !errors.Is(err, ErrTooLong) {
		t.Fatal(err)
	}
	if m, err := l.Read(); err != nil || string(m) != "a" {
		t.Fatalf("got %q, %v", m, err)
	}
	if cap(l.buf) > keptRead {
		t.Errorf("a buffer of %d bytes is kept", cap(l.buf))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func TestLinesWriteTogether(t *testing.T) {
	var out counting
	l := Lines(&out, 100)
	if err := l.Write([]protocol.Frame{frame("a"), frame("bb")}); err != nil {
		t.Fatal(err)
	}
	if out.String() != "a\nbb\n" || out.calls != 1 || l.Taken() != 5 {
		t.Errorf("%q in %d writes, %d taken", out.String(), out.calls, l.Taken())
	}
	big := sized("c", 3*flushBytes)
	if err := l.Write([]protocol.Frame{big}); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(out.Bytes(), append(big, '\n')) || out.calls != 5 {
		t.Errorf("a large frame took %d writes", out.calls-1)
	}
}

type counting struct {
	bytes.Buffer
	calls int
}

func (c *counting) Write(p []byte) (int, error) { c.calls++; return c.Buffer.Write(p) }
func (c *counting) Close() error                { return nil }

func TestLongLinesAreTheCallers(t *testing.T) {
	var want [][]byte
	var stream bytes.Buffer
	for _, n := range sizes[1:] { // a line of nothing is none
		for _, line := range [][]byte{randomText(n), randomText(3)} {
			want = append(want, line)
			stream.Write(append(bytes.Clone(line), '\n'))
		}
	}
	whole := stream.Bytes()[:stream.Len()-1] // the last line has no end
	for how, r := range map[string]io.Reader{"at once": bytes.NewReader(whole), "by halves": iotest.HalfReader(bytes.NewReader(whole))} {
		l := Lines(readOnly{r}, 16<<20)
		var got [][]byte
		for {
			line, err := l.Read()
			if err != nil {
				break
			}
			got = append(got, line)
		}
		if len(got) != len(want) {
			t.Fatalf("%s: %d lines, want %d", how, len(got), len(want))
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("%s: line %d of %d bytes is not what was sent", how, i, len(want[i]))
			}
		}
	}
}
