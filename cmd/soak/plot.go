package main

import (
	"fmt"
	"math"
	"strings"
)

// The plot is one SVG with a panel for each question. It has no background of its own, and
// its colours can be read on a light and on a dark one.

const (
	panelWidth, panelHeight = 470.0, 190.0
	plotLeft, plotTop       = 56.0, 34.0
	plotWidth, plotHeight   = 396.0, 116.0
	panelsInRow             = 2
	pointsOfCurve           = 240
	inkColour               = "#7d8590"
)

// curve is one line of a panel.
type curve struct {
	name, column string
	peaks        bool // of samples that share a point the highest is shown, not the mean
}

// panels are those of the plot, in order.
var panels = []struct {
	title, unit string
	curves      []curve
}{
	{"Turns", "per second", []curve{{"turns", "turns_per_second", false}}},
	{"Processor", "% of one core", []curve{{"daemon", "core_percent", false}}},
	{"Goroutines and open files", "", []curve{{"goroutines", "goroutines", true}, {"open files", "open_files", true}}},
	{"Memory", "MiB", []curve{{"resident, with the mapped file", "resident_mib", false}, {"without files", "anonymous_mib", false}, {"heap", "heap_mib", false}}},
	{"Threads", "", []curve{{"kept", "threads_kept", false}, {"in memory", "threads_loaded", false}}},
	{"Durable events kept", "", []curve{{"events", "events_kept", false}}},
	{"Data file", "MiB", []curve{{"size", "database_mib", false}}},
	{"Commit, as its client sees it", "ms", []curve{{"longest", "commit_longest_ms", true}, {"median", "commit_median_ms", false}}},
}

var curveColours = []string{"#d97706", "#2f81f7", "#2da44e"}

// plot returns the SVG.
func (r *report) plot() string {
	var b strings.Builder
	rows := (len(panels) + panelsInRow - 1) / panelsInRow
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="system-ui, sans-serif" font-size="11" fill="%s">`+"\n",
		panelWidth*panelsInRow, panelHeight*float64(rows), inkColour)
	for i, p := range panels {
		fmt.Fprintf(&b, `<g transform="translate(%g %g)">`+"\n", float64(i%panelsInRow)*panelWidth, float64(i/panelsInRow)*panelHeight)
		title := p.title
		if p.unit != "" {
			title += ", " + p.unit
		}
		fmt.Fprintf(&b, `<text x="%g" y="14" font-size="13" font-weight="600">%s</text>`+"\n", plotLeft, title)
		r.panel(&b, p.curves)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// panel draws the axes, the legend and the curves.
func (r *report) panel(b *strings.Builder, curves []curve) {
	end, top := 1.0, 0.0
	for _, s := range r.samples {
		end = max(end, s.after.Seconds())
		for _, c := range curves {
			top = max(top, column(c.column)(s))
		}
	}
	step := niceStep(top / 4)
	top = max(step, math.Ceil(top/step)*step)
	for v := 0.0; v <= top+step/2; v += step {
		y := plotTop + plotHeight*(1-v/top)
		fmt.Fprintf(b, `<path d="M%g %.1fh%g" stroke="%s" stroke-opacity="0.25"/><text x="%g" y="%.1f" text-anchor="end">%s</text>`+"\n",
			plotLeft, y, plotWidth, inkColour, plotLeft-6, y+4, label(v, step))
	}
	timeAxis(b, end)
	x := plotLeft
	for i, c := range curves {
		colour := curveColours[i]
		fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="1.5" stroke-linejoin="round"/>`+"\n", r.path(c, end, top), colour)
		if len(curves) > 1 {
			fmt.Fprintf(b, `<text x="%g" y="28" fill="%s">%s</text>`+"\n", x, colour, c.name)
			x += 7*float64(len(c.name)) + 16
		}
	}
}

// path is a curve, of so few points that it can be seen.
func (r *report) path(c curve, end, top float64) string {
	var b strings.Builder
	value := column(c.column)
	points := min(len(r.samples), pointsOfCurve)
	for i := range points {
		part := r.samples[i*len(r.samples)/points : (i+1)*len(r.samples)/points]
		v := mean(part, value)
		if c.peaks {
			v = most(part, value)
		}
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", command, plotLeft+plotWidth*mean(part, column("seconds"))/end, plotTop+plotHeight*(1-v/top))
	}
	return b.String()
}

// timeAxis writes the time since the start below a panel.
func timeAxis(b *strings.Builder, end float64) {
	unit, name := 1.0, "s"
	switch {
	case end > 3*3600:
		unit, name = 3600, "h"
	case end > 180:
		unit, name = 60, "min"
	}
	step := niceStep(end / unit / 6)
	for v := 0.0; v <= end/unit; v += step {
		text := label(v, step)
		if v == 0 {
			text = "0 " + name
		}
		fmt.Fprintf(b, `<text x="%.1f" y="%g" text-anchor="middle">%s</text>`+"\n", plotLeft+plotWidth*v*unit/end, plotTop+plotHeight+16, text)
	}
}

// niceStep is the least of 1, 2, 5, 10, 20 … (or a tenth, a hundredth … of them) that is
// not below v.
func niceStep(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 5} {
		if n*unit >= v*0.999 {
			return n * unit
		}
	}
	return 10 * unit
}

// label writes a value of an axis with as many digits as its step needs.
func label(v, step float64) string {
	digits := max(0, int(math.Ceil(-math.Log10(step)-1e-9)))
	return fmt.Sprintf("%.*f", digits, v)
}
