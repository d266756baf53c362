package main

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/spoolhq/spool/cmd/spool/config"
	"github.com/spoolhq/spool/turn"
	"github.com/spoolhq/spool/turn/agent/exec"
	"github.com/spoolhq/spool/turn/agent/openai"
	"github.com/spoolhq/spool/turn/agent/script"
)

// agentSpecs makes the configured agents.
func agentSpecs(agents []config.Agent) ([]turn.Spec, error) {
	specs := make([]turn.Spec, len(agents))
	for i, a := range agents {
		spec, err := agentSpec(a)
		if err != nil {
			return nil, err
		}
		spec.Description = cmp.Or(a.Description, spec.Description)
		spec.Defaults = spec.Defaults.Merge(a.Config)
		if len(a.Modes) > 0 {
			spec.Modes = a.Modes
		}
		if err := spec.Prepare(); err != nil {
			return nil, err
		}
		specs[i] = spec
	}
	return specs, nil
}

func agentSpec(a config.Agent) (turn.Spec, error) {
	switch a.Kind {
	case config.KindScript:
		return script.Spec(a.Name), nil
	case config.KindOpenAI:
		return openai.Spec(a.Name, openai.Options{
			BaseURL: a.BaseURL, APIKey: openai.Secret(a.APIKey), KeyHint: a.APIKeyEnv,
			Model: a.Model, API: openai.API(a.API), Instructions: a.Instructions, Headers: a.Headers,
			MaxRetries: a.MaxRetries, Timeout: a.Timeout,
		})
	case config.KindExec:
		return exec.Spec(a.Name, exec.Options{Command: a.Command, Dir: a.Dir, Env: a.Env, Plain: a.Plain})
	default:
		kind, _ := json.Marshal(a.Kind) //nolint:errchkjson // a string
		return turn.Spec{}, fmt.Errorf("agent %s: there are no agents of kind %s", a.Name, kind)
	}
}
