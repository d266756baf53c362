package sdk

import (
	"context"
	"iter"

	"github.com/spoolhq/spool/protocol"
)

// RunOptions say how an input is run. The zero value of a field is its default; nil
// options are all defaults.
type RunOptions struct {
	// IfBusy says what becomes of the input while a turn runs. Default: reject, with a
	// *TurnInProgressError.
	IfBusy protocol.IfBusy
	// Detach returns as soon as the daemon has the input, with the turn as it is then;
	// Wait gives its end later. RunStreamed takes no notice of it.
	Detach bool
	// KeepRunning makes the end of the context end the waiting only, not the turn.
	KeepRunning bool
	// Sender is the person the input comes from, where several share a user.
	Sender *protocol.Sender
	// TraceID marks all events of the turn. Default: the connection's, or a new one.
	TraceID string
	// Config applies to this turn, over the thread's.
	Config protocol.Object
	// Mode applies to this turn.
	Mode string
	// RunPending runs the items that were appended; the input may be nil then.
	RunPending bool
	// IdempotencyKey makes the run safe to repeat, also by another process: the same key
	// with the same input gives the same turn. Default: a new one.
	IdempotencyKey string
}

// Run gives the agent an input and waits for the end of its turn, however long that takes
// and however often the connection is lost meanwhile. A queued input is waited for from
// the queue to the end of its own turn. A steered one has no turn of its own: the result
// is that of the turn it was steered into.
//
// A turn that did not complete is a *[TurnFailedError] or *[TurnCancelledError], which hold
// what it said before. A refusal is a *[TurnInProgressError] or another *[protocol.Error].
//
// When ctx ends, by a deadline too, the turn is stopped (see the package documentation) and
// the error is a *[TurnCancelledError] that wraps ctx.Err(). With opts.KeepRunning, and for
// a turn the input was only steered into, the turn goes on. opts may be nil.
func (t *Thread) Run(ctx context.Context, input protocol.Input, opts *RunOptions) (*Result, error) {
	o := deref(opts)
	if o.Detach {
		return t.detach(ctx, input, o)
	}
	r, err := t.begin(ctx, input, o)
	if err != nil {
		return nil, err
	}
	defer r.close()
	for {
		ev, err := r.next(ctx)
		if err != nil {
			return nil, err
		}
		if ev.Terminal() {
			return r.result(ctx, ev)
		}
	}
}

// RunStreamed is Run with the events of the turn as they arrive. The last one is completed,
// failed or cancelled; those are events here and no errors ([Event.Err] makes them one). An
// error, which is the last thing that is yielded, says that the input was refused, that the
// connection is lost for good or that ctx ended.
//
// Nothing is sent before the loop begins. Leaving the loop stops the listening, not the
// turn; the end of ctx stops the turn, even while the loop's body runs. opts may be nil.
func (t *Thread) RunStreamed(ctx context.Context, input protocol.Input, opts *RunOptions) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		o := deref(opts)
		o.Detach = false
		r, err := t.begin(ctx, input, o)
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer r.close()
		for {
			ev, err := r.next(ctx)
			if !yield(ev, err) || err != nil || ev.Terminal() {
				return
			}
		}
	}
}

// Enqueue puts an input to the end of the queue, or runs it at once where nothing runs,
// and returns without waiting for it: Run with IfBusy enqueue and Detach.
func (t *Thread) Enqueue(ctx context.Context, input protocol.Input, opts *RunOptions) (*Result, error) {
	o := deref(opts)
	o.IfBusy, o.Detach = protocol.BusyEnqueue, true
	return t.detach(ctx, input, o)
}

// Wait waits for the end of a turn and returns it as Run does. The end of ctx ends the
// waiting, not the turn.
func (t *Thread) Wait(ctx context.Context, turnID string) (*Result, error) {
	for {
		r, err := Call(ctx, t.c, protocol.MethodTurnWait, protocol.TurnWaitParams{ThreadID: t.id, TurnID: turnID})
		if pause, overloaded := retryAfter(err); overloaded {
			if err := sleep(ctx, pause); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil && !isCode(err, protocol.CodeQueueCleared) {
			return nil, err
		}
		turn, err := t.Turn(ctx, turnID, true)
		if err != nil {
			if r.Turn.ID == "" {
				return nil, err
			}
			turn = &r.Turn
		}
		res := resultOf(turn, "")
		if err := res.err(); err != nil {
			return nil, err
		}
		return res, nil
	}
}

// Steer gives an input to the running turn params.ExpectedTurnID at its next safe point.
// If that ended first the input becomes a turn of its own, unless params.IfEnded is
// reject; the answer's disposition says which.
func (t *Thread) Steer(ctx context.Context, params *protocol.TurnSteerParams) (*protocol.TurnRunResult, error) {
	p := deref(params)
	p.ThreadID = t.id
	return callP(ctx, t.c, protocol.MethodTurnSteer, p)
}

// Interrupt stops the turn params.TurnID, or the running one where it names none. It is
// safe to repeat: a turn that has ended is no error unless params.Strict is set. params
// may be nil.
func (t *Thread) Interrupt(ctx context.Context, params *protocol.TurnInterruptParams) (*protocol.TurnInterruptResult, error) {
	p := deref(params)
	p.ThreadID = t.id
	return callP(ctx, t.c, protocol.MethodTurnInterrupt, p)
}

func (t *Thread) detach(ctx context.Context, input protocol.Input, o RunOptions) (*Result, error) {
	accepted, _, err := t.accept(ctx, input, o)
	if err != nil {
		return nil, err
	}
	return resultOf(&accepted.Turn, accepted.Disposition), nil
}

// result makes the result of a turn that has ended.
func (r *turnRun) result(ctx context.Context, end Event) (*Result, error) {
	res := resultOf(end.Turn, r.disposition)
	res.Items = r.collected()
	if !r.started || len(r.t.c.opts.OptOut) > 0 {
		// Not all items came as events.
		if turn, err := r.t.Turn(ctx, res.TurnID, true); err == nil {
			res.Items = turn.Items
		}
	}
	if err := res.err(); err != nil {
		return nil, err
	}
	return res, nil
}
