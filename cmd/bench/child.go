package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// childWord as the first argument makes this program one of the processes that it starts
// itself: the other end of a limit, or an agent.
const childWord = "child"

// A role is what such a process does. It ends when its standard input ends or it is done.
type role func(args []string) error

var roles = map[string]role{}

// runChild plays a role and returns the exit code.
func runChild(args []string) int {
	if len(args) == 0 || roles[args[0]] == nil {
		fmt.Fprintln(os.Stderr, "bench: there is no such role")
		return 2
	}
	if err := roles[args[0]](args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %s: %v\n", args[0], err)
		return 1
	}
	return 0
}

// child prepares a process that plays a role.
func child(ctx context.Context, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{childWord}, args...)...)
	cmd.Stderr = os.Stderr
	return cmd, nil
}
