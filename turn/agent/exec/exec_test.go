//go:build unix

package exec

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
	"github.com/spoolhq/spool/turn/agenttest"
)

// script is a shell program that writes lines.
func script(lines ...string) Options {
	return shell("cat <<'END'\n" + strings.Join(lines, "\n") + "\nEND\n")
}

func TestLines(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		want  []string
	}{
		{
			"lines in a row are one message",
			[]string{`{"type":"text","text":"Good "}`, ``, ` {"text":"day","type":"text"} `, `{"type":"text","text":""}`},
			[]string{"begin agentMessage", `delta agentMessage "Good "`, `delta agentMessage "day"`, "complete agentMessage completed"},
		},
		{
			"end begins another message",
			[]string{`{"type":"text","text":"a"}`, `{"type":"end"}`, `{"type":"end"}`, `{"type":"text","text":"b"}`},
			[]string{
				"begin agentMessage", `delta agentMessage "a"`, "complete agentMessage completed",
				"begin agentMessage", `delta agentMessage "b"`, "complete agentMessage completed",
			},
		},
		{
			"reasoning",
			[]string{`{"type":"reasoning","text":"Hm"}`, `{"type":"text","text":"a"}`},
			[]string{
				"begin reasoning", `delta reasoning "Hm"`, "complete reasoning completed",
				"begin agentMessage", `delta agentMessage "a"`, "complete agentMessage completed",
			},
		},
		{
			"state, plan, usage and event leave the message open",
			[]string{
				`{"type":"text","text":"a"}`, `{"type":"state","patch":{"step":1}}`, `{"type":"plan","entries":[{"text":"x","status":"pending"}]}`,
				`{"type":"usage","inputTokens":1,"outputTokens":2}`, `{"type":"event","kind":"progress","text":"half"}`,
				`{"type":"state","patch":{"step":2}}`, `{"type":"text","text":"b"}`,
			},
			[]string{
				"begin agentMessage", `delta agentMessage "a"`, "begin state", `patch state {"step":1}`, "plan 1", "usage 1 2",
				"event progress half", `patch state {"step":2}`, `delta agentMessage "b"`,
				"complete agentMessage completed", "complete state completed",
			},
		},
		{
			"items",
			[]string{
				`{"type":"text","text":"a"}`,
				`{"type":"item","item":{"type":"commandExecution","command":["ls"],"output":"x","exitCode":0}}`,
				`{"type":"item","item":{"type":"toolCall","tool":"t","status":"failed"}}`,
			},
			[]string{"begin agentMessage", `delta agentMessage "a"`, "complete agentMessage completed", "add commandExecution completed", "add toolCall failed"},
		},
		{"nothing", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, r := run(t, script(tt.lines...), say("x"))
			if o.Status != protocol.TurnCompleted {
				t.Fatalf("%+v", o.Error)
			}
			if diff := cmp.Diff(tt.want, r.Log()); diff != "" {
				t.Error(diff)
			}
			for _, it := range r.Items() {
				if it.Type == protocol.ItemToolCall && (it.Executor != protocol.ExecutorAgent || it.CallID == "") {
					t.Errorf("%+v", it)
				}
			}
		})
	}
}

// What is wrong with a line is said, with the line, and fails the turn.
func TestWrongLines(t *testing.T) {
	for written, want := range map[string]string{
		`hello`:         "it is not a JSON object: hello",
		`"hello"`:       "it is not a JSON object",
		`{"text":"a"}`:  "it has no type",
		`{"type":1}`:    "it has no type",
		`{"type":"tex"`: "it is not a JSON object",
		`{"type":"say"}`: "its type is not one of approve, ask, call, end, event, fail, item, plan, reasoning, state, steer, text, usage: " +
			`{"type":"say"}`,
		`{"type":"text"}`:                                                "text is required",
		`{"type":"text","text":1}`:                                       "text must be a string",
		`{"type":"text","text":"a","txt":"b"}`:                           "txt is not a known field",
		`{"type":"text","text":null}`:                                    "text must not be null",
		`{"type":"state","patch":[]}`:                                    "patch must be an object",
		`{"type":"plan","entries":[{"text":"a","status":"done"}]}`:       "entries[0].status must be one of",
		`{"type":"usage","inputTokens":-1,"outputTokens":0}`:             "must not be negative",
		`{"type":"item","item":{"type":"approval"}}`:                     "item.type is for lines of the types approve and ask",
		`{"type":"item","item":{"type":"plan","text":"x"}}`:              "item.text is not a field of an item of type plan",
		`{"type":"item","item":{"type":"notice","status":"inProgress"}}`: "item.status must be final",
		`{"type":"item","item":7}`:                                       "item must be an object",
		`{"type":"ask","id":"1","questions":[]}`:                         "questions must not be empty",
		`{"type":"approve","id":"1","kind":"x","operation":""}`:          "operation must not be empty",
		`{"type":"call","id":"1","tool":""}`:                             "tool must not be empty",
		`{"type":"steer"}`:                                               "id is required",
		"a\x1b[31mb\x07c":                                                "it is not a JSON object: abc",
	} {
		t.Run(written, func(t *testing.T) {
			o, r := run(t, script(written, `{"type":"text","text":"never"}`), say("x"))
			if o.Error == nil || o.Error.Code != protocol.TurnErrAgent || !strings.Contains(o.Error.Message, "a line that is not of the protocol: ") ||
				!strings.Contains(o.Error.Message, want) {
				t.Errorf("%+v; want %q", o.Error, want)
			}
			if r.Text() != "" {
				t.Errorf("said %q", r.Text())
			}
		})
	}
}

func TestLineLimit(t *testing.T) {
	long := func(n int) Options {
		o := shell(fmt.Sprintf(`printf '{"type":"text","text":"'; head -c %d /dev/zero | tr '\0' x; echo '"}'`, n))
		o.MaxLineBytes = 61_000
		return o
	}
	if o, r := run(t, long(60_000), say("x")); o.Status != protocol.TurnCompleted || len(r.Text()) != 60_000 {
		t.Errorf("%+v", o.Error)
	}
	for _, n := range []int{61_000, 200_000} {
		if o, _ := run(t, long(n), say("x")); o.Error == nil || o.Error.Message != "the program wrote a line of more than 61000 bytes" {
			t.Errorf("%d bytes: %+v", n, o.Error)
		}
	}
}

// What the program is told at first is all that an agent is told.
func TestFirstLine(t *testing.T) {
	in := say("first of all")
	in.Turn.Config = protocol.Object{"model": json.RawMessage(`"m"`)}
	in.Tools = []protocol.Tool{{Name: "t", Description: "d", InputSchema: json.RawMessage(`{}`)}, {Name: "u", InputSchema: json.RawMessage(`{}`)}}
	in.History = func(context.Context) ([]protocol.Item, error) {
		return []protocol.Item{
			{ID: "itm_1", Type: protocol.ItemAgentMessage, Text: "<before>"},
			{ID: "itm_2", TurnID: "trn_1", Type: protocol.ItemUserMessage, Content: json.RawMessage(`[{"type":"text","text":"first of all"}]`)},
		}, nil
	}
	o, r := run(t, self(), in)
	if o.Status != protocol.TurnCompleted {
		t.Fatalf("%+v", o.Error)
	}
	var got struct {
		Text    string
		Turn    protocol.Turn
		Config  protocol.Object
		History []protocol.Item
		Tools   []protocol.Tool
	}
	if err := json.Unmarshal([]byte(r.Text()), &got); err != nil {
		t.Fatal(err)
	}
	if got.Text != "first of all" || got.Turn.ID != "trn_1" || string(got.Config["model"]) != `"m"` || len(got.History) != 2 ||
		got.History[0].Text != "<before>" || len(got.Tools) != 2 || got.Tools[1].Name != "u" {
		t.Errorf("%+v", got)
	}
}

// A turn without input of its own has the text of the messages that waited for it.
func TestPendingText(t *testing.T) {
	in := turn.Input{Turn: protocol.Turn{ID: "trn_1"}}
	in.History = func(context.Context) ([]protocol.Item, error) {
		message := func(turn, text string) protocol.Item {
			return protocol.Item{TurnID: turn, Type: protocol.ItemUserMessage, Content: json.RawMessage(fmt.Sprintf(`[{"type":"text","text":%q}]`, text))}
		}
		return []protocol.Item{message("trn_0", "old"), message("trn_1", "one"), message("trn_1", "two")}, nil
	}
	o := shell("cat")
	o.Plain = true
	if o, r := run(t, o, in); o.Status != protocol.TurnCompleted || r.Text() != "one\ntwo" {
		t.Errorf("%+v %q", o.Error, r.Text())
	}
}

// A program need not read what it is told.
func TestNotReading(t *testing.T) {
	in := say(strings.Repeat("long ", 1<<20))
	if o, r := run(t, script(`{"type":"text","text":"a"}`), in); o.Status != protocol.TurnCompleted || r.Text() != "a" {
		t.Errorf("%+v", o.Error)
	}
}

func TestAnswers(t *testing.T) {
	answered := map[string]protocol.Answer{"q1": {Answers: []string{"here"}}}
	tests := []struct {
		name, line, want string
		set              func(*agenttest.Recorder)
	}{
		{"refused", `{"type":"approve","id":"1","kind":"command","operation":"rm"}`, `{"accepted":false,"id":"1","type":"approval"}`, nil},
		{
			"accepted", `{"type":"approve","id":"x","kind":"command","operation":"rm build","scopeKey":"command:rm","reason":"old","target":["build"]}`,
			`{"accepted":true,"id":"x","type":"approval"}`,
			func(r *agenttest.Recorder) {
				r.OnApprove(func(a turn.Approval) bool {
					return a.Kind == "command" && a.Operation == "rm build" && a.ScopeKey == "command:rm" && a.Reason == "old" && string(a.Target) == `["build"]`
				})
			},
		},
		{"not answered", `{"type":"ask","id":"1","questions":[{"question":"Where?"}]}`, `{"id":"1","type":"answers"}`, nil},
		{
			"answered", `{"type":"ask","id":"1","questions":[{"question":"Where?","options":[{"label":"here"}]},{"id":"pin","question":"PIN?","secret":true}]}`,
			`{"answers":{"q1":{"answers":["here"]}},"id":"1","type":"answers"}`,
			func(r *agenttest.Recorder) {
				r.OnAsk(func(q []protocol.Question) map[string]protocol.Answer {
					if len(q) != 2 || q[0].Header != "Where?" || q[0].AllowOther || q[1].ID != "pin" || !q[1].AllowOther || !q[1].Secret {
						return nil
					}
					return answered
				})
			},
		},
		{"no such tool", `{"type":"call","id":"1","tool":"t"}`, `{"error":{"code":"ToolUnavailable","message":"no client offers the tool t"},"id":"1","success":false,"type":"result"}`, nil},
		{
			"tool", `{"type":"call","id":"1","tool":"t","namespace":"n","arguments":{"a":1}}`,
			`{"content":[{"text":"72 F","type":"text"}],"id":"1","structured":{"f":72},"success":true,"type":"result"}`,
			func(r *agenttest.Recorder) {
				r.OnCall(func(c turn.ToolCall) protocol.ToolCallResult {
					return protocol.ToolCallResult{
						Success: c.Tool == "t" && c.Namespace == "n" && string(c.Arguments) == `{"a":1}`,
						Content: []protocol.Part{{Type: "text", Text: "72 F"}}, Structured: json.RawMessage(`{"f":72}`),
					}
				})
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r agenttest.Recorder
			if tt.set != nil {
				tt.set(&r)
			}
			o := r.Run(t.Context(), open(t, self()), say("ask "+tt.line))
			if o.Status != protocol.TurnCompleted || r.Text() != tt.want {
				t.Errorf("%+v\n%s\nwant\n%s", o.Error, r.Text(), tt.want)
			}
		})
	}
}

func TestManyAsksAtOnce(t *testing.T) {
	if o, r := run(t, self(), say("many")); o.Status != protocol.TurnCompleted || r.Text() != fmt.Sprint(3*maxOpen) {
		t.Errorf("%+v %q", o.Error, r.Text())
	}
}

func TestSameIDTwice(t *testing.T) {
	o, _ := run(t, script(`{"type":"steer","id":"1"}`, `{"type":"steer","id":"1"}`), say("x"))
	if o.Error == nil || !strings.Contains(o.Error.Message, `asked twice with the id "1"`) {
		t.Errorf("%+v", o)
	}
}

func TestSteer(t *testing.T) {
	var r agenttest.Recorder
	r.Send("use metric units")
	if o := r.Run(t.Context(), open(t, self()), say("steer")); o.Status != protocol.TurnCompleted || r.Text() != "use metric units" {
		t.Errorf("%+v %q", o.Error, r.Text())
	}
	for _, sent := range []bool{true, false} {
		var r agenttest.Recorder
		if sent {
			r.Send("x")
		}
		if r.Run(t.Context(), open(t, self()), say("steered")); r.Text() != fmt.Sprint(sent) {
			t.Errorf("%q; want %v", r.Text(), sent)
		}
	}
}

// A program that does not ask for messages takes none from the turn after it.
func TestSteersAreLeft(t *testing.T) {
	var r agenttest.Recorder
	r.Send("later")
	r.Run(t.Context(), open(t, self()), say("Hello"))
	if len(r.Items()) != 1 {
		t.Error(r.Log())
	}
}

// What waits for an answer ends with the program.
func TestEndsWhileAsking(t *testing.T) {
	var r agenttest.Recorder
	o := r.Run(t.Context(), open(t, script(`{"type":"steer","id":"1"}`)), say("x"))
	if o.Status != protocol.TurnCompleted {
		t.Errorf("%+v", o.Error)
	}
}

func TestFailures(t *testing.T) {
	tests := []struct {
		name, script string
		want         protocol.TurnError
	}{
		{
			"the program says so", `echo '{"type":"text","text":"a"}'; echo '{"type":"fail","message":"no way","retryable":true}'; exit 7`,
			protocol.TurnError{Code: "AgentError", Message: "no way", Retryable: true},
		},
		{"without end of the line", `printf '{"type":"fail","message":"no"}'; exit 7`, protocol.TurnError{Code: "AgentError", Message: "no"}},
		{"exit code", `exit 7`, protocol.TurnError{Code: "AgentError", Message: "the program ended with exit code 7", Details: json.RawMessage(`{"exitCode":7}`)}},
		{
			"standard error", `printf '\033[31mTraceback\033[0m\n\n  boom \001\n' >&2; exit 1`,
			protocol.TurnError{Code: "AgentError", Message: "the program ended with exit code 1: Traceback\nboom", Details: json.RawMessage(`{"exitCode":1}`)},
		},
		{
			"many lines of it", `for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $i >&2; done; exit 1`,
			protocol.TurnError{
				Code: "AgentError", Message: "the program ended with exit code 1: line 3\nline 4\nline 5\nline 6\nline 7\nline 8\nline 9\nline 10\nline 11\nline 12",
				Details: json.RawMessage(`{"exitCode":1}`),
			},
		},
		{"a signal", `kill -9 $$`, protocol.TurnError{Code: "AgentError", Message: "the program was ended by a signal: killed"}},
		{
			"a torn line", `printf '{"type":"te'; exit 3`,
			protocol.TurnError{Code: "AgentError", Message: "the program ended with exit code 3", Details: json.RawMessage(`{"exitCode":3}`)},
		},
		{
			"a torn line and no other fault", `printf '{"type":"te'`,
			protocol.TurnError{Code: "AgentError", Message: `the program wrote a line that is not of the protocol: it is not a JSON object: {"type":"te`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, _ := run(t, shell(tt.script), say("x"))
			if o.Status != protocol.TurnFailed {
				t.Fatalf("%+v", o)
			}
			if diff := cmp.Diff(tt.want, *o.Error); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMuchStandardError(t *testing.T) {
	o, _ := run(t, shell(`yes complaint | head -c 3000000 >&2; exit 1`), say("x"))
	if o.Error == nil || len(o.Error.Message) > complaintBytes+100 || !strings.Contains(o.Error.Message, "complaint") {
		t.Errorf("%+v", o.Error)
	}
}

func TestUnavailable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]Options{
		"the program no-such-program-here cannot be started: executable file not found in $PATH": {Command: []string{"no-such-program-here"}},
		"there is no folder /no/such":                {Command: []string{"cat"}, Dir: "/no/such"},
		"notes cannot be started: permission denied": {Command: []string{file}},
		"/nothing cannot be started: no such file":   {Command: []string{"./nothing"}},
	} {
		out, _ := run(t, o, say("x"))
		if out.Error == nil || out.Error.Code != protocol.TurnErrUnavailable || !strings.Contains(out.Error.Message, want) {
			t.Errorf("%+v; want %q", out.Error, want)
		}
	}
}

func TestOptions(t *testing.T) {
	for want, o := range map[string]Options{
		"command is required":          {},
		"env must hold":                {Command: []string{"cat"}, Env: []string{"=x"}},
		"must not be negative":         {Command: []string{"cat"}, Grace: -1},
		"agent a: command is required": {Command: []string{""}},
	} {
		if _, err := Spec("a", o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	s, err := Spec("a", Options{Command: []string{"/bin/cat"}, Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Prepare(); err != nil || s.Kind != Kind || s.Description != "Answers with the program cat." {
		t.Errorf("%v %+v", err, s)
	}
}

// Of the daemon's environment a program sees what it needs and what is named.
func TestEnvironment(t *testing.T) {
	o := shell("env")
	o.Plain = true
	o.Env = []string{"TEAM_KEY", "MODE=quick", "LANG=C", "NOT_SET"}
	o.Environ = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/home/x", "LANG=de_DE", "LC_TIME=de_DE", "TEAM_KEY=sk-team-0123", "OPENAI_API_KEY=sk-secret-0123",
		"AWS_SECRET_ACCESS_KEY=x", "SPOOL_DATA=/data", "LD_PRELOAD=x",
	}
	_, r := run(t, o, say("x"))
	for _, want := range []string{"HOME=/home/x", "LANG=C", "LC_TIME=de_DE", "TEAM_KEY=sk-team-0123", "MODE=quick", "SPOOL_THREAD=thr_1"} {
		if !strings.Contains("\n"+r.Text()+"\n", "\n"+want+"\n") {
			t.Errorf("%s is not in\n%s", want, r.Text())
		}
	}
	for _, not := range []string{"OPENAI", "AWS", "SPOOL_DATA", "LD_PRELOAD", "NOT_SET", "de_DE\nLANG"} {
		if strings.Contains(r.Text(), not) {
			t.Errorf("%s is in\n%s", not, r.Text())
		}
	}
}

// What the program was given in its variables is not in errors.
func TestSecretsAreHidden(t *testing.T) {
	for name, script := range map[string]string{
		"standard error": `echo "cannot log in with $TEAM_KEY" >&2; exit 1`,
		"a line":         `echo "cannot log in with $TEAM_KEY"`,
		"cut":            `head -c 8200 /dev/zero | tr '\0' x >&2; echo $TEAM_KEY$TEAM_KEY >&2; head -c 2030 /dev/zero | tr '\0' y >&2; exit 1`,
	} {
		o := shell(script)
		o.Env, o.Environ = []string{"TEAM_KEY"}, []string{"PATH=" + os.Getenv("PATH"), "TEAM_KEY=sk-0123456789abcdef"}
		out, _ := run(t, o, say("x"))
		if out.Error == nil || strings.Contains(out.Error.Message, "cdef") || name != "cut" && !strings.Contains(out.Error.Message, "with $TEAM_KEY") {
			t.Errorf("%s: %+v", name, out.Error)
		}
	}
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "where"), []byte("#!/bin/sh\npwd -P\n"), 0o700); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	want, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"dir":  {Command: []string{"./where"}, Dir: dir},
		"home": {Command: []string{"./where"}, Environ: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}},
	} {
		o.Plain = true
		a, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		var r agenttest.Recorder
		if out := r.Run(t.Context(), a, say("x")); r.Text() != want {
			t.Errorf("%s: %q, want %q: %+v", name, r.Text(), want, out.Error)
		}
	}
}

func TestPlain(t *testing.T) {
	for script, want := range map[string]string{
		`cat`:                             "Good\nday",
		`echo hi`:                         "hi",
		`printf 'a\n\n'`:                  "a\n",
		`printf 'a\n\n\nb'`:               "a\n\n\nb",
		`printf 'caf\303'; printf '\251'`: "café",
		`printf 'x\377y\303'`:             "x�y�",
		`true`:                            "",
		`printf '{"type":"fail"}\n'`:      `{"type":"fail"}`,
	} {
		o := shell(script)
		o.Plain = true
		if out, r := run(t, o, say("Good\nday")); out.Status != protocol.TurnCompleted || r.Text() != want {
			t.Errorf("%s: %+v %q; want %q", script, out.Error, r.Text(), want)
		}
	}
}

// interrupt runs a turn that is interrupted at its first text, and returns how long that
// took.
func interrupt(t *testing.T, o Options, in turn.Input) (*agenttest.Recorder, time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var r agenttest.Recorder
	var at time.Time
	r.OnText(func(string) {
		if at.IsZero() {
			at = time.Now()
			cancel(turn.Cancelled{Reason: protocol.CancelUser})
		}
	})
	if out := r.Run(ctx, open(t, o), in); out.Status != protocol.TurnCancelled {
		t.Fatalf("%+v %+v", out, out.Error)
	}
	return &r, time.Since(at)
}

// A program that is told to stop may still say something.
func TestStopLine(t *testing.T) {
	o := self()
	o.Grace = patience
	if r, _ := interrupt(t, o, say("bye")); r.Text() != "Well, bye" {
		t.Errorf("%q", r.Text())
	}
}

func TestTerminate(t *testing.T) {
	o := shell(`trap 'echo "{\"type\":\"text\",\"text\":\", bye\"}"; exit' TERM
		echo '{"type":"text","text":"Well"}'; while :; do read line || sleep 0.01; done`)
	o.Grace = patience
	r, took := interrupt(t, o, say("x"))
	if r.Text() != "Well, bye" || took < stopDelay {
		t.Errorf("%q after %v", r.Text(), took)
	}
}

// A program that ignores everything is killed, with all that it started.
func TestKill(t *testing.T) {
	o := shell(`trap '' TERM; exec 3>fifo; echo '{"type":"text","text":"Well"}'; sleep 1000 & wait; sleep 1000`)
	o.Grace, o.Dir = 50*time.Millisecond, t.TempDir()
	left := fifo(t, o.Dir)
	if _, took := interrupt(t, o, say("x")); took > patience {
		t.Errorf("it took %v", took)
	}
	left.gone()
}

// What a program leaves running in its group ends with it, also where it holds the output.
func TestNoOrphans(t *testing.T) {
	for name, script := range map[string]string{
		"with the output":    `exec 3>fifo; sleep 1000 & echo '{"type":"text","text":"done"}'`,
		"without the output": `exec 3>fifo; sleep 1000 >/dev/null 2>&1 & echo '{"type":"text","text":"done"}'`,
	} {
		t.Run(name, func(t *testing.T) {
			o := shell(script)
			o.Dir = t.TempDir()
			left := fifo(t, o.Dir)
			if out, r := run(t, o, say("x")); out.Status != protocol.TurnCompleted || r.Text() != "done" {
				t.Errorf("%+v", out.Error)
			}
			left.gone()
		})
	}
}

// The output of what goes on a little longer than the program is taken.
func TestLingering(t *testing.T) {
	a := open(t, shell(`(sleep 0.1; echo '{"type":"text","text":"done"}') &`))
	a.(*agent).lingering = patience
	var r agenttest.Recorder
	if out := r.Run(t.Context(), a, say("x")); out.Status != protocol.TurnCompleted || r.Text() != "done" {
		t.Errorf("%+v %q", out.Error, r.Text())
	}
}

// All that a program wrote is taken, however long that takes after its end.
func TestOutputIsTakenSlowly(t *testing.T) {
	const n = 1500 // they fit into a pipe
	for name, o := range map[string]Options{
		"lines": shell(fmt.Sprintf(`yes '{"type":"text","text":"word "}' | head -n %d`, n)),
		"plain": {Command: []string{"sh", "-c", fmt.Sprintf(`yes 'word ' | tr -d '\n' | head -c %d`, n*len("word "))}, Plain: true},
	} {
		t.Run(name, func(t *testing.T) {
			a := open(t, o)
			a.(*agent).lingering = time.Millisecond
			var r agenttest.Recorder
			var once sync.Once
			r.OnText(func(string) { once.Do(func() { <-time.After(200 * time.Millisecond) }) })
			out := r.Run(t.Context(), a, say("x"))
			if out.Status != protocol.TurnCompleted || r.Text() != strings.Repeat("word ", n) {
				t.Errorf("%+v, %d bytes", out.Error, len(r.Text()))
			}
		})
	}
}

// A process that left the group may hold the output as long as it likes, and write to it.
func TestEscape(t *testing.T) {
	if _, err := osexec.LookPath("setsid"); err != nil {
		t.Skip("there is no setsid")
	}
	for name, does := range map[string]string{"it is silent": `exec sleep 1000`, "it writes": `exec yes ""`} {
		t.Run(name, func(t *testing.T) {
			o := shell(`setsid sh -c 'echo $$ >pid; ` + does + `' & while ! [ -s pid ]; do :; done; echo '{"type":"text","text":"done"}'`)
			o.Dir = t.TempDir()
			a := open(t, o)
			a.(*agent).lingering = 50 * time.Millisecond
			if name == "it is silent" { // the other ends when nobody reads
				t.Cleanup(func() { killNamed(filepath.Join(o.Dir, "pid")) })
			}
			var r agenttest.Recorder
			if out := r.Run(t.Context(), a, say("x")); out.Status != protocol.TurnCompleted || r.Text() != "done" {
				t.Errorf("%+v %q", out.Error, r.Text())
			}
		})
	}
}

// killNamed kills the process whose number is in a file.
func killNamed(path string) {
	var pid int
	raw, _ := os.ReadFile(path)
	if _, err := fmt.Sscan(string(raw), &pid); err == nil && pid > 1 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// Whatever becomes of the daemon, its programs end, and what they started.
func TestDaemonIsKilled(t *testing.T) {
	dir := t.TempDir()
	left := fifo(t, dir)
	cmd := osexec.Command(os.Args[0], `trap '' TERM HUP PIPE; exec 3>fifo; sleep 1000 & echo ready >&3; while :; do sleep 1000; done`)
	cmd.Env = append(os.Environ(), variable+"=daemon", "HOME="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	left.ready()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	left.gone()
}

// That holds from the first moment on: here the program itself kills the daemon, which may not
// even know yet that it has started it.
func TestDaemonIsKilledAtOnce(t *testing.T) {
	dir := t.TempDir()
	left := fifo(t, dir)
	cmd := osexec.Command(os.Args[0], `trap '' TERM HUP PIPE; exec 3>fifo; sleep 1000 & kill -s KILL $PPID; sleep 1000`)
	cmd.Env = append(os.Environ(), variable+"=daemon", "HOME="+dir)
	if err := cmd.Run(); err == nil || cmd.ProcessState.Exited() {
		t.Errorf("the daemon was not killed: %v", err)
	}
	left.gone()
}

// witness is a named pipe that processes have open for writing.
type witness struct {
	*testing.T
	opened chan *os.File
}

// fifo makes a witness of the name fifo.
func fifo(t *testing.T, dir string) witness {
	t.Helper()
	path := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	w := witness{t, make(chan *os.File, 1)}
	var wg sync.WaitGroup
	wg.Go(func() {
		f, err := os.Open(path) // waits for somebody who writes
		if err != nil {
			t.Error(err)
		}
		w.opened <- f
	})
	t.Cleanup(func() {
		if f, err := os.OpenFile(path, os.O_RDWR, 0); err == nil {
			f.Close()
		}
		wg.Wait()
		select {
		case f := <-w.opened:
			f.Close()
		default:
		}
	})
	return w
}

// take returns the pipe when a process has it open.
func (w witness) take() *os.File {
	w.Helper()
	select {
	case f := <-w.opened:
		if err := f.SetReadDeadline(time.Now().Add(patience)); err != nil {
			w.Fatal(err)
		}
		w.opened <- f
		return f
	case <-time.After(patience):
		w.Fatal("no process has opened the pipe")
		return nil
	}
}

// ready waits until a process says that it is.
func (w witness) ready() {
	w.Helper()
	if _, err := io.ReadFull(w.take(), make([]byte, len("ready\n"))); err != nil {
		w.Fatal(err)
	}
}

// gone waits until no process that had the pipe is left.
func (w witness) gone() {
	w.Helper()
	if _, err := io.Copy(io.Discard, w.take()); err != nil {
		w.Errorf("a process is left: %v", err)
	}
}

// BenchmarkTurn is what it takes to start a program and clear up after it.
func BenchmarkTurn(b *testing.B) {
	a := open(b, script(`{"type":"text","text":"a"}`))
	in := say("x")
	for b.Loop() {
		var r agenttest.Recorder
		if o := r.Run(b.Context(), a, in); o.Status != protocol.TurnCompleted {
			b.Fatal(o.Error)
		}
	}
}

// BenchmarkLines is what one line of text takes, from the program to the item.
func BenchmarkLines(b *testing.B) {
	const n = 20_000
	a := open(b, shell(fmt.Sprintf(`yes '{"type":"text","text":"word "}' | head -n %d`, n)))
	in := say("x")
	for b.Loop() {
		var r agenttest.Recorder
		if o := r.Run(b.Context(), a, in); o.Status != protocol.TurnCompleted {
			b.Fatal(o.Error)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/line")
}
