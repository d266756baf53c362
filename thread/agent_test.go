package thread_test

import (
	"context"
	"errors"
	"sync"
	"testing/synctest"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// agent is held by the test: each of its turns waits to be told what to say next.
type agent struct {
	mu   sync.Mutex
	runs map[string]*held // by turn, the newest
	quit chan struct{}    // closed: even a stubborn run returns
}

func newAgent() *agent { return &agent{runs: map[string]*held{}, quit: make(chan struct{})} }

// held is one turn in the hands of the agent.
type held struct {
	ctx      context.Context
	in       turn.Input
	out      turn.Emitter
	do       chan func()
	end      chan func() error
	over     chan struct{} // closed when Run has returned
	stubborn bool          // ignores its context; changed by do only
}

func (a *agent) Run(ctx context.Context, in turn.Input, out turn.Emitter) error {
	h := &held{ctx: ctx, in: in, out: out, do: make(chan func()), end: make(chan func() error), over: make(chan struct{})}
	defer close(h.over)
	a.mu.Lock()
	a.runs[in.Turn.ID] = h
	a.mu.Unlock()
	for {
		done := ctx.Done()
		if h.stubborn {
			done = nil
		}
		select {
		case f := <-h.do:
			f()
		case f := <-h.end:
			return f()
		case <-done:
			return context.Cause(ctx)
		case <-a.quit:
			return errors.New("the test is over")
		}
	}
}

func (a *agent) of(turnID string) *held {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.runs[turnID]
}

// step lets the agent do something and waits until it has; false: its run is over.
func (h *held) step(f func(turn.Emitter)) bool {
	done := make(chan struct{})
	select {
	case h.do <- func() { defer close(done); f(h.out) }:
		<-done
		return true
	case <-h.over:
		return false
	}
}

// finish ends the run as f says and waits until Run has returned.
func (h *held) finish(f func() error) {
	select {
	case h.end <- f:
		<-h.over
	case <-h.over:
	}
}

func completes() error { return nil }

func fails() error { return errors.New("model refused") }

func panics() error { panic("the agent's own fault") }

// say makes a whole message.
func (h *held) say(text string) {
	h.step(func(out turn.Emitter) {
		it := out.Begin(protocol.Item{Type: protocol.ItemAgentMessage})
		it.Append(text)
		it.Complete(nil)
	})
	synctest.Wait()
}

// begin starts an item that stays open.
func (h *held) begin(typ protocol.ItemType) (it turn.Item) {
	h.step(func(out turn.Emitter) { it = out.Begin(protocol.Item{Type: typ}) })
	synctest.Wait()
	return it
}

// history is what the agent is told of the thread.
func (h *held) history() (items []protocol.Item, err error) {
	h.step(func(turn.Emitter) { items, err = h.in.History(h.ctx) })
	return items, err
}
