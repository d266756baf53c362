package exec

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// What an error tells of standard error.
const (
	complaintBytes = 2 << 10
	complaintLines = 10
	// tailBytes is what is kept of it: more than is told, so that no hidden value begins
	// before it and is told by half.
	tailBytes = 8 << 10
)

// escapes are the sequences that colour a terminal and set its title.
var escapes = regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\a\x1b]*(?:\a|\x1b\\\\)?|[@-Z\\\\^_])")

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

// Write takes text. It does not fail.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p[max(0, len(p)-tailBytes):]...)
	if cut := len(t.buf) - tailBytes; cut > tailBytes {
		t.buf = append(t.buf[:0], t.buf[cut:]...)
	}
	return len(p), nil
}

// String returns the end of the text.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// complaint returns the last lines of what a program wrote to standard error.
func (a *agent) complaint(t *tail) string {
	var lines []string
	text := a.clean(t.String())
	text = strings.ToValidUTF8(text[max(0, len(text)-complaintBytes):], "")
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-complaintLines):], "\n")
}

// ended is the error of a program that ended as it should not; nil if it ended well.
func (a *agent) ended(state *os.ProcessState, stderr *tail) error {
	if state == nil || state.Success() {
		return nil
	}
	e := &turn.Error{Code: protocol.TurnErrAgent}
	if code := state.ExitCode(); code >= 0 {
		e.Message = fmt.Sprintf("the program ended with exit code %d", code)
		e.Details = json.RawMessage(fmt.Sprintf(`{"exitCode":%d}`, code))
	} else {
		e.Message = "the program was ended by a " + state.String()
	}
	if said := a.complaint(stderr); said != "" {
		e.Message += ": " + said
	}
	return e
}

var _ io.Writer = (*tail)(nil)
