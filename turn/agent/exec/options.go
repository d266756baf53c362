package exec

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// Kind is the kind of agents of this package.
const Kind = "exec"

// Options configure an agent.
type Options struct {
	// Command is the program and its arguments; no shell reads them. A program without
	// slash is looked for in the PATH of the daemon, a relative one with slash in Dir.
	Command []string
	// Dir is the folder that the program runs in; empty: the home folder.
	Dir string
	// Env is what the program sees beside the few variables that every program needs:
	// NAME=VALUE sets a variable, NAME passes that of Environ on.
	Env []string
	// Plain makes the text of the turn the program's input and its output the answer.
	Plain bool
	// MaxLineBytes is the longest line that the program may write; 8 MiB if zero. In plain
	// mode lines have no limit.
	MaxLineBytes int
	// Grace is the time from SIGTERM to SIGKILL; 2 seconds if zero. It should be shorter
	// than the time that an interrupted turn has.
	Grace time.Duration
	// Environ is the environment to take variables from; nil: that of the process.
	Environ []string
}

const (
	defaultMaxLine = 8 << 20
	defaultGrace   = 2 * time.Second
)

// Spec returns the agent under a name, or what is wrong with the options.
func Spec(name string, o Options) (turn.Spec, error) {
	a, err := New(o)
	if err != nil {
		return turn.Spec{}, fmt.Errorf("agent %s: %w", name, err)
	}
	return turn.Spec{
		Name: name, Kind: Kind, Agent: a, Schema: turn.ConfigSchema(""),
		Description: "Answers with the program " + filepath.Base(o.Command[0]) + ".",
	}, nil
}

// New returns an agent, or what is wrong with the options. Whether the program is there is
// looked at by each turn.
func New(o Options) (turn.Agent, error) {
	if len(o.Command) == 0 || o.Command[0] == "" {
		return nil, fmt.Errorf("command is required: a list of the program and its arguments")
	}
	for _, e := range o.Env {
		if name, _, _ := strings.Cut(e, "="); name == "" || strings.ContainsRune(e, 0) {
			return nil, fmt.Errorf("env must hold NAME=VALUE or NAME") // the entry may be a secret
		}
	}
	if o.MaxLineBytes < 0 || o.Grace < 0 {
		return nil, fmt.Errorf("the longest line and the grace time must not be negative")
	}
	o.MaxLineBytes = cmp.Or(o.MaxLineBytes, defaultMaxLine)
	o.Grace = cmp.Or(o.Grace, defaultGrace)
	environ := o.Environ
	if environ == nil {
		environ = os.Environ()
	}
	a := &agent{options: o, lingering: defaultLingering}
	a.env, a.hidden = environment(environ, o.Env)
	return a, nil
}

type agent struct {
	options Options
	env     []string // of the program
	hidden  *strings.Replacer

	lingering time.Duration // defaultLingering
}

// unavailable is the error of a program that cannot run.
func unavailable(format string, args ...any) error {
	return &turn.Error{Code: protocol.TurnErrUnavailable, Message: fmt.Sprintf(format, args...)}
}

// failure is the error of a program that did not do what it should.
func failure(format string, args ...any) error {
	return &turn.Error{Code: protocol.TurnErrAgent, Message: fmt.Sprintf(format, args...)}
}
