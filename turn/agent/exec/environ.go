package exec

import (
	"slices"
	"strings"
	"unicode"
)

// passed are the variables that every program sees. None of them holds a secret.
var passed = []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"}

// shortestSecret is the length from which a value is hidden; shorter ones are flags and
// numbers, and hiding these would make errors unreadable.
const shortestSecret = 6

// environment returns what a program sees of the variables in from, and with them what
// extra sets and names. hidden replaces the values of extra by their names.
func environment(from, extra []string) (env []string, hidden *strings.Replacer) {
	all := map[string]string{}
	for _, e := range from {
		name, value, ok := strings.Cut(e, "=")
		if !ok {
			continue
		}
		all[name] = value
		if slices.Contains(passed, name) || strings.HasPrefix(name, "LC_") {
			env = append(env, e)
		}
	}
	var secrets []string
	for _, e := range extra {
		name, value, given := strings.Cut(e, "=")
		if !given {
			if value, given = all[name]; !given {
				continue
			}
		}
		env = append(env, name+"="+value) // of two with the same name the last counts
		if len(value) >= shortestSecret {
			secrets = append(secrets, value, "$"+name)
		}
	}
	return env, strings.NewReplacer(secrets...)
}

// clean makes text of a program fit for an error: without the values of its variables,
// control characters and the sequences that colour a terminal.
func (a *agent) clean(text string) string {
	text = a.hidden.Replace(strings.ToValidUTF8(text, "�"))
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n':
			return c
		case c == '\t':
			return ' '
		case unicode.IsControl(c) || !unicode.IsGraphic(c):
			return -1
		default:
			return c
		}
	}, escapes.ReplaceAllString(text, ""))
}
