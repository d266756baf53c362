package sdk

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoolhq/spool/protocol"
)

type outcome struct {
	res *Result
	err error
}

// goRun calls Run in the background.
func goRun(ctx context.Context, c *Client, opts *RunOptions) chan outcome {
	done := make(chan outcome, 1)
	go func() {
		res, err := c.Threads().Get("thr_1").Run(ctx, Text("hi"), opts)
		done <- outcome{res, err}
	}()
	return done
}

// answerItems tells a short turn from seq on: started, a message, completed.
func (p *peer) tell(seq int, turnID, text string) {
	p.event("turn/started", turnEvent(seq, turnID, "running", ""))
	p.event("item/started", itemEvent(seq+1, turnID, "itm_"+turnID, "inProgress", ""))
	p.event("item/agentMessage/delta", deltaEvent(turnID, "itm_"+turnID, 0, text))
	p.event("item/completed", itemEvent(seq+2, turnID, "itm_"+turnID, "completed", text))
	p.event("turn/completed", turnEvent(seq+3, turnID, "completed", `"text":"`+text+`","usage":{"inputTokens":1,"outputTokens":2}`))
}

func TestRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		done := goRun(t.Context(), c, &RunOptions{
			IfBusy: protocol.BusyEnqueue, Sender: &protocol.Sender{Name: "Bo"}, TraceID: "t1", Mode: "m",
			Config: protocol.Object{"model": []byte(`"x"`)}, RunPending: true, IdempotencyKey: "k1",
		})
		p.subscribed(7)
		run, _ := p.started("trn_1")
		var params protocol.TurnRunParams
		if err := protocol.Decode(run.Params, &params); err != nil {
			t.Fatal(err)
		}
		if params.IfBusy != "enqueue" || params.Sender.Name != "Bo" || params.TraceID != "t1" || params.Mode != "m" ||
			len(params.Config) != 1 || !params.RunPending || params.IdempotencyKey != "k1" || params.Input.Text() != "hi" {
			t.Errorf("the client sent %s", run.raw)
		}
		p.tell(8, "trn_0", "another")
		p.tell(12, "trn_1", "hello")
		o := <-done
		if o.err != nil {
			t.Fatal(o.err)
		}
		r := o.res
		if r.Text != "hello" || r.TurnID != "trn_1" || r.ThreadID != "thr_1" || r.Status != protocol.TurnCompleted || r.Disposition != "started" ||
			len(r.Items) != 1 || r.Items[0].Text != "hello" || r.Usage.OutputTokens != 2 || r.TraceID != "trc_1" || r.Turn.ID != "trn_1" {
			t.Errorf("the result is %s", toJSON(r))
		}
		p.expect("thread/unsubscribe")
		if len(c.calls) > 1 || len(c.lifelines) != 0 {
			t.Errorf("left: calls %v, lifelines %v", c.calls, c.lifelines)
		}
	})
}

// S03: a queued run returns the end of its own turn, also over a lost connection.
func TestQueuedRunS03(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		c, p := f.connect(Options{})
		defer c.Close()
		done := goRun(t.Context(), c, &RunOptions{IfBusy: protocol.BusyEnqueue})
		p.subscribed(0)
		p.answer(p.expect("turn/run"), `{"disposition":"queued","turn":`+turnJSON("trn_B", "queued", `"position":1`)+`}`)
		wait := p.expect("turn/wait")
		p.event("turn/queued", turnEvent(1, "trn_B", "queued", ""))
		p.event("turn/completed", turnEvent(2, "trn_A", "completed", `"text":"A"`))
		synctest.Wait()
		p.cut()
		p = f.accept()
		if r := p.subscribed(4); r.field("afterSeq") != "2" {
			t.Errorf("the client sent %s", r.raw)
		}
		if again := p.expect("turn/wait"); again.raw != wait.raw {
			t.Errorf("turn/wait is repeated as %s", again.raw)
		}
		p.tell(3, "trn_B", "B")
		o := <-done
		if o.err != nil || o.res.TurnID != "trn_B" || o.res.Text != "B" || o.res.Disposition != "queued" {
			t.Errorf("got %s, %v", toJSON(o.res), o.err)
		}
	})
}

// The events do not tell of the end, so turn/wait does; what lies before it is read first.
func TestRunSettledByWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{OptOut: []string{"turn/completed"}})
		defer c.Close()
		done := goRun(t.Context(), c, nil)
		p.subscribed(0)
		_, wait := p.started("trn_1")
		p.event("turn/started", turnEvent(1, "trn_1", "running", ""))
		p.answer(wait, `{"turn":`+turnJSON("trn_1", "completed", `"text":"T"`)+`}`)
		p.answer(p.expect("thread/export"), `{"events":[]}`)
		p.subscribed(1)
		p.answer(p.expect("turn/read"), `{"turn":`+turnJSON("trn_1", "completed", `"items":[{"id":"itm_1","type":"agentMessage","status":"completed","createdAt":"2026-01-01T00:00:00.000Z","revision":1,"origin":"turn","text":"T"}]`)+`}`)
		o := <-done
		if o.err != nil || o.res.Text != "T" || len(o.res.Items) != 1 {
			t.Errorf("got %s, %v", toJSON(o.res), o.err)
		}
	})
}

// After a reconnect turn/wait is answered before the replay: the stream still has all.
func TestStreamIsWholeThoughWaitIsEarly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		types := make(chan []EventType)
		go func() {
			var list []EventType
			for ev, err := range c.Threads().Get("thr_1").RunStreamed(t.Context(), Text("x"), nil) {
				if err != nil {
					t.Error(err)
				}
				list = append(list, ev.Type)
			}
			types <- list
		}()
		p.subscribed(0)
		_, wait := p.started("trn_1")
		p.answer(wait, `{"turn":`+turnJSON("trn_1", "failed", "")+`}`)
		p.answer(p.expect("thread/export"), `{"events":[{"method":"turn/started","params":`+turnEvent(1, "trn_1", "running", "")+`},{"method":"turn/failed","params":`+turnEvent(2, "trn_1", "failed", `"error":{"code":"AgentError","message":"no","retryable":false}`)+`}]}`)
		p.subscribed(2)
		if got := <-types; !slices.Equal(got, []EventType{EventTurnStarted, EventFailed}) {
			t.Errorf("got %v", got)
		}
	})
}

func TestRunParkedTooMany(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		done := goRun(t.Context(), c, nil)
		p.subscribed(0)
		_, wait := p.started("trn_1")
		e := protocol.Errorf(protocol.CodeServerOverloaded, "too many wait")
		e.Data.RetryAfterMs = 3000
		p.refuse(wait, e)
		start := time.Now()
		p.expect("turn/wait")
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("asked again after %v", d)
		}
		p.tell(1, "trn_1", "x")
		if o := <-done; o.err != nil || o.res.Text != "x" {
			t.Error(o.err)
		}
	})
}

func TestRunFails(t *testing.T) {
	failed := turnEvent(2, "trn_1", "failed", `"text":"half","error":{"code":"ServerRestarted","message":"the daemon stopped","retryable":true}`)
	cancelled := turnEvent(2, "trn_1", "cancelled", `"text":"half","cancelReason":"replaced"`)
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		done := goRun(t.Context(), c, nil)
		p.subscribed(0)
		p.started("trn_1")
		p.event("turn/started", turnEvent(1, "trn_1", "running", ""))
		p.event("turn/failed", failed)
		fe, ok := errors.AsType[*TurnFailedError]((<-done).err)
		if !ok || fe.Code != "ServerRestarted" || !fe.Retryable || fe.TurnID != "trn_1" || fe.Partial.Text != "half" || !strings.Contains(fe.Error(), "the daemon stopped") {
			t.Errorf("the error is %#v", fe)
		}
		p.expect("thread/unsubscribe")

		done = goRun(t.Context(), c, nil)
		p.subscribed(0)
		p.started("trn_1")
		p.event("turn/started", turnEvent(1, "trn_1", "running", ""))
		p.event("turn/cancelled", cancelled)
		ce, ok := errors.AsType[*TurnCancelledError]((<-done).err)
		if !ok || ce.Reason != protocol.CancelReplaced || ce.Partial.Text != "half" || ce.Unwrap() != nil {
			t.Errorf("the error is %#v", ce)
		}
	})
	for _, frame := range []event{{method: "turn/failed", raw: []byte(`{"params":` + failed + `}`)}, {method: "turn/cancelled", raw: []byte(`{"params":` + cancelled + `}`)}} {
		if ev, _ := decodeEvent(frame); !ev.Terminal() || ev.Err() == nil {
			t.Errorf("%s: Err is %v", frame.method, ev.Err())
		}
	}
}

func TestRunRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		done := goRun(t.Context(), c, nil)
		p.subscribed(0)
		e := protocol.Errorf(protocol.CodeTurnInProgress, "busy")
		e.Data.ActiveTurnID = "trn_9"
		p.refuse(p.expect("turn/run"), e)
		if busy, ok := errors.AsType[*TurnInProgressError]((<-done).err); !ok || busy.ActiveTurnID != "trn_9" {
			t.Errorf("the error is %v", busy)
		}
		p.expect("thread/unsubscribe")
		if len(c.feeds)+len(c.lifelines) != 0 {
			t.Error("something is left")
		}
	})
}

// S12: a run that waits in the queue learns that its turn was taken out.
func TestQueuedRunIsRemovedS12(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		for _, byEvent := range []bool{true, false} {
			done := goRun(t.Context(), c, &RunOptions{IfBusy: protocol.BusyEnqueue})
			p.subscribed(0)
			p.answer(p.expect("turn/run"), `{"disposition":"queued","turn":`+turnJSON("trn_B", "queued", "")+`}`)
			wait := p.expect("turn/wait")
			if byEvent {
				p.event("turn/cancelled", turnEvent(1, "trn_B", "cancelled", `"cancelReason":"queueCleared"`))
			} else {
				p.refuse(wait, protocol.Errorf(protocol.CodeQueueCleared, "cleared"))
				p.answer(p.expect("thread/export"), `{"events":[]}`)
				p.subscribed(0)
			}
			p.answer(p.expect("turn/read"), `{"turn":`+turnJSON("trn_B", "cancelled", "")+`}`)
			if ce, ok := errors.AsType[*TurnCancelledError]((<-done).err); !ok || ce.Reason != protocol.CancelQueueCleared || ce.TurnID != "trn_B" {
				t.Errorf("the error is %v", ce)
			}
			p.expect("thread/unsubscribe")
		}
	})
}

func TestDetach(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		done := make(chan outcome)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			res, err := c.Threads().Get("thr_1").Enqueue(ctx, Text("x"), nil)
			done <- outcome{res, err}
		}()
		run := p.expect("turn/run")
		if run.field("ifBusy") != "enqueue" {
			t.Errorf("the client sent %s", run.raw)
		}
		p.answer(run, `{"disposition":"queued","turn":`+turnJSON("trn_B", "queued", `"position":2`)+`}`)
		if o := <-done; o.err != nil || o.res.Turn.Position != 2 || o.res.Status != protocol.TurnQueued {
			t.Errorf("got %s, %v", toJSON(o.res), o.err)
		}
		p.expect("thread/unsubscribe") // which turn/run subscribed
		cancel()
		p.quiet()
	})
}

func TestWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		go func() {
			p.refuse(p.expect("turn/wait"), protocol.Errorf(protocol.CodeServerOverloaded, "too many"))
			p.answer(p.expect("turn/wait"), `{"turn":`+turnJSON("trn_1", "completed", `"text":"x"`)+`}`)
			p.answer(p.expect("turn/read"), `{"turn":`+turnJSON("trn_1", "completed", `"text":"x"`)+`}`)
			p.refuse(p.expect("turn/wait"), protocol.Errorf(protocol.CodeTurnNotFound, "no"))
		}()
		th := c.Threads().Get("thr_1")
		if r, err := th.Wait(t.Context(), "trn_1"); err != nil || r.Text != "x" {
			t.Error(r, err)
		}
		if _, err := th.Wait(t.Context(), "trn_2"); !errors.Is(err, &protocol.Error{Code: protocol.CodeTurnNotFound}) {
			t.Error(err)
		}
	})
}

func TestRunStreamedIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			for _, err := range c.Threads().Get("thr_1").RunStreamed(ctx, Text("x"), nil) {
				if err != nil {
					t.Error(err)
				}
				break
			}
			cancel() // of no consequence any more
		}()
		p.subscribed(0)
		p.started("trn_1")
		p.event("turn/started", turnEvent(1, "trn_1", "running", ""))
		p.expect("thread/unsubscribe")
		p.expect("$/cancelRequest") // of turn/wait
		p.quiet()
	})
}
