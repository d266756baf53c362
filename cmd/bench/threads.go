package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
)

func init() {
	measures = append(measures, measure{[]string{"P12"}, "lists among many threads", p12})
}

// crowd is a data folder with more and more threads, and two long ones that are read.
type crowd struct {
	data      string
	pattern   string // id of the thread that the many are copies of
	read      string // a thread of 200 turns
	long      string // a thread of 10,000 turns
	turnIDs   []string
	threads   int
	readTurns int
}

// p12 measures lists and reads in a store with a hundred, ten thousand and a million threads.
// They must cost what they hold and not what the store holds.
func p12(ctx context.Context, b *bench) ([]Row, error) {
	dir, err := b.tempDir("crowd")
	if err != nil {
		return nil, err
	}
	c := crowd{data: dir, readTurns: b.n(200, 20)}
	if err := c.make(ctx, b, b.n(10_000, 100)); err != nil {
		return nil, err
	}
	sizes := []int{100, 10_000, 1_000_000}
	if b.short {
		sizes = []int{100, 2_000}
	}
	var rows []Row
	all := map[string][]float64{}
	for _, n := range sizes {
		b.logf("filling the store up to %d threads", n)
		if err := c.fill(ctx, n); err != nil {
			return rows, err
		}
		more, err := c.measure(ctx, b)
		for i, r := range more {
			all[r.What] = append(all[r.What], r.Value)
			more[i].What += fmt.Sprintf(", %d threads stored", n)
		}
		rows = append(rows, more...)
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

// make runs the turns of the long threads.
func (c *crowd) make(ctx context.Context, b *bench, longTurns int) (err error) {
	d, err := b.start(ctx, startOptions{data: c.data, noWS: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	clients, closeAll, err := dialUnixes(ctx, d, 1)
	defer closeAll()
	if err != nil {
		return err
	}
	ids, err := clients[0].newThreads(3)
	if err != nil {
		return err
	}
	c.pattern, c.read, c.long, c.threads = ids[0], ids[1], ids[2], len(ids)
	for i := range c.readTurns + longTurns {
		thread := c.long
		if i < c.readTurns {
			thread = c.read
		}
		var ran struct{ Turn struct{ ID string } }
		if err := clients[0].call("turn/run", helloTurn(thread, true), &ran); err != nil {
			return err
		}
		if thread == c.long {
			c.turnIDs = append(c.turnIDs, ran.Turn.ID)
		}
	}
	return nil
}

// fill copies the pattern until there are n threads. A daemon would need minutes for a million.
func (c *crowd) fill(ctx context.Context, n int) (err error) {
	s, err := bolt.Open(ctx, bolt.Options{Path: filepath.Join(c.data, "spool.db")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	row, err := s.Thread(ctx, c.pattern)
	if err != nil {
		return err
	}
	events, err := s.Events(ctx, c.pattern, 0, 0, 1<<20)
	if err != nil {
		return err
	}
	const together = 1000
	for c.threads < n {
		k := min(together, n-c.threads)
		done := make(chan error, k)
		for range k {
			s.Commit(c.copied(row, events), func(err error) { done <- err })
		}
		for range k {
			err = errors.Join(err, <-done)
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.threads += k
	}
	return nil
}

// copied is the pattern under another id, made at some time of the past.
func (c *crowd) copied(row storage.Row, events []storage.Event) *storage.Batch {
	id := protocol.NewID(protocol.PrefixThread)
	renamed := func(text []byte) []byte { return bytes.ReplaceAll(text, []byte(c.pattern), []byte(id)) }
	row.ID, row.Data = id, renamed(row.Data)
	row.Updated -= rand.Int64N(1_000_000)
	own := make([]storage.Event, len(events))
	for i, e := range events {
		own[i] = storage.Event{Seq: e.Seq, Frame: renamed(e.Frame)}
	}
	return &storage.Batch{Thread: id, Create: true, Events: own, Row: &row}
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
