//go:build unix

package exec

import (
	"encoding/json"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
	"github.com/spoolhq/spool/turn/agenttest"
)

const docs = "../../../docs/"

// guide returns the code of one language in a part of docs/writing-an-agent.md; an empty
// heading is the whole.
func guide(t *testing.T, language, heading string) []string {
	t.Helper()
	raw, err := os.ReadFile(docs + "writing-an-agent.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	if heading != "" {
		_, text, _ = strings.Cut(text, "\n"+heading+"\n")
		text, _, _ = strings.Cut(text, "\n#")
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) == 0 {
		t.Fatalf("there is no %s under %q", language, heading)
	}
	return blocks
}

// The code in the guide is that of files which are run.
func TestGuide(t *testing.T) {
	for language, files := range map[string]string{"sh": docs + "examples/*.sh", "python": docs + "examples/*.py", "go": "../../agenttest/echo_test.go"} {
		var all []string
		names, err := filepath.Glob(files)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(text))
		}
		for _, code := range guide(t, language, "") {
			if language == "go" && !strings.Contains(all[0], code) || language != "go" && !slices.Contains(all, code) {
				t.Errorf("this is not in %s:\n%s", files, code)
			}
		}
	}
}

// The lines in the guide are those that are read and written.
func TestGuideLines(t *testing.T) {
	documented := map[string]bool{}
	for line := range strings.Lines(strings.Join(guide(t, "json", "### What it writes"), "")) {
		l, err := parse([]byte(line))
		if err != nil {
			t.Errorf("%v: %s", err, line)
			continue
		}
		raw, _ := json.Marshal(l)
		var name struct{ Type string }
		_ = json.Unmarshal(raw, &name)
		documented[name.Type] = true
	}
	for name := range lines {
		if !documented[name] {
			t.Errorf("there is no example of %s", name)
		}
	}
	written := map[string]any{
		"approval": &approvalLine{}, "answers": &answersLine{}, "result": &resultLine{}, "stop": &stopLine{},
		"steer": &steeredLine{}, "turn": nil,
	}
	for line := range strings.Lines(strings.Join(guide(t, "json", "### What it reads"), "")) {
		var name struct{ Type string }
		if err := json.Unmarshal([]byte(line), &name); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		into, ok := written[name.Type]
		if !ok {
			t.Errorf("no such line is written: %s", line)
		}
		if name.Type != "turn" && name.Type != "steer" { // whose items are shortened
			if err := protocol.Decode([]byte(line), into); err != nil {
				t.Errorf("%v: %s", err, line)
			}
		}
	}
}

// example returns the options of a program of docs/examples.
func example(t *testing.T, interpreter, name string) Options {
	t.Helper()
	if out, err := osexec.Command(interpreter, "-c", "").CombinedOutput(); err != nil {
		t.Skipf("there is no %s: %v %s", interpreter, err, out)
	}
	path, err := filepath.Abs(docs + "examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Command: []string{interpreter, path}}
}

func TestShellExample(t *testing.T) {
	o := example(t, "sh", "parrot.sh")
	o.Plain = true
	for text, want := range map[string]string{"Good day": "You said: Good day", "": "You said nothing."} {
		if out, r := run(t, o, say(text)); out.Status != protocol.TurnCompleted || r.Text() != want {
			t.Errorf("%+v %q; want %q", out.Error, r.Text(), want)
		}
	}
}

func TestPythonExample(t *testing.T) {
	o := example(t, "python3", "words.py")
	for _, accepted := range []bool{true, false} {
		var r agenttest.Recorder
		r.OnApprove(func(turn.Approval) bool { return accepted })
		out := r.Run(t.Context(), open(t, o), say("Good  day"))
		if out.Status != protocol.TurnCompleted || (r.Text() == "Good day ") != accepted {
			t.Errorf("%+v %q", out.Error, r.Text())
		}
	}
}
