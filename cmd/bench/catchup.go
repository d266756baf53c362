package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// p10 measures how fast a client that comes late gets the durable events of a thread out of its
// journal, and how much processor time of the daemon that takes. The limit reads as many events
// of the same length from a bbolt file and writes them to the same client.
func p10(ctx context.Context, b *bench) (rows []Row, err error) {
	d, stop, err := b.startWithStamps(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	events := b.n(200_000, 1_000)
	thread, length, err := writeJournal(ctx, d, events)
	if err != nil {
		return nil, fmt.Errorf("making the journal: %w", err)
	}
	dir, err := b.tempDir("catchup")
	if err != nil {
		return nil, err
	}
	lim, err := startLimit(ctx, "catchup", dir, strconv.Itoa(events), strconv.Itoa(length))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lim.stop()) }()
	var got, limits caught
	err = b.interleave(ctx,
		func(ctx context.Context) error { return limits.limitRound(ctx, lim) },
		func(ctx context.Context) error { return got.round(ctx, d, thread, events) })
	if err != nil {
		return nil, err
	}
	return []Row{
		{
			ID: "P10", What: fmt.Sprintf("catch-up from the journal, %d events of %d bytes", events, length),
			Value: median(got.rates), Unit: "/s", Limit: median(limits.rates), LimitOf: "read + corked write", Note: spread(got.rates),
		},
		Row{
			ID: "P10", What: "  a processor of the daemon", Value: got.perCore(), Unit: "/s", Limit: limits.perCore(), LimitOf: "the same of the limit",
		}.Min(500_000),
	}, nil
}

// writeJournal has an agent say n durable events in a turn of a new thread, and returns the
// thread and the mean length of an event.
func writeJournal(ctx context.Context, d *daemon, n int) (thread string, length int, err error) {
	talkers, closeTalkers, err := startTalkers(ctx, d, 1)
	defer closeTalkers()
	if err != nil {
		return "", 0, err
	}
	order, err := json.Marshal(stamps{Items: true, N: n})
	if err != nil {
		return "", 0, err
	}
	t := talkers[0]
	var all streamed
	_, err = streamTurn(t.c, spoolDialect{}, t.thread, string(order), func(msg []byte) error {
		all.durable(msg)
		return nil
	})
	if err == nil && all.deltas < n {
		err = fmt.Errorf("the client of the turn saw only %d of %d events", all.deltas, n)
	}
	return t.thread, all.bytes / max(1, all.deltas), err
}

// durable counts an event that is kept; other messages are passed over.
func (s *streamed) durable(msg []byte) {
	if bytes.Contains(msg[:min(len(msg), 4*methodPart)], []byte(`"seq":`)) {
		s.delta(msg)
	}
}

// caught is what several catch-ups took.
type caught struct {
	rates  []float64
	events int
	cpu    time.Duration
}

// perCore is events for a second of processor time.
func (c *caught) perCore() float64 { return rate(c.events, c.cpu) }

// limitRound reads all events from the limit.
func (c *caught) limitRound(ctx context.Context, lim *limitServer) error {
	l, err := dialRaw(ctx, lim.url)
	if err != nil {
		return err
	}
	defer l.Close()
	return c.timed(lim.process, func() (streamed, error) { return readFrames(l, "1", nil) })
}

// round has a new client follow the thread from its first event on.
func (c *caught) round(ctx context.Context, d *daemon, thread string, events int) error {
	cl, err := d.dial(ctx, "raw")
	if err != nil {
		return err
	}
	defer cl.Close()
	return c.timed(d.process, func() (streamed, error) {
		var s streamed
		cl.on = func(msg []byte) { s.durable(msg) }
		start := time.Now()
		if err := cl.call("thread/subscribe", p{"threadId": thread, "afterSeq": 0}, nil); err != nil {
			return s, err
		}
		for s.deltas < events {
			msg, err := cl.recv()
			if err != nil {
				return s, err
			}
			s.durable(msg)
		}
		s.took = time.Since(start)
		return s, nil
	})
}

// timed notes what a catch-up takes.
func (c *caught) timed(server process, read func() (streamed, error)) error {
	cpu, err := server.cpu()
	if err != nil {
		return err
	}
	got, err := read()
	if err != nil {
		return err
	}
	after, err := server.cpu()
	c.cpu += after - cpu
	c.events += got.deltas
	c.rates = append(c.rates, rate(got.deltas, got.took))
	return err
}
