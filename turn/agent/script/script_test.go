package script

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
	"github.com/spoolhq/spool/turn/agenttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func input(text string) turn.Input {
	return turn.Input{Turn: protocol.Turn{ID: "trn_1", Input: protocol.TextInput(text)}}
}

func told(items ...protocol.Item) func(context.Context) ([]protocol.Item, error) {
	return func(context.Context) ([]protocol.Item, error) { return items, nil }
}

func TestScripts(t *testing.T) {
	tests := []struct {
		name, script string
		want         []string
		text         string
	}{
		{
			name: "S32 plain text comes back word by word", script: "Help needed",
			want: []string{"begin agentMessage", `delta agentMessage "Help"`, `delta agentMessage " needed"`, "complete agentMessage completed"},
			text: "Help needed",
		},
		{
			name: "plain lines are one message", script: "a b\n\n  c\n",
			want: []string{
				"begin agentMessage", `delta agentMessage "a"`, `delta agentMessage " b"`,
				`delta agentMessage "\n\n  c\n"`, "complete agentMessage completed",
			},
			text: "a b\n\n  c\n",
		},
		{name: "nothing to say", script: " \n", want: nil},
		{
			name: "blank lines around directives", script: "one\n\n/say two\r\n\n\nthree\n", text: "one\n\ntwo\n\nthree",
			want: []string{
				"begin agentMessage", `delta agentMessage "one"`, "complete agentMessage completed",
				"begin agentMessage", `delta agentMessage "two"`, "complete agentMessage completed",
				"begin agentMessage", `delta agentMessage "three"`, "complete agentMessage completed",
			},
		},
		{
			name: "an escaped slash", script: "//etc/hosts\n/ say", text: "",
			want: nil, // "/ say" is not a directive, so nothing runs
		},
		{
			name: "only an escaped slash", script: "//say x", text: "/say x",
			want: []string{"begin agentMessage", `delta agentMessage "/say"`, `delta agentMessage " x"`, "complete agentMessage completed"},
		},
		{
			name: "think", script: "/think so  it", text: "",
			want: []string{"begin reasoning", `delta reasoning "so"`, `delta reasoning "  it"`, "complete reasoning completed"},
		},
		{
			name: "S36 deltas", script: "/deltas 3 4", text: "012345678901",
			want: []string{
				"begin agentMessage", `delta agentMessage "0123"`, `delta agentMessage "4567"`, `delta agentMessage "8901"`,
				"complete agentMessage completed",
			},
		},
		{
			name: "S35 state", script: `/say Looking` + "\n" + `/state {"step":"classify"}` + "\n" + `/state {"step":"answer"}`, text: "Looking",
			want: []string{
				"begin agentMessage", `delta agentMessage "Looking"`, "complete agentMessage completed",
				"begin state", `patch state {"step":"classify"}`, `patch state {"step":"answer"}`, "complete state completed",
			},
		},
		{name: "plan", script: "/plan A; B ;; C", want: []string{"plan 3"}},
		{name: "usage", script: "/usage 10 20", want: []string{"usage 10 20"}},
		{name: "custom", script: `/custom form {"formType":"contact"}`, want: []string{"add custom completed"}},
		{
			name: "tools", script: "/tools", text: "no tools",
			want: []string{"begin agentMessage", `delta agentMessage "no"`, `delta agentMessage " tools"`, "complete agentMessage completed"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r agenttest.Recorder
			o := r.Run(t.Context(), New(), input(tt.script))
			if (o.Status == protocol.TurnCompleted) != (tt.name != "an escaped slash") {
				t.Errorf("outcome %+v", o)
			}
			if diff := cmp.Diff(tt.want, r.Log()); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
			if got := r.Text(); got != tt.text {
				t.Errorf("text %q; want %q", got, tt.text)
			}
		})
	}
}

// Whatever text is said, the deltas joined are the text, and a delta is never empty.
func TestWordsJoinToTheText(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune("ab é\n\t日 "))).Draw(rt, "text")
		rest, joined := text, ""
		for rest != "" {
			n := wordLen(rest)
			if n <= 0 {
				rt.Fatalf("an empty delta before %q", rest)
			}
			joined, rest = joined+rest[:n], rest[n:]
		}
		if joined != text {
			rt.Fatalf("%q; want %q", joined, text)
		}
	})
}

func TestItems(t *testing.T) {
	var r agenttest.Recorder
	r.Run(t.Context(), New(), input("/custom form  {\"a\": 1}\n/tool lookup {\"q\": 1}\n/plan A; B\n/state {\"a\":{\"b\":1}}\n/state {\"a\":{\"c\":2}}"))
	items := r.Items()
	if len(items) != 4 {
		t.Fatalf("%d items: %v", len(items), r.Log())
	}
	custom, call, said, state := items[0], items[1], items[2], items[3]
	if custom.Kind != "form" || custom.Role != "assistant" || string(custom.Content) != `{"a": 1}` {
		t.Errorf("custom item %+v", custom)
	}
	if call.Tool != "lookup" || call.Executor != protocol.ExecutorClient || string(call.Arguments) != `{"q": 1}` ||
		call.Status != protocol.ItemFailed || call.Error.Code != protocol.ToolErrUnavailable || !protocol.ValidID(protocol.PrefixCall, call.CallID) {
		t.Errorf("call %+v", call)
	}
	if said.Text != "ToolUnavailable: no client offers the tool lookup" {
		t.Errorf("said %q", said.Text)
	}
	if string(state.State) != `{"a":{"b":1,"c":2}}` {
		t.Errorf("state %s", state.State)
	}
	want := []protocol.PlanEntry{{Text: "A", Status: "pending"}, {Text: "B", Status: "pending"}}
	if diff := cmp.Diff(want, r.Entries()); diff != "" {
		t.Error(diff)
	}
}

// TestAsking: what an agent asks of people and clients, and what it says of the answers.
func TestAsking(t *testing.T) {
	answer := map[string]protocol.Answer{"q1": {Answers: []string{"staging"}}}
	tests := []struct {
		name, script, text string
		set                func(*agenttest.Recorder)
	}{
		{"declined", "/approve command rm build", "declined", func(*agenttest.Recorder) {}},
		{"accepted", "/approve command rm build", "accepted", func(r *agenttest.Recorder) {
			r.OnApprove(func(a turn.Approval) bool {
				return a.Kind == "command" && a.Operation == "rm build" && a.ScopeKey == "command:rm"
			})
		}},
		{"no answer", "/ask Where to? | staging | production", "no answer", func(*agenttest.Recorder) {}},
		{"answer", "/ask Where to? | staging | production", "staging", func(r *agenttest.Recorder) {
			r.OnAsk(func(q []protocol.Question) map[string]protocol.Answer {
				if len(q) != 1 || q[0].Question != "Where to?" || len(q[0].Options) != 2 || q[0].AllowOther {
					return nil
				}
				return answer
			})
		}},
		{"tool", `/tool weather/now {"city":"NYC"}`, "72 F", func(r *agenttest.Recorder) {
			r.OnCall(func(c turn.ToolCall) protocol.ToolCallResult {
				return protocol.ToolCallResult{Success: c.Namespace == "weather" && c.Tool == "now", Content: []protocol.Part{{Type: "text", Text: "72 F"}}}
			})
		}},
		{"structured", "/tool t", `{"a":1}`, func(r *agenttest.Recorder) {
			r.OnCall(func(turn.ToolCall) protocol.ToolCallResult {
				return protocol.ToolCallResult{Success: true, Structured: json.RawMessage(`{"a":1}`)}
			})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r agenttest.Recorder
			tt.set(&r)
			if o := r.Run(t.Context(), New(), input(tt.script)); o.Status != protocol.TurnCompleted {
				t.Fatalf("outcome %+v", o)
			}
			if got := r.Text(); got != tt.text {
				t.Errorf("said %q; want %q", got, tt.text)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	tests := []struct{ script, want string }{
		{"/fail model refused", "model refused"},
		{"/fail", "/fail needs a message; write /fail MESSAGE"},
		{"/say", "/say needs a text; write /say TEXT"},
		{"/think", "/think needs a text; write /think TEXT"},
		{"/sleep soon", "/sleep needs a time such as 500ms or 2s; write /sleep DURATION"},
		{"/sleep -1s", "/sleep needs a time"},
		{"/hold on", "/hold takes no arguments; write /hold"},
		{"/stuck up", "/stuck takes no arguments"},
		{"/history all", "/history takes no arguments"},
		{"/tools all", "/tools takes no arguments"},
		{"/history", "/history: this turn has no history"},
		{"/deltas 3", "/deltas needs a number of deltas and their size in bytes; write /deltas N BYTES [DELAY]"},
		{"/deltas 0 1", "/deltas needs a number of deltas between 1 and"},
		{"/deltas 1 0", "/deltas needs a size in bytes between 1 and"},
		{"/deltas 1 1 soon", "/deltas needs a time"},
		{"/deltas 1 999999999", "/deltas needs a size in bytes between 1 and"},
		{"/state {", "/state needs a value that is valid JSON; write /state JSON"},
		{"/plan ;", "/plan needs at least one step"},
		{"/usage 1", "/usage needs two numbers of tokens"},
		{"/usage 1 -2", "/usage needs two numbers of tokens, 0 or more"},
		{"/custom form", "/custom needs a kind and a value"},
		{"/tool", "/tool needs the name of a tool; write /tool NAME [JSON]"},
		{"/tool x {", "/tool needs arguments that are valid JSON"},
		{"/approve command", "/approve needs a kind and what to do; write /approve KIND TEXT"},
		{"/ask | a | b", "/ask needs a question; write /ask QUESTION | A | B"},
		{"/dance", "does not know /dance. It knows: /say TEXT, /think TEXT, /deltas N BYTES [DELAY], /sleep DURATION, /hold, "},
	}
	for _, tt := range tests {
		t.Run(tt.script, func(t *testing.T) {
			var r agenttest.Recorder
			o := r.Run(t.Context(), New(), input(tt.script))
			if o.Status != protocol.TurnFailed || o.Error.Code != protocol.TurnErrAgent || o.Error.Retryable ||
				!strings.Contains(o.Error.Message, tt.want) {
				t.Errorf("outcome %+v %+v; want %q", o, o.Error, tt.want)
			}
			if strings.ContainsAny(o.Error.Message, "\n") {
				t.Error("the message has several lines")
			}
		})
	}
}

func TestUnknownDirectiveRunsNothing(t *testing.T) {
	var r agenttest.Recorder
	r.Run(t.Context(), New(), input("/say Hello\n/dance"))
	if log := r.Log(); len(log) != 0 {
		t.Error(log)
	}
}

func TestFailAfterSay(t *testing.T) {
	var r agenttest.Recorder
	o := r.Run(t.Context(), New(), input("/say Hello\n/state 1\n/fail boom\n/say never"))
	if o.Error.Message != "boom" || r.Text() != "Hello" {
		t.Errorf("%+v, %q", o.Error, r.Text())
	}
	if log := r.Log(); log[len(log)-1] != "closed state failed" {
		t.Error(log)
	}
}

func TestPanic(t *testing.T) {
	var r agenttest.Recorder
	o := r.Run(t.Context(), New(), input("/say Hello\n/panic"))
	if o.Error.Code != protocol.TurnErrPanic || !strings.Contains(string(o.Stack), "ask.go") && !strings.Contains(string(o.Stack), "emit.go") {
		t.Errorf("%+v\n%s", o, o.Stack)
	}
}

func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r agenttest.Recorder
		done := make(chan turn.Outcome, 1)
		go func() { done <- r.Run(t.Context(), New(), input("/hold\n/say done")) }()
		synctest.Wait()
		r.Send("use metric units")
		synctest.Wait()
		if len(done) > 0 || r.Text() != "" {
			t.Fatal("the turn went on")
		}
		r.Send(" release\n")
		if o := <-done; o.Status != protocol.TurnCompleted || r.Text() != "done" {
			t.Errorf("%+v %q", o, r.Text())
		}
		want := []string{
			`steered [{"type":"text","text":"use metric units"}]`, `steered [{"type":"text","text":" release\n"}]`,
			"begin agentMessage", `delta agentMessage "done"`, "complete agentMessage completed",
		}
		if diff := cmp.Diff(want, r.Log()); diff != "" {
			t.Error(diff)
		}
	})
}

// Whatever a script waits for, a cancellation ends it at once, and keeps what was said.
func TestCancel(t *testing.T) {
	for script, log := range map[string]string{
		"/hold":                      "",
		"/sleep 1h":                  "",
		"/say Hi\n/sleep 1h":         "complete agentMessage completed",
		"/deltas 1000 5 20s":         "closed agentMessage interrupted",
		"/state {}\n/sleep 1h\nlate": "closed state interrupted",
	} {
		t.Run(script, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				var r agenttest.Recorder
				done := make(chan turn.Outcome, 1)
				go func() { done <- r.Run(ctx, New(), input(script)) }()
				<-time.After(time.Minute)
				before := time.Now()
				cancel(turn.Cancelled{Reason: protocol.CancelUser})
				o := <-done
				if o.Status != protocol.TurnCancelled || o.Reason != protocol.CancelUser || !time.Now().Equal(before) {
					t.Errorf("%+v after %v", o, time.Since(before))
				}
				got := r.Log()
				if log != "" && (len(got) == 0 || got[len(got)-1] != log) {
					t.Errorf("%v; want %q", got, log)
				}
			})
		})
	}
}

func TestCancelInTheMiddleOfText(t *testing.T) {
	for _, script := range []string{"a b c d e f", "/deltas 1000 1"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		var r agenttest.Recorder
		n := 0
		r.OnText(func(string) {
			if n++; n == 3 {
				cancel(turn.Cancelled{Reason: protocol.CancelUser})
			}
		})
		if o := r.Run(ctx, New(), input(script)); o.Status != protocol.TurnCancelled || n != 3 {
			t.Errorf("%q: %+v after %d deltas", script, o, n)
		}
	}
}

func TestStuckIgnoresCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		// The agent is called without the runner's help: its context is over from the start.
		err := New().Run(ctx, input("/stuck\n/say never"), nil)
		if took := time.Since(start); !errors.Is(err, context.Canceled) || took != time.Minute {
			t.Errorf("%v after %v", err, took)
		}
	})
}

func TestTiming(t *testing.T) {
	for script, want := range map[string]time.Duration{
		"/sleep 1500ms":        1500 * time.Millisecond,
		"/sleep 0s":            0,
		"/deltas 5 1 10ms":     40 * time.Millisecond,
		"/deltas 5 1":          0,
		"/deltas 1 1 1h\n/say": 0,
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			var r agenttest.Recorder
			r.Run(t.Context(), New(), input(script))
			if got := time.Since(start); got != want {
				t.Errorf("%q took %v; want %v", script, got, want)
			}
		})
	}
}

func parts(t *testing.T, ps ...protocol.Part) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(ps)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHistory(t *testing.T) {
	text := func(s string) protocol.Part { return protocol.Part{Type: "text", Text: s} }
	in := input("/history")
	in.History = told(
		protocol.Item{Type: protocol.ItemUserMessage, Content: parts(t, text("I am\nAnn"), protocol.Part{Type: "image", URL: "x"})},
		protocol.Item{Type: protocol.ItemDeveloperMessage, Text: "User is in New York"},
		protocol.Item{Type: protocol.ItemAgentMessage, Text: "I always write formally."},
		protocol.Item{Type: protocol.ItemReasoning},
		protocol.Item{Type: protocol.ItemToolCall, Tool: "f", Arguments: json.RawMessage(`{"q":1}`), Result: &protocol.ToolResult{Content: []protocol.Part{text("42")}}},
		protocol.Item{Type: protocol.ItemToolCall, Tool: "g", Arguments: json.RawMessage(`{}`), Error: &protocol.ItemFailure{Code: "ToolFailed", Message: "no"}},
		protocol.Item{Type: protocol.ItemCommandExecution, Command: []string{"ls", "-l"}, Output: "a\nb\n"},
		protocol.Item{Type: protocol.ItemFileChange, Changes: []protocol.FileChange{{Path: "a.go", Kind: "add"}}},
		protocol.Item{Type: protocol.ItemPlan, Entries: []protocol.PlanEntry{{Text: "A"}, {Text: "B"}}},
		protocol.Item{Type: protocol.ItemApproval, Kind: "command", Operation: "rm", Decision: "accept"},
		protocol.Item{
			Type: protocol.ItemQuestion, Questions: []protocol.Question{{ID: "q1", Question: "Where?"}, {ID: "q2", Question: "PIN?", Secret: true}},
			Answers: map[string]protocol.Answer{"q1": {Answers: []string{"here"}}, "q2": {Answers: []string{"1234"}}},
		},
		protocol.Item{Type: protocol.ItemState, State: json.RawMessage(`{"a":1}`)},
		protocol.Item{Type: protocol.ItemCustom, Kind: "form", Content: json.RawMessage(`{"b":2}`)},
		protocol.Item{Type: protocol.ItemNotice, Kind: "forked", Text: "Forked."},
		protocol.Item{Type: protocol.ItemError, Code: "AgentError", Message: "boom"},
		protocol.Item{Type: protocol.ItemUserMessage, Content: parts(t, text("/history"))},
	)
	want := `userMessage: I am Ann [image]
developerMessage: User is in New York
agentMessage: I always write formally.
reasoning:
toolCall: f {"q":1} 42
toolCall: g {} ToolFailed: no
commandExecution: ls -l a b
fileChange: add a.go
plan: A; B
approval: command rm accept
question: Where? here; PIN?
state: {"a":1}
custom: form {"b":2}
notice: Forked.
error: AgentError boom
userMessage: /history`
	var r agenttest.Recorder
	r.Run(t.Context(), New(), in)
	if diff := cmp.Diff(want, r.Text()); diff != "" {
		t.Error(diff)
	}
	if n := strings.Count(strings.Join(r.Log(), "\n"), "begin"); n != 1 {
		t.Errorf("%d messages; want one", n)
	}
}

func TestHistoryFails(t *testing.T) {
	in := input("/history")
	in.History = func(context.Context) ([]protocol.Item, error) { return nil, fmt.Errorf("the journal cannot be read") }
	var r agenttest.Recorder
	if o := r.Run(t.Context(), New(), in); o.Error == nil || o.Error.Message != "the journal cannot be read" {
		t.Errorf("%+v", o)
	}
}

// S39: a turn without input runs the pending messages.
func TestPendingInput(t *testing.T) {
	in := turn.Input{Turn: protocol.Turn{ID: "trn_2"}}
	in.History = told(
		protocol.Item{TurnID: "trn_1", Type: protocol.ItemUserMessage, Content: parts(t, protocol.Part{Type: "text", Text: "old"})},
		protocol.Item{TurnID: "trn_2", Type: protocol.ItemUserMessage, Delivery: protocol.DeliveryPending, Content: parts(t, protocol.Part{Type: "text", Text: "one"})},
		protocol.Item{TurnID: "trn_2", Type: protocol.ItemDeveloperMessage, Text: "/fail never"},
		protocol.Item{TurnID: "trn_2", Type: protocol.ItemUserMessage, Delivery: protocol.DeliveryPending, Content: parts(t, protocol.Part{Type: "text", Text: "two"})},
	)
	var r agenttest.Recorder
	if o := r.Run(t.Context(), New(), in); o.Status != protocol.TurnCompleted || r.Text() != "one\ntwo" {
		t.Errorf("%+v %q", o, r.Text())
	}
}

func TestSpec(t *testing.T) {
	s := Spec("script")
	if err := s.Prepare(); err != nil {
		t.Fatal(err)
	}
	_, err := s.CheckConfig(protocol.Object{"temperature": json.RawMessage("1.5")})
	if err == nil || err.Error() != "temperature must be between 0 and 1" {
		t.Error(err)
	}
	for _, d := range directives {
		if d.name == "" || d.do == nil || strings.ContainsAny(d.name, " /") {
			t.Errorf("directive %q is not whole", d.name)
		}
	}
}

// silent is an Emitter and an Item that drops everything.
type silent struct{ turn.Emitter }

func (silent) Begin(protocol.Item) turn.Item      { return silent{} }
func (silent) Add(it protocol.Item) protocol.Item { return it }
func (silent) Steer(ctx context.Context) (protocol.Item, error) {
	<-ctx.Done()
	return protocol.Item{}, ctx.Err()
}
func (silent) Steered() (protocol.Item, bool) { return protocol.Item{}, false }
func (silent) Usage(protocol.Usage)           {}
func (silent) Plan([]protocol.PlanEntry)      {}
func (silent) Event(string, string)           {}
func (silent) ID() string                     { return "itm_1" }
func (silent) Append(string)                  {}
func (silent) Patch(json.RawMessage)          {}
func (silent) Complete(func(*protocol.Item))  {}

// A turn of many deltas allocates no more than one of few.
func TestDeltasDoNotAllocate(t *testing.T) {
	allocs := func(script string) float64 {
		in := input(script)
		return testing.AllocsPerRun(10, func() { turn.Run(t.Context(), New(), in, silent{}) })
	}
	var few, many float64
	for range 5 { // what the runtime allocates meanwhile counts as well
		if few, many = allocs("/deltas 1 80"), allocs("/deltas 100000 80"); many <= few {
			return
		}
	}
	t.Errorf("100000 deltas take %v allocations, one takes %v", many, few)
}

func BenchmarkDeltas(b *testing.B) {
	const n = 100_000
	in := input(fmt.Sprintf("/deltas %d 80", n))
	b.ReportAllocs()
	for b.Loop() {
		turn.Run(b.Context(), New(), in, silent{})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/delta")
}

func BenchmarkWords(b *testing.B) {
	const n = 10_000
	in := input(strings.Repeat("word ", n))
	b.ReportAllocs()
	for b.Loop() {
		turn.Run(b.Context(), New(), in, silent{})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/delta")
}
