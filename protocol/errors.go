package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Codes of errors. Clients branch on the code or on data.name, never on the text. The
// comments are part of the documentation and of the OpenRPC document.
const (
	CodeParseError     = -32700 // the message is not valid JSON
	CodeInvalidRequest = -32600 // the message is no JSON-RPC request, a batch, or longer than data.limit
	CodeMethodNotFound = -32601 // there is no such method
	CodeInvalidParams  = -32602 // data.field is unknown, missing or has a wrong value
	CodeInternalError  = -32603 // a fault of the daemon; its log says more

	CodeRequestCancelled    = -32800 // $/cancelRequest took the request back
	CodeServerOverloaded    = -32001 // too much at once; try again after data.retryAfterMs
	CodeNotInitialized      = -32002 // initialize comes first
	CodeAlreadyInitialized  = -32003 // initialize comes once
	CodeThreadNotFound      = -32010 // there is no such thread, or you may not see it
	CodeThreadNotActive     = -32011 // the thread is paused, archived or ended: data.status, data.endReason
	CodeTurnInProgress      = -32012 // a turn runs: data.activeTurnId, data.queueLength; nothing was stored
	CodeTurnNotFound        = -32013 // the thread never had such a turn
	CodeTurnNotRunning      = -32014 // the turn is queued or over: data.status
	CodeApprovalExpired     = -32020 // the answer comes too late
	CodeUnauthenticated     = -31110 // the token is missing, wrong or has expired
	CodeForbidden           = -31111 // you may not do this
	CodeConflict            = -31112 // somebody was faster; data holds the current state
	CodeInvalidConfig       = -31113 // the config key data.field is unknown or has a wrong value
	CodeQueueCleared        = -31114 // the queued turn you wait for was taken out
	CodeItemNotFound        = -31115 // there is no such item, approval or question
	CodeQueueFull           = -31117 // data.limit turns wait already
	CodeAlreadyResolved     = -31118 // somebody answered before: data.decision
	CodeStaleBinding        = -31119 // the tools were registered anew: data.bindingGeneration
	CodeThreadExists        = -31120 // the id is taken
	CodeIdempotencyMismatch = -31121 // the idempotencyKey was used with other params
	CodeAgentNotFound       = -31122 // no agent has that name
	CodeAgentUnavailable    = -31123 // the agent cannot work now
	CodeStorageUnavailable  = -31130 // nothing can be stored: the disk is full or failed; data.hint
)

// ErrorNames gives each code its stable name, which is also data.name.
var ErrorNames = map[int]string{
	CodeParseError: "ParseError", CodeInvalidRequest: "InvalidRequest", CodeMethodNotFound: "MethodNotFound",
	CodeInvalidParams: "InvalidParams", CodeInternalError: "InternalError",
	CodeRequestCancelled: "RequestCancelled", CodeServerOverloaded: "ServerOverloaded",
	CodeNotInitialized: "NotInitialized", CodeAlreadyInitialized: "AlreadyInitialized",
	CodeThreadNotFound: "ThreadNotFound", CodeThreadNotActive: "ThreadNotActive", CodeTurnInProgress: "TurnInProgress",
	CodeTurnNotFound: "TurnNotFound", CodeTurnNotRunning: "TurnNotRunning", CodeApprovalExpired: "ApprovalExpired",
	CodeUnauthenticated: "Unauthenticated", CodeForbidden: "Forbidden", CodeConflict: "Conflict",
	CodeInvalidConfig: "InvalidConfig", CodeQueueCleared: "QueueCleared", CodeItemNotFound: "ItemNotFound",
	CodeQueueFull: "QueueFull", CodeAlreadyResolved: "AlreadyResolved", CodeStaleBinding: "StaleBinding",
	CodeThreadExists: "ThreadExists", CodeIdempotencyMismatch: "IdempotencyMismatch", CodeAgentNotFound: "AgentNotFound",
	CodeAgentUnavailable: "AgentUnavailable", CodeStorageUnavailable: "StorageUnavailable",
}

// Error is a refusal on the wire. errors.Is compares codes, so a bare
// &Error{Code: CodeTurnInProgress} finds every error of that code.
type Error struct {
	Code    int       `json:"code"`
	Message string    `json:"message"`
	Data    ErrorData `json:"data"`
}

// ErrorData is the data of an error. Name is always there; which of the others are is
// up to the code.
type ErrorData struct {
	Name              string      `json:"name"`
	Field             string      `json:"field,omitempty"` // InvalidParams, InvalidConfig
	Limit             int64       `json:"limit,omitempty"` // InvalidRequest of a message that is too long, QueueFull
	RetryAfterMs      int64       `json:"retryAfterMs,omitempty"`
	ActiveTurnID      string      `json:"activeTurnId,omitempty"` // TurnInProgress
	QueueLength       *int        `json:"queueLength,omitempty"`
	Status            string      `json:"status,omitempty"` // ThreadNotActive, TurnNotRunning
	EndReason         string      `json:"endReason,omitempty"`
	Revision          uint64      `json:"revision,omitempty"` // Conflict on a queue
	Paused            *bool       `json:"paused,omitempty"`
	PauseReason       PauseReason `json:"pauseReason,omitempty"`
	TurnIDs           *[]string   `json:"turnIds,omitempty"`
	Turn              *TurnRef    `json:"turn,omitempty"`
	Item              *Item       `json:"item,omitempty"`    // Conflict on an item
	HeadSeq           *uint64     `json:"headSeq,omitempty"` // Conflict on a thread, afterSeq beyond the head
	Decision          string      `json:"decision,omitempty"`
	BindingGeneration uint64      `json:"bindingGeneration,omitempty"`
	Hint              string      `json:"hint,omitempty"` // what to do
}

// TurnRef names a turn and its state.
type TurnRef struct {
	ID     string     `json:"id"`
	Status TurnStatus `json:"status"`
}

// Errorf returns an error with the code's name and a text for people.
func Errorf(code int, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Data: ErrorData{Name: ErrorNames[code]}}
}

// InvalidParams returns the error for a bad parameter: what is wrong with which field.
func InvalidParams(field, problem string) *Error {
	e := Errorf(CodeInvalidParams, "%s %s", field, problem)
	e.Data.Field = field
	return e
}

// InvalidConfig returns the error for a bad config key.
func InvalidConfig(field, problem string) *Error {
	e := Errorf(CodeInvalidConfig, "%s %s", field, problem)
	e.Data.Field = field
	return e
}

// ThreadNotFound returns the one answer for a thread that does not exist and for one
// that the caller may not see.
func ThreadNotFound() *Error { return Errorf(CodeThreadNotFound, "thread not found") }

// Error returns the text for people.
func (e *Error) Error() string { return e.Message }

// Is reports whether target is an error of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// named returns e with the name of its code, where whoever made it left that out.
func (e *Error) named() *Error {
	if e.Data.Name != "" {
		return e
	}
	n := *e
	n.Data.Name = ErrorNames[e.Code]
	return &n
}

// AsError finds the *Error in err, or makes an InternalError that hides err's text.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Errorf(CodeInternalError, "internal error; the daemon's log says more")
}

// UnmarshalJSON reads an error of any server: data may be absent or of another form.
func (e *Error) UnmarshalJSON(b []byte) error {
	var raw struct {
		Code    int             `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*e = Error{Code: raw.Code, Message: raw.Message}
	if len(raw.Data) > 0 {
		_ = json.Unmarshal(raw.Data, &e.Data)
	}
	if e.Data.Name == "" {
		e.Data.Name = ErrorNames[e.Code]
	}
	return nil
}
