// Command demo shows a conversation from start to end with a real spool binary, and checks
// what it shows: an answer that streams, a turn that waits for another, an interrupt, a
// daemon that is killed in the middle of a turn, and what is there after that.
//
//	go run ./cmd/demo -spool bin/spool
//
// Everything happens in a temporary folder with a HOME of its own. The answers come from
// the built-in scripted agent, or from a model if OPENAI_API_KEY or OPENAI_BASE_URL is set.
// The exit code is not 0 if anything is not as it should be.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// longest bounds the whole demo.
const longest = 3 * time.Minute

func main() {
	spool := flag.String("spool", "bin/spool", "the binary to show")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	model := os.Getenv("OPENAI_API_KEY") != "" || os.Getenv("OPENAI_BASE_URL") != ""
	err := run(ctx, *spool, model)
	if model && errors.Is(err, errTooFast) {
		fmt.Printf("\nThe model is too fast to be cut short (%v). The same with the scripted agent:\n", err)
		err = run(ctx, *spool, false)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
}

// run shows everything, with a model or the scripted agent, in a folder that is removed
// afterwards.
func run(ctx context.Context, spool string, model bool) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, longest, fmt.Errorf("not finished after %s", longest))
	defer cancel()
	spool, err = filepath.Abs(spool)
	if err != nil {
		return err
	}
	if _, err := os.Stat(spool); err != nil {
		return fmt.Errorf("%w; run make build first, or name the binary with -spool", err)
	}
	home, err := os.MkdirTemp("", "spool-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(home)) }()
	d := newDemo(ctx, spool, home, model)
	defer d.cleanUp()
	for _, step := range d.steps() {
		if err := step(); err != nil {
			if !errors.Is(err, errTooFast) {
				d.printLog()
			}
			return cmp.Or(context.Cause(ctx), err)
		}
	}
	fmt.Printf("\nAll of it was as it should be (%s).\n", time.Since(d.began).Round(100*time.Millisecond))
	return nil
}
