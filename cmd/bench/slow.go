package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// p14 measures what one reader that is much too slow costs the 31 others that follow the same
// thread, and the daemon in memory.
func p14(ctx context.Context, b *bench) (rows []Row, err error) {
	d, err := b.start(ctx, startOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	watcher, err := d.dial(ctx, "unix")
	if err != nil {
		return nil, err
	}
	defer watcher.Close()
	others := b.n(31, 3)
	f := fan{k: others, n: b.n(10_000, 500), daemon: d.process}
	thread := protocol.NewID(protocol.PrefixThread)
	fast, closeFast, err := dialMany(others, func(i int) (link, error) { return follow(ctx, d, thread, i == 0) })
	defer closeFast()
	if err != nil {
		return nil, err
	}
	s := slowReader{d: d, thread: thread, watcher: watcher}
	var without, with []float64
	round := func(rates *[]float64) error {
		f.rates = nil
		err := f.round(fast, thread)
		*rates = append(*rates, f.rates...)
		return err
	}
	err = alternate(ctx, b.rounds*b.n(8, 1), // 5 % are little
		func(context.Context) error { return round(&without) },
		func(ctx context.Context) error { return s.during(ctx, func() error { return round(&with) }) })
	if err != nil {
		return nil, err
	}
	peak, err := d.peak()
	if err != nil {
		return nil, err
	}
	return []Row{
		Row{
			ID: "P14", What: fmt.Sprintf("fan-out to %d beside a slow reader", others), Value: median(with), Unit: "/s",
			Limit: median(without), LimitOf: "the same without it", Note: spread(with) + "; without " + spread(without),
		}.AtLeast(0.95),
		Row{
			ID: "P14", What: "  most that waited for the slow one", Value: float64(s.most) / (1 << 20), Unit: "MiB",
			Note: fmt.Sprintf("it took %d messages; the whole daemon never had more than %.0f MB", s.took, float64(peak)/1e6),
		}.AtMost(2),
	}, nil
}

// slowPause is the time between two messages that the slow reader takes.
const slowPause = 5 * time.Millisecond

// slowReader follows a thread and takes a message now and then.
type slowReader struct {
	d       *daemon
	thread  string
	watcher *client // asks the daemon what waits for whom

	most int // bytes that waited
	took int // messages
}

// during connects the slow reader while work goes on.
func (s *slowReader) during(ctx context.Context, work func() error) error {
	raw, err := dialRaw(ctx, s.d.ws)
	if err != nil {
		return err
	}
	if tcp, ok := raw.conn.(*net.TCPConn); ok {
		if err := tcp.SetReadBuffer(16 << 10); err != nil { // the kernel would read for it
			return err
		}
	}
	c := newClient(ctx, raw)
	name := fmt.Sprintf("slow-%d", time.Now().UnixNano())
	if err := c.call("initialize", p{"clientInfo": p{"name": name}}, nil); err != nil {
		return err
	}
	if err := c.notify("initialized", nil); err != nil {
		return err
	}
	if err := c.call("thread/subscribe", p{"threadId": s.thread}, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	var watched error
	beside.Go(func() { s.read(ctx, c) })
	beside.Go(func() { watched = s.watch(ctx, name) })
	err = work()
	cancel()
	c.Close()
	beside.Wait()
	return errors.Join(err, watched)
}

// read takes messages until the connection is closed.
func (s *slowReader) read(ctx context.Context, c *client) {
	for ctx.Err() == nil {
		if _, err := c.recv(); err != nil {
			return
		}
		s.took++
		wait(ctx, slowPause)
	}
}

// watch asks now and then how much waits for the client of that name.
func (s *slowReader) watch(ctx context.Context, name string) error {
	for ctx.Err() == nil {
		var all struct {
			Data []struct {
				Client      struct{ Name string }
				QueuedBytes int
			}
		}
		if err := s.watcher.call("server/connections/list", nil, &all); err != nil {
			return err
		}
		for _, c := range all.Data {
			if c.Client.Name == name {
				s.most = max(s.most, c.QueuedBytes)
			}
		}
		wait(ctx, 10*time.Millisecond)
	}
	return nil
}
