package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// turnRun follows one turn to its end: by the events of the thread, and by turn/wait in
// case they do not tell of it (the client opted out of them, the thread was reset).
type turnRun struct {
	t           *Thread
	sub         *Subscription
	line        *lifeline
	turn        protocol.Turn // as it was last told
	disposition protocol.Disposition
	started     bool // turn/started was seen, so all items came as events

	items []protocol.Item // as they were last told
	index map[string]int  // by id

	wait  *call           // turn/wait; nil: it will be asked again when alarm goes off
	alarm <-chan struct{} // wait has an answer
	told  bool            // it has, and all events before it were read
}

// begin subscribes, then gives the agent the input, so that no event of it is missed.
func (t *Thread) begin(ctx context.Context, input protocol.Input, o RunOptions) (*turnRun, error) {
	if ctx.Err() != nil {
		return nil, &TurnCancelledError{err: ctx.Err()}
	}
	sub, err := t.Listen(ctx, nil)
	if err != nil {
		if ctx.Err() != nil {
			err = &TurnCancelledError{err: ctx.Err()}
		}
		return nil, err
	}
	accepted, line, err := t.accept(ctx, input, o)
	if err != nil {
		sub.Close()
		return nil, err
	}
	r := &turnRun{
		t: t, sub: sub, line: line, index: map[string]int{},
		turn: accepted.Turn, disposition: accepted.Disposition,
	}
	r.ask()
	return r, nil
}

// close ends the listening.
func (r *turnRun) close() {
	r.line.release()
	r.sub.Close()
	if r.wait != nil {
		r.t.c.abandon(r.wait, !r.turn.Status.Terminal())
	}
}

// ask begins to wait for the end of the turn.
func (r *turnRun) ask() {
	params := protocol.TurnWaitParams{ThreadID: r.t.id, TurnID: r.turn.ID}
	wait, err := r.t.c.start(context.Background(), protocol.MethodTurnWait.Name, params)
	if err != nil {
		wait = &call{err: err, done: closedChannel}
	}
	r.wait, r.alarm = wait, wait.done
}

// next returns the next event of the turn.
func (r *turnRun) next(ctx context.Context) (Event, error) {
	for {
		ev, err := r.sub.next(ctx, r.alarm)
		switch {
		case err == nil:
			if ev.TurnID == r.turn.ID {
				r.note(&ev)
				return ev, nil
			}
			continue
		case ctx.Err() != nil:
			return Event{}, r.givenUp(ctx.Err())
		case !errors.Is(err, errAlarm):
			// The subscription has ended, so the answer is all that will come.
			r.told = true
			select {
			case <-r.alarm:
			case <-ctx.Done():
				continue
			}
		}
		if ev, err := r.alarmed(); err != nil || ev.Terminal() {
			return ev, err
		}
	}
}

// alarmed looks at the answer of turn/wait. Where the events should tell of the end too it
// lets them come from the journal first, so that none is missing before the end.
func (r *turnRun) alarmed() (Event, error) {
	if r.wait == nil {
		r.ask()
		return Event{}, nil
	}
	if pause, overloaded := retryAfter(r.wait.err); overloaded {
		again := make(chan struct{})
		time.AfterFunc(pause, func() { close(again) })
		r.wait, r.alarm = nil, again
		return Event{}, nil
	}
	if _, lost := errors.AsType[*TransportError](r.wait.err); lost && r.t.c.Err() == nil {
		r.ask() // the answer got lost, not the client
		return Event{}, nil
	}
	if !r.told {
		r.told, r.alarm = true, closedChannel
		r.sub.reread()
		return Event{}, nil
	}
	return r.settle()
}

// settle makes the end of the turn of the answer of turn/wait.
func (r *turnRun) settle() (Event, error) {
	var answer protocol.TurnWaitResult
	switch err := r.wait.err; {
	case isCode(err, protocol.CodeQueueCleared):
		answer.Turn = r.turn
		answer.Turn.Status, answer.Turn.CancelReason = protocol.TurnCancelled, protocol.CancelQueueCleared
	case err != nil:
		return Event{}, err
	default:
		if err := json.Unmarshal(r.wait.result, &answer); err != nil {
			return Event{}, err
		}
	}
	ev := Event{
		ThreadID: r.t.id, TurnID: answer.Turn.ID, TraceID: answer.Turn.TraceID,
		At: answer.Turn.CompletedAt, Turn: &answer.Turn,
	}
	switch answer.Turn.Status {
	case protocol.TurnFailed:
		ev.Type, ev.Method = EventFailed, protocol.EventTurnFailed.Name
	case protocol.TurnCancelled:
		ev.Type, ev.Method = EventCancelled, protocol.EventTurnCancelled.Name
	default:
		ev.Type, ev.Method = EventCompleted, protocol.EventTurnCompleted.Name
	}
	r.note(&ev)
	return ev, nil
}

// note keeps what an event says of the turn.
func (r *turnRun) note(ev *Event) {
	if ev.Turn != nil {
		r.turn = *ev.Turn
		r.started = r.started || ev.Type == EventTurnStarted
	}
	if ev.Item == nil {
		return
	}
	i, ok := r.index[ev.Item.ID]
	if !ok {
		i = len(r.items)
		r.index[ev.Item.ID] = i
		r.items = append(r.items, protocol.Item{})
	}
	r.items[i] = *ev.Item
}

// collected returns the items, those in progress with the text they have so far.
func (r *turnRun) collected() []protocol.Item {
	for i := range r.items {
		if it := &r.items[i]; it.Status == protocol.ItemInProgress {
			r.sub.merge.fill(it)
		}
	}
	return r.items
}

// givenUp is the error of a run whose context ended.
func (r *turnRun) givenUp(err error) error {
	turn := r.turn
	turn.Items = r.collected()
	var texts []string
	for _, it := range turn.Items {
		if it.Type == protocol.ItemAgentMessage && it.Text != "" {
			texts = append(texts, it.Text)
		}
	}
	turn.Text = strings.Join(texts, "\n\n")
	return &TurnCancelledError{TurnID: turn.ID, Partial: resultOf(&turn, r.disposition), err: err}
}

var closedChannel = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// retryAfter reports whether the daemon parks no more requests at present, and how long to
// wait before asking again.
func retryAfter(err error) (time.Duration, bool) {
	e, ok := errors.AsType[*protocol.Error](err)
	if !ok || e.Code != protocol.CodeServerOverloaded {
		return 0, false
	}
	if e.Data.RetryAfterMs > 0 {
		return time.Duration(e.Data.RetryAfterMs) * time.Millisecond, true
	}
	return time.Second, true
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
