package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what a run found.
type report struct {
	rows   []Row
	busy   []float64 // what others did before each measure
	short  bool
	rounds int
	target string
	start  time.Time
}

func newReport(b *bench) *report {
	return &report{short: b.short, rounds: b.rounds, target: b.options.target, start: time.Now()}
}

// header says of what kind the run was.
func (r *report) header() string {
	h := fmt.Sprintf("%d processors, %s/%s, %s; median of %d rounds; others kept %s processors busy (median)",
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), r.rounds, figure(median(r.busy)))
	if r.short {
		h += "; SHORT: the figures mean little"
	}
	if r.target != "" {
		h += "; measured: " + r.target
	}
	return h
}

// cells are the columns of a row as text.
func cells(r Row) []string {
	limit, ratio := "", ""
	if r.Limit != 0 {
		limit = figure(r.Limit) + " " + r.Unit
		ratio = fmt.Sprintf("%.2f", r.Ratio())
	}
	met := ""
	if r.Goal != "" {
		met = "no"
		if r.Met {
			met = "yes"
		}
	}
	return []string{r.ID, r.What, strings.TrimSpace(figure(r.Value) + " " + r.Unit), limit, r.LimitOf, ratio, r.Goal, met, r.Note}
}

var columns = []string{"", "what", "measured", "limit", "limit is", "ratio", "goal", "met", "note"}

// print writes the table for people.
func (r *report) print(out io.Writer) {
	fmt.Fprintln(out, r.header())
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(columns, "\t"))
	for _, row := range r.rows {
		fmt.Fprintln(w, strings.Join(cells(row), "\t"))
	}
	_ = w.Flush() // there is nobody to tell
	met, all := 0, 0
	for _, row := range r.rows {
		if row.Goal != "" {
			all++
			if row.Met {
				met++
			}
		}
	}
	fmt.Fprintf(out, "%d of %d goals met\n", met, all)
}

// write writes the files that were asked for.
func (r *report) write(o options) []error {
	var failed []error
	if o.json != "" {
		text, err := json.MarshalIndent(p{"header": r.header(), "at": r.start.UTC().Format(time.RFC3339), "rows": r.rows}, "", "  ")
		if err == nil {
			err = os.WriteFile(o.json, append(text, '\n'), 0o644)
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	if o.markdown != "" {
		if err := r.updateMarkdown(o.markdown); err != nil {
			failed = append(failed, err)
		}
	}
	return failed
}

// figure writes a number with three digits that count, and thousands apart.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case v == 0:
		return "0"
	case a >= 100:
		return thousands(strconv.FormatFloat(v, 'f', 0, 64))
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func thousands(digits string) string {
	sign, digits := digits[:len(digits)-len(strings.TrimLeft(digits, "-"))], strings.TrimLeft(digits, "-")
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}
