package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// p3 measures deltas to one client over a Unix socket and over standard input and output. The
// client decodes each line, as a plain one does; the limit is the same client reading lines of
// the same length that another process writes as fast as it can.
func p3(ctx context.Context, b *bench) ([]Row, error) {
	var rows []Row
	for _, transport := range []string{"stdio", "unix"} {
		more, err := overLines(ctx, b, transport)
		rows = append(rows, more...)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", transport, err)
		}
	}
	return rows, nil
}

func overLines(ctx context.Context, b *bench, transport string) (rows []Row, err error) {
	d, err := b.start(ctx, startOptions{stdio: transport == "stdio"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	s, err := newStreamer(ctx, d, transport, b.n(turnDeltas, 1_000))
	if err != nil {
		return nil, err
	}
	defer s.c.Close()
	s.decode = true
	if err := s.run(); err != nil { // tells how long a line is
		return nil, err
	}
	length := s.bytes / max(1, s.came)
	ready, stop, err := b.lineLimit(ctx, transport)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	var limits []float64
	err = alternate(ctx, b.rounds*b.n(20, 2), func(context.Context) error {
		got, err := readFrames(ready, fmt.Sprintf("%d %d", s.n, length), decodeEach)
		limits = append(limits, got.rate())
		return err
	}, func(context.Context) error { return s.run() })
	if err != nil {
		return nil, err
	}
	return s.rows("P3", "deltas to one client over "+transport, "ready lines, each decoded", limits, 0.8)[:3], nil
}

// lineLimit starts the process that writes lines.
func (b *bench) lineLimit(ctx context.Context, transport string) (link, func() error, error) {
	if transport == "stdio" {
		lim, err := startSilent(ctx, "lines")
		if err != nil {
			return nil, nil, err
		}
		return newLines(lim.stdout, lim.stdin, lim.stdin), lim.stop, nil
	}
	lim, err := startLimit(ctx, "unixlines", filepath.Join(b.sockets, "lines"))
	if err != nil {
		return nil, nil, err
	}
	l, err := dialUnix(ctx, lim.url)
	if err != nil {
		return nil, nil, errors.Join(err, lim.stop())
	}
	return l, func() error { l.Close(); return lim.stop() }, nil
}
