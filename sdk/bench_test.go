package sdk

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// What it costs to hand a delta on, from the line that came to the event with its text.
func BenchmarkDelta(b *testing.B) {
	c := &Client{opts: (&Options{BufferBytes: 1 << 30}).withDefaults(), feeds: map[string]*feed{}}
	f := c.hold("thr_1")
	f.open = true
	s := &Subscription{c: c, feed: f, state: subLive, wake: make(chan struct{}, 1), merge: merger{}}
	f.subs = []*Subscription{s}
	piece := strings.Repeat("x", 20)
	offset := 0
	b.ReportAllocs()
	for b.Loop() {
		raw := []byte(`{"jsonrpc":"2.0","method":"item/agentMessage/delta","params":` + deltaEvent("trn_1", "itm_1", offset, piece) + `}`)
		offset += len(piece)
		c.receive(nil, raw)
		ev, err := s.next(b.Context(), nil)
		if err != nil || len(ev.Text) != offset {
			b.Fatal(err, len(ev.Text), offset)
		}
		if offset > 1<<20 {
			offset = 0
			clear(s.merge)
		}
	}
}

// A whole run, over a pipe, with a daemon that keeps everything in memory.
func BenchmarkRun(b *testing.B) {
	d := newDaemon(b)
	c := d.connect(Options{})
	th := startThread(b, c)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := th.Run(b.Context(), Text("/say x"), nil); err != nil {
			b.Fatal(err)
		}
	}
	c.Close()
	if err := errors.Join(d.hub.Load().Close(context.Background()), d.manager.Shutdown(context.Background(), 0)); err != nil {
		b.Error(err)
	}
}
