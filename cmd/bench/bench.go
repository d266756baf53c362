package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// bench is one run of the program: what is measured, and where it may put files.
type bench struct {
	spool   string // path of the built binary
	dir     string // for data; on the disk of the working directory
	sockets string // for Unix sockets, whose paths must be short
	rounds  int
	short   bool
	target  *target // another server, or nil
	options options
	log     io.Writer // progress, for people

	patience time.Duration // what is left of waiting for a quiet machine
}

func newBench(o options, log io.Writer) (*bench, error) {
	b := &bench{rounds: o.rounds, short: o.short, options: o, log: log, patience: o.wait}
	var err error
	if b.target, err = parseTarget(o.target); err != nil {
		return nil, err
	}
	if b.spool, err = filepath.Abs(o.spool); err != nil {
		return nil, err
	}
	if _, err := os.Stat(b.spool); err != nil && b.target == nil {
		return nil, fmt.Errorf("there is no built program: %w; make build makes it", err)
	}
	if b.dir, err = os.MkdirTemp(".", ".bench-"); err != nil {
		return nil, err
	}
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return nil, err
	}
	b.sockets, err = os.MkdirTemp("", "spb")
	return b, err
}

func (b *bench) close() error {
	err := os.RemoveAll(b.dir)
	if err2 := os.RemoveAll(b.sockets); err == nil {
		err = err2
	}
	return err
}

// n returns a size: the first for a real run, the second for a short one.
func (b *bench) n(full, short int) int {
	if b.short {
		return short
	}
	return full
}

// d is n for durations.
func (b *bench) d(full, short time.Duration) time.Duration {
	if b.short {
		return short
	}
	return full
}

// tempDir makes a folder for data that goes with the run.
func (b *bench) tempDir(name string) (string, error) {
	return os.MkdirTemp(b.dir, name+"-")
}

// logf tells how far the run is.
func (b *bench) logf(format string, args ...any) {
	fmt.Fprintf(b.log, "bench: "+format+"\n", args...)
}

// measureAll carries out what was asked for. A measure that fails does not end the run.
func (b *bench) measureAll(ctx context.Context) (*report, []error) {
	rep := newReport(b)
	var failed []error
	todo := measures
	if b.target != nil {
		todo = []measure{{nil, "another server", func(ctx context.Context, b *bench) ([]Row, error) { return b.compare(ctx) }}}
	}
	for _, m := range todo {
		if !b.options.wanted(m) {
			continue
		}
		busy := b.quiet(ctx)
		b.logf("%s (others keep %.1f processors busy)", m.name, busy)
		start := time.Now()
		rows, err := m.run(ctx, b)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", m.name, err))
		}
		rep.rows = append(rep.rows, rows...)
		rep.busy = append(rep.busy, busy)
		b.logf("%s took %s", m.name, time.Since(start).Round(100*time.Millisecond))
		if ctx.Err() != nil {
			break
		}
	}
	return rep, failed
}

// interleave runs what is compared in turns, limit, measure, limit, measure, so that a machine
// that drifts hits both alike; and again for each round.
func (b *bench) interleave(ctx context.Context, steps ...func(context.Context) error) error {
	return alternate(ctx, b.rounds, steps...)
}

// alternate is interleave for another number of times. Where what is measured is short, many
// short pieces say more than few long ones. The pieces of limit and measure must be of one size:
// the median of short ones leaves out what other programs take, that of long ones does not.
func alternate(ctx context.Context, times int, steps ...func(context.Context) error) error {
	for range times {
		for _, step := range steps {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := step(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}
