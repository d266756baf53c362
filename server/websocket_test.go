package server

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// sizes are lengths of messages around those where reading changes its way.
var sizes = []int{
	0, 1, keptRead, keptRead + 1, shortMessage - 1, shortMessage, shortMessage + 1, 2 * shortMessage,
	longestPiece - 1, longestPiece, longestPiece + 1, 3*longestPiece + 7,
}

func randomText(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(rand.N(26))
	}
	return b
}

func TestAMessageOfAnyLengthIsReadWhole(t *testing.T) {
	for _, n := range sizes {
		want := randomText(n)
		for how, r := range map[string]io.Reader{
			"at once":           bytes.NewReader(want),
			"by halves":         iotest.HalfReader(bytes.NewReader(want)),
			"end with the data": iotest.DataErrReader(bytes.NewReader(want)),
		} {
			if got, err := readMessage(r); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %s: %d were read, equal: %v, error %v", n, how, len(got), bytes.Equal(got, want), err)
			}
		}
	}
}

func TestAMessageThatBreaksOffIsNone(t *testing.T) {
	for _, n := range sizes {
		for _, broken := range []error{io.ErrUnexpectedEOF, errors.New("the network is down")} {
			r := io.MultiReader(bytes.NewReader(randomText(n)), iotest.ErrReader(broken))
			if _, err := readMessage(r); !errors.Is(err, broken) {
				t.Errorf("after %d bytes: error %v, want %v", n, err, broken)
			}
		}
	}
}

func TestMessagesKeepNothingOfEachOther(t *testing.T) {
	first := randomText(1000)
	got, err := readMessage(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readMessage(bytes.NewReader(randomText(2000))); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, first) {
		t.Error("the next message has overwritten the one before it")
	}
}
