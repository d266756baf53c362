package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/spoolhq/spool/protocol"
)

// collect takes events until the stream has nothing more at the moment. It needs a bubble.
func collect(t *testing.T, s *Subscription) (events []Event, err error) {
	t.Helper()
	for idle := false; ; {
		ev, err := s.next(t.Context(), closedChannel)
		switch {
		case errors.Is(err, errAlarm) && idle:
			return events, nil
		case errors.Is(err, errAlarm):
			synctest.Wait()
			idle = true
		case err != nil:
			return events, err
		default:
			idle = false
			events = append(events, ev)
		}
	}
}

func seqs(events []Event) (list []uint64) {
	for _, ev := range events {
		if ev.Seq > 0 {
			list = append(list, ev.Seq)
		}
	}
	return list
}

func listen(t *testing.T, c *Client, p *peer, head int, opts *SubscribeOptions) (*Subscription, request) {
	t.Helper()
	sub := make(chan *Subscription)
	go func() {
		s, err := c.Threads().Get("thr_1").Listen(t.Context(), opts)
		if err != nil {
			t.Error(err)
		}
		sub <- s
	}()
	r := p.subscribed(head)
	return <-sub, r
}

func numbers(p *peer, from, to int) {
	for n := from; n <= to; n++ {
		p.event("turn/queued", turnEvent(n, fmt.Sprintf("trn_%d", n), "queued", ""))
	}
}

// page answers thread/export with the events from … to.
func page(p *peer, from, to int, more bool) request {
	p.t.Helper()
	r := p.expect("thread/export")
	var frames []string
	for n := from; n <= to; n++ {
		frames = append(frames, fmt.Sprintf(`{"jsonrpc":"2.0","method":"turn/queued","params":%s}`, turnEvent(n, fmt.Sprintf("trn_%d", n), "queued", "")))
	}
	next := ""
	if more {
		next = fmt.Sprintf(`,"nextSeq":%d`, to)
	}
	p.answer(r, `{"events":[`+strings.Join(frames, ",")+`]`+next+`}`)
	return r
}

// S18: after a reconnect the subscription goes on after the last seq it saw, without hole
// and without double.
func TestCatchUpS18(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		c, p := f.connect(Options{})
		defer c.Close()
		s, r := listen(t, c, p, 0, &SubscribeOptions{AfterSeq: new(uint64(120))})
		defer s.Close()
		if r.field("afterSeq") != "120" {
			t.Errorf("the client sent %s", r.raw)
		}
		numbers(p, 121, 123)
		synctest.Wait()
		p.cut()
		p = f.accept()
		if r := p.subscribed(125); r.field("afterSeq") != "123" {
			t.Errorf("after the reconnect the client sent %s", r.raw)
		}
		numbers(p, 122, 125) // two of them again
		p.event("item/updated", itemEvent(0, "trn_9", "itm_8", "inProgress", "text so far"))
		p.event("item/agentMessage/delta", deltaEvent("trn_9", "itm_8", 11, " and on"))
		numbers(p, 126, 126)
		events, err := collect(t, s)
		if err != nil || !slices.Equal(seqs(events), []uint64{121, 122, 123, 124, 125, 126}) {
			t.Fatalf("got %v, %v", seqs(events), err)
		}
		if d := events[len(events)-2]; d.Text != "text so far and on" || d.Delta != " and on" || d.Type != EventAgentMessageDelta {
			t.Errorf("the delta is %+v", d)
		}
	})
}

func TestSnapshotSeedsText(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		go func() {
			r := p.expect("thread/subscribe")
			item := protocol.Member([]byte(itemEvent(0, "trn_3", "itm_8", "inProgress", "so far")), "item")
			p.answer(r, fmt.Sprintf(`{"thread":%s,"headSeq":180,"pending":[],"activeTurn":%s}`, threadJSON(180), turnJSON("trn_3", "running", `"items":[`+string(item)+`]`)))
			p.event("item/agentMessage/delta", deltaEvent("trn_3", "itm_8", 6, "!"))
		}()
		s := must(c.Threads().Get("thr_1").Listen(t.Context(), nil))
		defer s.Close()
		if s.Snapshot().HeadSeq != 180 || s.Snapshot().ActiveTurn.ID != "trn_3" {
			t.Errorf("snapshot %s", toJSON(s.Snapshot()))
		}
		events, err := collect(t, s)
		if err != nil || len(events) != 1 || events[0].Text != "so far!" {
			t.Errorf("got %+v, %v", events, err)
		}
	})
}

func TestRawIsWhatCame(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		s, _ := listen(t, c, p, 0, nil)
		defer s.Close()
		messages := []string{
			`{ "jsonrpc":"2.0", "method":"future/thing","params":{"threadId":"thr_1","x":"<é\u00e9>","n":1.50e3}}`,
			`{"params":` + turnEvent(1, "trn_1", "queued", `"new":{"b":1,"a":2}`) + `,"method":"turn/queued"}`,
			`{"method":"item/agentMessage/delta","params":{"threadId":"thr_1","offset":"wrong","delta":7}}`,
		}
		for _, m := range messages {
			p.send("%s", m)
		}
		events, err := collect(t, s)
		if err != nil || len(events) != 3 {
			t.Fatal(events, err)
		}
		for i, ev := range events {
			if string(ev.Raw) != messages[i] {
				t.Errorf("Raw is %s, was sent as %s", ev.Raw, messages[i])
			}
		}
		if events[0].Type != EventRaw || events[0].Method != "future/thing" || events[1].Type != EventTurnQueued || events[2].Type != EventRaw {
			t.Errorf("types %v %v %v", events[0].Type, events[1].Type, events[2].Type)
		}
	})
}

// S20: a consumer that does not take its events costs others nothing, holds a bounded
// amount, and in the end has every durable event.
func TestSlowConsumerS20(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{BufferBytes: 2000})
		defer c.Close()
		slow, _ := listen(t, c, p, 0, nil)
		defer slow.Close()
		fast, r := listen(t, c, p, 0, nil)
		defer fast.Close()
		if r.field("afterSeq") != "0" {
			t.Errorf("the second subscription would cut the first: %s", r.raw)
		}
		var seen []Event
		for n := 1; n <= 100; n++ {
			numbers(p, n, n)
			events, err := collect(t, fast)
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, events...)
			if slow.bytes > 2000 {
				t.Fatalf("the slow one holds %d bytes", slow.bytes)
			}
		}
		if len(seen) != 100 {
			t.Errorf("the fast one saw %d events", len(seen))
		}
		have := int(slow.have)
		if have == 0 || have > 20 || slow.state != subBehind {
			t.Fatalf("the slow one has %d, state %d", have, slow.state)
		}
		go func() {
			if r := page(p, have+1, 50, true); r.field("afterSeq") != fmt.Sprint(have) {
				t.Errorf("the client sent %s", r.raw)
			}
			page(p, 51, 98, false)
			if r := p.subscribed(101); r.field("afterSeq") != "98" {
				t.Errorf("the client joins with %s", r.raw)
			}
			numbers(p, 99, 101)
		}()
		events, err := collect(t, slow)
		if err != nil || len(events) != 101 {
			t.Fatalf("the slow one got %d events: %v, %v", len(events), seqs(events), err)
		}
		for i, ev := range events {
			if ev.Seq != uint64(i+1) {
				t.Fatalf("seqs %v", seqs(events))
			}
		}
		if events, _ := collect(t, fast); len(events) != 1 {
			t.Errorf("the fast one got %v", seqs(events))
		}
	})
}

// A hole in the numbers, which should not be, is filled from the journal.
func TestHoleIsFilled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		s, _ := listen(t, c, p, 5, nil)
		defer s.Close()
		numbers(p, 6, 6)
		p.event("thread/updated", fmt.Sprintf(`{"threadId":"thr_1","seq":9,"at":"2026-01-01T00:00:00.000Z","changed":[],"thread":%s}`, threadJSON(9))) // beside the stream
		numbers(p, 8, 8)
		go func() {
			page(p, 7, 8, false)
			p.subscribed(8)
			numbers(p, 9, 9)
		}()
		events, err := collect(t, s)
		if err != nil || !slices.Equal(seqs(events), []uint64{6, 7, 8, 9}) {
			t.Errorf("got %v, %v", seqs(events), err)
		}
	})
}

func TestResetDropsWhatIsHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		s, _ := listen(t, c, p, 5, &SubscribeOptions{AfterSeq: new(uint64(5))})
		defer s.Close()
		p.event("item/started", itemEvent(6, "trn_1", "itm_1", "inProgress", "old"))
		p.event("thread/reset", fmt.Sprintf(`{"threadId":"thr_1","seq":90,"at":"2026-01-01T00:00:00.000Z","generation":2,"thread":%s}`, threadJSON(90)))
		numbers(p, 91, 91)
		events, err := collect(t, s)
		if err != nil || !slices.Equal(seqs(events), []uint64{6, 90, 91}) || len(s.merge) != 0 {
			t.Errorf("got %v, %v; open items %v", seqs(events), err, s.merge)
		}
	})
}

func TestOptOutOfDurableEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{OptOut: []string{"turn/started"}})
		defer c.Close()
		s, _ := listen(t, c, p, 0, nil)
		defer s.Close()
		numbers(p, 2, 2)
		numbers(p, 5, 5)
		if events, err := collect(t, s); err != nil || !slices.Equal(seqs(events), []uint64{2, 5}) {
			t.Errorf("got %v, %v", seqs(events), err)
		}
		p.quiet()
	})
}

// A client that opted out cannot see holes, so what comes beside the stream must not
// take the place of what will come in it.
func TestOptOutAndReconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		c, p := f.connect(Options{OptOut: []string{"turn/started"}})
		defer c.Close()
		s, _ := listen(t, c, p, 3, nil)
		defer s.Close()
		p.cut()
		p = f.accept()
		r := p.expect("thread/subscribe")
		p.event("thread/updated", fmt.Sprintf(`{"threadId":"thr_1","seq":9,"at":"2026-01-01T00:00:00.000Z","changed":[],"thread":%s}`, threadJSON(9)))
		p.answer(r, fmt.Sprintf(`{"thread":%s,"headSeq":9,"pending":[]}`, threadJSON(9)))
		numbers(p, 4, 4)
		numbers(p, 6, 9)
		if events, err := collect(t, s); err != nil || !slices.Equal(seqs(events), []uint64{4, 6, 7, 8, 9}) {
			t.Errorf("got %v, %v", seqs(events), err)
		}
	})
}

func TestSubscribeEnds(t *testing.T) {
	last := map[string]string{
		"thread/deleted":             `{"threadId":"thr_1","at":"2026-01-01T00:00:00.000Z"}`,
		"thread/subscription/closed": `{"threadId":"thr_1","at":"2026-01-01T00:00:00.000Z","reason":"revoked"}`,
	}
	for method, params := range last {
		bubble(t, func(t *testing.T) {
			c, p := newFake(t).connect(Options{})
			defer c.Close()
			go func() {
				p.subscribed(0)
				numbers(p, 1, 1)
				p.event(method, params)
				p.ignore()
			}()
			var methods []string
			for ev, err := range c.Threads().Get("thr_1").Subscribe(t.Context(), nil) {
				if err != nil {
					t.Fatal(err)
				}
				methods = append(methods, ev.Method)
			}
			if !slices.Equal(methods, []string{"turn/queued", method}) {
				t.Errorf("got %v", methods)
			}
		})
	}
}

func TestSubscribeIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		th := c.Threads().Get("thr_1")
		run := func(ctx context.Context) error {
			for _, err := range th.Subscribe(ctx, nil) {
				return err
			}
			return nil
		}
		go func() { p.subscribed(0); numbers(p, 1, 1) }()
		if err := run(t.Context()); err != nil {
			t.Error(err)
		}
		p.answer(p.expect("thread/unsubscribe"), `{"subscribed":true}`)

		ctx, cancel := context.WithCancel(t.Context())
		go func() { p.subscribed(0); synctest.Wait(); cancel() }()
		if err := run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end of its context: %v", err)
		}
		p.expect("thread/unsubscribe")

		go func() { p.refuse(p.expect("thread/subscribe"), protocol.ThreadNotFound()) }()
		if err := run(t.Context()); !errors.Is(err, &protocol.Error{Code: protocol.CodeThreadNotFound}) {
			t.Errorf("refused: %v", err)
		}
		if len(c.feeds) != 0 {
			t.Errorf("feeds are left: %v", c.feeds)
		}
	})
}

func TestResubscribeIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		c, p := f.connect(Options{})
		defer c.Close()
		s, _ := listen(t, c, p, 0, nil)
		defer s.Close()
		p.cut()
		p = f.accept()
		p.refuse(p.expect("thread/subscribe"), protocol.ThreadNotFound())
		if _, err := collect(t, s); !errors.Is(err, &protocol.Error{Code: protocol.CodeThreadNotFound}) {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestSubscriptionIsClosedElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		s, _ := listen(t, c, p, 0, nil)
		go func() { synctest.Wait(); s.Close(); s.Close(); p.ignore() }()
		next, stop := iter.Pull2(s.Events(t.Context()))
		defer stop()
		if ev, err, ok := next(); ok {
			t.Errorf("a closed subscription yields %v, %v", ev, err)
		}
		if _, err := s.next(t.Context(), nil); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
}

func TestPayload(t *testing.T) {
	ev, _ := decodeEvent(event{method: "thread/presence/changed", raw: []byte(`{"method":"thread/presence/changed","params":{"threadId":"thr_1","at":"2026-01-01T00:00:00.000Z","left":[{"connectionId":"con_3","user":"bo","client":"web","role":"observer","since":"2026-01-01T00:00:00.000Z"}]}}`)})
	p, err := Payload(ev, protocol.EventPresenceChanged)
	if err != nil || len(p.Left) != 1 || p.Left[0].User != "bo" {
		t.Errorf("%s, %v", toJSON(p), err)
	}
	if _, err := Payload(ev, protocol.EventTurnStarted); err == nil {
		t.Error("a payload of another type")
	}
	if _, err := Payload(Event{Method: "turn/started"}, protocol.EventTurnStarted); err == nil {
		t.Error("a payload without a message")
	}
}
