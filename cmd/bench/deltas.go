package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// deltaSize is the text of a delta in bytes, as in the frames of the limits.
const deltaSize = 27

// turnDeltas is how many deltas a turn says: many, so that how it starts and ends does not
// count, and not so many that no client could take the message at its end.
const turnDeltas = 10_000

// p1 measures deltas from the scripted agent through the whole daemon to one WebSocket client of
// coder/websocket. The limit is the same client reading ready frames that another process writes
// to its socket, 32 with a flush.
func p1(ctx context.Context, b *bench) (rows []Row, err error) {
	d, err := b.start(ctx, startOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	lim, err := startLimit(ctx, "stream")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lim.stop()) }()
	ready, err := dialWS(ctx, lim.url)
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	s, err := newStreamer(ctx, d, "ws", b.n(turnDeltas, 1_000))
	if err != nil {
		return nil, err
	}
	defer s.c.Close()
	var limits []float64
	err = alternate(ctx, b.rounds*b.n(25, 3), func(context.Context) error {
		got, err := streamFrames(ready, s.n, nil)
		limits = append(limits, got.rate())
		return err
	}, func(context.Context) error { return s.run() })
	if err != nil {
		return nil, err
	}
	return s.rows("P1", "deltas to one WebSocket client", "corked writer, same client", limits, 0.6), nil
}

// streamer has a daemon stream turns to one client and adds up what came and what it cost.
type streamer struct {
	d      *daemon
	c      *client
	thread string
	n      int  // deltas of a turn
	decode bool // each message is decoded
	whole  bool // a message came with all the text of the turn

	rates   []float64 // deltas a second, of each turn
	said    int       // deltas that agents said in all …
	came    int       // … and that came
	lagged  int
	bytes   int
	cpu     time.Duration
	written int64 // system calls that write
}

func newStreamer(ctx context.Context, d *daemon, transport string, n int) (*streamer, error) {
	c, err := d.dial(ctx, transport)
	if err != nil {
		return nil, err
	}
	s := &streamer{d: d, c: c, n: n}
	if s.thread, err = (spoolDialect{}).startThread(c); err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// run has the agent speak for a turn.
func (s *streamer) run() error {
	cpu, err := s.d.cpu()
	if err != nil {
		return err
	}
	written, err := s.d.writes()
	if err != nil {
		return err
	}
	s.whole = false
	got, err := streamTurn(s.c, spoolDialect{}, s.thread, fmt.Sprintf("/deltas %d %d", s.n, deltaSize), s.check)
	if err != nil {
		return err
	}
	if !s.whole {
		return errors.New("the text at the end of the turn is not whole")
	}
	s.rates = append(s.rates, got.rate())
	s.said += s.n
	s.came += got.deltas
	s.lagged += got.lagged
	s.bytes += got.bytes
	cpu2, err := s.d.cpu()
	if err != nil {
		return err
	}
	written2, err := s.d.writes()
	s.cpu += cpu2 - cpu
	s.written += written2 - written
	return err
}

// check looks at each message.
func (s *streamer) check(msg []byte) error {
	if len(msg) > s.n*deltaSize {
		s.whole = true
		return nil
	}
	if s.decode {
		return decodeEach(msg)
	}
	return nil
}

// rows says how fast the deltas came, and what one cost.
func (s *streamer) rows(id, what, limitOf string, limits []float64, share float64) []Row {
	each := func(v float64) float64 { return v / float64(max(1, s.came)) }
	missing := float64(s.said-s.came) / float64(s.said)
	return []Row{
		Row{
			ID: id, What: what, Value: median(s.rates), Unit: "/s", Limit: median(limits), LimitOf: limitOf,
			Note: spread(s.rates),
		}.AtLeast(share),
		{
			ID: id, What: "  text that came in snapshots instead of deltas", Value: 100 * missing, Unit: "%",
			Note: fmt.Sprintf("%d times behind", s.lagged),
		},
		{ID: id, What: "  processor time of the daemon for one", Value: each(us(s.cpu)), Unit: "us"},
		{
			ID: id, What: "  bytes of one", Value: each(float64(s.bytes)), Unit: "B",
			Note: fmt.Sprintf("%d of text", deltaSize),
		},
		{
			ID: id, What: "  writing system calls for one", Value: each(float64(s.written)), Unit: "",
			Note: "of the whole daemon, with those of the journal",
		},
	}
}
