package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spoolhq/spool/cmd/bench/limit"
)

// p7 measures how many durable events a second 64 threads make at once: those that their scripted
// agents say as fast as they can; and those that as many clients append, each of which waits for
// the answer to one before it sends the next. The limit is a bare bbolt file that takes an event
// of each of as many threads with every commit.
func p7(ctx context.Context, b *bench) (rows []Row, err error) {
	active, n := b.n(64, 8), b.n(200, 10)
	err = b.withDaemon(ctx, active, func(d *daemon, clients []*client, dir string) error {
		ids, err := clients[0].newThreads(active)
		if err != nil {
			return err
		}
		var said, appended journalRate
		var limits []float64
		script := strings.Repeat("/custom event 1\n", n)
		item := []p{{"type": "developerMessage", "text": "An event as long as those of the limit is."}}
		err = b.interleave(ctx, func(ctx context.Context) error {
			perSecond, err := limit.Layout(ctx, dir, active, n)
			limits = append(limits, perSecond)
			return err
		}, func(context.Context) error {
			return said.round(d, clients, ids, 1, func(c *client, who int) error {
				return c.call("turn/run", p{"threadId": ids[who], "input": script, "wait": true}, nil)
			})
		}, func(context.Context) error {
			ids, err := clients[0].newThreads(active) // what is appended waits for a turn, and is not to pile up
			if err != nil {
				return err
			}
			return appended.round(d, clients, ids, b.n(50, 5), func(c *client, who int) error {
				return c.call("thread/items/append", p{"threadId": ids[who], "items": item}, nil)
			})
		})
		limitOf := fmt.Sprintf("one bucket, %d events a commit", active)
		rows = append(said.rows(fmt.Sprintf("durable events of the agents of %d threads at once", active), median(limits), limitOf),
			appended.rows(fmt.Sprintf("  the same of %d clients, each waits for the answer", active), median(limits), limitOf)...)
		rows[0] = rows[0].AtLeast(0.6)
		return err
	})
	return rows, err
}

// journalRate is how fast the journals of some threads grow, and what an event costs.
type journalRate struct {
	ps     []float64
	events int
	cpu    time.Duration
}

// round has each client do its work n times.
func (j *journalRate) round(d *daemon, clients []*client, ids []string, n int, work func(c *client, who int) error) error {
	before, err := heads(clients[0], ids)
	if err != nil {
		return err
	}
	cpu, err := d.cpu()
	if err != nil {
		return err
	}
	var t timed
	start := time.Now()
	if err := t.round(clients, n, func(c *client, who, _ int) error { return work(c, who) }); err != nil {
		return err
	}
	took := time.Since(start)
	cpu2, err := d.cpu()
	if err != nil {
		return err
	}
	after, err := heads(clients[0], ids)
	j.ps = append(j.ps, rate(after-before, took))
	j.events, j.cpu = j.events+after-before, j.cpu+cpu2-cpu
	return err
}

// heads is how many events the journals hold, all together.
func heads(c *client, ids []string) (n int, err error) {
	for _, id := range ids {
		var got struct{ Thread struct{ HeadSeq int } }
		if err := c.call("thread/read", p{"threadId": id}, &got); err != nil {
			return n, err
		}
		n += got.Thread.HeadSeq
	}
	return n, nil
}

func (j *journalRate) rows(what string, limit float64, limitOf string) []Row {
	return []Row{
		{ID: "P7", What: what, Value: median(j.ps), Unit: "/s", Limit: limit, LimitOf: limitOf, Note: spread(j.ps)},
		{ID: "P7", What: "  processor time of the daemon for one", Value: us(j.cpu) / float64(max(1, j.events)), Unit: "us"},
	}
}
