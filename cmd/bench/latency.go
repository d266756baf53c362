package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spoolhq/spool/cmd/bench/limit"
)

// warmUp is how many stamps at the start of a turn are not counted.
const warmUp = 10

// startUp is how long the processes of the agents have to start, before the first one speaks.
const startUp = 1500 * time.Millisecond

// p4 measures how long a delta takes from the agent to the client, while 64 turns run and each
// says 50 a second. The agents are programs, and the time is in what they write to their output,
// so the figure has all: the pipe from the agent, the daemon, the socket, the client. The
// limit has the agents in the process that serves, and nothing between them and the socket.
func p4(ctx context.Context, b *bench) (rows []Row, err error) {
	d, stop, err := b.startWithStamps(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	lim, err := startLimit(ctx, "pipeline")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lim.stop()) }()
	const apart = 20 * time.Millisecond
	turns, n := b.n(64, 4), b.n(150, 15)
	talkers, closeTalkers, err := startTalkers(ctx, d, turns)
	defer closeTalkers()
	if err != nil {
		return nil, err
	}
	got, limits := latencies{seconds: true}, latencies{seconds: true}
	var used time.Duration
	err = b.interleave(ctx, func(ctx context.Context) error {
		return limits.round(turns, func(int) ([]sample, error) { return readPipeline(ctx, lim.url, n, apart) })
	}, func(ctx context.Context) error {
		begin := time.Now().Add(b.d(startUp, startUp/5))
		more, err := d.cpuFrom(ctx, begin, func() error {
			return got.round(turns, func(i int) ([]sample, error) {
				stagger := apart * time.Duration(i) / time.Duration(turns)
				return talkers[i].talk(stamps{N: n, Apart: apart, Begin: begin.Add(stagger)}, `"item/agentMessage/delta"`)
			})
		})
		used += more
		return err
	})
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("delta from agent to client, %d turns, 50/s each", turns)
	return append(got.rows("P4", what, "in-memory pipeline", &limits, 0.15, 1), Row{
		ID: "P4", What: "  processor time of the daemon for one",
		Value: us(used) / float64(turns*n*b.rounds), Unit: "us",
	}), nil
}

// cpuFrom returns the processor time that the daemon uses for work, from a time on.
func (d *daemon) cpuFrom(ctx context.Context, begin time.Time, work func() error) (time.Duration, error) {
	var before time.Duration
	var failed error
	var look sync.WaitGroup
	look.Go(func() {
		wait(ctx, time.Until(begin))
		before, failed = d.cpu()
	})
	err := work()
	look.Wait()
	after, failed2 := d.cpu()
	return after - before, errors.Join(err, failed, failed2)
}

// latencies are those of several rounds, or of several seconds: a percentile of each, of which
// the median counts. So a single hiccup of the machine spoils one of them and not all.
type latencies struct {
	seconds  bool // each second counts for itself, not each round
	p50, p99 []float64
	most     time.Duration
}

// sample is a latency and when it was.
type sample struct {
	at   time.Time
	took time.Duration
}

// round has k goroutines measure at once.
func (l *latencies) round(k int, measure func(i int) ([]sample, error)) error {
	got, failed := make([][]sample, k), make([]error, k)
	var all sync.WaitGroup
	for i := range k {
		all.Go(func() { got[i], failed[i] = measure(i) })
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	parts := map[int64][]time.Duration{}
	for _, g := range got {
		for _, s := range g {
			part := int64(0)
			if l.seconds {
				part = s.at.Unix()
			}
			parts[part] = append(parts[part], s.took)
		}
	}
	if len(parts) == 0 {
		return errors.New("nothing was measured")
	}
	l.add(parts)
	return nil
}

// add takes what was measured apart. What is only the edge of a second does not count.
func (l *latencies) add(parts map[int64][]time.Duration) {
	fullest := 0
	for _, p := range parts {
		fullest = max(fullest, len(p))
	}
	for _, p := range parts {
		l.most = max(l.most, slices.Max(p))
		if len(p) >= fullest/2 {
			l.p50 = append(l.p50, ms(pct(p, 50)))
			l.p99 = append(l.p99, ms(pct(p, 99)))
		}
	}
}

// rows are the medians beside those of the limit, with goals in milliseconds.
func (l *latencies) rows(id, what, limitOf string, limits *latencies, p50, p99 float64) []Row {
	return []Row{
		Row{
			ID: id, What: what + ", p50", Value: median(l.p50), Unit: "ms",
			Limit: median(limits.p50), LimitOf: limitOf, Note: spread(l.p50),
		}.AtMost(p50),
		Row{
			ID: id, What: "  p99", Value: median(l.p99), Unit: "ms",
			Limit: median(limits.p99), LimitOf: limitOf, Note: fmt.Sprintf("%s; longest %.1f ms", spread(l.p99), ms(l.most)),
		}.AtMost(p99),
	}
}

// readPipeline takes n stamps of the limit, over a connection of its own.
func readPipeline(ctx context.Context, url string, n int, apart time.Duration) ([]sample, error) {
	l, err := dialWS(ctx, url)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if err := l.send([]byte(strconv.Itoa(int(apart.Milliseconds())))); err != nil {
		return nil, err
	}
	var got []sample
	for i := range n {
		msg, err := l.recv()
		if err != nil {
			return nil, err
		}
		at := time.Now()
		if stamp, ok := limit.ReadStamp(msg); ok && i >= warmUp {
			got = append(got, sample{stamp, at.Sub(stamp)})
		}
	}
	return got, nil
}

// talker is a client with a thread whose agent stamps what it says.
type talker struct {
	c      *client
	thread string
}

// startTalkers makes k of them. The function closes those that were made, also after an error.
func startTalkers(ctx context.Context, d *daemon, k int) ([]*talker, func(), error) {
	var all []*talker
	closeAll := func() {
		for _, t := range all {
			t.c.Close()
		}
	}
	for range k {
		c, err := d.dial(ctx, "ws")
		if err != nil {
			return all, closeAll, err
		}
		t := &talker{c: c}
		all = append(all, t)
		var r struct{ Thread struct{ ID string } }
		if err := c.call("thread/start", p{"agent": "stamps"}, &r); err != nil {
			return all, closeAll, err
		}
		t.thread = r.Thread.ID
	}
	return all, closeAll, nil
}

// talk runs a turn and returns how old the stamps were in messages of a kind, given as its
// method with quotes.
func (t *talker) talk(s stamps, quoted string) ([]sample, error) {
	order, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	var got []sample
	seen := 0
	_, err = streamTurn(t.c, spoolDialect{}, t.thread, string(order), func(msg []byte) error {
		at := time.Now()
		if !has(msg, quoted) {
			return nil
		}
		stamp, ok := limit.ReadStamp(msg)
		if !ok {
			return nil
		}
		if seen++; seen > warmUp {
			got = append(got, sample{stamp, at.Sub(stamp)})
		}
		return nil
	})
	return got, err
}
