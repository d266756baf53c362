package protocol

import "encoding/json"

// ToolScope says in which modes a tool is offered.
type ToolScope string

// Where a tool is offered.
const (
	ToolGlobal ToolScope = "global" // always
	ToolMode   ToolScope = "mode"   // in modes that name it
)

// Values lists the scopes.
func (ToolScope) Values() []string { return []string{"global", "mode"} }

// Tool is a function that a client carries out for the agent.
type Tool struct {
	Name        string          `json:"name"`
	Namespace   string          `json:"namespace,omitempty"`
	Description string          `json:"description"`
	InputSchema json.RawMessage `json:"inputSchema"` // JSON Schema of the arguments
	Scope       ToolScope       `json:"scope,omitempty"`
}

// ToolRegisterParams are those of tool/register.
type ToolRegisterParams struct {
	Mutation
	ThreadID           string  `json:"threadId,omitempty"` // absent: all threads of this connection
	Tools              []Tool  `json:"tools"`
	ExpectedGeneration *uint64 `json:"expectedGeneration,omitempty"`
}

// ToolUnregisterParams are those of tool/unregister.
type ToolUnregisterParams struct {
	Mutation
	ThreadID           string   `json:"threadId,omitempty"`
	Tools              []string `json:"tools,omitempty"` // names; absent: all of this connection
	ExpectedGeneration *uint64  `json:"expectedGeneration,omitempty"`
}

// ToolRegisterResult is the answer of tool/register and unregister.
type ToolRegisterResult struct {
	Replay
	BindingGeneration uint64   `json:"bindingGeneration"`
	PendingCalls      []string `json:"pendingCalls"`
}

// ToolListResult is the answer of tool/list.
type ToolListResult struct {
	Data              []Tool `json:"data"`
	BindingGeneration uint64 `json:"bindingGeneration"`
}

// Decision answers an approval.
type Decision string

// The answers to an approval.
const (
	DecisionAccept          Decision = "accept"
	DecisionAcceptForThread Decision = "acceptForThread"
	DecisionAcceptAlways    Decision = "acceptAlways"
	DecisionDecline         Decision = "decline"
	DecisionCancel          Decision = "cancel"
)

// Values lists the answers.
func (Decision) Values() []string {
	return []string{"accept", "acceptForThread", "acceptAlways", "decline", "cancel"}
}

// ApprovalListParams are those of approval/list.
type ApprovalListParams struct {
	Paging
	ThreadID string `json:"threadId,omitempty"`
}

// PendingItem is an open approval or question with the thread it belongs to.
type PendingItem struct {
	ThreadID string `json:"threadId"`
	Item     Item   `json:"item"`
}

// PendingListResult is the answer of approval/list and question/list.
type PendingListResult struct {
	Data       []PendingItem `json:"data"`
	NextCursor string        `json:"nextCursor,omitempty"`
}

// ApprovalRespondParams are those of approval/respond.
type ApprovalRespondParams struct {
	Mutation
	ApprovalID string   `json:"approvalId"`
	Decision   Decision `json:"decision"`
	Note       string   `json:"note,omitempty"`
}

// ItemResult is the answer of approval/respond and question/respond.
type ItemResult struct {
	Replay
	Item Item `json:"item"`
}

// ApprovalRule is what an acceptAlways stored.
type ApprovalRule struct {
	ID        string `json:"id"`
	ScopeKey  string `json:"scopeKey"`
	Agent     string `json:"agent"`
	CreatedAt Time   `json:"createdAt"`
}

// ApprovalRulesListResult is the answer of approval/rules/list.
type ApprovalRulesListResult struct {
	Data       []ApprovalRule `json:"data"`
	NextCursor string         `json:"nextCursor,omitempty"`
}

// ApprovalRulesRemoveParams are those of approval/rules/remove.
type ApprovalRulesRemoveParams struct {
	Mutation
	ID string `json:"id"`
}

// RemovedResult is the answer of approval/rules/remove.
type RemovedResult struct {
	Replay
	Removed bool `json:"removed"`
}

// QuestionRespondParams are those of question/respond.
type QuestionRespondParams struct {
	Mutation
	RequestID string            `json:"requestId"`
	Answers   map[string]Answer `json:"answers"`
}

// AskContext says where a request of the daemon comes from.
type AskContext struct {
	ThreadID string `json:"threadId"`
	TurnID   string `json:"turnId"`
	ItemID   string `json:"itemId"`
}

// ApprovalRequestParams are those of item/approval/request.
type ApprovalRequestParams struct {
	AskContext
	ApprovalID string          `json:"approvalId"`
	Kind       string          `json:"kind"`
	Operation  string          `json:"operation"`
	Target     json.RawMessage `json:"target,omitempty"`
	ScopeKey   string          `json:"scopeKey"`
	Reason     string          `json:"reason,omitempty"`
	Decisions  []string        `json:"decisions"`
	ExpiresAt  Time            `json:"expiresAt,omitempty"`
}

// ApprovalRequestResult is a client's answer to item/approval/request.
type ApprovalRequestResult struct {
	Decision Decision `json:"decision"`
	Note     string   `json:"note,omitempty"`
}

// QuestionRequestParams are those of item/question/request.
type QuestionRequestParams struct {
	AskContext
	RequestID string     `json:"requestId"`
	Questions []Question `json:"questions"`
	ExpiresAt Time       `json:"expiresAt,omitempty"`
}

// QuestionRequestResult is a client's answer to item/question/request.
type QuestionRequestResult struct {
	Answers map[string]Answer `json:"answers"`
}

// ToolCallParams are those of item/tool/call.
type ToolCallParams struct {
	AskContext
	CallID            string          `json:"callId"`
	Tool              string          `json:"tool"`
	Namespace         string          `json:"namespace,omitempty"`
	Arguments         json.RawMessage `json:"arguments"`
	Attempt           int             `json:"attempt"`
	BindingGeneration uint64          `json:"bindingGeneration"`
}

// ToolCallResult is a client's answer to item/tool/call.
type ToolCallResult struct {
	Success    bool            `json:"success"`
	Content    []Part          `json:"content,omitempty"`
	Structured json.RawMessage `json:"structured,omitempty"`
	Error      *ItemFailure    `json:"error,omitempty"`
}
