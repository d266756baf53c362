package protocol

import "encoding/json"

// Enum is a string type with a fixed list of values. The decoder refuses others; the
// first value is the default of a parameter.
type Enum interface{ Values() []string }

// Object is a JSON object whose members the daemon keeps as they are.
type Object map[string]json.RawMessage

// ThreadStatus says what may be done with a thread.
type ThreadStatus string

// The states of a thread.
const (
	StatusActive   ThreadStatus = "active"   // turns run
	StatusPaused   ThreadStatus = "paused"   // nothing starts until thread/resume
	StatusArchived ThreadStatus = "archived" // put away; thread/unarchive brings it back
	StatusEnded    ThreadStatus = "ended"    // readable, final
)

// Values lists the states.
func (ThreadStatus) Values() []string { return []string{"active", "paused", "archived", "ended"} }

// Thread is all that is known of a conversation but its turns.
type Thread struct {
	ThreadHeader
	Runtime Runtime `json:"runtime"`
}

// ThreadHeader is what stays of a thread when nobody uses it.
type ThreadHeader struct {
	ID           string       `json:"id"`
	Agent        string       `json:"agent"`
	Status       ThreadStatus `json:"status"`
	Title        string       `json:"title,omitempty"`
	Preview      string       `json:"preview,omitempty"` // start of the first user message
	Owner        string       `json:"owner"`             // the user who started it
	Identity     *Identity    `json:"identity,omitempty"`
	CreatedAt    Time         `json:"createdAt"`
	UpdatedAt    Time         `json:"updatedAt"`    // of the newest change, also of title or config
	LastActiveAt Time         `json:"lastActiveAt"` // of the newest input or turn
	Lifetime     Lifetime     `json:"lifetime"`
	QueuePolicy  QueuePolicy  `json:"queuePolicy"`
	Mode         string       `json:"mode,omitempty"`
	Config       Object       `json:"config"`   // what the thread sets itself; see Config
	Metadata     Object       `json:"metadata"` // free for clients
	ForkedFrom   *ForkedFrom  `json:"forkedFrom,omitempty"`
	Generation   uint64       `json:"generation"` // grows by one at every thread/reset
	HeadSeq      uint64       `json:"headSeq"`    // seq of the newest durable event
	Usage        Usage        `json:"usage"`      // of all its turns
	EndReason    string       `json:"endReason,omitempty"`
}

// Identity is the outside name of a thread: who talks where about what. With the owner
// and the agent it is what thread/getOrCreate looks for.
type Identity struct {
	Channel string `json:"channel"` // where: slack, cli
	User    string `json:"user,omitempty"`
	Context string `json:"context,omitempty"` // about what: a channel, a folder
}

// LifetimeMode says how long a thread lives.
type LifetimeMode string

// The lifetimes of a thread.
const (
	LifetimeDurable    LifetimeMode = "durable"    // until it is deleted
	LifetimeConnection LifetimeMode = "connection" // ended when its connection is gone
	LifetimeEphemeral  LifetimeMode = "ephemeral"  // in memory only, gone with the daemon
)

// Values lists the lifetimes.
func (LifetimeMode) Values() []string { return []string{"durable", "connection", "ephemeral"} }

// OnDisconnect says what the loss of its connection does to a thread.
type OnDisconnect string

// What the loss of a thread's connection can do.
const (
	DisconnectContinue  OnDisconnect = "continue"
	DisconnectInterrupt OnDisconnect = "interrupt"
	DisconnectEnd       OnDisconnect = "end"
)

// Values lists what can happen.
func (OnDisconnect) Values() []string { return []string{"continue", "interrupt", "end"} }

// Lifetime binds a thread to the connection that started or last resumed it. It never
// changes.
type Lifetime struct {
	Mode         LifetimeMode `json:"mode,omitempty"`
	OnDisconnect OnDisconnect `json:"onDisconnect,omitempty"`
	GraceMs      int64        `json:"graceMs,omitempty"` // time to come back
}

// QueueReaction says what the queue does after a turn that did not complete.
type QueueReaction string

// What a queue can do after a turn that did not complete.
const (
	QueuePause    QueueReaction = "pause"
	QueueContinue QueueReaction = "continue"
	QueueClear    QueueReaction = "clear"
)

// Values lists what a queue can do.
func (QueueReaction) Values() []string { return []string{"pause", "continue", "clear"} }

// QueuePolicy says what happens to waiting turns after one that did not complete.
type QueuePolicy struct {
	OnFailed    QueueReaction `json:"onFailed,omitempty"`
	OnCancelled QueueReaction `json:"onCancelled,omitempty"`
}

// ForkedFrom names the thread, and the last turn of it, that a fork began with.
type ForkedFrom struct {
	ThreadID string `json:"threadId"`
	TurnID   string `json:"turnId,omitempty"`
}

// PauseReason says why a queue is paused.
type PauseReason string

// Why a queue is paused.
const (
	PauseUser            PauseReason = "user"
	PauseTurnFailed      PauseReason = "turnFailed"
	PauseTurnCancelled   PauseReason = "turnCancelled"
	PauseRepeatedFailure PauseReason = "repeatedFailure"
	PauseServerRestarted PauseReason = "serverRestarted"
)

// Values lists the reasons.
func (PauseReason) Values() []string {
	return []string{"user", "turnFailed", "turnCancelled", "repeatedFailure", "serverRestarted"}
}

// Runtime is what a thread does at this moment.
type Runtime struct {
	Busy          bool        `json:"busy"`
	ActiveTurnID  string      `json:"activeTurnId,omitempty"`
	WaitingOn     []string    `json:"waitingOn"`    // approval, question, tool
	Interrupting  bool        `json:"interrupting"` // the turn was told to stop and has not yet
	QueueLength   int         `json:"queueLength"`
	QueueRevision uint64      `json:"queueRevision"`
	QueuePaused   bool        `json:"queuePaused"`
	PauseReason   PauseReason `json:"pauseReason,omitempty"`
	PendingItems  int         `json:"pendingItems"` // appended items that wait for a turn
}

// Usage counts tokens.
type Usage struct {
	InputTokens     int64 `json:"inputTokens"`
	OutputTokens    int64 `json:"outputTokens"`
	CachedTokens    int64 `json:"cachedTokens,omitempty"`    // part of inputTokens
	ReasoningTokens int64 `json:"reasoningTokens,omitempty"` // part of outputTokens
}

// Add adds v to u.
func (u *Usage) Add(v Usage) {
	u.InputTokens += v.InputTokens
	u.OutputTokens += v.OutputTokens
	u.CachedTokens += v.CachedTokens
	u.ReasoningTokens += v.ReasoningTokens
}

// Role says what somebody may do with a thread.
type Role string

// The roles.
const (
	RoleParticipant Role = "participant"
	RoleObserver    Role = "observer" // reads, runs nothing, decides nothing
)

// Values lists the roles.
func (Role) Values() []string { return []string{"participant", "observer"} }

// Grant lets another user use a thread.
type Grant struct {
	User string `json:"user"`
	Role Role   `json:"role"`
}

// Presence is a connection that is subscribed to a thread.
type Presence struct {
	ConnectionID string `json:"connectionId"`
	User         string `json:"user"`
	Client       string `json:"client"` // clientInfo.name
	Role         Role   `json:"role"`
	Since        Time   `json:"since"`
}

// By names who did something. It is absent where the daemon decided.
type By struct {
	ConnectionID string `json:"connectionId"`
	User         string `json:"user"`
	Client       string `json:"client"`
}
