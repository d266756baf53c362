package main

import (
	"context"
	"fmt"
	"time"
)

// p15 measures the time from the start of the process until it says that it is ready: with an
// empty folder, and with a large journal after a stop in good order and after a kill.
func p15(ctx context.Context, b *bench) ([]Row, error) {
	dir, err := b.tempDir("large")
	if err != nil {
		return nil, err
	}
	var empty, stopped, killed []float64
	err = alternate(ctx, b.rounds*b.n(5, 1), func(ctx context.Context) error { return b.timeStart(ctx, "", &empty, (*daemon).stop) })
	if err != nil {
		return nil, err
	}
	size := b.n(1<<30, 4<<20)
	if err := b.grow(ctx, dir, size); err != nil {
		return nil, err
	}
	err = b.interleave(ctx,
		func(ctx context.Context) error { return b.timeStart(ctx, dir, &stopped, (*daemon).crash) },
		func(ctx context.Context) error { return b.timeStart(ctx, dir, &killed, (*daemon).stop) })
	large := fmt.Sprintf("%.3g GiB of journal", float64(size)/(1<<30))
	return []Row{
		Row{ID: "P15", What: "start to ready, empty", Value: median(empty), Unit: "ms", Note: spread(empty)}.AtMost(20),
		Row{ID: "P15", What: "  " + large + " after a stop", Value: median(stopped), Unit: "ms", Note: spread(stopped)}.AtMost(50),
		Row{ID: "P15", What: "  " + large + " after a kill", Value: median(killed), Unit: "ms", Note: spread(killed)}.AtMost(1000),
	}, err
}

// timeStart starts a daemon and ends it. The next start finds what that leaves.
func (b *bench) timeStart(ctx context.Context, data string, took *[]float64, end func(*daemon) error) error {
	d, err := b.start(ctx, startOptions{data: data, noWS: true})
	if err != nil {
		return err
	}
	*took = append(*took, float64(d.ready)/float64(time.Millisecond))
	return end(d)
}

// crash writes something and kills the daemon.
func (d *daemon) crash() error {
	c, err := d.dial(context.Background(), "unix")
	if err == nil {
		_, err = c.newThread()
		c.Close()
	}
	d.kill()
	return err
}

// grow writes threads of a hundred turns, each with an answer of a few kilobytes, until the
// journal has so many bytes.
func (b *bench) grow(ctx context.Context, data string, size int) error {
	of, err := b.seedOf(ctx, data, "/deltas 100 40")
	if err != nil {
		return err
	}
	begin := time.Now()
	threads, err := plant(ctx, data, of, 100, 0, size)
	b.logf("wrote %d threads in %s", len(threads), time.Since(begin).Round(time.Millisecond))
	return err
}
