package agenttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// kit is one test of an agent.
type kit struct {
	*testing.T
	Cases

	agent turn.Agent
	mu    sync.Mutex
	runs  []*Recorder
}

// patience is how long the kit waits for what is only too late after an agent broke a
// promise about time, or never comes.
const patience = 30 * time.Second

// watch looks, at the end of the test, for goroutines that were not there before and for
// what was said too late.
func (k *kit) watch() {
	before := goleak.IgnoreCurrent()
	k.Cleanup(func() {
		if k.Idle != nil {
			k.Idle()
		}
		if err := left(before); err != nil {
			k.Errorf("the agent left goroutines behind: %v", err)
		}
		for _, r := range k.runs {
			if late := r.Late(); len(late) > 0 {
				k.Errorf("said after the end of the turn: %s", strings.Join(late, "; "))
			}
		}
	})
}

// settling is how long goroutines that are about to end, such as those of a connection that was
// closed, may take for it.
const settling = 3 * time.Second

// left returns which goroutines are left.
func left(before goleak.Option) (err error) {
	for late := time.Now().Add(settling); ; {
		if err = goleak.Find(before); err == nil || time.Now().After(late) {
			return err
		}
	}
}

// given skips the test where the agent has no such case.
func (k *kit) given(in turn.Input) turn.Input {
	k.Helper()
	if absent(in) {
		k.Skip("the agent has no such case")
	}
	return in
}

func absent(in turn.Input) bool {
	return in.Turn.ID == "" && in.Turn.Input == nil && in.History == nil
}

// run runs a turn and checks what holds for all of them.
func (k *kit) run(ctx context.Context, r *Recorder, in turn.Input) turn.Outcome {
	k.Helper()
	o := r.Run(ctx, k.agent, in)
	k.mu.Lock()
	k.runs = append(k.runs, r)
	k.mu.Unlock()
	if o.Stack != nil {
		k.Errorf("the agent panicked:\n%s", o.Stack)
	}
	for _, it := range r.all() {
		if it.begun && it.Type.HasText() && string(it.streamed) != it.Text {
			k.Errorf("an item of type %s was streamed as %q and says %q", it.Type, it.streamed, it.Text)
		}
		if raw, err := protocol.Marshal(it.Item); err != nil || it.Type.Fields() == nil {
			k.Errorf("an item is not one of the protocol: %s %+v %v", raw, it.Item, err)
		}
	}
	return o
}

// completes runs a turn that must complete.
func (k *kit) completes(r *Recorder, in turn.Input) {
	k.Helper()
	ctx, cancel := context.WithTimeout(k.Context(), patience)
	defer cancel()
	if o := k.run(ctx, r, in); o.Status != protocol.TurnCompleted {
		k.Errorf("the turn %s; it should complete: %+v", o.Status, o.Error)
	}
}

// answers checks the text of a turn with the input Says.
func (k *kit) answers(r *Recorder) {
	k.Helper()
	if text := r.Text(); text == "" || k.Text != "" && text != k.Text {
		k.Errorf("said %q; want %q", text, k.Text)
	}
}

// start runs a turn in a goroutine that the test waits for. stop ends its context.
func (k *kit) start(r *Recorder, in turn.Input) (stop context.CancelCauseFunc, done <-chan turn.Outcome) {
	ctx, cancel := context.WithCancelCause(k.Context())
	c := make(chan turn.Outcome, 1)
	var wg sync.WaitGroup
	wg.Go(func() { c <- k.run(ctx, r, in) })
	k.Cleanup(func() {
		cancel(nil)
		wg.Wait()
	})
	return cancel, c
}

// attempts is how often an agent may try to be in time. One that breaks its promise never is;
// one that keeps it may be late on a machine that is busy with something else.
const attempts = 5

// soon demands that a try, which returns how long after the end of its context the agent
// returned, takes no longer than it may at least once.
func (k *kit) soon(most time.Duration, try func() time.Duration) {
	k.Helper()
	var took time.Duration
	for range attempts {
		if took = try(); took <= most || k.Failed() {
			return
		}
	}
	k.Errorf("the agent returned %v after its context had ended; want %v at most", took.Round(time.Millisecond), most)
}

// cut interrupts a turn when begun is closed. The turn must be cancelled. It returns how long
// the agent took to return.
func (k *kit) cut(r *Recorder, in turn.Input, begun <-chan struct{}) time.Duration {
	k.Helper()
	stop, done := k.start(r, in)
	select {
	case <-begun:
		return k.stops(stop, done)
	case o := <-done:
		k.Errorf("the turn ended before it was interrupted: %s %+v", o.Status, o.Error)
	case <-time.After(patience):
		k.Fatalf("the turn did not get so far that it could be interrupted")
	}
	return 0
}

// stops interrupts a turn that runs and returns how long the agent took to return.
func (k *kit) stops(stop context.CancelCauseFunc, done <-chan turn.Outcome) time.Duration {
	k.Helper()
	start := time.Now()
	stop(turn.Cancelled{Reason: protocol.CancelUser})
	select {
	case o := <-done:
		took := time.Since(start)
		if o.Status != protocol.TurnCancelled || o.Reason != protocol.CancelUser {
			k.Errorf("the turn %s %+v; it should be cancelled", o.Status, o.Error)
		}
		return took
	case <-time.After(patience):
		panic(fmt.Sprintf("the agent did not return within %v after its context had ended", patience))
	}
}

func says(k *kit) {
	var r Recorder
	k.completes(&r, k.given(k.Says))
	k.answers(&r)
}

func saysSlowly(k *kit) {
	var r Recorder
	n := 0
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	r.OnText(func(text string) {
		if n++; text == "" {
			k.Error("an empty text was added")
		}
		if n < 100 {
			<-tick.C
		}
	})
	k.completes(&r, k.Says)
	k.answers(&r)
}

func concurrent(k *kit) {
	var all [8]Recorder
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { k.completes(&all[i], k.Says) })
	}
	wg.Wait()
	for i := range all {
		k.answers(&all[i])
	}
}

func endedBefore(k *kit) {
	ctx, cancel := context.WithCancelCause(k.Context())
	cancel(turn.Cancelled{Reason: protocol.CancelUser})
	k.soon(k.Within, func() time.Duration {
		var r Recorder
		start := time.Now()
		o := k.run(ctx, &r, k.Says)
		if o.Status != protocol.TurnCancelled {
			k.Errorf("the turn %s %+v; it should be cancelled", o.Status, o.Error)
		}
		return time.Since(start)
	})
}

// begun returns a channel that is closed at the first text.
func begun(r *Recorder) <-chan struct{} {
	c := make(chan struct{})
	var once sync.Once
	r.OnText(func(string) { once.Do(func() { close(c) }) })
	return c
}

func interrupted(k *kit) {
	in := k.given(k.Works)
	k.soon(k.Within, func() time.Duration {
		var r Recorder
		took := k.cut(&r, in, begun(&r))
		if r.Text() == "" {
			k.Error("the text that was said before the interrupt is gone")
		}
		return took
	})
}

// interruptedAlone: the end of one turn is not that of another of the same agent.
func interruptedAlone(k *kit) {
	in := k.given(k.Works)
	var other Recorder
	works := begun(&other)
	stop, done := k.start(&other, in)
	select {
	case <-works:
	case o := <-done:
		k.Fatalf("the turn ended before it was interrupted: %s %+v", o.Status, o.Error)
	case <-time.After(patience):
		k.Fatal("the turn did not begin")
	}
	k.soon(k.Within, func() time.Duration {
		var r Recorder
		return k.cut(&r, in, begun(&r))
	})
	select {
	case o := <-done:
		k.Fatalf("the end of a turn ended another: %s %+v", o.Status, o.Error)
	default:
	}
	_ = k.stops(stop, done)
}

func timedOut(k *kit) {
	in := k.given(k.Works)
	const limit = 20 * time.Millisecond
	in.Config.MaxTurnMs = limit.Milliseconds()
	k.soon(k.Within+time.Second, func() time.Duration {
		var r Recorder
		start := time.Now()
		o := k.run(k.Context(), &r, in)
		if o.Status != protocol.TurnFailed || o.Error.Code != protocol.TurnErrTimeout {
			k.Errorf("the turn %s %+v; want %s", o.Status, o.Error, protocol.TurnErrTimeout)
		}
		return time.Since(start) - limit
	})
}

func fails(k *kit) {
	var r Recorder
	o := k.run(k.Context(), &r, k.given(k.Fails))
	if o.Status != protocol.TurnFailed || o.Error.Message == "" || o.Error.Code == protocol.TurnErrPanic {
		k.Errorf("the turn %s %+v; it should fail and say why", o.Status, o.Error)
	}
}

func noHistory(k *kit) {
	in, called := k.Says, false
	cause := errors.New("the journal cannot be read")
	in.History = func(context.Context) ([]protocol.Item, error) {
		called = true
		return nil, cause
	}
	var r Recorder
	o := k.run(k.Context(), &r, in)
	if called && (o.Status != protocol.TurnFailed || !strings.Contains(o.Error.Message, cause.Error())) {
		k.Errorf("the turn %s %+v; it should fail with %q", o.Status, o.Error, cause)
	}
}
