package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// report is all that was seen.
type report struct {
	began      time.Time
	counts     counts
	samples    []sample
	buckets    []bucketSize
	wrong      error                      // why it was ended early; nil: all was well
	idle, last protocol.ServerStatsResult // with nothing to do: at the start, at the end
}

const mib = 1 << 20

// columns are those of the CSV file.
var columns = []struct {
	name  string
	value func(sample) float64
}{
	{"seconds", func(s sample) float64 { return s.after.Seconds() }},
	{"turns", func(s sample) float64 { return float64(s.turns) }},
	{"turns_per_second", func(s sample) float64 { return s.turnRate }},
	{"threads_kept", func(s sample) float64 { return float64(s.threads) }},
	{"threads_loaded", func(s sample) float64 { return float64(s.loaded) }},
	{"turns_running", func(s sample) float64 { return float64(s.running) }},
	{"events_kept", func(s sample) float64 { return float64(s.events) }},
	{"connections", func(s sample) float64 { return float64(s.connections) }},
	{"subscriptions", func(s sample) float64 { return float64(s.subscriptions) }},
	{"goroutines", func(s sample) float64 { return float64(s.goroutines) }},
	{"open_files", func(s sample) float64 { return float64(s.files) }},
	{"heap_mib", func(s sample) float64 { return float64(s.heap) / mib }},
	{"anonymous_mib", func(s sample) float64 { return float64(s.anonymous) / mib }},
	{"resident_mib", func(s sample) float64 { return float64(s.resident) / mib }},
	{"database_mib", func(s sample) float64 { return float64(s.database) / mib }},
	{"core_percent", func(s sample) float64 { return s.core }},
	{"commit_median_ms", func(s sample) float64 { return float64(s.commit.Microseconds()) / 1000 }},
	{"commit_longest_ms", func(s sample) float64 { return float64(s.commitMax.Microseconds()) / 1000 }},
}

// write writes the three files.
func (r *report) write(o options) error {
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	o.say("%s", r.summary())
	return errors.Join(
		r.writeCSV(filepath.Join(o.out, "soak.csv")),
		os.WriteFile(filepath.Join(o.out, "soak.svg"), []byte(r.plot()), 0o644),
		os.WriteFile(filepath.Join(o.out, "soak.md"), []byte(r.text(o)), 0o644),
	)
}

func (r *report) writeCSV(path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := csv.NewWriter(f)
	row := make([]string, len(columns))
	for i, c := range columns {
		row[i] = c.name
	}
	err = w.Write(row)
	for _, s := range r.samples {
		for i, c := range columns {
			row[i] = strconv.FormatFloat(c.value(s), 'f', -1, 64)
		}
		err = errors.Join(err, w.Write(row))
	}
	w.Flush()
	return errors.Join(err, w.Error())
}

// third returns the samples of one of the three thirds of the time: 0, 1, 2.
func (r *report) third(n int) []sample {
	return r.samples[n*len(r.samples)/3 : (n+1)*len(r.samples)/3]
}

// mean is the mean of a column over some samples.
func mean(samples []sample, value func(sample) float64) float64 {
	sum := 0.0
	for _, s := range samples {
		sum += value(s)
	}
	return sum / float64(max(1, len(samples)))
}

// most is the largest value of a column.
func most(samples []sample, value func(sample) float64) float64 {
	top := 0.0
	for _, s := range samples {
		top = max(top, value(s))
	}
	return top
}

// column returns a column by its name.
func column(name string) func(sample) float64 {
	for _, c := range columns {
		if c.name == name {
			return c.value
		}
	}
	panic("no column " + name)
}

// summary is the table of figures, as text and as Markdown.
func (r *report) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| | first third | second third | last third | highest |\n|---|---|---|---|---|\n")
	for _, row := range []struct{ title, column string }{
		{"turns per second", "turns_per_second"},
		{"threads kept", "threads_kept"},
		{"threads in memory", "threads_loaded"},
		{"events kept", "events_kept"},
		{"goroutines", "goroutines"},
		{"open files", "open_files"},
		{"heap, MiB", "heap_mib"},
		{"memory without files, MiB", "anonymous_mib"},
		{"data file, MiB", "database_mib"},
		{"share of one core, %", "core_percent"},
		{"commit, median, ms", "commit_median_ms"},
		{"commit, longest of a sample, ms", "commit_longest_ms"},
	} {
		value := column(row.column)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", row.title, figure(mean(r.third(0), value)),
			figure(mean(r.third(1), value)), figure(mean(r.third(2), value)), figure(most(r.samples, value)))
	}
	return b.String()
}

// figure writes a number with about three digits.
func figure(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

// text is soak.md.
func (r *report) text(o options) string {
	c := &r.counts
	var b strings.Builder
	lasted := time.Duration(0)
	if n := len(r.samples); n > 0 {
		lasted = r.samples[n-1].after.Round(time.Second)
	}
	fmt.Fprintf(&b, `# Soak

`+"`make soak`"+` keeps a daemon busy and watches it from outside; [cmd/soak](../cmd/soak/main.go) says what it
does. This file, [soak.csv](soak.csv) and the curves are what the latest run wrote: %s with
`+"`-rate %g -hands %d -shelf %d -every %s -idle %s -cut %s`"+`.

![Curves of the soak](soak.svg)

%s

%d turns ran on %d threads, %d of which were deleted. %d connections were cut under their clients.
%d threads were followed from their first to their last event (%d events), and what a follower got was
compared, byte for byte, with what the journal kept. At the end of %d threads their journals, what is
read of them and what each input must have led to were compared.

`, lasted, o.rate, o.hands, o.shelf, o.every, o.idle, o.cut, r.outcome(),
		c.turns.Load(), c.threads.Load(), c.deleted.Load(), c.lost.Load(), c.follows.Load(), c.events.Load(), c.verified.Load())
	b.WriteString(r.summary())
	fmt.Fprintf(&b, `
| with nothing to do | goroutines | open files | threads in memory | subscriptions | heap, MiB |
|---|---|---|---|---|---|
| at the start | %d | %d | %d | %d | %s |
| at the end | %d | %d | %d | %d | %s |

`, r.idle.Goroutines, r.idle.OpenFiles, r.idle.LoadedThreads, r.idle.Subscriptions, figure(float64(r.idle.HeapBytes)/mib),
		r.last.Goroutines, r.last.OpenFiles, r.last.LoadedThreads, r.last.Subscriptions, figure(float64(r.last.HeapBytes)/mib))
	b.WriteString(r.file())
	return b.String()
}

// outcome says in a sentence how it went.
func (r *report) outcome() string {
	if r.wrong != nil {
		return fmt.Sprintf("**It was ended early, because something was wrong: %v**", r.wrong)
	}
	return "Nothing was wrong, and in the end the daemon was as small as at its start and stopped by itself."
}

// file says what the data file held in the end.
func (r *report) file() string {
	if len(r.buckets) == 0 || len(r.samples) == 0 {
		return ""
	}
	var b strings.Builder
	events, pages := 0, int64(0)
	b.WriteString("What the data file holds in the end:\n\n| bucket | records | bytes of records, KiB | pages, KiB |\n|---|---|---|---|\n")
	for _, s := range r.buckets {
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", s.name, s.records, s.used>>10, s.pages>>10)
		pages += s.pages
		if s.name == "journal" {
			events = s.records
		}
	}
	size := r.samples[len(r.samples)-1].database
	fmt.Fprintf(&b, "\nThat is %d bytes of pages for each of the %d events that are kept, indexes and answers to\nidempotency keys included; "+
		"the file of %d KiB has %d bytes for each. What is not used is used again.\n", pages/int64(max(1, events)), events, size>>10, size/int64(max(1, events)))
	return b.String()
}
