package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// settling is how long a process is left alone before it is looked at.
func (b *bench) settling() time.Duration { return b.d(2*time.Second, 50*time.Millisecond) }

// p13 measures the memory of the process: idle, with idle connections, with idle threads that are
// loaded, and with a thread after a turn for each of many.
func p13(ctx context.Context, b *bench) ([]Row, error) {
	var idle, conn, threads, loaded, goroutines []float64
	connections, n, many := b.n(1000, 5), b.n(1000, 5), b.n(4000, 20)
	dir, err := b.tempDir("loaded")
	if err != nil {
		return nil, err
	}
	stored, err := b.plantIdle(ctx, dir, many)
	if err != nil {
		return nil, err
	}
	err = alternate(ctx, min(2, b.rounds), func(ctx context.Context) error {
		empty, each, err := b.memoryOfConnections(ctx, connections)
		idle, conn = append(idle, empty), append(conn, each)
		return err
	}, func(ctx context.Context) error {
		all, err := b.memoryOfThreads(ctx, n)
		threads = append(threads, all)
		return err
	}, func(ctx context.Context) error {
		bytes, more, err := b.memoryOfLoaded(ctx, dir, stored)
		loaded, goroutines = append(loaded, bytes), append(goroutines, more)
		return err
	})
	return []Row{
		Row{ID: "P13", What: "memory of an idle process", Value: median(idle), Unit: "MB", Note: spread(idle)}.AtMost(25),
		Row{ID: "P13", What: fmt.Sprintf("  an idle WebSocket connection, of %d", connections), Value: median(conn), Unit: "KiB", Note: spread(conn)}.AtMost(40),
		Row{ID: "P13", What: fmt.Sprintf("  an idle thread with a turn that is loaded, of %d, on the heap", many), Value: median(loaded), Unit: "KiB", Note: spread(loaded)}.AtMost(1),
		Row{ID: "P13", What: "  goroutines of all of them", Value: median(goroutines), Note: spread(goroutines)}.AtMost(0),
		Row{ID: "P13", What: fmt.Sprintf("  the process after a turn on each of %d threads", n), Value: median(threads), Unit: "MB", Note: spread(threads)}.AtMost(60),
	}, err
}

// megabytes is the memory that the daemon holds after a time in which it has settled.
func (d *daemon) megabytes(ctx context.Context, after time.Duration) (float64, error) {
	wait(ctx, after)
	held, err := d.rss()
	return float64(held) / 1e6, err
}

// memoryOfConnections returns the megabytes of an idle daemon, and how many KiB more it needs
// for each of some connections.
func (b *bench) memoryOfConnections(ctx context.Context, n int) (empty, each float64, err error) {
	d, err := b.start(ctx, startOptions{})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if empty, err = d.megabytes(ctx, b.settling()); err != nil {
		return 0, 0, err
	}
	for range n {
		c, err := d.dial(ctx, "raw")
		if err != nil {
			return 0, 0, err
		}
		defer c.Close()
	}
	full, err := d.megabytes(ctx, b.settling())
	// What few connections cost may be less than what the daemon gives back meanwhile.
	return empty, max(0, full-empty) * 1e6 / 1024 / float64(n), err
}

// memoryOfThreads returns the megabytes of a daemon that has run a turn on each of n threads.
func (b *bench) memoryOfThreads(ctx context.Context, n int) (held float64, err error) {
	err = b.withDaemon(ctx, 1, func(d *daemon, clients []*client, _ string) error {
		ids, err := clients[0].newThreads(n)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := clients[0].call("turn/run", helloTurn(id, true), nil); err != nil {
				return err
			}
		}
		held, err = d.megabytes(ctx, b.settling())
		return err
	})
	return held, err
}

// plantIdle writes threads with a turn each.
func (b *bench) plantIdle(ctx context.Context, data string, n int) ([]string, error) {
	of, err := b.seedOf(ctx, data, "hello")
	if err != nil {
		return nil, err
	}
	return plant(ctx, data, of, 1, n, 0)
}

// memoryOfLoaded returns how many KiB of heap a daemon needs more for each thread when it has
// loaded some, and how many goroutines more for all. The daemon is told to keep below a limit
// of memory that it cannot keep, so that it collects garbage all the time: what is counted lives.
func (b *bench) memoryOfLoaded(ctx context.Context, data string, ids []string) (each, goroutines float64, err error) {
	d, err := b.start(ctx, startOptions{data: data, noWS: true, env: []string{"GOMEMLIMIT=1MiB"}})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	c, err := d.dial(ctx, "unix")
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	before, err := held(c, b.n(200, 10))
	if err != nil {
		return 0, 0, err
	}
	for _, id := range ids {
		if err := c.call("thread/read", p{"threadId": id}, nil); err != nil {
			return 0, 0, err
		}
	}
	after, err := held(c, b.n(200, 10))
	if err == nil && after.LoadedThreads-before.LoadedThreads != len(ids) {
		err = fmt.Errorf("%d threads are loaded, want %d more than %d", after.LoadedThreads, len(ids), before.LoadedThreads)
	}
	return max(0, after.HeapBytes-before.HeapBytes) / 1024 / float64(len(ids)), float64(max(0, after.Goroutines-before.Goroutines)), err
}

// holding is what a daemon holds.
type holding struct {
	LoadedThreads, Goroutines int
	HeapBytes                 float64
}

// held asks a daemon so many times and returns the least that it held.
func held(c *client, times int) (least holding, err error) {
	least.HeapBytes, least.Goroutines = math.Inf(1), math.MaxInt
	for range times {
		var now holding
		if err := c.call("server/stats", nil, &now); err != nil {
			return least, err
		}
		least.LoadedThreads = now.LoadedThreads
		least.HeapBytes, least.Goroutines = min(least.HeapBytes, now.HeapBytes), min(least.Goroutines, now.Goroutines)
	}
	return least, nil
}
