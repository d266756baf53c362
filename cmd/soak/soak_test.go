package main

import (
	"context"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSoak soaks a binary for some seconds.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	dir, err := os.MkdirTemp("", "soakt")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	o := options{
		spool: filepath.Join(dir, "spool"), out: filepath.Join(dir, "out"), long: 5 * time.Second, rate: 60,
		hands: 6, shelf: 5, every: 500 * time.Millisecond, idle: time.Second, cut: 300 * time.Millisecond, say: t.Logf,
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", o.spool, "github.com/spoolhq/spool/cmd/spool")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := enough(t, o, dir)
	checkSamples(t, r)
	if err := r.write(o); err != nil {
		t.Fatal(err)
	}
	checkFiles(t, r, o.out)
}

// enough soaks until there was enough of everything, which takes longer on a slow machine.
func enough(t *testing.T, o options, dir string) *report {
	t.Helper()
	for ; ; o.long *= 2 {
		home, err := os.MkdirTemp(dir, "h")
		if err != nil {
			t.Fatal(err)
		}
		r, err := soak(t.Context(), o, home)
		if err != nil {
			t.Fatal(err)
		}
		few := r.few()
		if len(few) == 0 {
			return r
		}
		if o.long > time.Minute {
			t.Fatalf("within %s there are only %s", o.long, strings.Join(few, ", "))
		}
		t.Logf("within %s there are only %s: once more, for longer", o.long, strings.Join(few, ", "))
	}
}

// few says of what there was too little to judge by.
func (r *report) few() (few []string) {
	c := &r.counts
	for what, n := range map[string]int64{
		"turns": c.turns.Load(), "threads": c.threads.Load(), "cut connections": c.lost.Load(),
		"threads that were followed": c.follows.Load(), "threads that were compared": c.verified.Load(),
		"samples": int64(len(r.samples)), "buckets": int64(len(r.buckets)),
	} {
		if n < 5 {
			few = append(few, fmt.Sprintf("%d %s", n, what))
		}
	}
	return few
}

// checkSamples checks that nothing grew under the load. That the daemon was as small in the
// end as at the start is checked by soak itself.
func checkSamples(t *testing.T, r *report) {
	t.Helper()
	for _, name := range []string{"goroutines", "open_files", "threads_loaded"} {
		before, after := most(r.third(1), column(name)), most(r.third(2), column(name))
		if after > 1.5*before+20 {
			t.Errorf("%s grew from %g to %g", name, before, after)
		}
	}
	// How many turns run at a moment is not among these: in a short soak each sample can lie between turns.
	for _, name := range []string{"heap_mib", "database_mib", "commit_median_ms", "events_kept"} {
		if most(r.samples, column(name)) <= 0 {
			t.Errorf("%s is always 0", name)
		}
	}
	if r.last.LoadedThreads != 0 || r.last.Goroutines > r.idle.Goroutines {
		t.Errorf("in the end the daemon has %d threads in memory and %d goroutines, %d at its start",
			r.last.LoadedThreads, r.last.Goroutines, r.idle.Goroutines)
	}
}

// TestColumns checks that each column that the daemon's own figures fill has its figure.
func TestColumns(t *testing.T) {
	var s sample
	s.stats(protocol.ServerStatsResult{
		LoadedThreads: 1, RunningTurns: 2, Subscriptions: 3, Connections: 4,
		Goroutines: 5, OpenFiles: 6, HeapBytes: 7 * mib, DatabaseBytes: 8 * mib,
	})
	for n, name := range []string{
		"threads_loaded", "turns_running", "subscriptions", "connections",
		"goroutines", "open_files", "heap_mib", "database_mib",
	} {
		if got := column(name)(s); got != float64(n+1) {
			t.Errorf("%s is %g, not %d", name, got, n+1)
		}
	}
}

// checkFiles checks what was written.
func checkFiles(t *testing.T, r *report, out string) {
	t.Helper()
	svg, err := os.Open(filepath.Join(out, "soak.svg"))
	if err != nil {
		t.Fatal(err)
	}
	defer svg.Close()
	paths := 0
	for d := xml.NewDecoder(svg); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("soak.svg is no XML: %v", err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "path" && strings.Contains(fmt.Sprint(e.Attr), "stroke-width") {
			paths++
		}
	}
	curves := 0
	for _, p := range panels {
		curves += len(p.curves)
	}
	if paths != curves {
		t.Errorf("soak.svg has %d curves, not %d", paths, curves)
	}
	table, err := os.Open(filepath.Join(out, "soak.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	rows, err := csv.NewReader(table).ReadAll()
	if err != nil || len(rows) != len(r.samples)+1 || len(rows[0]) != len(columns) {
		t.Errorf("soak.csv has %d rows of %d samples: %v", len(rows), len(r.samples), err)
	}
	text, err := os.ReadFile(filepath.Join(out, "soak.md"))
	if err != nil || !strings.Contains(string(text), "| journal |") || !strings.Contains(string(text), "soak.svg") || !strings.Contains(string(text), "Nothing was wrong") {
		t.Errorf("soak.md is not complete: %v\n%s", err, text)
	}
}

// TestLedger checks that a ledger notices what must not be.
func TestLedger(t *testing.T) {
	good := func() *ledger {
		g := &ledger{}
		for seq, method := range []string{"thread/started", "turn/started", "turn/completed"} {
			turn := ""
			if seq > 0 {
				turn = "trn_1"
			}
			if err := g.durable([]byte(method), method, uint64(seq+1), turn); err != nil {
				t.Fatal(err)
			}
		}
		return g
	}
	for what, next := range map[string]func(*ledger) error{
		"a hole":           func(g *ledger) error { return g.durable(nil, "thread/updated", 5, "") },
		"a repetition":     func(g *ledger) error { return g.durable(nil, "thread/updated", 3, "") },
		"a second end":     func(g *ledger) error { return g.durable(nil, "turn/failed", 4, "trn_1") },
		"an item too late": func(g *ledger) error { return g.durable(nil, "item/completed", 4, "trn_1") },
		"a delta too late": func(g *ledger) error {
			return g.event(sdk.Event{Type: sdk.EventAgentMessageDelta, TurnID: "trn_1", ItemID: "itm_1", Delta: "x"})
		},
		"a wrong delta": func(g *ledger) error {
			if err := g.event(sdk.Event{Type: sdk.EventAgentMessageDelta, TurnID: "trn_2", ItemID: "itm_1", Offset: 2, Delta: "cd"}); err != nil {
				t.Fatal(err)
			}
			return g.complete(&protocol.Item{ID: "itm_1", Text: "abcxyz"})
		},
	} {
		if next(good()) == nil {
			t.Errorf("%s is not noticed", what)
		}
	}
	g, other := good(), good()
	if g.sum != other.sum {
		t.Error("the same events have different sums")
	}
	_ = g.durable([]byte("a"), "thread/updated", 4, "")
	_ = other.durable([]byte("b"), "thread/updated", 4, "")
	if g.sum == other.sum {
		t.Error("different events have the same sum")
	}
	if err := g.durable(nil, "thread/reset", 9, ""); err != nil || g.head != 9 {
		t.Errorf("a reset: %v", err)
	}
}

func TestEnding(t *testing.T) {
	whole := ending{status: protocol.TurnCompleted, text: "abc"}
	part := ending{status: protocol.TurnCancelled, text: "abc", part: true}
	for _, tt := range []struct {
		want   ending
		status protocol.TurnStatus
		text   string
		ok     bool
	}{
		{whole, protocol.TurnCompleted, "abc", true},
		{whole, protocol.TurnCompleted, "ab", false},
		{whole, protocol.TurnFailed, "abc", false},
		{part, protocol.TurnCancelled, "ab", true},
		{part, protocol.TurnCancelled, "", true},
		{part, protocol.TurnCancelled, "ac", false},
		{part, protocol.TurnCancelled, "abcd", false},
	} {
		if err := tt.want.check("trn_1", tt.status, tt.text); (err == nil) != tt.ok {
			t.Errorf("%v with %s %q: %v", tt.want, tt.status, tt.text, err)
		}
	}
}

// TestLeft checks that what is left in a daemon is noticed.
func TestLeft(t *testing.T) {
	p := &probe{idle: protocol.ServerStatsResult{Goroutines: 8, OpenFiles: 13, Connections: 1}}
	if left := p.left(p.idle); left != "" {
		t.Errorf("of an idle daemon %q is left", left)
	}
	busy := p.idle
	busy.Goroutines++
	busy.LoadedThreads = 2
	if left := p.left(busy); left != "2 loaded threads (0 at the start), 9 goroutines (8 at the start)" {
		t.Errorf("%q is left", left)
	}
}

// TestStepsAreBounded checks that a step that hangs is an error.
func TestStepsAreBounded(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("something else is wrong"))
	err := (&hand{}).bounded(ctx, "hang", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	if err == nil || !strings.Contains(err.Error(), "something else is wrong") {
		t.Errorf("got error %v", err)
	}
}

func TestAxes(t *testing.T) {
	for v, want := range map[float64]float64{0: 1, 0.03: 0.05, 0.7: 1, 1: 1, 1.1: 2, 3: 5, 60: 100, 0.2: 0.2} {
		if got := niceStep(v); got < want*0.999 || got > want*1.001 {
			t.Errorf("the step for %g is %g, not %g", v, got, want)
		}
	}
	if a, b := label(0.1, 0.05), label(200, 50); a != "0.10" || b != "200" {
		t.Errorf("labels %q and %q", a, b)
	}
}
