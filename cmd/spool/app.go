package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/spoolhq/spool/cmd/spool/config"
	"github.com/spoolhq/spool/protocol"
)

// app is what all commands share: where they read and write, the environment, and the
// flags that every command has.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      config.Env

	configFile string
	data       string
	socket     string
	noStart    bool
	json       bool

	asker *asker // whom agents may ask; nil: nobody

	running bool // the command line was understood; later errors are not about it
}

func newApp(stdin io.Reader, stdout, stderr io.Writer, env []string) *app {
	return &app{in: stdin, out: stdout, err: stderr, env: config.NewEnv(env)}
}

// config reads the configuration, with the flags of every command and those given here.
func (a *app) config(flags map[string]any) (*config.Config, error) {
	all := map[string]any{}
	for name, value := range flags {
		all[name] = value
	}
	if a.data != "" {
		all["data"] = a.data
	}
	if a.socket != "" {
		all["socket"] = a.socket
	}
	c, err := config.Load(config.Source{File: a.configFile, Env: a.env, Flags: all})
	if err != nil {
		return nil, &usageError{err: err}
	}
	return c, nil
}

// isTerminal reports whether a stream is one that a person sits at.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// printError tells the user what went wrong, and what to do where that is known. With
// --json it is one line of JSON.
func (a *app) printError(err error) {
	if _, ok := errors.AsType[exitStatus](err); ok {
		return
	}
	wire, _ := errors.AsType[*protocol.Error](err)
	if a.json {
		a.printJSONError(err, wire)
		return
	}
	paint := a.paintErr()
	for i, line := range strings.Split(err.Error(), "\n") {
		prefix := paint.red("spool:")
		if i > 0 {
			prefix = "      "
		}
		fmt.Fprintf(a.err, "%s %s\n", prefix, clean(line))
	}
	if wire != nil && wire.Data.Hint != "" {
		fmt.Fprintf(a.err, "       %s\n", clean(wire.Data.Hint))
	}
	if usage, ok := errors.AsType[*usageError](err); ok && usage.command != "" {
		fmt.Fprintf(a.err, "       Run '%s --help' for what it takes.\n", usage.command)
	}
}

func (a *app) printJSONError(err error, wire *protocol.Error) {
	out := map[string]any{"message": err.Error(), "exitCode": exitCode(err)}
	if wire != nil {
		out["code"], out["data"] = wire.Code, wire.Data
	}
	raw, merr := json.Marshal(map[string]any{"error": out})
	if merr != nil {
		raw = []byte(`{"error":{"message":"the error cannot be written as JSON"}}`)
	}
	fmt.Fprintf(a.err, "%s\n", raw)
}
