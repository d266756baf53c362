package config

import (
	"fmt"
	"strings"
)

// words is a list that is not written as a text: in a command a comma is no separator.
type words []string

func assignWords(f *words, value any) error {
	list, ok := value.([]any)
	if !ok {
		return wrongType(`a list of texts, such as ["python3", "agent.py"]`, value)
	}
	return assignList((*[]string)(f), list)
}

// setsVariables reports whether a list of variables holds a value.
func setsVariables(value any) bool {
	list, _ := value.([]any)
	for _, e := range list {
		if text, ok := e.(string); ok && strings.Contains(text, "=") {
			return true
		}
	}
	return false
}

// finishExec checks the command, and makes paths that begin with ~/ whole.
func (a *Agent) finishExec(env Env) error {
	if len(a.Command) == 0 || a.Command[0] == "" {
		return fmt.Errorf(`agents.%s has no command; set it to a list of the program and its arguments, such as ["python3", "agent.py"]`, a.Name)
	}
	for _, path := range []*string{&a.Dir, &a.Command[0]} {
		if path == &a.Command[0] && !strings.HasPrefix(*path, "~/") || *path == "" {
			continue // the PATH, or the folder, says where it is
		}
		abs, err := absolute(*path, env)
		if err != nil {
			return fmt.Errorf("agents.%s: %w", a.Name, err)
		}
		*path = abs
	}
	return nil
}
