package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A process is one that is looked at from outside, through /proc.
type process struct{ pid int }

// rss returns the bytes of memory that the process holds.
func (p process) rss() (int64, error) {
	n, err := p.number("status", "VmRSS:")
	return n << 10, err
}

// peak returns the most memory that the process ever held.
func (p process) peak() (int64, error) {
	n, err := p.number("status", "VmHWM:")
	return n << 10, err
}

// writes returns how many system calls that write the process has made.
func (p process) writes() (int64, error) { return p.number("io", "syscw:") }

// number reads the number behind a name in a file of /proc.
func (p process) number(file, name string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.pid, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/%d/%s does not say %s", p.pid, file, name)
}
