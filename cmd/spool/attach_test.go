package main

import (
	"io"
	"strings"
	"testing"
)

// endless is an input without lines, as /dev/zero.
type endless struct{}

// Read implements io.Reader.
func (endless) Read(b []byte) (int, error) {
	if clear(b); len(b) > 0 {
		return len(b), nil
	}
	return 0, nil
}

// TestReadLines: a line has a bound, and what came before one that is too long is taken.
func TestReadLines(t *testing.T) {
	first := strings.NewReader("one\r\n \n\ntwo\n")
	lines := readLines(t.Context(), io.MultiReader(first, io.LimitReader(endless{}, 8*maxStdin)))
	for _, want := range []string{"one", "two"} {
		if got := <-lines; got.line != want || got.err != nil {
			t.Errorf("%q, %v; want %q", got.line[:min(len(got.line), 20)], got.err, want)
		}
	}
	if got := <-lines; got.err == nil || !strings.Contains(got.err.Error(), "longer than 64.0 MiB") {
		t.Errorf("of a line that does not end: %d bytes, %v", len(got.line), got.err)
	}
	if _, more := <-lines; more {
		t.Error("there is more behind it")
	}
	last := readLines(t.Context(), strings.NewReader("no end"))
	if got := <-last; got.line != "no end" || got.err != nil {
		t.Errorf("%+v", got)
	}
	if _, more := <-last; more {
		t.Error("there is more behind the last")
	}
}
