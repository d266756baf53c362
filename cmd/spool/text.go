package main

import (
	"strings"
	"unicode/utf8"
)

// maxStdin bounds what is read from standard input as one text. The daemon has a limit of
// its own, which may be lower.
const maxStdin = 64 << 20

func joinWords(words []string) string { return strings.Join(words, " ") }

// trimNewline takes away the line end that echo and editors leave.
func trimNewline(s string) string {
	return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
}

// checkText refuses what cannot be an input.
func checkText(s string) (string, error) {
	switch {
	case strings.TrimSpace(s) == "":
		return "", usagef("the text is empty")
	case !utf8.ValidString(s):
		return "", usagef("the text is not valid UTF-8")
	}
	return s, nil
}
