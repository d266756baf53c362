package protocol

import (
	"encoding/json"
	"fmt"
)

// Config holds the keys that every agent understands. On the wire and in the journal it
// is an [Object]; [ParseConfig] turns one into the other.
type Config struct {
	Provider          string          `json:"provider,omitempty"`          // who runs the model, as the daemon's configuration names it
	Model             string          `json:"model,omitempty"`             // as the provider names it
	Temperature       *float64        `json:"temperature,omitempty"`       // 0 to 2
	Instructions      *string         `json:"instructions,omitempty"`      // replaces the agent's own
	ExtraInstructions string          `json:"extraInstructions,omitempty"` // added to them
	Stream            *bool           `json:"stream,omitempty"`            // false: no deltas; true if absent
	StreamFormat      string          `json:"streamFormat,omitempty"`      // handed to the agent
	OutputSchema      json.RawMessage `json:"outputSchema,omitempty"`      // JSON Schema of the answer
	History           *HistoryConfig  `json:"history,omitempty"`
	HistoryPolicy     HistoryPolicy   `json:"historyPolicy,omitempty"`
	MaxTurnMs         int64           `json:"maxTurnMs,omitempty"` // longest time of a turn; 0: no limit
	Approvals         ApprovalPolicy  `json:"approvals,omitempty"`
	ApprovalTimeoutMs int64           `json:"approvalTimeoutMs,omitempty"` // until an approval expires; 0: never
	NoApprover        NoApprover      `json:"noApprover,omitempty"`
	ToolReconnectMs   *int64          `json:"toolReconnectMs,omitempty"` // time the owner of a tool call has to come back; 30000 if absent
	Modes             []Mode          `json:"modes,omitempty"`
	Extra             Object          `json:"extra,omitempty"` // for the agent, as it is
}

// HistoryConfig bounds what an agent is told of the past.
type HistoryConfig struct {
	MaxTurns int `json:"maxTurns,omitempty"` // 0: all
}

// HistoryPolicy says whether an agent is told of answers that were cut off.
type HistoryPolicy string

// What an agent is told of answers that were cut off.
const (
	HistoryKeepPartial HistoryPolicy = "keepPartial"
	HistoryDropPartial HistoryPolicy = "dropPartial"
)

// Values lists the policies.
func (HistoryPolicy) Values() []string { return []string{"keepPartial", "dropPartial"} }

// ApprovalPolicy says who decides approvals.
type ApprovalPolicy string

// Who decides approvals.
const (
	ApprovalsAsk   ApprovalPolicy = "ask"
	ApprovalsAuto  ApprovalPolicy = "auto"
	ApprovalsNever ApprovalPolicy = "never"
)

// Values lists the policies.
func (ApprovalPolicy) Values() []string { return []string{"ask", "auto", "never"} }

// NoApprover says what becomes of an approval while nobody can give it.
type NoApprover string

// What becomes of an approval while nobody can give it.
const (
	NoApproverWait    NoApprover = "wait"
	NoApproverDecline NoApprover = "decline"
	NoApproverCancel  NoApprover = "cancel"
)

// Values lists what can be.
func (NoApprover) Values() []string { return []string{"wait", "decline", "cancel"} }

// ParseConfig reads config strictly. A key that is unknown or has a wrong value is an
// InvalidConfig error that names it.
func ParseConfig(config Object) (Config, error) {
	var c Config
	if len(config) == 0 {
		return c, nil
	}
	raw, err := marshal(config)
	if err != nil {
		return c, InvalidConfig("config", "is not valid JSON")
	}
	if fe := decodeStrict(raw, &c); fe != nil {
		return c, InvalidConfig(fe.Field, fe.Problem)
	}
	return c, c.check()
}

func (c Config) check() error {
	if t := c.Temperature; t != nil && (*t < 0 || *t > 2) {
		return InvalidConfig("temperature", "must be between 0 and 2")
	}
	for _, n := range []struct {
		field string
		value int64
	}{
		{"maxTurnMs", c.MaxTurnMs},
		{"approvalTimeoutMs", c.ApprovalTimeoutMs},
		{"toolReconnectMs", valueOf(c.ToolReconnectMs)},
		{"history.maxTurns", int64(valueOf(c.History).MaxTurns)},
	} {
		if n.value < 0 {
			return InvalidConfig(n.field, "must not be negative")
		}
	}
	seen := map[string]bool{}
	for i, m := range c.Modes {
		if m.ID == "" || seen[m.ID] {
			return InvalidConfig(fmt.Sprintf("modes[%d].id", i), "must be a name that no other mode has")
		}
		seen[m.ID] = true
	}
	return nil
}

func valueOf[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// Merge returns base with the keys of over put on top, as a new object.
func (base Object) Merge(over Object) Object {
	out := make(Object, len(base)+len(over))
	for k, v := range base {
		out[k] = v
	}
	for k, v := range over {
		out[k] = v
	}
	return out
}
