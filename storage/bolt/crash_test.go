package bolt_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
)

// crashEnv makes the test binary a program that writes to the store it names, until it
// is killed.
const crashEnv = "SPOOL_TEST_BOLT_CRASH"

const (
	crashRounds  = 10
	crashThreads = 4
)

// crashThread is the id of thread n of a crash test.
func crashThread(n int) string { return fmt.Sprintf("thr_01JD3Z000000000000000000%02d", n) }

// crashChild appends to its threads for ever, and prints "thread seq" for each event
// that the store has acknowledged.
func crashChild(path string) {
	s, err := bolt.Open(context.Background(), bolt.Options{Path: path})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out := make(chan string)
	for n := range crashThreads {
		id := crashThread(n)
		head, err := s.Head(context.Background(), id)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go func() {
			for seq := head + 1; ; seq++ {
				if err := commit(s, crashBatch(id, seq)); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				out <- fmt.Sprintln(n, seq)
			}
		}()
	}
	for line := range out {
		if _, err := os.Stdout.WriteString(line); err != nil {
			os.Exit(1)
		}
	}
}

// crashBatch has events of many sizes, and moves its thread in the list.
func crashBatch(id string, seq uint64) *storage.Batch {
	frame := fmt.Appendf(make([]byte, seq*37%6000), "event %d", seq)
	return &storage.Batch{
		Thread: id,
		Events: []storage.Event{{Seq: seq, Frame: frame}},
		Row:    &storage.Row{ID: id, Owner: "alice", Updated: int64(seq), Busy: seq%2 == 0},
	}
}

// TestCrash kills a writer at any moment, and checks that each event it had
// acknowledged is there, that no journal has a hole, and that row and events of a
// batch came together.
func TestCrash(t *testing.T) {
	path := dataFile(t)
	openAt(t, path).Close()
	var acked [crashThreads]uint64
	for round := range crashRounds {
		crash(t, path, &acked)
		s, err := bolt.Open(t.Context(), bolt.Options{Path: path, Logf: t.Logf})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for n, seq := range acked {
			checkCrashed(t, s, crashThread(n), seq)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		// A file that was closed properly and one that was not are both opened next.
		if round%2 == 0 {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		} else {
			bolt.Abandon(s)
		}
	}
}

// crash runs the child until it has acknowledged some events, kills it, and notes in
// acked the last of each thread.
func crash(t *testing.T, path string, acked *[crashThreads]uint64) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashEnv+"="+path)
	child.Stderr = os.Stderr
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	kill := 1 + rand.IntN(400)
	lines := bufio.NewScanner(stdout)
	for n := 1; lines.Scan(); n++ { // what was printed before the end is read as well
		var thread int
		var seq uint64
		if _, err := fmt.Sscan(lines.Text(), &thread, &seq); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		acked[thread] = max(acked[thread], seq)
		if n == kill {
			_ = child.Process.Kill()
		}
	}
	_ = child.Wait()
	if child.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v", child.ProcessState)
	}
}

func checkCrashed(t *testing.T, s *bolt.Store, id string, acked uint64) {
	t.Helper()
	events, err := s.Events(t.Context(), id, 0, 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	// Of one the child may not have printed yet that it is kept, while it commits the next.
	if uint64(len(events)) < acked || uint64(len(events)) > acked+2 {
		t.Errorf("%s has %d events, %d were acknowledged", id, len(events), acked)
	}
	for i, e := range events {
		if want := crashBatch(id, uint64(i+1)).Events[0]; e.Seq != want.Seq || string(e.Frame) != string(want.Frame) {
			t.Fatalf("%s: event %d is not what was written", id, i+1)
		}
	}
	if len(events) == 0 {
		return
	}
	row, err := s.Thread(t.Context(), id)
	if err != nil || row.Updated != int64(len(events)) {
		t.Errorf("%s has %d events and the row of %d: %v", id, len(events), row.Updated, err)
	}
}
