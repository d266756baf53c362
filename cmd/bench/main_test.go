package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// builtSpool builds the program under test as a user has it: stripped, without race detector.
var builtSpool = sync.OnceValues(func() (bin string, err error) {
	if builtDir, err = os.MkdirTemp("", "spbench"); err != nil {
		return "", err
	}
	bin = filepath.Join(builtDir, "spool")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "github.com/spoolhq/spool/cmd/spool")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return bin, fmt.Errorf("building spool: %w\n%s", err, out)
	}
	return bin, nil
})

var builtDir string // removed at the end

// spool returns the path of the built program.
func spool(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the program and carries out every measure")
	}
	bin, err := builtSpool()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// TestMain lets the test binary play the roles of the program, as it starts itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childWord {
		os.Exit(runChild(os.Args[2:]))
	}
	// The race detector lets a program that ends sleep for a second, and many are started here.
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	code := m.Run()
	if builtDir != "" {
		os.RemoveAll(builtDir)
	}
	os.Exit(code)
}

// TestShortRun carries out every measure with small sizes against the built program. How large
// the figures are says nothing here; that they are there does.
func TestShortRun(t *testing.T) {
	bin := spool(t)
	t.Chdir(t.TempDir())
	page := "# Figures\n\n" + markBegin + "\nold\n" + markEnd + "\n\nafter\n"
	if err := os.WriteFile("page.md", []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, log strings.Builder
	args := []string{"-short", "-rounds", "1", "-spool", bin, "-json", "rows.json", "-md", "page.md"}
	if code := run(t.Context(), args, &out, io.MultiWriter(&log, t.Output())); code != 0 {
		t.Fatalf("exit code %d\n%s", code, &out)
	}
	rows := readRows(t, "rows.json")
	checkRows(t, rows)
	checkPage(t, rows)
	if !strings.Contains(out.String(), "SHORT") {
		t.Errorf("the table does not say that the sizes are small:\n%s", &out)
	}
	if left, _ := filepath.Glob(".bench-*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func readRows(t *testing.T, name string) []Row {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var found struct{ Rows []Row }
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatal(err)
	}
	return found.Rows
}

func checkRows(t *testing.T, rows []Row) {
	t.Helper()
	goals := map[string]int{}
	for _, r := range rows {
		if r.Goal != "" {
			goals[r.ID]++
			// Nothing but a count of what should not happen may be 0 and meet its goal.
			if r.Value <= 0 && !strings.HasPrefix(r.Goal, "≤") {
				t.Errorf("%s %s: measured %v", r.ID, r.What, r.Value)
			}
		}
		if math.IsNaN(r.Value+r.Limit) || math.IsInf(r.Value+r.Limit, 0) || r.Value < 0 || r.Limit < 0 {
			t.Errorf("%s %s: measured %v, limit %v", r.ID, r.What, r.Value, r.Limit)
		}
		if r.What == "" || (r.LimitOf != "") != (r.Limit != 0) {
			t.Errorf("a row does not say what it is: %+v", r)
		}
	}
	for _, m := range measures {
		for _, id := range m.ids {
			if goals[id] == 0 {
				t.Errorf("%s: no row with a goal", id)
			}
		}
	}
}

func checkPage(t *testing.T, rows []Row) {
	t.Helper()
	text, err := os.ReadFile("page.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	if strings.Contains(page, "old") || !strings.HasPrefix(page, "# Figures\n") || !strings.HasSuffix(page, "\n\nafter\n") {
		t.Errorf("more or less than the marked part was replaced:\n%s", page)
	}
	if got, want := strings.Count(page, "\n|"), len(rows)+2; got != want {
		t.Errorf("the table has %d lines, want %d:\n%s", got, want, page)
	}
}

func TestNoProgram(t *testing.T) {
	t.Chdir(t.TempDir())
	var out, log strings.Builder
	if code := run(t.Context(), []string{"-spool", "nowhere"}, &out, &log); code != 2 || !strings.Contains(log.String(), "make build") {
		t.Errorf("exit code %d, said %q", code, &log)
	}
}

func TestMeasureFails(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("spool", []byte("#!/bin/sh\necho broken >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	var out, log strings.Builder
	code := run(t.Context(), []string{"-short", "-only", "P1,P5", "-spool", "spool"}, &out, &log)
	if code != 2 || strings.Count(log.String(), "the daemon did not start") != 2 {
		t.Errorf("exit code %d, said %q", code, &log)
	}
}
