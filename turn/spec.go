package turn

import (
	"encoding/json"
	"fmt"

	"github.com/spoolhq/spool/protocol"
)

// Spec is a configured agent: a name, what clients are told of it, and the agent itself.
// Once Prepare was called it is read only and may be used from many goroutines.
type Spec struct {
	Name        string
	Kind        string // such as script or openai
	Description string
	Schema      json.RawMessage // JSON Schema of config, from ConfigSchema; empty: as protocol.Config
	Defaults    protocol.Object // config where a thread says nothing
	Modes       []protocol.Mode // the modes where config.modes says nothing
	Agent       Agent

	schema *Schema // Schema, compiled; nil before Prepare
}

// Prepare compiles the schema and reports what is wrong with the spec: a missing part, a
// schema that is none, defaults that do not fit it. Call it once, at the start; a spec
// that was not prepared works too but compiles its schema at every CheckConfig.
func (s *Spec) Prepare() error {
	switch {
	case s.Name == "":
		return fmt.Errorf("an agent has no name")
	case s.Kind == "":
		return fmt.Errorf("agent %s has no kind", s.Name)
	case s.Agent == nil:
		return fmt.Errorf("agent %s: nothing runs its turns", s.Name)
	}
	schema, err := compileConfigSchema(s.Schema)
	if err != nil {
		return fmt.Errorf("agent %s: its config schema is not valid: %w", s.Name, err)
	}
	s.schema = schema
	if _, err := s.CheckConfig(s.Effective()); err != nil {
		return fmt.Errorf("agent %s: its defaults do not fit: %w", s.Name, err)
	}
	return nil
}

// CheckConfig reads config, which may lack any key, as [protocol.ParseConfig] does, and
// checks it against the agent's schema. What does not fit is an InvalidConfig error that
// names the key.
func (s *Spec) CheckConfig(config protocol.Object) (protocol.Config, error) {
	c, err := protocol.ParseConfig(config)
	if err != nil || len(config) == 0 {
		return c, err
	}
	schema := s.schema
	if schema == nil {
		if schema, err = compileConfigSchema(s.Schema); err != nil {
			return c, fmt.Errorf("agent %s: its config schema is not valid: %w", s.Name, err)
		}
	}
	return c, checkConfig(schema, config)
}

// Effective returns the config that applies: the agent's own, and on top of it each
// layer (a thread's, a turn's) in order. A key of a later layer replaces the whole value.
func (s *Spec) Effective(layers ...protocol.Object) protocol.Object {
	config := s.Defaults.Merge(nil)
	if _, ok := config["modes"]; !ok && len(s.Modes) > 0 {
		if modes, err := json.Marshal(s.Modes); err == nil {
			config["modes"] = modes
		}
	}
	for _, layer := range layers {
		config = config.Merge(layer)
	}
	return config
}

// Info returns what clients are told of the agent.
func (s *Spec) Info(isDefault bool) protocol.AgentInfo {
	info := protocol.AgentInfo{
		Name: s.Name, Kind: s.Kind, Description: s.Description, Default: isDefault,
		Modes: []protocol.Mode{}, ConfigSchema: s.Schema, Defaults: s.Effective(),
	}
	if len(s.Schema) == 0 {
		info.ConfigSchema = ConfigSchema("")
	}
	if c, err := protocol.ParseConfig(info.Defaults); err == nil && len(c.Modes) > 0 {
		info.Modes = c.Modes
	}
	return info
}
