package main

import (
	"os/exec"
	"testing"
)

// TestSeed checks that what is written without a daemon is what a daemon would have written:
// the built program finds nothing wrong with it, and serves it.
func TestSeed(t *testing.T) {
	bin := spool(t)
	t.Chdir(t.TempDir())
	b, err := newBench(options{spool: bin, short: true, rounds: 1}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	}()
	data := t.TempDir()
	none, err := b.seedOf(t.Context(), data, "")
	if err != nil {
		t.Fatal(err)
	}
	one, err := b.seedOf(t.Context(), data, "hello")
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := plant(t.Context(), data, none, 0, 50, 0); err != nil || len(ids) != 50 {
		t.Fatalf("%d threads, error %v", len(ids), err)
	}
	const turns = 30
	ids, err := plant(t.Context(), data, one, turns, 0, 100_000)
	if err != nil || len(ids) < 2 {
		t.Fatalf("%d threads, error %v", len(ids), err)
	}
	if out, err := exec.CommandContext(t.Context(), bin, "verify", "--data", data).CombinedOutput(); err != nil {
		t.Fatalf("spool verify: %v\n%s", err, out)
	}
	checkServed(t, b, data, ids[1], turns)
}

// checkServed looks whether a daemon gives all turns of a thread and runs another.
func checkServed(t *testing.T, b *bench, data, thread string, turns int) {
	t.Helper()
	d, err := b.start(t.Context(), startOptions{data: data, noWS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.stop(); err != nil {
			t.Error(err)
		}
	}()
	c, err := d.dial(t.Context(), "unix")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.call("turn/run", helloTurn(thread, true), nil); err != nil {
		t.Error(err)
	}
	var read struct {
		Turns []struct{ ID, Status, Text string }
	}
	if err := c.call("thread/read", p{"threadId": thread, "includeTurns": true}, &read); err != nil {
		t.Fatal(err)
	}
	if len(read.Turns) != turns+1 {
		t.Errorf("%d turns, want %d", len(read.Turns), turns+1)
	}
	seen := map[string]bool{}
	for _, turn := range read.Turns {
		if turn.Status != "completed" || turn.Text != "hello" || seen[turn.ID] {
			t.Errorf("turn %+v", turn)
		}
		seen[turn.ID] = true
	}
}
