package agenttest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
	"github.com/spoolhq/spool/turn/agenttest"
)

// broken are agents that each break a promise, and what the kit says of them.
var broken = map[string]struct {
	agent turn.Agent
	says  string
}{
	"deaf": {agentFunc(func(ctx context.Context, in turn.Input, out turn.Emitter) error {
		say(out, "Hello")
		if in.Turn.ID == works {
			<-ctx.Done()
			<-time.After(200 * time.Millisecond)
		}
		return ctx.Err()
	}), "after its context had ended; want"},
	"leaking": {agentFunc(func(ctx context.Context, _ turn.Input, out turn.Emitter) error {
		say(out, "Hello")
		go func() { <-make(chan int) }()
		return nil
	}), "the agent left goroutines behind"},
	"late": {agentFunc(func(ctx context.Context, _ turn.Input, out turn.Emitter) error {
		say(out, "Hello")
		go func() {
			for r := out.(*agenttest.Recorder); len(r.Late()) == 0; <-time.After(time.Millisecond) {
				say(out, "again")
			}
		}()
		return nil
	}), "said after the end of the turn: begin agentMessage"},
	"rewriting": {agentFunc(func(ctx context.Context, _ turn.Input, out turn.Emitter) error {
		it := out.Begin(protocol.Item{Type: protocol.ItemAgentMessage})
		it.Append("Hel")
		it.Complete(func(it *protocol.Item) { it.Text = "Hello" })
		return nil
	}), `was streamed as "Hel" and says "Hello"`},
	"stubborn": {agentFunc(func(ctx context.Context, in turn.Input, out turn.Emitter) error {
		_, _ = out.Approve(ctx, turn.Approval{Kind: "command", Operation: "ls"})
		say(out, "Hello")
		if in.Turn.ID == works {
			<-ctx.Done()
		}
		return nil
	}), `it should fail with "the daemon cannot go on"`},
	"shared":    {&shared{}, "want \"Hello\""},
	"silent":    {agentFunc(func(context.Context, turn.Input, turn.Emitter) error { return nil }), "said \"\"; want"},
	"panicking": {agentFunc(func(context.Context, turn.Input, turn.Emitter) error { panic("oh") }), "the agent panicked"},
}

const works = "trn_2"

type agentFunc func(ctx context.Context, in turn.Input, out turn.Emitter) error

func (f agentFunc) Run(ctx context.Context, in turn.Input, out turn.Emitter) error {
	return f(ctx, in, out)
}

// shared mixes up its turns: the second says nothing.
type shared struct{ turns atomic.Int64 }

func (s *shared) Run(_ context.Context, _ turn.Input, out turn.Emitter) error {
	if s.turns.Add(1) == 1 {
		say(out, "Hello")
	}
	return nil
}

func say(out turn.Emitter, text string) {
	it := out.Begin(protocol.Item{Type: protocol.ItemAgentMessage})
	it.Append(text)
	it.Complete(nil)
}

// TestBrokenAgents: the kit finds each of them. It must fail, so it runs in processes of
// its own.
func TestBrokenAgents(t *testing.T) {
	const variable = "AGENTTEST_BROKEN"
	if name := os.Getenv(variable); name != "" {
		in := turn.Input{Turn: protocol.Turn{ID: "trn_1"}}
		agenttest.Run(t, func(testing.TB) turn.Agent { return broken[name].agent }, agenttest.Cases{
			Says: in, Text: "Hello", Works: turn.Input{Turn: protocol.Turn{ID: works}}, Approves: in, Within: 50 * time.Millisecond,
		})
		return
	}
	for name, b := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestBrokenAgents$", "-test.failfast", "-test.timeout=2m")
			cmd.Env = append(os.Environ(), variable+"="+name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), b.says) {
				t.Errorf("the kit does not say %q of it: %v\n%s", b.says, err, out)
			}
		})
	}
}
