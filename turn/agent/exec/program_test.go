//go:build unix

package exec

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
	"github.com/spoolhq/spool/turn/agenttest"
)

// variable makes the test binary one of the programs below, or a daemon that runs one.
const variable = "EXEC_TEST_PROGRAM"

func TestMain(m *testing.M) {
	switch os.Getenv(variable) {
	case "":
		goleak.VerifyTestMain(m)
	case "daemon":
		daemon()
	default:
		program()
	}
}

// patience is how long the tests wait for what must come, on a machine that may be busy.
const patience = time.Minute

// self are the options of an agent whose program is the test binary.
func self() Options {
	return Options{Command: []string{os.Args[0]}, Env: []string{variable + "=program", "GORACE=atexit_sleep_ms=0"}}
}

// shell are the options of an agent whose program is a shell script.
func shell(script string) Options { return Options{Command: []string{"sh", "-c", script}} }

func open(t testing.TB, o Options) turn.Agent {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func say(text string) turn.Input {
	return turn.Input{Turn: protocol.Turn{ID: "trn_1", ThreadID: "thr_1", Input: protocol.TextInput(text)}}
}

func run(t testing.TB, o Options, in turn.Input) (turn.Outcome, *agenttest.Recorder) {
	t.Helper()
	var r agenttest.Recorder
	return r.Run(t.Context(), open(t, o), in), &r
}

// program is an agent that does what the text of its turn says.
func program() {
	in := bufio.NewReader(os.Stdin)
	first := receive(in)
	name, arg, _ := strings.Cut(first["text"].(string), " ")
	switch name {
	case "work":
		send(map[string]any{"type": "text", "text": "Well"})
		for receive(in)["type"] != "stop" {
		}
	case "bye":
		signal.Ignore(syscall.SIGTERM)
		send(map[string]any{"type": "text", "text": "Well"})
		for receive(in)["type"] != "stop" {
		}
		send(map[string]any{"type": "text", "text": ", bye"})
	case "fail":
		send(map[string]any{"type": "fail", "message": "no way", "retryable": true})
		os.Exit(7)
	case "steer":
		send(map[string]any{"type": "steer", "id": "s"})
		send(map[string]any{"type": "text", "text": fmt.Sprint(receive(in)["text"])})
	case "steered":
		send(map[string]any{"type": "steer", "id": "s", "wait": false})
		_, ok := receive(in)["text"]
		send(map[string]any{"type": "text", "text": fmt.Sprint(ok)})
	case "first":
		delete(first, "type")
		raw, _ := json.Marshal(first)
		send(map[string]any{"type": "text", "text": string(raw)})
	case "many":
		many(in)
	case "ask": // anything, and say what the answer is
		var line map[string]any
		if err := json.Unmarshal([]byte(arg), &line); err != nil {
			panic(err)
		}
		send(line)
		raw, _ := json.Marshal(receive(in))
		send(map[string]any{"type": "text", "text": string(raw)})
	default:
		for word := range strings.SplitAfterSeq(first["text"].(string), " ") {
			send(map[string]any{"type": "text", "text": word})
		}
	}
}

// many asks more than may be open at a time before it reads an answer.
func many(in *bufio.Reader) {
	const n = 3 * maxOpen
	for i := range n {
		send(map[string]any{"type": "call", "id": fmt.Sprint(i), "tool": "t", "arguments": map[string]any{"n": i}})
	}
	seen := map[string]bool{}
	for range n {
		seen[receive(in)["id"].(string)] = true
	}
	send(map[string]any{"type": "text", "text": fmt.Sprint(len(seen))})
}

func receive(in *bufio.Reader) map[string]any {
	raw, err := in.ReadBytes('\n')
	if err != nil {
		fmt.Fprintln(os.Stderr, "no more input:", err)
		os.Exit(1)
	}
	var line map[string]any
	if err := json.Unmarshal(raw, &line); err != nil {
		panic(err)
	}
	return line
}

func send(line map[string]any) {
	raw, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(raw))
}

// daemon runs a turn of an agent whose program is the script in the arguments.
func daemon() {
	a, err := New(shell(os.Args[1]))
	if err != nil {
		panic(err)
	}
	var r agenttest.Recorder
	r.Run(context.Background(), a, say(""))
}
