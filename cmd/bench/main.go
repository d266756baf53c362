// Command bench measures a built Spool from outside, as its clients see it, and prints each
// figure beside what the machine allows, measured in the same run by small programs of its own
// (package limit). Machines differ and drift, so a figure alone says little: what counts is the
// ratio. What is measured and how to read it is told in docs/performance.md.
//
//	go run ./cmd/bench -spool bin/spool              # everything
//	go run ./cmd/bench -only P1,P4 -rounds 5         # some of it, longer
//	go run ./cmd/bench -target 'codex:stdio:PROGRAM ARGS'   # the same driver, another server
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == childWord {
		os.Exit(runChild(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are the flags.
type options struct {
	spool    string
	only     string
	rounds   int
	short    bool
	json     string
	markdown string
	target   string
	input    string
	wait     time.Duration
	full     bool
}

func parseFlags(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.spool, "spool", "bin/spool", "the built `program` to measure")
	f.StringVar(&o.only, "only", "", "measure these `goals` only, such as P1,P7")
	f.IntVar(&o.rounds, "rounds", 3, "repeat each measure; the median counts")
	f.BoolVar(&o.short, "short", false, "small sizes: shows that all works, the figures mean little")
	f.BoolVar(&o.full, "full", false, "also measure what takes minutes to prepare: a million threads")
	f.DurationVar(&o.wait, "wait", time.Minute, "longest `time`, in the whole run, to wait until others leave the machine alone")
	f.StringVar(&o.json, "json", "", "also write the rows to this `file` as JSON")
	f.StringVar(&o.markdown, "md", "", "also write the rows into this Markdown `file`, between its marks")
	f.StringVar(&o.target, "target", "", "measure another `server`: DIALECT:stdio:COMMAND or DIALECT:ws://…; DIALECT is spool or codex")
	f.StringVar(&o.input, "input", "", "the `text` of the target's turns")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("there is no argument %q; try -help", f.Arg(0))
	}
	if o.rounds < 1 {
		return o, fmt.Errorf("-rounds must be at least 1")
	}
	return o, nil
}

// run is the program. It returns its exit code: 2 where a measure could not be carried out.
// A goal that is not met is printed as such and is no failure.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseFlags(args, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	b, err := newBench(o, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	rep, failed := b.measureAll(ctx)
	if err := b.close(); err != nil {
		failed = append(failed, err)
	}
	rep.print(stdout)
	failed = append(failed, rep.write(o)...)
	for _, err := range failed {
		fmt.Fprintln(stderr, "bench: failed:", err)
	}
	if len(failed) > 0 {
		return 2
	}
	return 0
}

// wanted reports whether a measure was asked for.
func (o options) wanted(m measure) bool {
	if o.only == "" || len(m.ids) == 0 {
		return true
	}
	for id := range strings.SplitSeq(o.only, ",") {
		for _, have := range m.ids {
			if strings.EqualFold(strings.TrimSpace(id), have) {
				return true
			}
		}
	}
	return false
}
