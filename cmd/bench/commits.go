package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spoolhq/spool/cmd/bench/limit"
)

// timed is what is done again and again, by some at once.
type timed struct {
	p50, ps []float64 // of each round: milliseconds, and how many a second in all
}

// round has each client do its work n times, all clients at once.
func (t *timed) round(clients []*client, n int, work func(c *client, who, i int) error) error {
	done := make([]int, len(clients))
	return t.times(len(clients), n, func(who int) error {
		i := done[who]
		done[who]++
		return work(clients[who], who, i)
	})
}

// times has k goroutines do their work n times, all at once.
func (t *timed) times(k, n int, work func(who int) error) error {
	took, failed := make([][]time.Duration, k), make([]error, k)
	var all sync.WaitGroup
	start := time.Now()
	for who := range k {
		all.Go(func() {
			for range n {
				begin := time.Now()
				if failed[who] = work(who); failed[who] != nil {
					return
				}
				took[who] = append(took[who], time.Since(begin))
			}
		})
	}
	all.Wait()
	span := time.Since(start)
	t.add(slices.Concat(took...), span)
	return errors.Join(failed...)
}

func (t *timed) add(round []time.Duration, span time.Duration) {
	t.p50 = append(t.p50, ms(median(round)))
	t.ps = append(t.ps, rate(len(round), span))
}

// commits is the round of the limit: n commits of bbolt, one after the other.
func (t *timed) commits(ctx context.Context, dir string, n int) error {
	start := time.Now()
	took, err := limit.Commits(ctx, dir, n, 0)
	t.add(took, time.Since(start))
	return err
}

// dialUnixes connects some clients.
func dialUnixes(ctx context.Context, d *daemon, n int) ([]*client, func(), error) {
	var clients []*client
	closeAll := func() {
		for _, c := range clients {
			c.Close()
		}
	}
	for range n {
		c, err := d.dial(ctx, "unix")
		if err != nil {
			closeAll()
			return nil, func() {}, err
		}
		clients = append(clients, c)
	}
	return clients, closeAll, nil
}

// newThread makes a thread that the client does not listen to.
func (c *client) newThread() (string, error) {
	var made struct{ Thread struct{ ID string } }
	err := c.call("thread/start", p{"subscribe": false}, &made)
	return made.Thread.ID, err
}

// newThreads makes threads.
func (c *client) newThreads(n int) ([]string, error) {
	ids := make([]string, n)
	for i := range ids {
		var err error
		if ids[i], err = c.newThread(); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// helloTurn is the input of a turn that says one word.
func helloTurn(thread string, wait bool) p {
	return p{"threadId": thread, "input": []p{{"type": "text", "text": "hello"}}, "wait": wait}
}

// withDaemon measures clients of a daemon beside commits in the same folder.
func (b *bench) withDaemon(ctx context.Context, clients int, work func(d *daemon, clients []*client, dir string) error) (err error) {
	d, err := b.start(ctx, startOptions{noWS: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	dir, err := b.tempDir("limit")
	if err != nil {
		return err
	}
	all, closeAll, err := dialUnixes(ctx, d, clients)
	defer closeAll()
	if err != nil {
		return err
	}
	return work(d, all, dir)
}

// p6 measures how many turns a second one client gets accepted that waits for each answer: turns
// that wait in the queues of busy threads, which are a commit each, and turns that run at once,
// whose own commits come between.
func p6(ctx context.Context, b *bench) (rows []Row, err error) {
	for _, of := range []struct {
		what string
		busy bool
	}{{"turn/run accepted, one client, one at a time", true}, {"  the same where the turns run at once", false}} {
		row, err := b.accepted(ctx, of.what, of.busy)
		if err != nil {
			return rows, err
		}
		if of.busy {
			row = row.AtLeast(0.6)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (b *bench) accepted(ctx context.Context, what string, busy bool) (row Row, err error) {
	n := b.n(400, 30)
	err = b.withDaemon(ctx, 1, func(_ *daemon, clients []*client, dir string) error {
		ids, err := clients[0].newThreads(b.n(64, 16))
		if err != nil {
			return err
		}
		if busy {
			letGo, err := hold(clients[0], ids)
			if err != nil {
				return err
			}
			defer letGo()
		}
		var got, lim timed
		err = b.interleave(ctx, func(ctx context.Context) error { return lim.commits(ctx, dir, n) }, func(context.Context) error {
			return got.round(clients, n, func(c *client, _, i int) error {
				params := helloTurn(ids[i%len(ids)], false)
				params["ifBusy"] = "enqueue"
				return c.call("turn/run", params, nil)
			})
		})
		row = Row{ID: "P6", What: what, Value: median(got.ps), Unit: "/s", Limit: median(lim.ps), LimitOf: "sequential commits of bbolt", Note: spread(got.ps)}
		return err
	})
	return row, err
}

// hold keeps threads busy with a turn that does nothing until letGo.
func hold(c *client, ids []string) (letGo func(), err error) {
	for _, id := range ids {
		if err := c.call("turn/run", p{"threadId": id, "input": "/hold"}, nil); err != nil {
			return nil, err
		}
	}
	return func() {
		for _, id := range ids {
			_ = c.call("turn/interrupt", p{"threadId": id, "queue": "clear"}, nil) // the daemon is stopped next
		}
	}, nil
}

// p8 measures whole turns, from the request to the end of the turn, on one thread and on many.
func p8(ctx context.Context, b *bench) (rows []Row, err error) {
	for _, threads := range []int{1, b.n(32, 4), b.n(256, 8)} {
		row, err := turnsOf(ctx, b, threads)
		if err != nil {
			return rows, err
		}
		rows = append(rows, row...)
	}
	return rows, nil
}

func turnsOf(ctx context.Context, b *bench, threads int) (rows []Row, err error) {
	n := b.n(max(10, 2000/(threads+3)), 3)
	err = b.withDaemon(ctx, threads, func(_ *daemon, clients []*client, dir string) error {
		ids, err := clients[0].newThreads(threads)
		if err != nil {
			return err
		}
		var got, lim timed
		err = b.interleave(ctx, func(ctx context.Context) error { return lim.commits(ctx, dir, b.n(500, 20)) }, func(context.Context) error {
			return got.round(clients, n, func(c *client, who, _ int) error { return c.call("turn/run", helloTurn(ids[who], true), nil) })
		})
		three := "three commits of bbolt"
		took := Row{ID: "P8", What: fmt.Sprintf("whole scripted turn, %d threads, p50", threads), Value: median(got.p50), Unit: "ms", Limit: 3 * median(lim.p50), LimitOf: three}
		many := Row{ID: "P8", What: fmt.Sprintf("  turns of %d threads", threads), Value: median(got.ps), Unit: "/s", Limit: median(lim.ps) / 3, LimitOf: three, Note: spread(got.ps)}
		switch threads {
		case 1:
			took = took.AtMost(5)
		case 32:
			many = many.Min(2000)
		}
		rows = []Row{took, many}
		return err
	})
	return rows, err
}

// p11 measures how long thread/start takes, and how many threads many connections make.
func p11(ctx context.Context, b *bench) (rows []Row, err error) {
	n := b.n(400, 20)
	many := b.n(64, 8)
	err = b.withDaemon(ctx, many, func(_ *daemon, clients []*client, dir string) error {
		var one, all, lim timed
		start := func(c *client, _, _ int) error { _, err := c.newThread(); return err }
		err := b.interleave(ctx,
			func(ctx context.Context) error { return lim.commits(ctx, dir, n) },
			func(context.Context) error { return one.round(clients[:1], n, start) },
			func(context.Context) error { return all.round(clients, max(5, 4*n/many), start) })
		rows = []Row{
			Row{ID: "P11", What: "thread/start, one at a time, p50", Value: median(one.p50), Unit: "ms", Limit: median(lim.p50), LimitOf: "one commit of bbolt"}.AtMostTimes(3),
			Row{ID: "P11", What: fmt.Sprintf("  thread/start from %d connections", many), Value: median(all.ps), Unit: "/s", Note: spread(all.ps)}.Min(5000),
		}
		return err
	})
	return rows, err
}
