package main

import (
	"context"
	"errors"
	"fmt"
)

func init() {
	measures = append(measures, measure{[]string{"P13"}, "memory", p13})
}

// p13 measures the memory of the process: idle, with idle connections, and with a thread after
// a turn for each of many.
func p13(ctx context.Context, b *bench) ([]Row, error) {
	var idle, conn, threads []float64
	connections, n := b.n(1000, 20), b.n(1000, 20)
	err := b.interleave(ctx, func(ctx context.Context) error {
		empty, each, err := b.memoryOfConnections(ctx, connections)
		idle, conn = append(idle, empty), append(conn, each)
		return err
	}, func(ctx context.Context) error {
		all, err := b.memoryOfThreads(ctx, n)
		threads = append(threads, all)
		return err
	})
	return []Row{
		Row{ID: "P13", What: "memory of an idle process", Value: median(idle), Unit: "MB", Note: spread(idle)}.AtMost(25),
		Row{ID: "P13", What: fmt.Sprintf("  an idle WebSocket connection, of %d", connections), Value: median(conn), Unit: "KiB", Note: spread(conn)}.AtMost(40),
		Row{ID: "P13", What: fmt.Sprintf("  the process after a turn on each of %d threads", n), Value: median(threads), Unit: "MB", Note: spread(threads)}.AtMost(60),
	}, err
}

// megabytes is the memory that the daemon holds when it has settled.
func (d *daemon) megabytes(ctx context.Context) (float64, error) {
	wait(ctx, settle)
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
	if empty, err = d.megabytes(ctx); err != nil {
		return 0, 0, err
	}
	for range n {
		c, err := d.dial(ctx, "raw")
		if err != nil {
			return 0, 0, err
		}
		defer c.Close()
	}
	full, err := d.megabytes(ctx)
	return empty, (full - empty) * 1e6 / 1024 / float64(n), err
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
		held, err = d.megabytes(ctx)
		return err
	})
	return held, err
}
