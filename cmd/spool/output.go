package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spoolhq/spool/protocol"
)

// paint colours text for a terminal, or does nothing.
type paint bool

func (a *app) paintOut() paint { return paint(isTerminal(a.out) && a.env["NO_COLOR"] == "") }
func (a *app) paintErr() paint { return paint(isTerminal(a.err) && a.env["NO_COLOR"] == "") }

func (p paint) with(code, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p paint) bold(s string) string  { return p.with("1", s) }
func (p paint) dim(s string) string   { return p.with("2", s) }
func (p paint) red(s string) string   { return p.with("31", s) }
func (p paint) green(s string) string { return p.with("32", s) }

// status colours the state of a thread or a turn.
func (p paint) status(s string) string {
	switch s {
	case "active", "running", "completed":
		return p.green(s)
	case "failed":
		return p.red(s)
	case "archived", "ended", "cancelled":
		return p.dim(s)
	default:
		return s
	}
}

// clean removes what could drive a terminal: agents and other clients choose what is
// printed here.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || !unicode.IsControl(r) {
			return r
		}
		return -1
	}, s)
}

// oneLine makes s fit into a line of a table: no more than n characters, no line breaks.
func oneLine(s string, n int) string {
	s = strings.Join(strings.Fields(clean(s)), " ")
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// printJSON writes v as the daemon would, one document on a line.
func (a *app) printJSON(v any) error {
	raw, err := protocol.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s\n", raw)
	return err
}

// table writes rows with aligned columns and a headline on a terminal, else without both
// and with tabs, for cut and awk.
func (a *app) table(head []string, rows [][]string) error {
	if !isTerminal(a.out) {
		for _, row := range rows {
			if _, err := fmt.Fprintln(a.out, strings.Join(row, "\t")); err != nil {
				return err
			}
		}
		return nil
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	for _, row := range append([][]string{head}, rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	// Colours would count as width, so the headline gets its own after aligning.
	first, rest, _ := strings.Cut(text.String(), "\n")
	_, err := io.WriteString(a.out, a.paintOut().bold(first)+"\n"+rest)
	return err
}

// fields writes "name  value" lines.
func (a *app) fields(pairs [][2]string) error {
	width := 0
	for _, f := range pairs {
		width = max(width, len(f[0]))
	}
	p := a.paintOut()
	for _, f := range pairs {
		if f[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(a.out, "%s  %s\n", p.dim(fmt.Sprintf("%-*s", width, f[0])), f[1]); err != nil {
			return err
		}
	}
	return nil
}

// ago says how long before now a moment was.
func ago(t protocol.Time, now time.Time) string {
	switch d := now.Sub(t.Time()); {
	case d < time.Minute:
		return "now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return t.Time().Local().Format("2006-01-02")
	}
}

// size writes a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}
