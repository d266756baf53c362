// Command spool is the whole of Spool in one binary: the daemon that keeps conversations
// with agents (spool serve), a bridge for programs that speak its protocol over standard
// input and output (spool stdio), and commands for people. See docs/cli.md.
//
// This package wires the others together: it reads the configuration, opens the store,
// makes the agents, starts the listeners, and undoes all that in reverse. What the daemon
// does is in packages thread and server; the commands for people are clients like any
// other and use package sdk.
package main

import (
	"context"
	"os"
)

// version is set by the linker.
var version = "dev"

func main() {
	os.Exit(Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
