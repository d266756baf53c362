package protocol

import "encoding/json"

// Version is the version of the wire contract, serverInfo.protocolVersion.
const Version = "1"

// Scope is a right of a connection.
type Scope string

// The rights of a connection. A method needs the one that its table entry names.
const (
	ScopeNone    Scope = ""        // none, not even a handshake
	ScopeRead    Scope = "read"    // see threads
	ScopeRun     Scope = "run"     // change them
	ScopeApprove Scope = "approve" // answer approvals and questions
	ScopeAdmin   Scope = "admin"   // the daemon itself
)

// Values lists the rights.
func (Scope) Values() []string { return []string{"read", "run", "approve", "admin"} }

// ClientInfo names a client.
type ClientInfo struct {
	Name       string `json:"name"`
	Title      string `json:"title,omitempty"`
	Version    string `json:"version,omitempty"`
	InstanceID string `json:"instanceId,omitempty"` // the same again after a reconnect
}

// Auth proves who a client is.
type Auth struct {
	Token string `json:"token"`
}

// ClientCapabilities say what the daemon may ask of a client and what it need not send.
type ClientCapabilities struct {
	Approvals                 bool     `json:"approvals,omitempty"`                 // answers item/approval/request
	Questions                 bool     `json:"questions,omitempty"`                 // answers item/question/request
	Tools                     bool     `json:"tools,omitempty"`                     // answers item/tool/call
	Streaming                 *bool    `json:"streaming,omitempty"`                 // true if absent; false: no deltas
	OptOutNotificationMethods []string `json:"optOutNotificationMethods,omitempty"` // exact names
}

// Defaults stand in for what later requests of the connection leave out.
type Defaults struct {
	Agent    string `json:"agent,omitempty"`
	ThreadID string `json:"threadId,omitempty"`
	Config   Object `json:"config,omitempty"`
}

// InitializeParams are those of initialize.
type InitializeParams struct {
	ClientInfo   ClientInfo         `json:"clientInfo"`
	Auth         *Auth              `json:"auth,omitempty"`
	Capabilities ClientCapabilities `json:"capabilities,omitempty"`
	Metadata     Object             `json:"metadata,omitempty"` // free; traceId is that of turns that name none
	Defaults     *Defaults          `json:"defaults,omitempty"`
}

// ServerInfo names the daemon.
type ServerInfo struct {
	Name            string `json:"name"`
	Version         string `json:"version"`
	ProtocolVersion string `json:"protocolVersion"`
}

// Limits are bounds that a client should know.
type Limits struct {
	MaxMessageBytes int64 `json:"maxMessageBytes"` // of one message, both ways
	MaxItemBytes    int64 `json:"maxItemBytes"`    // text of one item
	MaxQueued       int   `json:"maxQueued"`       // waiting turns of a thread
	MaxInFlight     int   `json:"maxInFlight"`     // requests of a connection in work; more are not read
	MaxParked       int   `json:"maxParked"`       // requests of a connection that wait for a turn
}

// ServerCapabilities say what the daemon offers.
type ServerCapabilities struct {
	Approvals bool `json:"approvals"`
	Questions bool `json:"questions"`
	Tools     bool `json:"tools"`
}

// InitializeResult is the answer of initialize.
type InitializeResult struct {
	ServerInfo   ServerInfo         `json:"serverInfo"`
	ConnectionID string             `json:"connectionId"`
	User         string             `json:"user"`
	Scopes       []Scope            `json:"scopes"`
	Limits       Limits             `json:"limits"`
	Capabilities ServerCapabilities `json:"capabilities"`
}

// ConnectionUpdateParams are those of connection/update.
type ConnectionUpdateParams struct {
	Auth          *Auth           `json:"auth,omitempty"`
	Metadata      Object          `json:"metadata,omitempty"`      // replaces all of it
	MetadataPatch json.RawMessage `json:"metadataPatch,omitempty"` // merge patch
}

// ConnectionUpdateResult is the answer of connection/update.
type ConnectionUpdateResult struct {
	User     string `json:"user"`
	Metadata Object `json:"metadata"`
}

// Empty is the params or result of methods that have none.
type Empty struct{}

// Mode is a way of working that a thread can be in.
type Mode struct {
	ID           string    `json:"id"`
	Name         string    `json:"name,omitempty"`
	Description  string    `json:"description,omitempty"`
	Instructions string    `json:"instructions,omitempty"`
	Tools        *[]string `json:"tools,omitempty"` // names of mode-scoped tools it offers
}

// AgentInfo describes a configured agent.
type AgentInfo struct {
	Name         string          `json:"name"`
	Kind         string          `json:"kind"`
	Description  string          `json:"description,omitempty"`
	Default      bool            `json:"default"` // of threads that name no agent
	Modes        []Mode          `json:"modes"`
	ConfigSchema json.RawMessage `json:"configSchema"` // JSON Schema of config
	Defaults     Object          `json:"defaults"`     // config where a thread says nothing
}

// AgentListResult is the answer of agent/list, by name.
type AgentListResult struct {
	Data []AgentInfo `json:"data"`
}

// AgentReadParams are those of agent/read.
type AgentReadParams struct {
	Agent string `json:"agent"`
}

// AgentReadResult is the answer of agent/read.
type AgentReadResult struct {
	Agent AgentInfo `json:"agent"`
}

// ServerInfoResult is the answer of server/info.
type ServerInfoResult struct {
	ServerInfo   ServerInfo         `json:"serverInfo"`
	StartedAt    Time               `json:"startedAt"`
	Limits       Limits             `json:"limits"`
	Capabilities ServerCapabilities `json:"capabilities"`
	Listeners    []string           `json:"listeners,omitempty"` // admin only
	DataPath     string             `json:"dataPath,omitempty"`  // admin only
	PID          int                `json:"pid,omitempty"`       // admin only
}

// PingResult is the answer of server/ping.
type PingResult struct {
	At Time `json:"at"`
}

// ServerStatsResult is the answer of server/stats. Counts of threads are those the
// caller may see; the rest is about the daemon as a whole.
type ServerStatsResult struct {
	UptimeMs       int64            `json:"uptimeMs"`
	Connections    int              `json:"connections"`
	LoadedThreads  int              `json:"loadedThreads"`
	RunningTurns   int              `json:"runningTurns"`
	QueuedTurns    int              `json:"queuedTurns"`
	Subscriptions  int              `json:"subscriptions"`
	Goroutines     int              `json:"goroutines"`
	HeapBytes      uint64           `json:"heapBytes"`
	OpenFiles      int              `json:"openFiles"`
	Counters       map[string]int64 `json:"counters"` // since the start, by name
	DatabaseBytes  int64            `json:"databaseBytes"`
	ConnectionOwns int              `json:"connectionOwns"` // threads that belong to the asking connection
}

// ConnectionInfo describes a connection.
type ConnectionInfo struct {
	ConnectionID  string     `json:"connectionId"`
	Transport     string     `json:"transport"` // stdio, unix, websocket
	User          string     `json:"user"`
	Client        ClientInfo `json:"client"`
	Since         Time       `json:"since"`
	Subscriptions int        `json:"subscriptions"`
	QueuedBytes   int        `json:"queuedBytes"` // waiting to be sent
}

// ConnectionsListResult is the answer of server/connections/list.
type ConnectionsListResult struct {
	Data []ConnectionInfo `json:"data"`
}

// ServerBackupResult is the answer of server/backup.
type ServerBackupResult struct {
	Path  string `json:"path"`  // of the new file, in the folder of the data; whoever asked may move it
	Bytes int64  `json:"bytes"` // its size
}

// ServerShutdownParams are those of server/shutdown.
type ServerShutdownParams struct {
	Drain *bool `json:"drain,omitempty"` // true if absent: running turns get drainTimeout
}

// CancelRequestParams are those of $/cancelRequest.
type CancelRequestParams struct {
	ID json.RawMessage `json:"id"`
}
