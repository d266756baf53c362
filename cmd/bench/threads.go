package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// crowd is a data folder with more and more threads, and two long ones that are read.
type crowd struct {
	data    string
	pattern *seed  // the many are copies of it; it has no turn
	read    string // a thread of 200 turns
	long    string // a thread of 10,000 turns …
	turnIDs []string
	threads int
}

// p12 measures lists and reads in a store with a hundred, ten thousand and a hundred thousand
// threads; with -full a million. They must cost what they hold and not what the store holds.
func p12(ctx context.Context, b *bench) ([]Row, error) {
	dir, err := b.tempDir("crowd")
	if err != nil {
		return nil, err
	}
	c := crowd{data: dir}
	if err := c.begin(ctx, b); err != nil {
		return nil, err
	}
	sizes := []int{b.n(100, 20), b.n(10_000, 200), b.n(100_000, 1_000)}
	if b.options.full {
		sizes[2] = b.n(1_000_000, 2_000)
	}
	var rows []Row
	all := map[string][]float64{}
	for _, n := range sizes {
		start := time.Now()
		more, err := plant(ctx, c.data, c.pattern, 0, n-c.threads, 0)
		if err != nil {
			return rows, err
		}
		c.threads += len(more)
		b.logf("filled the store up to %d threads in %s", n, time.Since(start).Round(time.Millisecond))
		got, err := c.measure(ctx, b)
		for i, r := range got {
			all[r.What] = append(all[r.What], r.Value)
			got[i].What += fmt.Sprintf(", %s threads stored", thousands(strconv.Itoa(n)))
		}
		rows = append(rows, got...)
		if err != nil {
			return rows, err
		}
	}
	for _, what := range []string{whatList, whatRead, whatPage} {
		values := all[what]
		rows = append(rows, Row{
			ID: "P12", What: what + ", slowest store over fastest", Unit: "×", Value: slices.Max(values) / max(slices.Min(values), 1e-9),
		}.AtMost(1.5))
	}
	return rows, nil
}

// begin makes the pattern and the long threads.
func (c *crowd) begin(ctx context.Context, b *bench) error {
	one, err := b.seedOf(ctx, c.data, "hello")
	if err != nil {
		return err
	}
	if c.pattern, err = b.seedOf(ctx, c.data, ""); err != nil {
		return err
	}
	s, err := openStore(ctx, c.data)
	if err != nil {
		return err
	}
	for _, of := range []struct {
		thread *string
		turns  int
	}{{&c.read, 200}, {&c.long, 10_000}} {
		batch, ids, err2 := one.batch(of.turns)
		if err = errors.Join(err, err2); err != nil {
			break
		}
		done := make(chan error, 1)
		s.Commit(batch, func(err error) { done <- err })
		err = <-done
		*of.thread, c.turnIDs = batch.Thread, ids
	}
	c.threads = 4
	return errors.Join(err, s.Close())
}

const (
	whatList = "thread/list of 25"
	whatRead = "thread/read of a thread of 200 turns"
	whatPage = "a page of 25 turns anywhere in 10,000"
)

// measure reads from a daemon over the store as it is.
func (c *crowd) measure(ctx context.Context, b *bench) (rows []Row, err error) {
	d, err := b.start(ctx, startOptions{data: c.data, noWS: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	clients, closeAll, err := dialUnixes(ctx, d, 1)
	defer closeAll()
	if err != nil {
		return nil, err
	}
	for _, of := range []struct {
		what, method string
		most         float64
		params       func() p
	}{
		{whatList, "thread/list", 0.5, func() p { return p{"limit": 25} }},
		{whatRead, "thread/read", 5, func() p { return p{"threadId": c.read, "includeTurns": true} }},
		{whatPage, "thread/turns/list", 5, func() p {
			return p{"threadId": c.long, "limit": 25, "cursor": c.turnIDs[rand.IntN(len(c.turnIDs))]}
		}},
	} {
		var got timed
		for range b.rounds {
			err := got.round(clients, b.n(200, 5), func(cl *client, _, _ int) error { return cl.call(of.method, of.params(), nil) })
			if err != nil {
				return rows, err
			}
		}
		rows = append(rows, Row{ID: "P12", What: of.what, Value: median(got.p50), Unit: "ms", Note: spread(got.p50)}.AtMost(of.most))
	}
	return rows, ctx.Err()
}

// settle is how long a process is left alone before it is looked at.
const settle = 2 * time.Second
