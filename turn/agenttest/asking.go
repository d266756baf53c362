package agenttest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// steeredAnyway: messages that come before and during the turn do not keep it from
// completing.
func steeredAnyway(k *kit) {
	var r Recorder
	r.Send("first")
	var once sync.Once
	r.OnText(func(string) { once.Do(func() { r.Send("second") }) })
	k.completes(&r, k.Says)
	if r.Text() == "" {
		k.Error("said nothing")
	}
}

func steers(k *kit) {
	var r Recorder
	in := k.given(k.Steers)
	r.Send(k.Steer)
	var once sync.Once
	r.OnText(func(string) { once.Do(func() { r.Send(k.Steer) }) })
	k.completes(&r, in)
	for _, line := range r.Log() {
		if strings.HasPrefix(line, "steered ") {
			return
		}
	}
	k.Error("no message was taken")
}

// steersNever: no message comes. An agent that only looks whether there is one completes.
func steersNever(k *kit) {
	in := k.given(k.Steers)
	k.soon(k.Within, func() time.Duration {
		var r Recorder
		waits := held(&r)
		stop, done := k.start(&r, in)
		select {
		case <-waits:
			return k.stops(stop, done)
		case o := <-done:
			if o.Status != protocol.TurnCompleted {
				k.Errorf("the turn %s %+v; it should complete without a message", o.Status, o.Error)
			}
		case <-time.After(patience):
			k.Fatal("the agent neither waits for a message nor ends")
		}
		return 0
	})
}

func approvalRefused(k *kit) { k.asks(&Recorder{}, k.Approves, protocol.ItemApproval) }

func approvalGiven(k *kit) {
	var r Recorder
	r.OnApprove(func(a turn.Approval) bool {
		if a.Kind == "" || a.Operation == "" {
			k.Errorf("an approval must say of what kind it is, and for what: %+v", a)
		}
		return true
	})
	k.asks(&r, k.Approves, protocol.ItemApproval)
}

func questionUnanswered(k *kit) { k.asks(&Recorder{}, k.Asks, protocol.ItemQuestion) }

func questionAnswered(k *kit) {
	var r Recorder
	r.OnAsk(func(questions []protocol.Question) map[string]protocol.Answer {
		answers := map[string]protocol.Answer{}
		for _, q := range questions {
			if q.ID == "" || q.Question == "" {
				k.Errorf("a question needs an id and a text: %+v", q)
			}
			answer := "yes"
			if len(q.Options) > 0 {
				answer = q.Options[0].Label
			}
			answers[q.ID] = protocol.Answer{Answers: []string{answer}}
		}
		return answers
	})
	k.asks(&r, k.Asks, protocol.ItemQuestion)
}

func callFails(k *kit) { k.asks(&Recorder{}, k.Calls, protocol.ItemToolCall) }

func callSucceeds(k *kit) {
	var r Recorder
	r.OnCall(func(c turn.ToolCall) protocol.ToolCallResult {
		if c.Tool == "" || len(c.Arguments) > 0 && c.Arguments[0] != '{' {
			k.Errorf("a call needs a tool, and its arguments are an object: %+v", c)
		}
		return protocol.ToolCallResult{Success: true, Content: []protocol.Part{{Type: "text", Text: "done"}}}
	})
	k.asks(&r, k.Calls, protocol.ItemToolCall)
}

// asks runs a turn that must ask for something, and complete.
func (k *kit) asks(r *Recorder, in turn.Input, what protocol.ItemType) {
	k.Helper()
	k.completes(r, k.given(in))
	for _, it := range r.Items() {
		if it.Type == what {
			return
		}
	}
	k.Errorf("the turn has no item of type %s", what)
}

// asking are the cases in which an agent waits for somebody.
func (k *kit) asking() []turn.Input {
	k.Helper()
	var all []turn.Input
	for _, in := range []turn.Input{k.Approves, k.Asks, k.Calls} {
		if !absent(in) {
			all = append(all, in)
		}
	}
	if len(all) == 0 {
		k.Skip("the agent asks nobody")
	}
	return all
}

// askingFails: an error of Approve, Ask or Call is the end of the turn, which fails with it.
func askingFails(k *kit) {
	for _, in := range k.asking() {
		cause := errors.New("the daemon cannot go on")
		var r Recorder
		r.hold = func(context.Context) error { return cause }
		o := k.run(k.Context(), &r, in)
		if o.Status != protocol.TurnFailed || !strings.Contains(o.Error.Message, cause.Error()) {
			k.Errorf("the turn %s %+v; it should fail with %q", o.Status, o.Error, cause)
		}
	}
}

// askingHangs: nobody answers, and the turn is interrupted.
func askingHangs(k *kit) {
	for _, in := range k.asking() {
		k.soon(k.Within, func() time.Duration {
			var r Recorder
			return k.cut(&r, in, held(&r))
		})
	}
}

// held lets nobody be answered before the context ends. The channel is closed when somebody
// waits.
func held(r *Recorder) <-chan struct{} {
	waits := make(chan struct{})
	var once sync.Once
	r.hold = func(ctx context.Context) error {
		once.Do(func() { close(waits) })
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return waits
}
