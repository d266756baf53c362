package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// probe is the client that looks at the daemon from outside. Its connection is never cut.
type probe struct {
	d      *daemon
	client *sdk.Client
	report *report
	idle   protocol.ServerStatsResult // of the daemon when it had just started

	at    time.Time
	turns int64
	cpu   time.Duration
}

// commitsOfSample is how many commits are timed for one sample.
const commitsOfSample = 20

// settlePatience is how long the daemon may take to become as small as it was.
const settlePatience = 30 * time.Second

func newProbe(ctx context.Context, d *daemon, r *report) (*probe, error) {
	line := &lineTo{socket: d.socket}
	c, err := line.connect(ctx, "probe")
	if err != nil {
		return nil, err
	}
	p := &probe{d: d, client: c, report: r, at: time.Now()}
	if err := p.look(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	r.idle = p.idle
	return p, nil
}

// settled is how long a daemon runs before it shows what it has when idle: in its first moments
// not all of its goroutines have begun.
const settled = 500 * time.Millisecond

// look learns what the idle daemon has: the least that is seen, as goroutines of other requests
// come and go.
func (p *probe) look(ctx context.Context) error {
	n := 0
	return poll(ctx, func() (bool, error) {
		s, err := p.client.Server().Stats(ctx)
		if err != nil || s.UptimeMs < settled.Milliseconds() {
			return false, err
		}
		if n++; n == 1 || s.Goroutines < p.idle.Goroutines {
			p.idle = *s
		}
		return n == 8, nil
	})
}

func (p *probe) close() error { return p.client.Close() }

// sampleUntil takes samples until ctx ends, and says one of them each minute.
func (p *probe) sampleUntil(ctx context.Context, o options) error {
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	said := time.Now()
	for {
		s, err := p.sample(ctx, o.every)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the probe: %w", err)
		}
		p.report.samples = append(p.report.samples, s)
		if time.Since(said) >= time.Minute {
			said = time.Now()
			o.say("%8s  %s", s.after.Round(time.Second), s)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// sample times some commits and then looks at everything.
func (p *probe) sample(ctx context.Context, every time.Duration) (s sample, err error) {
	if s.commit, s.commitMax, err = p.commits(ctx, every*4/5); err != nil {
		return s, err
	}
	stats, err := p.client.Server().Stats(ctx)
	if err != nil {
		return s, err
	}
	for t, err := range p.client.Threads().List(ctx, &protocol.ThreadListParams{Paging: protocol.Paging{Limit: 200}}) {
		if err != nil {
			return s, err
		}
		s.threads++
		s.events += int(t.HeadSeq)
	}
	s.stats(*stats)
	if err := s.process(p.d); err != nil {
		return s, err
	}
	now, turns := time.Now(), p.report.counts.turns.Load()
	passed := now.Sub(p.at).Seconds()
	s.after = now.Sub(p.report.began)
	s.turns, s.turnRate, s.core = turns, float64(turns-p.turns)/passed, 100*(s.cpu-p.cpu).Seconds()/passed
	p.at, p.turns, p.cpu = now, turns, s.cpu
	return s, nil
}

// commits times requests that do nothing but one commit each, spread over some time. They
// change a thread of their own, which is deleted afterwards.
func (p *probe) commits(ctx context.Context, spread time.Duration) (median, longest time.Duration, err error) {
	t, err := p.client.Threads().Start(ctx, nil)
	if err != nil {
		return 0, 0, err
	}
	var took []time.Duration
	tick := time.NewTicker(spread / commitsOfSample)
	defer tick.Stop()
	for range commitsOfSample {
		began := time.Now()
		if _, err := t.Rename(ctx, "Probe"); err != nil {
			return 0, 0, err
		}
		took = append(took, time.Since(began))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, 0, context.Cause(ctx)
		}
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)-1], t.Delete(ctx, nil)
}

// settle waits until the daemon is as small as it was at its start.
func (p *probe) settle(ctx context.Context, o options) error {
	ctx, cancel := context.WithTimeoutCause(ctx, settlePatience+2*o.idle, errors.New("it stays so"))
	defer cancel()
	left := ""
	err := poll(ctx, func() (bool, error) {
		s, err := p.client.Server().Stats(ctx)
		if err != nil {
			return false, err
		}
		p.report.last = *s
		left = p.left(*s)
		return left == "", nil
	})
	if err != nil {
		return fmt.Errorf("with nothing to do the daemon has %s: %w", left, err)
	}
	return nil
}

// left says what the daemon has beyond what it had at its start.
func (p *probe) left(now protocol.ServerStatsResult) string {
	var left []string
	for _, c := range []struct {
		name      string
		have, had int
	}{
		{"connections", now.Connections, p.idle.Connections},
		{"subscriptions", now.Subscriptions, p.idle.Subscriptions},
		{"running turns", now.RunningTurns, 0},
		{"queued turns", now.QueuedTurns, 0},
		{"loaded threads", now.LoadedThreads, 0},
		{"goroutines", now.Goroutines, p.idle.Goroutines},
		{"open files", now.OpenFiles, p.idle.OpenFiles},
	} {
		if c.have > c.had {
			left = append(left, fmt.Sprintf("%d %s (%d at the start)", c.have, c.name, c.had))
		}
	}
	return strings.Join(left, ", ")
}
