package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// p2 measures one thread that is followed by 1, 32 and 256 clients: deliveries of deltas a
// second, all clients together, and what one costs the daemon. The limit sends ready frames to
// as many connections. The clients of both are the same, in this process, and do next to nothing.
func p2(ctx context.Context, b *bench) ([]Row, error) {
	var rows []Row
	var alone float64
	for _, k := range []int{1, b.n(32, 4), b.n(256, 8)} {
		deliveries := b.n(600_000, 4_000)
		f := fan{k: k, n: min(turnDeltas, deliveries/k)}
		f.times = max(1, deliveries/k/f.n)
		if err := f.measure(ctx, b); err != nil {
			return rows, fmt.Errorf("%d subscribers: %w", k, err)
		}
		rows = append(rows, Row{
			ID: "P2", What: fmt.Sprintf("fan-out of one thread to %d", k), Value: median(f.rates), Unit: "/s",
			Limit: median(f.limits), LimitOf: "corked fan-out of a ready frame",
			Note: fmt.Sprintf("%s; %.1f %% as snapshots", spread(f.rates), f.missing()),
		}.AtLeast(0.6))
		each := us(f.cpu) / float64(max(1, f.came))
		cost := Row{
			ID: "P2", What: "  processor time of the daemon for a delivery", Value: each, Unit: "us",
			Limit: us(f.limitCPU) / float64(max(1, f.limitCame)), LimitOf: "the same of the limit",
		}
		if k == 1 {
			alone = each
		} else {
			cost.Limit, cost.LimitOf = alone, "the same with 1"
			cost = cost.AtMostTimes(2)
			cost.Note = fmt.Sprintf("%.2f us in the limit", us(f.limitCPU)/float64(max(1, f.limitCame)))
		}
		rows = append(rows, cost)
	}
	return rows, nil
}

// fan is a thread with many that follow it.
type fan struct {
	k, n  int // subscribers; deltas of a turn
	times int // turns of a round

	rates, limits       []float64
	said, came          int
	cpu, limitCPU       time.Duration
	limitCame           int
	daemon, limitServer process
}

// missing is the share of deltas that did not come as such, in percent.
func (f *fan) missing() float64 { return 100 * float64(f.said-f.came) / float64(max(1, f.said)) }

// measure runs rounds of limit and daemon, both with all clients connected.
func (f *fan) measure(ctx context.Context, b *bench) (err error) {
	d, err := b.start(ctx, startOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	lim, err := startLimit(ctx, "fanout")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lim.stop()) }()
	f.daemon, f.limitServer = d.process, lim.process
	ready, closeReady, err := dialMany(f.k, func(int) (link, error) { return dialRaw(ctx, lim.url) })
	defer closeReady()
	if err != nil {
		return err
	}
	thread := protocol.NewID(protocol.PrefixThread)
	followers, closeFollowers, err := dialMany(f.k, func(i int) (link, error) { return follow(ctx, d, thread, i == 0) })
	defer closeFollowers()
	if err != nil {
		return err
	}
	return alternate(ctx, b.rounds*f.times,
		func(context.Context) error { return f.limitRound(ready) },
		func(context.Context) error { return f.round(followers, thread) })
}

// dialMany opens links. What was opened is closed by the function, also after an error.
func dialMany(k int, dial func(i int) (link, error)) ([]link, func(), error) {
	var links []link
	closeAll := func() {
		for _, l := range links {
			l.Close()
		}
	}
	for i := range k {
		l, err := dial(i)
		if err != nil {
			return links, closeAll, err
		}
		links = append(links, l)
	}
	return links, closeAll, nil
}

// follow connects a client that follows a thread; the first one makes it.
func follow(ctx context.Context, d *daemon, thread string, first bool) (*client, error) {
	c, err := d.dial(ctx, "raw")
	if err != nil {
		return nil, err
	}
	if first {
		err = c.call("thread/start", p{"threadId": thread, "agent": "script"}, nil)
	} else {
		err = c.call("thread/subscribe", p{"threadId": thread}, nil)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (f *fan) limitRound(ready []link) error {
	cpu, err := f.limitServer.cpu()
	if err != nil {
		return err
	}
	got, err := readAll(ready, func(i int, l link) (streamed, error) {
		order := ""
		if i == 0 {
			order = strconv.Itoa(f.n)
		}
		return readFrames(l, order, nil)
	})
	if err != nil {
		return err
	}
	after, err := f.limitServer.cpu()
	f.limitCPU += after - cpu
	f.limitCame += deltasOf(got)
	f.limits = append(f.limits, together(got))
	return err
}

func (f *fan) round(followers []link, thread string) error {
	cpu, err := f.daemon.cpu()
	if err != nil {
		return err
	}
	got, err := readAll(followers, func(i int, l link) (streamed, error) {
		if c, ok := l.(*client); ok && i == 0 {
			return streamTurn(c, spoolDialect{}, thread, fmt.Sprintf("/deltas %d %d", f.n, deltaSize), nil)
		}
		return readFrames(l, "", nil)
	})
	if err != nil {
		return err
	}
	after, err := f.daemon.cpu()
	f.cpu += after - cpu
	f.said += f.n * f.k
	f.came += deltasOf(got)
	f.rates = append(f.rates, together(got))
	return err
}

// readAll has each link read on a goroutine of its own.
func readAll(links []link, read func(i int, l link) (streamed, error)) ([]streamed, error) {
	got, failed := make([]streamed, len(links)), make([]error, len(links))
	var all sync.WaitGroup
	for i, l := range links {
		all.Go(func() { got[i], failed[i] = read(i, l) })
	}
	all.Wait()
	return got, errors.Join(failed...)
}

func deltasOf(all []streamed) int {
	n := 0
	for _, s := range all {
		n += s.deltas
	}
	return n
}

// together is deltas a second of all, from the first of any to the last of any.
func together(all []streamed) float64 {
	n := 0
	var first, last time.Time
	for _, s := range all {
		if s.deltas == 0 {
			continue
		}
		n += s.timed
		if first.IsZero() || s.first.Before(first) {
			first = s.first
		}
		if s.last.After(last) {
			last = s.last
		}
	}
	return rate(n, last.Sub(first))
}
