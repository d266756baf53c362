package exec

import (
	"os"
	"strings"
	"unicode/utf8"
)

// errClosed is the error of reading where the output was given up.
var errClosed = os.ErrClosed

// plainText makes text of the pieces in which a program prints it.
type plainText struct {
	held []byte // a character that is not whole, or a newline that may be the last
}

// next returns what can be said now.
func (t *plainText) next(piece []byte) string {
	if len(piece) == 0 {
		return ""
	}
	all := append(t.held, piece...)
	n := len(all) - partial(all)
	if n > 0 && n == len(all) && all[n-1] == '\n' {
		n--
	}
	t.held = append([]byte(nil), all[n:]...)
	return strings.ToValidUTF8(string(all[:n]), "�")
}

// rest returns what is left at the end of the output.
func (t *plainText) rest() string {
	held := strings.TrimSuffix(string(t.held), "\n")
	t.held = nil
	return strings.ToValidUTF8(held, "�")
}

// partial returns how many bytes at the end of b begin a character that may go on.
func partial(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if last := b[len(b)-n:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return 0
			}
			return n
		}
	}
	return 0
}
