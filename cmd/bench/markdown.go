package main

import (
	"fmt"
	"os"
	"strings"
)

// The marks between which the table of the last run stands in a Markdown file.
const (
	markBegin = "<!-- begin: last run, made by `make bench` -->"
	markEnd   = "<!-- end: last run -->"
)

// markdown is the report as Markdown.
func (r *report) markdown() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s, %s.\n\n", r.start.UTC().Format("2 January 2006"), r.header())
	s.WriteString("| " + strings.Join(columns, " | ") + " |\n|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, row := range r.rows {
		c := cells(row)
		for i := range c {
			c[i] = strings.ReplaceAll(c[i], "|", `\|`)
		}
		s.WriteString("| " + strings.Join(c, " | ") + " |\n")
	}
	return s.String()
}

// updateMarkdown puts the report between the marks of a file, which must have them.
func (r *report) updateMarkdown(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), markBegin)
	_, after, ok2 := strings.Cut(rest, markEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no lines %q and %q to put the table between", name, markBegin, markEnd)
	}
	return os.WriteFile(name, []byte(before+markBegin+"\n\n"+r.markdown()+"\n"+markEnd+after), 0o644)
}
