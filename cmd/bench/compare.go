package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// comparison is what is measured of a target, and of Spool beside it: the figures that both can
// have. Spool's turns say as many deltas of the same size.
type comparison struct {
	start    float64 // ms, from the start of the process, or of the connection, to the handshake
	create   float64 // ms, a thread
	turn     float64 // ms, a whole turn, one at a time
	many     float64 // turns a second on many threads at once
	deltas   float64 // a second, of a turn
	memory   float64 // MB at the end; 0: not known
	count    int     // deltas of a turn
	size     int     // bytes of text in one
	parallel int
}

// compare measures the target of the flag -target, and the built Spool where there is one.
func (b *bench) compare(ctx context.Context) ([]Row, error) {
	theirs, err := b.compareOne(ctx, b.target, cmp.Or(b.options.input, b.target.dialect.prompt()))
	if err != nil {
		return nil, err
	}
	var ours comparison
	if _, err := os.Stat(b.spool); err == nil {
		if ours, err = b.compareSpool(ctx, theirs); err != nil {
			return nil, err
		}
	}
	const beside = "spool, as many deltas as large"
	row := func(what string, theirs, ours float64, unit string) Row {
		return Row{What: what, Value: theirs, Limit: ours, LimitOf: beside, Unit: unit}
	}
	return []Row{
		row("start to handshake", theirs.start, ours.start, "ms"),
		row("create a thread, p50", theirs.create, ours.create, "ms"),
		row(fmt.Sprintf("whole turn of %d deltas, p50", theirs.count), theirs.turn, ours.turn, "ms"),
		row(fmt.Sprintf("turns, %d threads", theirs.parallel), theirs.many, ours.many, "/s"),
		row("deltas of one turn", theirs.deltas, ours.deltas, "/s"),
		row("memory at the end", theirs.memory, ours.memory, "MB"),
	}, nil
}

// compareSpool measures Spool over the transport and with the work of a target.
func (b *bench) compareSpool(ctx context.Context, theirs comparison) (c comparison, err error) {
	d, err := b.start(ctx, startOptions{})
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	t := &target{dialect: spoolDialect{}, url: d.ws}
	if b.target.url == "" {
		t = &target{dialect: spoolDialect{}, command: []string{b.spool, "stdio", "--data", d.data, "--socket", d.socket}}
	}
	c, err = b.compareOne(ctx, t, fmt.Sprintf("/deltas %d %d", max(1, theirs.count), max(1, theirs.size)))
	if memory, err := d.rss(); err == nil {
		c.memory = float64(memory) / 1e6
	}
	c.start += ms(d.ready)
	return c, err
}

// compareOne measures one server.
func (b *bench) compareOne(ctx context.Context, t *target, text string) (c comparison, err error) {
	r, err := t.reach(ctx)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	c.start, c.parallel = ms(r.ready), b.n(32, 4)
	threads, took, err := makeThreads(r.c, t.dialect, c.parallel)
	if err != nil {
		return c, err
	}
	c.create = ms(median(took))
	if err := c.stream(r.c, t.dialect, threads[0], text, b.n(5, 2)); err != nil {
		return c, err
	}
	one, err := drive(r.c, t.dialect, threads[:1], text, b.n(20, 2))
	if err != nil {
		return c, err
	}
	c.turn = ms(median(one.each))
	var many []float64
	err = b.interleave(ctx, func(context.Context) error {
		got, err := drive(r.c, t.dialect, threads, text, b.n(5, 1))
		many = append(many, got.perSecond())
		return err
	})
	c.many = median(many)
	if memory, err := r.rss(); err == nil && r.pid != 0 {
		c.memory = float64(memory) / 1e6
	}
	return c, err
}

// stream measures the deltas of single turns.
func (c *comparison) stream(cl *client, d dialect, thread, text string, turns int) error {
	var rates []float64
	for range turns {
		size := 0
		got, err := streamTurn(cl, d, thread, text, func(msg []byte) error {
			if d.kind(msg) != kindDelta {
				return nil
			}
			var m struct{ Params struct{ Delta string } }
			err := json.Unmarshal(msg, &m)
			size += len(m.Params.Delta)
			return err
		})
		if err != nil {
			return err
		}
		c.count, c.size = got.deltas, size/max(1, got.deltas)
		if got.timed > 1 {
			rates = append(rates, got.rate())
		}
	}
	c.deltas = median(rates)
	return nil
}
