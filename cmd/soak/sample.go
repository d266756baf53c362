package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// sample is the daemon at one moment. What the system does not tell is 0.
type sample struct {
	after time.Duration // since the begin

	turns    int64
	turnRate float64 // per second, since the sample before

	threads, loaded, running, subscriptions, connections int
	events                                               int // durable events of all threads that are kept

	goroutines, files int
	heap              int64 // objects
	resident          int64 // all of the process, with the pages of the mapped data file
	anonymous         int64 // the part of it that is no file
	database          int64

	cpu               time.Duration
	core              float64 // per cent of one core, since the sample before
	commit, commitMax time.Duration
}

// String is a line for people.
func (s sample) String() string {
	return fmt.Sprintf("%d turns, %d threads kept, %d in memory, %d goroutines, %d files, %.1f MiB heap, %.1f MiB data file, commit %s",
		s.turns, s.threads, s.loaded, s.goroutines, s.files, float64(s.heap)/mib, float64(s.database)/mib, s.commit.Round(10*time.Microsecond))
}

// stats takes what the daemon says of itself.
func (s *sample) stats(r protocol.ServerStatsResult) {
	s.loaded, s.running, s.subscriptions, s.connections = r.LoadedThreads, r.RunningTurns, r.Subscriptions, r.Connections
	s.goroutines, s.files, s.heap, s.database = r.Goroutines, r.OpenFiles, int64(r.HeapBytes), r.DatabaseBytes
}

// process takes what the system says of the process, where it does.
func (s *sample) process(d *daemon) error {
	if st, err := os.Stat(d.database); err == nil {
		s.database = st.Size()
	}
	proc := fmt.Sprintf("/proc/%d", d.cmd.Process.Pid)
	if _, err := os.Stat(proc); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	files, err := os.ReadDir(proc + "/fd")
	if err != nil {
		return err
	}
	s.files = len(files)
	memory, err := readTable(proc + "/smaps_rollup")
	if err != nil {
		return err
	}
	s.resident, s.anonymous = memory["Rss"]<<10, memory["Anonymous"]<<10
	s.cpu, err = readCPU(proc + "/stat")
	return err
}

// readTable reads lines such as "Rss:  1234 kB".
func readTable(path string) (map[string]int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	table := map[string]int64{}
	for in := bufio.NewScanner(f); in.Scan(); {
		if words := strings.Fields(in.Text()); len(words) == 3 {
			if n, err := strconv.ParseInt(words[1], 10, 64); err == nil {
				table[strings.TrimSuffix(words[0], ":")] = n
			}
		}
	}
	return table, nil
}

// clockTick is the unit of times in /proc, the same on all systems that have it.
const clockTick = 10 * time.Millisecond

// readCPU returns how long a process has been running on any core.
func readCPU(path string) (time.Duration, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	// The name of the program, in brackets, may hold spaces.
	words := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(words) < 13 {
		return 0, fmt.Errorf("%s is not as expected: %q", path, text)
	}
	user, err1 := strconv.ParseInt(words[11], 10, 64)
	system, err2 := strconv.ParseInt(words[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}
