package scenario_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// slowStart makes the commit of a turn's start take so long that an abort falls into it.
const slowStart = "delay:turn/started:400ms"

// cancel withdraws a request.
func (a *answer) cancel() {
	a.c.t.Helper()
	a.c.Notify("$/cancelRequest", p{"id": json.RawMessage(a.request.id)})
}

// accepted waits until the daemon has taken a turn in, though its commit is not done.
func (c *client) accepted(running int) {
	c.t.Helper()
	poll(c, "the acceptance of a turn", func() bool { return c.Call("server/stats", nil).Int("runningTurns") == running })
}

func TestS16_CancelRequest(t *testing.T) {
	t.Run("right behind the request", func(t *testing.T) {
		d := startDaemon(t)
		c := d.Dial("unix")
		outcomes := map[string]int{}
		for i := range *repeats / 2 {
			thr := c.StartThread(nil)
			a := c.pair("turn/run", p{"threadId": thr, "input": fmt.Sprintf("/hold\n%d", i)})
			r, err := a.Wait()
			we, refused := errors.AsType[*wireError](err)
			switch {
			case refused:
				we.Want(t, -32800, "RequestCancelled")
				if now := c.ReadAll(thr); len(now.List("turns")) > 0 || now.Bool("thread.runtime.busy") || now.Int("thread.headSeq") != 1 {
					t.Fatalf("the request was cancelled, and the thread holds %s", now)
				}
				outcomes["cancelled"]++
			case err != nil:
				t.Fatal(err)
			default:
				c.interruptsTo(thr, r.Str("turn.id"))
				outcomes["accepted"]++
			}
		}
		t.Logf("outcomes: %v", outcomes)
	})
	t.Run("accepted and not committed", func(t *testing.T) {
		d := startDaemon(t, fault(slowStart))
		c := d.Dial("unix")
		thr := c.StartThread(nil)
		a := c.Go("turn/run", p{"threadId": thr, "input": "/hold"})
		c.accepted(1)
		a.cancel()
		c.interruptsTo(thr, a.Result().Str("turn.id"))
	})
	t.Run("answered", func(t *testing.T) {
		d := startDaemon(t)
		c := d.Dial("ws")
		thr := c.StartThread(nil)
		a := c.Go("turn/run", p{"threadId": thr, "input": "/hold\n/say done"})
		turn := a.Result().Str("turn.id")
		a.cancel()
		c.Pass(1)
		if now := c.Sync(thr); now.Str("activeTurn.id") != turn || now.Bool("thread.runtime.interrupting") {
			t.Errorf("the cancel of an answered request touched the turn: %s", now)
		}
		c.Release(thr, turn)
		c.Await("turn/completed", p{"turnId": turn, "turn.text": "done"})
	})
	t.Run("waiting", func(t *testing.T) {
		d := startDaemon(t)
		c := d.Dial("unix")
		thr := c.StartThread(nil)
		held := c.Hold(thr, "/say A")
		run := c.Go("turn/run", p{"threadId": thr, "input": "/say B", "ifBusy": "enqueue", "wait": true})
		wait := c.Go("turn/wait", p{"threadId": thr, "turnId": held})
		queued := c.Await("turn/queued", nil).TurnID
		c.Pass(2)
		for _, a := range []*answer{run, wait} {
			a.cancel()
			a.Refused().Want(t, -32800, "RequestCancelled")
		}
		if now := c.Sync(thr); now.Str("activeTurn.id") != held || now.Int("thread.runtime.queueLength") != 1 {
			t.Errorf("to stop waiting touched the turns: %s", now)
		}
		c.Release(thr, held)
		c.Await("turn/completed", p{"turnId": queued, "turn.text": "B"})
	})
	t.Run("nonsense", func(t *testing.T) {
		d := startDaemon(t)
		c := d.Dial("unix")
		for _, id := range []any{"nobody", 4711, -1, nil, 1.5, p{}} {
			c.Notify("$/cancelRequest", p{"id": id})
		}
		c.Notify("$/cancelRequest", nil)
		c.Pass(2)
	})
}

// pair sends a request and its cancellation in one piece.
func (c *client) pair(method string, params p) *answer {
	a := c.prepare(method, params)
	cancel := of(p{"jsonrpc": "2.0", "method": "$/cancelRequest", "params": p{"id": json.RawMessage(a.request.id)}})
	c.SendRaw(string(a.request.raw) + "\n" + cancel.String())
	return a
}

// interruptsTo interrupts a turn that was accepted after its client had cancelled the
// request, and sees it end.
func (c *client) interruptsTo(thr, turn string) {
	c.t.Helper()
	if r := c.Call("turn/interrupt", p{"threadId": thr, "turnId": turn}); r.Str("outcome") != "interrupting" {
		c.t.Fatalf("the interrupt of the accepted turn answers %s", r)
	}
	c.Await("turn/cancelled", p{"turnId": turn, "turn.cancelReason": "user"})
}

func TestS16_AbortOfARun(t *testing.T) {
	t.Run("before the request is written", func(t *testing.T) {
		d := startDaemon(t)
		c := d.Dial("unix")
		thr := c.StartThread(nil)
		runner, rec := d.sdk(nil)
		ctx, abort := context.WithCancel(context.Background())
		abort()
		_, err := runner.Threads().Get(thr).Run(ctx, sdk.Text("/hold"), nil)
		aborted(t, err)
		if sent := rec.Sent("turn/run"); len(sent) > 0 {
			t.Errorf("it sent %v", sent)
		}
		nothingRuns(c, thr)
		if now := c.Sync(thr); now.Int("thread.headSeq") != 1 {
			t.Errorf("the thread has changed: %s", now)
		}
	})
	t.Run("before there is a connection", func(t *testing.T) {
		d := startDaemon(t)
		thr := d.Dial("unix").StartThread(nil)
		lost := make(chan struct{})
		back := make(chan struct{})
		runner, rec := d.sdk(&sdk.Options{OnConnection: func(ch sdk.ConnectionChange) {
			if ch.Connected {
				close(back)
			} else {
				close(lost)
			}
		}})
		d.Kill()
		<-lost
		ctx, abort := context.WithCancel(context.Background())
		returned := make(chan error, 1)
		go func() {
			_, err := runner.Threads().Get(thr).Run(ctx, sdk.Text("/hold"), nil)
			returned <- err
		}()
		abort()
		aborted(t, <-returned)
		d.Start()
		<-back
		if sent := rec.Sent("turn/run"); len(sent) > 0 {
			t.Errorf("it sent %v", sent)
		}
		nothingRuns(d.Dial("unix"), thr)
	})
	t.Run("written and not answered", func(t *testing.T) {
		d := startDaemon(t, fault(slowStart))
		c := d.Dial("unix")
		thr := c.StartThread(nil)
		runner, rec := d.sdk(nil)
		rec.BeforeWrite(func(line []byte) {
			if strings.Contains(string(line), `"turn/run"`) {
				rec.PauseReading() // the answer must not come first, however slow all this is
			}
		})
		t.Cleanup(rec.ResumeReading)
		returned, abort := runHold(runner, thr, nil)
		c.accepted(1)
		abort()
		aborted(t, <-returned)
		if c.Call("server/stats", nil).Int("runningTurns") != 1 {
			t.Error("the run did not return at once")
		}
		rec.ResumeReading()
		run, cancelled := sentOnce(t, rec, "turn/run"), sentOnce(t, rec, "$/cancelRequest")
		if cancelled.At("params.id").String() != run.At("id").String() {
			t.Errorf("%s does not withdraw %s", cancelled, run)
		}
		answer, err := rec.AnswerTo(run)
		if err != nil {
			t.Fatal(err)
		}
		turn := answer.Str("result.turn.id")
		c.Await("turn/cancelled", p{"turnId": turn, "turn.cancelReason": "user"})
		if stop := sentOnce(t, rec, "turn/interrupt"); stop.Str("params.turnId") != turn {
			t.Errorf("%s does not stop the turn of %s", stop, answer)
		}
		nothingRuns(c, thr)
	})
	t.Run("in the moment of writing", func(t *testing.T) {
		d := startDaemon(t)
		c := d.Dial("unix")
		thr := c.StartThread(nil)
		runner, rec := d.sdk(nil)
		codes := map[string]int{}
		for i := range *repeats / 4 {
			ctx, abort := context.WithCancel(context.Background())
			rec.BeforeWrite(func(line []byte) {
				if strings.Contains(string(line), `"turn/run"`) {
					abort()
				}
			})
			_, err := runner.Threads().Get(thr).Run(ctx, sdk.Text("/hold"), nil)
			aborted(t, err)
			run, err := rec.AwaitSent("turn/run", i)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := rec.AnswerTo(run)
			if err != nil {
				t.Fatal(err)
			}
			if answer.Has("error") && answer.Int("error.code") != -32800 {
				t.Fatalf("the withdrawn request is answered with %s", answer)
			}
			codes[answer.At("error.code").String()]++
			nothingRuns(c, thr)
		}
		t.Logf("answers by error code (null: the turn was accepted and then interrupted): %v", codes)
	})
	t.Run("after turn/started", func(t *testing.T) {
		d := startDaemon(t)
		c := d.Dial("unix")
		thr := c.StartThread(nil)
		runner, rec := d.sdk(nil)
		ctx, abort := context.WithCancel(context.Background())
		var last error
		turn := ""
		for ev, err := range runner.Threads().Get(thr).RunStreamed(ctx, sdk.Text("/hold"), nil) {
			if last = err; err == nil && ev.Type == sdk.EventTurnStarted {
				turn = ev.TurnID
				abort()
			}
		}
		aborted(t, last)
		abort()
		c.Await("turn/cancelled", p{"turnId": turn, "turn.cancelReason": "user"})
		if stop := sentOnce(t, rec, "turn/interrupt"); stop.Str("params.turnId") != turn {
			t.Errorf("%s does not stop %s", stop, turn)
		}
		nothingRuns(c, thr)
	})
	t.Run("queued", func(t *testing.T) {
		d := startDaemon(t)
		c := d.Dial("unix")
		thr := c.StartThread(nil)
		held := c.Hold(thr, "/say A")
		runner, rec := d.sdk(nil)
		returned, abort := runHold(runner, thr, &sdk.RunOptions{IfBusy: protocol.BusyEnqueue})
		queued := c.Await("turn/queued", nil).TurnID
		run := sentOnce(t, rec, "turn/run")
		if _, err := rec.AnswerTo(run); err != nil {
			t.Fatal(err)
		}
		abort()
		aborted(t, <-returned)
		stop := sentOnce(t, rec, "turn/interrupt")
		if answer, err := rec.AnswerTo(stop); err != nil || answer.Str("result.outcome") != "removedFromQueue" {
			t.Errorf("the interrupt answers %s %v", answer, err)
		}
		c.Await("turn/cancelled", p{"turnId": queued, "turn.cancelReason": "user"})
		c.Never("turn/started", p{"turnId": queued})
		c.Release(thr, held)
		c.Await("turn/completed", p{"turnId": held, "turn.text": "A"})
		nothingRuns(c, thr)
	})
}

// runHold begins a run that holds, which abort stops.
func runHold(c *sdk.Client, thr string, o *sdk.RunOptions) (returned <-chan error, abort func()) {
	ctx, abort := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := c.Threads().Get(thr).Run(ctx, sdk.Text("/hold"), o)
		done <- err
	}()
	return done, abort
}

// aborted requires the error of a run whose context was cancelled.
func aborted(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*sdk.TurnCancelledError](err); !ok || !errors.Is(err, context.Canceled) {
		t.Fatalf("the run returned %v; want a TurnCancelledError that wraps context.Canceled", err)
	}
}

// sentOnce returns the one message of a method that the sdk sends.
func sentOnce(t *testing.T, r *recorder, method string) value {
	t.Helper()
	v, err := r.AwaitSent(method, 0)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	if n := len(r.Sent(method)); n != 1 {
		t.Errorf("%s was sent %d times", method, n)
	}
	return v
}

// nothingRuns waits until a thread is idle, as it must get by itself.
func nothingRuns(c *client, thr string) {
	c.t.Helper()
	poll(c, "the end of all turns", func() bool { return !c.Sync(thr).Bool("thread.runtime.busy") })
	for _, tn := range c.ReadAll(thr).List("turns") {
		if s := tn.Str("status"); s != "cancelled" && s != "completed" {
			c.t.Errorf("a turn is left: %s", tn)
		}
	}
}
