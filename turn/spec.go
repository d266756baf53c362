package turn

import (
	"encoding/json"

	"github.com/spoolhq/spool/protocol"
)

// Spec is a configured agent: a name, what clients are told of it, and the agent itself.
type Spec struct {
	Name        string
	Kind        string // such as script or openai
	Description string
	Schema      json.RawMessage // JSON Schema of config; narrows protocol.Config
	Defaults    protocol.Object // config where a thread says nothing
	Modes       []protocol.Mode
	Agent       Agent
}
