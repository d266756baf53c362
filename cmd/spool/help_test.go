package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// TestHelp compares the help of every command with testdata/help. Run it with -update to
// write those files anew, and look at the difference.
func TestHelp(t *testing.T) {
	seen := map[string]bool{}
	for _, cmd := range commands(newRoot(newApp(nil, nil, nil, nil))) {
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".txt"
		seen[name] = true
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
			var out bytes.Buffer
			if code := Run(t.Context(), args, nil, &out, &out, nil); code != exitOK {
				t.Fatalf("exit code %d: %s", code, &out)
			}
			compareGolden(t, filepath.Join("testdata/help", name), out.Bytes())
			for i, line := range strings.Split(out.String(), "\n") {
				if strings.HasPrefix(line, "      --") || strings.HasPrefix(line, "  -") {
					continue // descriptions of flags are not broken
				}
				if len([]rune(line)) > 100 {
					t.Errorf("line %d has more than 100 characters: %s", i+1, line)
				}
			}
		})
	}
	files, err := os.ReadDir("testdata/help")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !seen[f.Name()] {
			t.Errorf("testdata/help/%s is of no command; remove it", f.Name())
		}
	}
}

// TestUnknownNames checks that names of nothing are refused, also by what cobra adds.
func TestUnknownNames(t *testing.T) {
	for line, want := range map[string]int{
		"hlep": exitUsage, "threads lst": exitUsage, "help": exitOK, "help threads show": exitOK, "help nope": exitUsage,
		"help threads lst": exitUsage, "completion": exitOK, "completion bsh": exitUsage, "completion bash": exitOK,
	} {
		var out, errs bytes.Buffer
		if code := Run(t.Context(), strings.Fields(line), nil, &out, &errs, nil); code != want {
			t.Errorf("spool %s: exit code %d: %s", line, code, &errs)
		}
		if (want == exitOK) == strings.Contains(errs.String(), "there is no command") {
			t.Errorf("spool %s says %q", line, &errs)
		}
	}
}

func compareGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the help has changed; if that is meant, run go test ./cmd/spool -run TestHelp -update\n%s", diff)
	}
}

// TestEveryCommandExplainsItself demands what a user looks for first.
func TestEveryCommandExplainsItself(t *testing.T) {
	docs, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range commands(newRoot(newApp(nil, nil, nil, nil))) {
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s lacks a short text, a long text or an example", cmd.CommandPath())
		}
		if !strings.Contains(string(docs), "`"+cmd.CommandPath()) {
			t.Errorf("docs/cli.md does not mention %s", cmd.CommandPath())
		}
	}
}

// commands returns a command and all below it, without those that cobra adds.
func commands(cmd *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{cmd}
	for _, c := range cmd.Commands() {
		list = append(list, commands(c)...)
	}
	return list
}
