package turn

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/spoolhq/spool/protocol"
)

// agentFunc is an agent made of a function.
type agentFunc func(ctx context.Context, in Input, out Emitter) error

func (f agentFunc) Run(ctx context.Context, in Input, out Emitter) error { return f(ctx, in, out) }

func returns(err error) agentFunc {
	return func(context.Context, Input, Emitter) error { return err }
}

func failed(code, message string) Outcome {
	return Outcome{Status: protocol.TurnFailed, Error: &protocol.TurnError{Code: code, Message: message}}
}

// spiteful is an error whose text cannot be had.
type spiteful struct{}

func (spiteful) Error() string { panic("no text for you") }

func TestRun(t *testing.T) {
	budget := &Error{
		Code: protocol.TurnErrBudget, Message: "too dear", Retryable: true, Details: json.RawMessage(`{"limit":5}`),
	}
	tests := []struct {
		name  string
		agent agentFunc
		want  Outcome
	}{
		{"nil completes", returns(nil), Outcome{Status: protocol.TurnCompleted}},
		{"any error", returns(errors.New("boom")), failed(protocol.TurnErrAgent, "boom")},
		{"an error without text", returns(errors.New(" ")), failed(protocol.TurnErrAgent, "the agent failed without saying why")},
		{
			"an error of a code", returns(budget),
			Outcome{Status: protocol.TurnFailed, Error: &protocol.TurnError{
				Code: protocol.TurnErrBudget, Message: "too dear", Retryable: true, Details: json.RawMessage(`{"limit":5}`),
			}},
		},
		{
			"an error that wraps one", returns(fmt.Errorf("step 2: %w", &Error{Code: protocol.TurnErrUnavailable, Message: "nobody home"})),
			failed(protocol.TurnErrUnavailable, "step 2: nobody home"),
		},
		{"an error without a code", returns(&Error{Message: "hm"}), failed(protocol.TurnErrAgent, "hm")},
		{"details that are no JSON", returns(&Error{Message: "hm", Details: json.RawMessage(`{`)}), failed(protocol.TurnErrAgent, "hm")},
		{"a cancellation of its own", returns(context.Canceled), failed(protocol.TurnErrAgent, "context canceled")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Run(t.Context(), tt.agent, Input{}, nil)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRunLongErrorText(t *testing.T) {
	o := Run(t.Context(), returns(errors.New("x"+strings.Repeat("é", maxErrorText))), Input{}, nil)
	if n := len(o.Error.Message); n > maxErrorText+len("…") || !utf8.ValidString(o.Error.Message) {
		t.Errorf("the text has %d bytes, valid: %v", n, utf8.ValidString(o.Error.Message))
	}
}

func TestRunPanic(t *testing.T) {
	for name, agent := range map[string]agentFunc{
		"in Run":           func(context.Context, Input, Emitter) error { panic("secret 4711") },
		"in the error":     returns(spiteful{}),
		"of a nil pointer": func(context.Context, Input, Emitter) error { var e *Error; _ = e.Code; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			o := Run(t.Context(), agent, Input{}, nil)
			if o.Status != protocol.TurnFailed || o.Error.Code != protocol.TurnErrPanic {
				t.Fatalf("outcome %+v", o)
			}
			if strings.Contains(o.Error.Message, "4711") {
				t.Errorf("the client is told %q", o.Error.Message)
			}
			if !bytes.Contains(o.Stack, []byte("panic: ")) || !bytes.Contains(o.Stack, []byte("runner_test.go")) {
				t.Errorf("the stack does not say where:\n%s", o.Stack)
			}
		})
	}
}

func TestRunCancelled(t *testing.T) {
	user := Outcome{Status: protocol.TurnCancelled, Reason: protocol.CancelUser}
	large := &protocol.TurnError{Code: protocol.TurnErrOutputTooLarge, Message: ErrOutputTooLarge.Error()}
	tests := []struct {
		name    string
		cause   error
		returns error
		want    Outcome
	}{
		{"returns its context's error", Cancelled{protocol.CancelUser}, context.Canceled, user},
		{"returns nil", Cancelled{protocol.CancelUser}, nil, user},
		{"returns an error of its own", Cancelled{protocol.CancelUser}, errors.New("boom"), user},
		{"returns an error with a code", Cancelled{protocol.CancelUser}, &Error{Code: protocol.TurnErrBudget}, user},
		{
			"of a wrapped cause", fmt.Errorf("interrupt: %w", Cancelled{protocol.CancelReplaced}), nil,
			Outcome{Status: protocol.TurnCancelled, Reason: protocol.CancelReplaced},
		},
		{"too much output", ErrOutputTooLarge, nil, Outcome{Status: protocol.TurnFailed, Error: large}},
		{"no cause", nil, context.Canceled, Outcome{Status: protocol.TurnCancelled, Reason: protocol.CancelShutdown}},
		{"a foreign cause", errors.New("stop"), nil, Outcome{Status: protocol.TurnCancelled, Reason: protocol.CancelShutdown}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			agent := agentFunc(func(ctx context.Context, _ Input, _ Emitter) error {
				cancel(tt.cause)
				<-ctx.Done()
				return tt.returns
			})
			if diff := cmp.Diff(tt.want, Run(ctx, agent, Input{}, nil)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRunPanicAfterCancellationIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	o := Run(ctx, agentFunc(func(context.Context, Input, Emitter) error {
		cancel(Cancelled{protocol.CancelUser})
		panic("late")
	}), Input{}, nil)
	if o.Status != protocol.TurnCancelled || o.Error != nil || len(o.Stack) == 0 {
		t.Errorf("outcome %+v", o)
	}
}

func TestRunCompletedBeforeCancellation(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	o := Run(ctx, returns(nil), Input{}, nil)
	cancel(Cancelled{protocol.CancelUser})
	if o.Status != protocol.TurnCompleted {
		t.Errorf("outcome %+v", o)
	}
}

func TestRunTimeLimit(t *testing.T) {
	in := Input{Config: protocol.Config{MaxTurnMs: 1500}}
	late := failed(protocol.TurnErrTimeout, ErrTimeout.Error())
	late.Error.Retryable = true
	wait := func(d time.Duration) agentFunc {
		return func(ctx context.Context, _ Input, _ Emitter) error {
			select {
			case <-time.After(d):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if diff := cmp.Diff(late, Run(t.Context(), wait(time.Hour), in, nil)); diff != "" {
			t.Error(diff)
		}
		if took := time.Since(start); took != 1500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if o := Run(t.Context(), wait(time.Second), in, nil); o.Status != protocol.TurnCompleted {
			t.Errorf("a turn within the limit: %+v", o)
		}
		if o := Run(t.Context(), wait(24*time.Hour), Input{}, nil); o.Status != protocol.TurnCompleted {
			t.Errorf("a turn without a limit: %+v", o)
		}
		ctx, cancel := Limit(t.Context(), in.Config)
		defer cancel()
		if _, ended := Ended(ctx); ended {
			t.Error("the limit is over before its time")
		}
		<-ctx.Done()
		if o, ended := Ended(ctx); !ended || cmp.Diff(late, o) != "" {
			t.Errorf("Ended = %+v, %v", o, ended)
		}
		dctx, dcancel := context.WithTimeout(t.Context(), time.Second)
		defer dcancel()
		if diff := cmp.Diff(late, Run(dctx, wait(time.Hour), Input{}, nil)); diff != "" {
			t.Errorf("a deadline of the caller: %s", diff)
		}
		// The first end counts.
		cctx, ccancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { ccancel(Cancelled{protocol.CancelUser}) })
		o := Run(cctx, agentFunc(func(context.Context, Input, Emitter) error {
			<-time.After(time.Minute)
			return nil
		}), in, nil)
		if o.Reason != protocol.CancelUser {
			t.Errorf("cancelled, then timed out: %+v", o)
		}
	})
}
