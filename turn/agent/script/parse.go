package script

import (
	"context"
	"fmt"
	"strings"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// directive is one thing a script can do. do gets what follows the name in the line.
type directive struct {
	name, args string
	do         func(ctx context.Context, r *run, arg string) error
}

// usage returns how the directive is written.
func (d directive) usage() string { return strings.TrimSpace("/" + d.name + " " + d.args) }

// directives lists everything a script can do.
var directives = []directive{
	{"say", "TEXT", say},                  // stream a message word by word
	{"think", "TEXT", think},              // stream a reasoning item word by word
	{"deltas", "N BYTES [DELAY]", deltas}, // one message of N deltas of BYTES digits, DELAY apart
	{"sleep", "DURATION", sleep},          // wait
	{"hold", "", hold},                    // wait until the text "release" is steered in
	{stuckName, "", stuck},                // ignore cancellation for a minute
	{"tools", "", tools},                  // say the tools that are offered
	{"tool", "NAME [JSON]", tool},         // call a client tool and say its result
	{"approve", "KIND TEXT", approve},     // ask for approval and say the decision
	{"ask", "QUESTION | A | B", ask},      // ask a question and say the answer
	{"state", "JSON", state},              // merge JSON into the state item of the turn
	{"plan", "A; B; C", plan},             // set the plan
	{"usage", "INPUT OUTPUT", usage},      // report tokens
	{"custom", "KIND JSON", custom},       // add a custom item
	{"history", "", history},              // say what the agent is told of the past
	{"fail", "MESSAGE", fail},             // fail the turn
	{"panic", "", crash},                  // panic inside the agent
}

// step is one directive with its arguments.
type step struct {
	directive
	arg string
}

// parse turns a text into steps. Names of directives are checked here, their arguments
// when they run. A text without directives is said as it is; between directives, blank
// lines around a message are left out.
func parse(text string) ([]step, error) {
	var steps []step
	var plain []string
	flush := func() {
		words := strings.Join(plain, "\n")
		plain = plain[:0]
		if len(steps) > 0 || hasDirective(text) {
			words = strings.Trim(words, "\r\n")
		}
		if strings.TrimSpace(words) != "" {
			steps = append(steps, step{directive{do: say}, words})
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case strings.HasPrefix(line, "//"):
			plain = append(plain, line[1:])
		case strings.HasPrefix(line, "/"):
			flush()
			s, err := parseDirective(line)
			if err != nil {
				return nil, err
			}
			steps = append(steps, s)
		default:
			plain = append(plain, line)
		}
	}
	flush()
	return steps, nil
}

// hasDirective reports whether any line of text is a directive.
func hasDirective(text string) bool {
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "/") && !strings.HasPrefix(line, "//") {
			return true
		}
	}
	return false
}

func parseDirective(line string) (step, error) {
	name, arg, _ := strings.Cut(strings.TrimRight(line[1:], "\r"), " ")
	for _, d := range directives {
		if d.name == name {
			return step{d, arg}, nil
		}
	}
	known := make([]string, len(directives))
	for i, d := range directives {
		known[i] = d.usage()
	}
	return step{}, failure("the script agent does not know /%s. It knows: %s. Text that starts with / is written with //",
		name, strings.Join(known, ", "))
}

// misuse is what is wrong with the arguments of a directive.
type misuse string

// Error says what is wrong.
func (m misuse) Error() string { return string(m) }

// failure returns an error that fails the turn with a text for people.
func failure(format string, args ...any) error {
	return &turn.Error{Code: protocol.TurnErrAgent, Message: fmt.Sprintf(format, args...)}
}

// noArgs is the error of directives that take no arguments and got some; nil otherwise.
func noArgs(arg string) error {
	if strings.TrimSpace(arg) != "" {
		return misuse("takes no arguments")
	}
	return nil
}
