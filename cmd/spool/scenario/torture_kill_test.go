package scenario_test

import (
	"flag"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	tortureKills = flag.Int("torture.kills", 0, "how often the daemon is killed; 0: some times")
	tortureSeed  = flag.Uint64("torture.seed", 0, "what the torture draws its choices from; 0: the clock")
	tortureLanes = flag.Int("torture.lanes", 2, "how many daemons are tortured side by side")
)

// TestTorture_Kill kills the daemon with SIGKILL, at random moments and at each point of
// the way of a commit, under a storm of requests of many clients, and checks after each
// restart that nothing acknowledged is lost, nothing runs twice unseen, and every client
// catches up exactly.
func TestTorture_Kill(t *testing.T) {
	kills := *tortureKills
	if kills == 0 {
		kills = 16
		if testing.Short() {
			kills = 6
		}
	}
	seed := *tortureSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano() / 1000 % 1_000_000_000)
	}
	t.Logf("the seed is %d: -torture.seed=%d -torture.kills=%d -torture.lanes=%d", seed, seed, kills, *tortureLanes)
	start := time.Now()
	lanes := min(max(*tortureLanes, 1), kills)
	var mu sync.Mutex
	total := figures{kills: map[string]int{}}
	t.Run("lanes", func(t *testing.T) {
		for i := range lanes {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				l := newLane(t, seed+uint64(i)*7919, "")
				l.run(kills / lanes)
				mu.Lock()
				defer mu.Unlock()
				total.add(l.figures)
			})
		}
	})
	if *tortureKills > 0 {
		t.Logf("%s", total.report(time.Since(start)))
	}
}

func (f *figures) add(o figures) {
	for name, n := range o.kills {
		f.kills[name] += n
	}
	f.missed += o.missed
	f.acknowledged += o.acknowledged
	f.told += o.told
	f.repeated += o.repeated
	f.threads += o.threads
	f.events += o.events
	f.longestLogs = max(f.longestLogs, o.longestLogs)
	f.ready = append(f.ready, o.ready...)
	f.recovery = append(f.recovery, o.recovery...)
}

func (f *figures) report(took time.Duration) string {
	var b strings.Builder
	sum := 0
	for _, n := range f.kills {
		sum += n
	}
	fmt.Fprintf(&b, "%d kills in %s:", sum, took.Round(time.Second))
	for _, name := range slices.Sorted(maps.Keys(f.kills)) {
		fmt.Fprintf(&b, " %s %d,", name, f.kills[name])
	}
	fmt.Fprintf(&b, "\n%d points were not reached in time and became kills by timer", f.missed)
	fmt.Fprintf(&b, "\n%d requests, %d answers proved, %d repeats under a key answered alike", f.events, f.acknowledged, f.repeated)
	fmt.Fprintf(&b, "\n%d threads, %d durable events compared", f.threads, f.told)
	fmt.Fprintf(&b, "\nready after a kill: median %s, most %s", middle(f.ready), most(f.ready))
	fmt.Fprintf(&b, "\nall clients caught up and compared: median %s, most %s", middle(f.recovery), most(f.recovery))
	return b.String()
}

func middle(of []time.Duration) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2].Round(time.Millisecond)
}

func most(of []time.Duration) time.Duration {
	if len(of) == 0 {
		return 0
	}
	return slices.Max(of).Round(time.Millisecond)
}

// TestTorture_KillFinds proves that the torture finds something where there is something:
// a daemon that answers before its commits are kept must not pass, nor one that forgets
// idempotency keys.
func TestTorture_KillFinds(t *testing.T) {
	const enough = 60 // it ends at the first failure, which comes within a few
	for name, faults := range map[string]string{"answers that come too early": "early-ack,delay:nth:5ms", "keys that are forgotten": "forget-keys"} {
		t.Run(name, func(t *testing.T) {
			heard := &listener{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				newLane(heard, 1, faults).run(enough)
			}()
			<-done
			found := heard.failures()
			if len(found) == 0 {
				t.Errorf("%d kills went by without a failure", enough)
			}
			for _, f := range found[:min(3, len(found))] {
				t.Logf("found: %.400s", f)
			}
		})
	}
}

// listener is a testing.TB that keeps failures to itself.
type listener struct {
	testing.TB
	mu     sync.Mutex
	failed []string
}

func (l *listener) failures() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

func (l *listener) fail(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = append(l.failed, text)
}

func (l *listener) Helper()                           {}
func (l *listener) Failed() bool                      { return len(l.failures()) > 0 }
func (l *listener) Log(...any)                        {}
func (l *listener) Logf(string, ...any)               {}
func (l *listener) Error(args ...any)                 { l.fail(fmt.Sprint(args...)) }
func (l *listener) Errorf(format string, args ...any) { l.fail(fmt.Sprintf(format, args...)) }

func (l *listener) Fatal(args ...any) {
	l.fail(fmt.Sprint(args...))
	runtime.Goexit()
}

func (l *listener) Fatalf(format string, args ...any) {
	l.fail(fmt.Sprintf(format, args...))
	runtime.Goexit()
}
