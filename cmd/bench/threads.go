package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// crowd is a running daemon with many threads in its store, and two long ones that are read.
type crowd struct {
	size    string   // how many threads, for people
	read    string   // a long thread that is read as a whole
	long    string   // a much longer one …
	turnIDs []string // … and its turns
	d       *daemon
	clients []*client // one
	got     map[string]*timed
}

// p12 measures lists and reads in stores with a hundred, ten thousand and a hundred thousand
// threads, or with -full a million. They must cost what they hold and not what the store holds.
// The stores take turns, so that a machine that drifts does not look like one that is larger.
func p12(ctx context.Context, b *bench) (rows []Row, err error) {
	sizes := []int{b.n(100, 30), b.n(10_000, 200), b.n(100_000, 1_000)}
	if b.options.full {
		sizes[2] = b.n(1_000_000, 2_000)
	}
	read, long := b.n(200, 20), b.n(10_000, 100)
	all := reads(read, long)
	var crowds []*crowd
	defer func() {
		for _, c := range crowds {
			err = errors.Join(err, c.close())
		}
	}()
	for _, n := range sizes {
		start := time.Now()
		c, err := b.newCrowd(ctx, n, read, long)
		if err != nil {
			return nil, err
		}
		crowds = append(crowds, c)
		b.logf("a store of %s threads took %s", c.size, time.Since(start).Round(time.Millisecond))
	}
	for range b.rounds * b.n(4, 1) {
		for _, r := range all {
			for _, c := range crowds {
				if err := errors.Join(ctx.Err(), c.measure(r, b.n(20, 5))); err != nil {
					return nil, err
				}
			}
		}
	}
	return crowdRows(all, crowds), nil
}

// newCrowd makes a store and starts a daemon with it.
func (b *bench) newCrowd(ctx context.Context, threads, read, long int) (*crowd, error) {
	dir, err := b.tempDir("crowd")
	if err != nil {
		return nil, err
	}
	c := &crowd{size: thousands(strconv.Itoa(threads)), got: map[string]*timed{}}
	none, err := b.seedOf(ctx, dir, "")
	if err != nil {
		return nil, err
	}
	one, err := b.seedOf(ctx, dir, "hello")
	if err != nil {
		return nil, err
	}
	const made = 4 // two seeds and two long ones
	if _, err = plant(ctx, dir, none, 0, threads-made, 0); err != nil {
		return nil, err
	}
	if err := c.plantLong(ctx, dir, one, read, long); err != nil {
		return nil, err
	}
	if c.d, err = b.start(ctx, startOptions{data: dir, noWS: true}); err != nil {
		return nil, err
	}
	var closeAll func()
	if c.clients, closeAll, err = dialUnixes(ctx, c.d, 1); err != nil {
		closeAll()
		return nil, errors.Join(err, c.d.stop())
	}
	return c, nil
}

// plantLong writes the two long threads, with so many turns.
func (c *crowd) plantLong(ctx context.Context, data string, one *seed, read, long int) error {
	s, err := openStore(ctx, data)
	if err != nil {
		return err
	}
	for _, of := range []struct {
		thread *string
		turns  int
	}{{&c.read, read}, {&c.long, long}} {
		batch, ids, err2 := one.batch(of.turns)
		if err = errors.Join(err, err2); err != nil {
			break
		}
		done := make(chan error, 1)
		s.Commit(batch, func(err error) { done <- err })
		err = <-done
		*of.thread, c.turnIDs = batch.Thread, ids
	}
	return errors.Join(err, s.Close())
}

func (c *crowd) close() error {
	for _, cl := range c.clients {
		cl.Close()
	}
	return c.d.stop()
}

// crowdRead is a request whose time must not grow with the store.
type crowdRead struct {
	what, method string
	holds        int     // how many turns or threads are in the answer
	most         float64 // milliseconds
	params       func(c *crowd) p
}

// reads are the requests, for long threads of so many turns.
func reads(read, long int) []crowdRead {
	return []crowdRead{
		{"thread/list of 25", "thread/list", 25, 0.5, func(*crowd) p { return p{"limit": 25} }},
		{fmt.Sprintf("thread/read of a thread of %d turns", read), "thread/read", read, 5, func(c *crowd) p {
			return p{"threadId": c.read, "includeTurns": true}
		}},
		{fmt.Sprintf("a page of 25 turns anywhere in %s", thousands(strconv.Itoa(long))), "thread/turns/list", 25, 5, func(c *crowd) p {
			return p{"threadId": c.long, "limit": 25, "cursor": c.turnIDs[25+rand.IntN(len(c.turnIDs)-51)]}
		}},
	}
}

// measure makes a request n times.
func (c *crowd) measure(r crowdRead, n int) error {
	if c.got[r.what] == nil {
		c.got[r.what] = &timed{}
		if err := c.check(r); err != nil {
			return err
		}
	}
	return c.got[r.what].round(c.clients, n, func(cl *client, _, _ int) error { return cl.call(r.method, r.params(c), nil) })
}

// check looks whether the answer to a request holds what it should.
func (c *crowd) check(r crowdRead) error {
	var got struct{ Data, Turns []json.RawMessage }
	if err := c.clients[0].call(r.method, r.params(c), &got); err != nil {
		return err
	}
	if n := len(got.Data) + len(got.Turns); n != r.holds {
		return fmt.Errorf("%s: the answer holds %d, want %d", r.what, n, r.holds)
	}
	return nil
}

// crowdRows are a row for each request and store, and for each request the slowest store over
// the fastest.
func crowdRows(reads []crowdRead, crowds []*crowd) (rows []Row) {
	for _, r := range reads {
		var all []float64
		for _, c := range crowds {
			p50 := c.got[r.what].p50
			all = append(all, median(p50))
			rows = append(rows, Row{
				ID: "P12", What: fmt.Sprintf("%s, of %s threads, p50", r.what, c.size), Value: median(p50), Unit: "ms", Note: spread(p50),
			}.AtMost(r.most))
		}
		rows = append(rows, Row{
			ID: "P12", What: "  slowest store over fastest", Unit: "×", Value: slices.Max(all) / max(slices.Min(all), 1e-9),
		}.AtMost(1.5))
	}
	return rows
}
