package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxSocketPath is what fits into sun_path on every system, with its final zero.
const maxSocketPath = 103

// Env is the environment of a process.
type Env map[string]string

// NewEnv reads "NAME=value" pairs, such as os.Environ gives. Of a name that comes twice
// the last counts.
func NewEnv(pairs []string) Env {
	env := make(Env, len(pairs))
	for _, pair := range pairs {
		if name, value, ok := strings.Cut(pair, "="); ok {
			env[name] = value
		}
	}
	return env
}

// home returns a base folder of the XDG rules: what the variable says if that is an
// absolute path, else a folder below HOME.
func (env Env) home(variable, below string) (string, error) {
	if dir := env[variable]; filepath.IsAbs(dir) {
		return filepath.Clean(dir), nil
	}
	if home := env["HOME"]; filepath.IsAbs(home) {
		return filepath.Join(home, below), nil
	}
	return "", fmt.Errorf("neither %s nor HOME is set to an absolute path", variable)
}

// runtimeDir returns the folder of the socket. Without XDG_RUNTIME_DIR it is one in the
// folder for temporary files, with the user's id in its name.
func (env Env) runtimeDir() string {
	if dir := env["XDG_RUNTIME_DIR"]; filepath.IsAbs(dir) {
		return filepath.Join(dir, "spool")
	}
	tmp := env["TMPDIR"]
	if !filepath.IsAbs(tmp) {
		tmp = os.TempDir()
	}
	return filepath.Join(tmp, "spool-"+strconv.Itoa(os.Getuid()))
}

// absolute returns path without "~/" and made absolute against the working directory.
func absolute(path string, env Env) (string, error) {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		home := env["HOME"]
		if !filepath.IsAbs(home) {
			return "", fmt.Errorf("%s: HOME is not set", path)
		}
		return filepath.Join(home, rest), nil
	}
	if path == "" {
		return "", errors.New("a path must not be empty")
	}
	return filepath.Abs(path)
}

// Pairs returns the environment as "NAME=value" pairs, by name.
func (env Env) Pairs() []string {
	pairs := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		pairs = append(pairs, name+"="+env[name])
	}
	return pairs
}
