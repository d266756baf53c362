package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// life is one thread from its start to its end.
type life struct {
	id        string
	ephemeral bool
	want      map[string]ending // by turn: how it must have ended
	followed  atomic.Int64      // followers that read it now

	final chan struct{} // closed when the thread has ended and was checked
	book  ledger        // then: what everybody must have got
}

// ending is how a turn must have ended.
type ending struct {
	status protocol.TurnStatus
	text   string
	part   bool // text begins with what was said
	taken  bool // out of the queue, so that it never ran
}

// hand uses one thread after the other.
type hand struct {
	load   *load
	client *sdk.Client
	thread *sdk.Thread
	life   *life
}

func (l *load) newHand(ctx context.Context, n int) (*hand, error) {
	c, line, err := l.connect(ctx, fmt.Sprintf("hand %d", n))
	if err != nil {
		return nil, err
	}
	l.lines = append(l.lines, line)
	return &hand{load: l, client: c}, nil
}

// work lives one life after the other until there are no more steps.
func (h *hand) work(ctx context.Context) error {
	for range h.load.steps {
		if err := h.live(ctx); err != nil {
			return err
		}
	}
	return nil
}

// live begins a thread, uses it, ends it and puts it on the shelf.
func (h *hand) live(ctx context.Context) error {
	if err := h.bounded(ctx, "begin", h.begin); err != nil {
		return err
	}
	for range 5 + rand.IntN(30) {
		if _, ok := <-h.load.steps; !ok {
			break
		}
		s := anyStep()
		if err := h.bounded(ctx, s.name, func(ctx context.Context) error { return s.do(h, ctx) }); err != nil {
			return err
		}
	}
	if err := h.bounded(ctx, "end", h.end); err != nil {
		return err
	}
	return h.load.shelf.put(ctx, h.load, h.client, h.life)
}

// bounded does a step within stepPatience.
func (h *hand) bounded(ctx context.Context, name string, do func(context.Context) error) error {
	inner, cancel := context.WithTimeoutCause(ctx, stepPatience, errors.New("it takes too long"))
	defer cancel()
	err := do(inner)
	if err == nil || ctx.Err() != nil {
		return context.Cause(ctx)
	}
	id := ""
	if h.life != nil {
		id = h.life.id
	}
	return fmt.Errorf("thread %s: %s: %w", id, name, errors.Join(err, context.Cause(inner)))
}

// begin starts a thread, one in six of them in memory only, and calls the followers.
func (h *hand) begin(ctx context.Context) (err error) {
	o := protocol.ThreadOptions{
		Title:       "Soak",
		QueuePolicy: &protocol.QueuePolicy{OnFailed: protocol.QueueContinue, OnCancelled: protocol.QueueContinue},
	}
	ephemeral := rand.IntN(6) == 0
	if ephemeral {
		o.Lifetime = &protocol.Lifetime{Mode: protocol.LifetimeEphemeral}
	}
	if h.thread, err = h.client.Threads().Start(ctx, &protocol.ThreadStartParams{ThreadOptions: o}); err != nil {
		return err
	}
	h.life = &life{id: h.thread.ID(), ephemeral: ephemeral, want: map[string]ending{}, final: make(chan struct{})}
	h.load.count.threads.Add(1)
	for _, f := range h.load.followers {
		f.call(h.life)
	}
	return nil
}

// end makes the thread final and compares all that can be known of it.
func (h *hand) end(ctx context.Context) error {
	if _, err := h.thread.End(ctx, nil); err != nil {
		return err
	}
	if err := h.verify(ctx); err != nil {
		return err
	}
	close(h.life.final)
	h.load.count.verified.Add(1)
	return nil
}

// ended notes how a turn ended, and that it did so as it should.
func (h *hand) ended(r *sdk.Result, want ending) error {
	h.load.count.turns.Add(1)
	h.life.want[r.TurnID] = want
	return want.check(r.TurnID, r.Status, r.Text)
}

func (e ending) check(turn string, status protocol.TurnStatus, text string) error {
	fits := text == e.text
	if e.part {
		fits = len(text) <= len(e.text) && text == e.text[:len(text)]
	}
	if status != e.status || !fits {
		return fmt.Errorf("turn %s is %s with the text %.200q (%d bytes); want %s with %.200q (%d bytes)",
			turn, status, text, len(text), e.status, e.text, len(e.text))
	}
	return nil
}
