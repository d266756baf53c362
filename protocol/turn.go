package protocol

import "encoding/json"

// TurnStatus says where a turn is in its life.
type TurnStatus string

// The states of a turn. The last three are terminal.
const (
	TurnQueued    TurnStatus = "queued"
	TurnRunning   TurnStatus = "running"
	TurnCompleted TurnStatus = "completed"
	TurnFailed    TurnStatus = "failed"
	TurnCancelled TurnStatus = "cancelled"
)

// Values lists the states.
func (TurnStatus) Values() []string {
	return []string{"queued", "running", "completed", "failed", "cancelled"}
}

// Terminal reports whether a turn in this state is history.
func (s TurnStatus) Terminal() bool {
	return s == TurnCompleted || s == TurnFailed || s == TurnCancelled
}

// CancelReason says why a turn was cancelled.
type CancelReason string

// Why a turn is cancelled.
const (
	CancelUser               CancelReason = "user"
	CancelClientDisconnected CancelReason = "clientDisconnected"
	CancelThreadEnded        CancelReason = "threadEnded"
	CancelQueueCleared       CancelReason = "queueCleared"
	CancelReplaced           CancelReason = "replaced"
	CancelShutdown           CancelReason = "shutdown"
)

// Values lists the reasons.
func (CancelReason) Values() []string {
	return []string{"user", "clientDisconnected", "threadEnded", "queueCleared", "replaced", "shutdown"}
}

// Codes of a turn that failed, in Turn.Error.
const (
	TurnErrAgent          = "AgentError"
	TurnErrPanic          = "AgentPanic"
	TurnErrUnavailable    = "AgentUnavailable"
	TurnErrTimeout        = "TurnTimeout"
	TurnErrOutputTooLarge = "OutputTooLarge"
	TurnErrBudget         = "BudgetExceeded"
	TurnErrRestarted      = "ServerRestarted"
)

// Turn is one input and what the agent makes of it. A queued input is a turn that has
// not started; it keeps its id.
type Turn struct {
	ID           string       `json:"id"`
	ThreadID     string       `json:"threadId"`
	Status       TurnStatus   `json:"status"`
	Position     int          `json:"position,omitempty"` // 1 is next; only while queued
	Input        Input        `json:"input"`              // canonical: parts of one user message, or messages
	Sender       *Sender      `json:"sender,omitempty"`   // the person it comes from
	By           *By          `json:"by,omitempty"`       // who sent it
	TraceID      string       `json:"traceId"`            // the client's, or made up
	Agent        string       `json:"agent"`
	Mode         string       `json:"mode,omitempty"`
	Config       Object       `json:"config"`  // as it applies: agent, then thread, then turn
	Attempt      int          `json:"attempt"` // 1; more where a crash made it run again
	CreatedAt    Time         `json:"createdAt"`
	StartedAt    Time         `json:"startedAt,omitempty"`
	CompletedAt  Time         `json:"completedAt,omitempty"`
	Usage        *Usage       `json:"usage,omitempty"` // of all its model calls
	Error        *TurnError   `json:"error,omitempty"`
	CancelReason CancelReason `json:"cancelReason,omitempty"`
	CancelledBy  *By          `json:"cancelledBy,omitempty"` // absent where the daemon decided
	Text         string       `json:"text,omitempty"`        // all agent messages, joined by a blank line
	Items        []Item       `json:"items,omitempty"`       // in reads only
}

// TurnError says why a turn failed.
type TurnError struct {
	Code      string          `json:"code"` // one of the TurnErr constants
	Message   string          `json:"message"`
	Retryable bool            `json:"retryable"` // whether the same input may work later
	Details   json.RawMessage `json:"details,omitempty"`
}

// Sender is the person a message comes from, where several share one user (a group
// chat). It is taken as given.
type Sender struct {
	ID      string `json:"id,omitempty"`
	Name    string `json:"name,omitempty"`
	Role    string `json:"role,omitempty"`
	GroupID string `json:"groupId,omitempty"`
}

// QueueState travels with every event that puts a turn into the queue or takes it out.
type QueueState struct {
	Revision uint64 `json:"revision"` // grows by one at every change of the queue
	Length   int    `json:"length"`
	Paused   bool   `json:"paused"`
}
