package config

import (
	"maps"
	"slices"
	"strings"
)

// otherVariables are those that begin with SPOOL_ and are no setting: they mean something
// to other parts of the program or to its tests.
var otherVariables = []string{"SPOOL_CONFIG", "SPOOL_FAULT"}

// readEnv takes settings from variables. An empty variable counts as not set. A variable
// that is nearly one of ours is a warning, not an error: the environment belongs to others
// too.
func (c *Config) readEnv(env Env, p *problems) {
	names := slices.Clone(otherVariables)
	for _, k := range keys {
		names = append(names, k.Env)
		if v := env[k.Env]; v != "" {
			c.set(p, k.Env, k.Name, v)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !strings.HasPrefix(name, "SPOOL_") || slices.Contains(names, name) {
			continue
		}
		if hint := didYouMean(name, names); hint != "" {
			c.Warnings = append(c.Warnings, "the variable "+name+" sets nothing"+hint)
		}
	}
}
