package sdk

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spoolhq/spool/protocol"
)

// lifeline ties an input to the context of its run: when the context ends, what became of
// the input is undone, whatever the caller is doing at that moment. [Client.Close] waits
// for those whose context has ended. A nil lifeline ties nothing.
type lifeline struct {
	t    *Thread
	ctx  context.Context
	done chan struct{} // closed when it will begin nothing any more
	// Set once the turn is known: stop ends the watch on ctx, fire is what it would do.
	stop func() bool
	fire func()
}

// tie makes a lifeline.
func (t *Thread) tie(ctx context.Context) *lifeline {
	l := &lifeline{t: t, ctx: ctx, done: make(chan struct{})}
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.c.lifelines[l] = struct{}{}
	return l
}

// watch interrupts the turn when the context ends before release.
func (l *lifeline) watch(turnID string) {
	l.fire = func() {
		l.t.c.background(func() { l.t.interruptLate(turnID) })
		l.cut()
	}
	l.stop = context.AfterFunc(l.ctx, l.fire)
}

// release unties the turn from the context.
func (l *lifeline) release() {
	switch {
	case l == nil || !l.stop():
	case l.ctx.Err() != nil:
		l.fire() // the context has ended, and the watch was stopped before it noticed
	default:
		l.cut()
	}
}

func (l *lifeline) cut() {
	l.t.c.mu.Lock()
	delete(l.t.c.lifelines, l)
	l.t.c.mu.Unlock()
	close(l.done)
}

// accept gives the daemon an input. Where the context ends first, nothing is left of it.
func (t *Thread) accept(ctx context.Context, input protocol.Input, o RunOptions) (*protocol.TurnRunResult, *lifeline, error) {
	if ctx.Err() != nil {
		return nil, nil, &TurnCancelledError{err: ctx.Err()}
	}
	params := protocol.TurnRunParams{
		TurnInput: protocol.TurnInput{
			Mutation: protocol.Mutation{IdempotencyKey: o.IdempotencyKey}, ThreadID: t.id, Input: input, Sender: o.Sender,
			TraceID: o.TraceID, Config: o.Config, Mode: o.Mode, RunPending: o.RunPending,
		},
		IfBusy: o.IfBusy,
	}
	addKey(&params)
	line := t.tie(ctx)
	call, f, err := t.startRun(params)
	if err != nil {
		line.cut()
		return nil, nil, err
	}
	select {
	case <-call.done:
	case <-ctx.Done():
		if t.giveUp(call, f, o.KeepRunning) {
			line.cut()
			return nil, nil, &TurnCancelledError{err: ctx.Err()}
		}
	}
	t.releaseFeed(f)
	accepted, err := runResult(call)
	if err != nil || o.Detach || o.KeepRunning || accepted.Disposition == protocol.DispositionSteered {
		line.cut()
		return accepted, nil, err
	}
	line.watch(accepted.Turn.ID)
	return accepted, line, nil
}

// startRun sends turn/run. As that subscribes, the feed is held until the answer is there.
func (t *Thread) startRun(params protocol.TurnRunParams) (*call, *feed, error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	call, err := t.c.startLocked(protocol.MethodTurnRun.Name, params, nil)
	if err != nil {
		return nil, nil, err
	}
	call.feed = t.c.hold(t.id)
	return call, call.feed, nil
}

func (t *Thread) releaseFeed(f *feed) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.c.release(f)
}

func runResult(call *call) (*protocol.TurnRunResult, error) {
	if call.err != nil {
		return nil, call.err
	}
	var r protocol.TurnRunResult
	if err := json.Unmarshal(call.result, &r); err != nil {
		return nil, fmt.Errorf("%s: the answer makes no sense: %w", call.method, err)
	}
	return &r, nil
}

// giveUp withdraws a turn/run, or lets what comes of it be stopped in the background. It
// reports false if the answer is there already.
func (t *Thread) giveUp(call *call, f *feed, keep bool) bool {
	c := t.c
	c.mu.Lock()
	if c.calls[call.id] != call {
		c.mu.Unlock()
		return false
	}
	if call.sent == nil || keep {
		delete(c.calls, call.id)
		c.withdraw(call)
		c.release(f)
		c.mu.Unlock()
		return true
	}
	call.cancelled = true // also on the next connection, should this one be lost
	c.pushCancel(call)
	c.mu.Unlock()
	c.background(func() {
		t.stopLate(call)
		t.releaseFeed(f)
	})
	return true
}

// stopLate waits for the answer of a turn/run that was given up, and interrupts the turn
// if there is one.
func (t *Thread) stopLate(call *call) {
	ctx, cancel := context.WithTimeout(context.Background(), cancelTimeout)
	defer cancel()
	if _, err := t.c.wait(ctx, call); err != nil {
		if ctx.Err() != nil {
			t.c.logf("thread %s: an input was given up, but the daemon did not say in time whether it runs", t.id)
		}
		return
	}
	accepted, err := runResult(call)
	if err == nil && accepted.Disposition != protocol.DispositionSteered {
		t.interrupt(ctx, accepted.Turn.ID)
	}
}

// interruptLate stops a turn whose context has ended.
func (t *Thread) interruptLate(turnID string) {
	ctx, cancel := context.WithTimeout(context.Background(), cancelTimeout)
	defer cancel()
	t.interrupt(ctx, turnID)
}

func (t *Thread) interrupt(ctx context.Context, turnID string) {
	if _, err := t.Interrupt(ctx, &protocol.TurnInterruptParams{TurnID: turnID}); err != nil {
		t.c.logf("turn %s could not be stopped: %v", turnID, err)
	}
}
