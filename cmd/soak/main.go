// Command soak keeps a real spool binary busy for a long time and watches it from outside:
// does anything grow that should not, and does everything that is promised still hold?
//
//	go run ./cmd/soak -spool bin/spool -for 1h
//
// The load is steady. Threads are begun, used, ended, kept for a while and deleted, so that
// after some minutes about the same number of them is always there; some live in memory
// only, some end with their connection. Agents stream, fail, ask and are interrupted; inputs
// wait in queues; followers read along, lose their connections and come back; one of them
// reads too slowly. At the end of each thread its journal, what can be read of it and what
// every follower got are compared. At the end of all, the daemon must be as small as it was
// at its start, and stop by itself.
//
// The program writes soak.svg (curves), soak.csv (samples) and soak.md (a summary) into the
// folder -out. Its exit code is not 0 if anything was not as it should be.
package main

import (
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

// options say how long and how hard.
type options struct {
	spool string        // the binary
	out   string        // folder of what is written
	long  time.Duration // how long the load lasts
	rate  float64       // steps of threads per second, about two commits each or more
	hands int           // threads that are used at a time
	shelf int           // ended threads that are kept before the oldest is deleted
	every time.Duration // between two samples
	idle  time.Duration // limits.idle_unload of the daemon
	cut   time.Duration // between two losses of a connection, about
	say   func(format string, args ...any)
}

func main() {
	o := options{say: func(format string, args ...any) { fmt.Printf(format+"\n", args...) }}
	flag.StringVar(&o.spool, "spool", "bin/spool", "the binary to use")
	flag.StringVar(&o.out, "out", "docs", "the folder for soak.svg, soak.csv and soak.md")
	flag.DurationVar(&o.long, "for", time.Hour, "how long the load lasts")
	flag.Float64Var(&o.rate, "rate", 40, "steps per second: turns, appended items, interrupts, reads …")
	flag.IntVar(&o.hands, "hands", 12, "threads that are used at a time")
	flag.IntVar(&o.shelf, "shelf", 100, "ended threads that are kept; more delete the oldest")
	flag.DurationVar(&o.every, "every", 5*time.Second, "time between two samples")
	flag.DurationVar(&o.idle, "idle", 10*time.Second, "limits.idle_unload of the daemon")
	flag.DurationVar(&o.cut, "cut", 5*time.Second, "about the time between two lost connections")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "soak: %v\n", err)
		os.Exit(1)
	}
}

// run soaks the binary in a folder that is removed afterwards, and writes what was seen,
// also where something went wrong.
func run(ctx context.Context, o options) (err error) {
	home, err := os.MkdirTemp("", "soak")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(home)) }()
	if o.spool, err = filepath.Abs(o.spool); err != nil {
		return err
	}
	if _, err := os.Stat(o.spool); err != nil {
		return fmt.Errorf("%w; run make build first, or name the binary with -spool", err)
	}
	r, err := soak(ctx, o, home)
	if r == nil {
		return err
	}
	return errors.Join(err, r.write(o))
}

// soak runs the load against a fresh daemon. The report is nil only if nothing was seen.
func soak(ctx context.Context, o options, home string) (*report, error) {
	d, err := startDaemon(ctx, o, home)
	if err != nil {
		return nil, err
	}
	defer d.kill()
	r := &report{began: time.Now()}
	p, err := newProbe(ctx, d, r)
	if err != nil {
		return nil, err
	}
	err = underLoad(ctx, o, d, p)
	if err == nil {
		err = p.settle(ctx, o)
	}
	err = errors.Join(err, p.close())
	if err == nil {
		err = d.stop(ctx)
	}
	if err == nil {
		r.buckets, err = readBuckets(d.database)
	}
	if err != nil {
		r.wrong = err
		err = fmt.Errorf("%w\nThe log of the daemon ends with:\n%s", err, d.log())
	}
	return r, err
}

// underLoad runs the load while the probe takes samples, until its time is over or
// something is wrong.
func underLoad(ctx context.Context, o options, d *daemon, p *probe) error {
	l := newLoad(o, d, p.report)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sampled := make(chan struct{})
	sampling, enough := context.WithCancel(ctx)
	go func() {
		defer close(sampled)
		if err := p.sampleUntil(sampling, o); err != nil {
			cancel(err)
		}
	}()
	err := l.run(ctx)
	enough()
	<-sampled
	return errors.Join(err, context.Cause(ctx))
}
