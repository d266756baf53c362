package main

import (
	"context"
	"errors"
	"time"

	"github.com/spoolhq/spool/cmd/bench/limit"
)

// p5 measures how long a durable event takes from the agent, a program of its own, to the client
// of a daemon that has nothing else to do. It leaves the daemon after its commit; the limit is one
// commit of bbolt, as far apart.
func p5(ctx context.Context, b *bench) (rows []Row, err error) {
	d, stop, err := b.startWithStamps(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	talkers, closeTalkers, err := startTalkers(ctx, d, 1)
	defer closeTalkers()
	if err != nil {
		return nil, err
	}
	dir, err := b.tempDir("commits")
	if err != nil {
		return nil, err
	}
	const apart = 5 * time.Millisecond
	n := b.n(400, 30)
	var got, limits latencies
	err = b.interleave(ctx, func(ctx context.Context) error {
		return limits.round(1, func(int) ([]sample, error) { return idleCommits(ctx, dir, n, apart) })
	}, func(context.Context) error {
		return got.round(1, func(int) ([]sample, error) {
			return talkers[0].talk(stamps{Items: true, N: n, Apart: apart}, `"item/completed"`)
		})
	})
	if err != nil {
		return nil, err
	}
	commit := median(limits.p50)
	rows = got.rows("P5", "durable event from agent to client, idle", "one bbolt commit", &limits, 0, 0)
	rows[0] = rows[0].AtMostTimes(3)
	rows[1] = rows[1].AtMost(2*commit + 5)
	return rows, nil
}

// idleCommits are the latencies of the limit.
func idleCommits(ctx context.Context, dir string, n int, apart time.Duration) ([]sample, error) {
	took, err := limit.Commits(ctx, dir, n, apart)
	all := make([]sample, len(took))
	for i := range took {
		all[i].took = took[i]
	}
	return all, err
}
