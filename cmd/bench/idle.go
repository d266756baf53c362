package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// p16 looks at the size of the program that is measured, which should be stripped.
func p16(_ context.Context, b *bench) ([]Row, error) {
	f, err := os.Stat(b.spool)
	if err != nil {
		return nil, err
	}
	return []Row{Row{ID: "P16", What: "the program, as it was given", Value: float64(f.Size()) / 1e6, Unit: "MB"}.AtMost(35)}, nil
}

// p17 counts what a daemon does that nobody uses: how often its threads go to sleep, which is
// how often they woke up, and its calls that read and write.
func p17(ctx context.Context, b *bench) (rows []Row, err error) {
	d, err := b.start(ctx, startOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	wait(ctx, b.settling())
	span := b.d(10*time.Second, 200*time.Millisecond)
	var sleeps, calls []float64
	err = b.interleave(ctx, func(ctx context.Context) error {
		before, err := d.activity()
		if err != nil {
			return err
		}
		wait(ctx, span)
		after, err := d.activity()
		sleeps = append(sleeps, float64(after.sleeps-before.sleeps)/span.Seconds())
		calls = append(calls, float64(after.calls-before.calls)/span.Seconds())
		return err
	})
	return []Row{
		Row{ID: "P17", What: "wake-ups with nothing to do", Value: median(sleeps), Unit: "/s", Note: spread(sleeps)}.AtMost(0),
		Row{ID: "P17", What: "  calls that read or write", Value: median(calls), Unit: "/s", Note: spread(calls)}.AtMost(0),
	}, err
}

// activity is what a process did since it began.
type activity struct{ sleeps, calls int64 }

func (p process) activity() (activity, error) {
	var a activity
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.pid))
	if err != nil {
		return a, err
	}
	for _, t := range tasks {
		n, err := p.number(filepath.Join("task", filepath.Base(t), "status"), "voluntary_ctxt_switches:")
		if err != nil {
			return a, err
		}
		a.sleeps += n
	}
	reads, err := p.number("io", "syscr:")
	writes, err2 := p.number("io", "syscw:")
	a.calls = reads + writes
	return a, errors.Join(err, err2)
}
