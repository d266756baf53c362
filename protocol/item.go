package protocol

import "encoding/json"

// ItemType says what an item is and which fields it has.
type ItemType string

// The types of items.
const (
	ItemUserMessage      ItemType = "userMessage"
	ItemDeveloperMessage ItemType = "developerMessage"
	ItemAgentMessage     ItemType = "agentMessage"
	ItemReasoning        ItemType = "reasoning"
	ItemToolCall         ItemType = "toolCall"
	ItemCommandExecution ItemType = "commandExecution"
	ItemFileChange       ItemType = "fileChange"
	ItemPlan             ItemType = "plan"
	ItemApproval         ItemType = "approval"
	ItemQuestion         ItemType = "question"
	ItemState            ItemType = "state"
	ItemCustom           ItemType = "custom"
	ItemNotice           ItemType = "notice"
	ItemError            ItemType = "error"
)

// Values lists the types.
func (ItemType) Values() []string {
	return []string{
		"userMessage", "developerMessage", "agentMessage", "reasoning", "toolCall", "commandExecution", "fileChange",
		"plan", "approval", "question", "state", "custom", "notice", "error",
	}
}

// ItemStatus says where an item is in its life.
type ItemStatus string

// The states of an item.
const (
	ItemCompleted   ItemStatus = "completed"
	ItemInProgress  ItemStatus = "inProgress"
	ItemFailed      ItemStatus = "failed"
	ItemInterrupted ItemStatus = "interrupted"
	ItemCancelled   ItemStatus = "cancelled"
	ItemDeclined    ItemStatus = "declined"
)

// Values lists the states.
func (ItemStatus) Values() []string {
	return []string{"completed", "inProgress", "failed", "interrupted", "cancelled", "declined"}
}

// Origin says where an item comes from.
type Origin string

// Where items come from.
const (
	OriginTurn     Origin = "turn"     // made by a turn
	OriginInjected Origin = "injected" // put there with thread/items/append
	OriginImported Origin = "imported" // history from elsewhere
)

// Values lists the origins.
func (Origin) Values() []string { return []string{"turn", "injected", "imported"} }

// Delivery says how a user message reached the agent.
type Delivery string

// How user messages reach the agent.
const (
	DeliveryInput   Delivery = "input"   // as the input of its turn
	DeliverySteer   Delivery = "steer"   // into a running turn
	DeliveryPending Delivery = "pending" // appended before the turn
)

// Values lists the deliveries.
func (Delivery) Values() []string { return []string{"input", "steer", "pending"} }

// Executor says who carries a tool call out.
type Executor string

// Who carries tool calls out.
const (
	ExecutorClient Executor = "client"
	ExecutorMCP    Executor = "mcp"
	ExecutorAgent  Executor = "agent"
	ExecutorDaemon Executor = "daemon"
)

// Values lists the executors.
func (Executor) Values() []string { return []string{"client", "mcp", "agent", "daemon"} }

// Codes of a tool call that failed, in Item.Error.
const (
	ToolErrUnavailable      = "ToolUnavailable"
	ToolErrNotAllowed       = "ToolNotAllowed"
	ToolErrFailed           = "ToolFailed"
	ToolErrInvalidArguments = "InvalidArguments"
)

// Item is one entry of a conversation. The first group of fields is common to all
// types; which of the others it has is up to its type ([ItemType.Fields]).
type Item struct {
	ID          string     `json:"id"`
	TurnID      string     `json:"turnId,omitempty"`
	Type        ItemType   `json:"type"`
	Status      ItemStatus `json:"status"`
	CreatedAt   Time       `json:"createdAt"`
	CompletedAt Time       `json:"completedAt,omitempty"`
	Revision    uint64     `json:"revision"`
	Origin      Origin     `json:"origin"`
	Metadata    Object     `json:"metadata,omitempty"`

	// Content holds the parts of a userMessage, a list of [Part], or the content of a
	// custom item, untouched.
	Content  json.RawMessage `json:"content,omitempty"`
	Sender   *Sender         `json:"sender,omitempty"`
	Delivery Delivery        `json:"delivery,omitempty"`

	// Text, like all that [ItemType.RequiredFields] names, is written also where it is
	// empty.
	Text       string          `json:"text,omitempty"`
	Visibility string          `json:"visibility,omitempty"` // hidden, shown
	Citations  json.RawMessage `json:"citations,omitempty"`

	Tool       string          `json:"tool,omitempty"`
	Namespace  string          `json:"namespace,omitempty"`
	CallID     string          `json:"callId,omitempty"`
	Executor   Executor        `json:"executor,omitempty"`
	Arguments  json.RawMessage `json:"arguments,omitempty"`
	Result     *ToolResult     `json:"result,omitempty"`
	Error      *ItemFailure    `json:"error,omitempty"`
	DurationMs int64           `json:"durationMs,omitempty"`

	Command         []string     `json:"command,omitempty"`
	Cwd             string       `json:"cwd,omitempty"`
	Output          string       `json:"output,omitempty"`
	OutputTruncated bool         `json:"outputTruncated,omitempty"`
	ExitCode        *int         `json:"exitCode,omitempty"`
	Changes         []FileChange `json:"changes,omitempty"`
	Entries         []PlanEntry  `json:"entries,omitempty"`

	ApprovalID string          `json:"approvalId,omitempty"`
	Kind       string          `json:"kind,omitempty"` // of an approval, a custom item or a notice
	Operation  string          `json:"operation,omitempty"`
	Target     json.RawMessage `json:"target,omitempty"`
	ScopeKey   string          `json:"scopeKey,omitempty"`
	Reason     string          `json:"reason,omitempty"`
	Decisions  []string        `json:"decisions,omitempty"`
	ExpiresAt  Time            `json:"expiresAt,omitempty"`
	Decision   string          `json:"decision,omitempty"`
	By         *By             `json:"by,omitempty"`

	RequestID string            `json:"requestId,omitempty"`
	Questions []Question        `json:"questions,omitempty"`
	Answers   map[string]Answer `json:"answers,omitempty"`
	Outcome   string            `json:"outcome,omitempty"` // answered, cancelled, timedOut, abandoned

	State   json.RawMessage `json:"state,omitempty"`
	Role    string          `json:"role,omitempty"`
	Code    string          `json:"code,omitempty"`
	Message string          `json:"message,omitempty"`

	// Extra holds fields that a newer version wrote; they survive a round trip.
	Extra Object `json:"-"`
}

// ToolResult is what a tool gave.
type ToolResult struct {
	Content    []Part          `json:"content"`
	Structured json.RawMessage `json:"structured,omitempty"`
}

// ItemFailure says why a tool call failed.
type ItemFailure struct {
	Code    string `json:"code"` // one of the ToolErr constants
	Message string `json:"message"`
}

// FileChange is one file that changed.
type FileChange struct {
	Path string `json:"path"`
	Kind string `json:"kind"` // add, modify, delete, rename
	Diff string `json:"diff"`
}

// PlanEntry is one step of a plan.
type PlanEntry struct {
	Text     string `json:"text"`
	Status   string `json:"status"` // pending, inProgress, completed
	Priority string `json:"priority,omitempty"`
}

// Question asks the user for something.
type Question struct {
	ID         string   `json:"id"`
	Header     string   `json:"header"`
	Question   string   `json:"question"`
	Options    []Option `json:"options,omitempty"`
	AllowOther bool     `json:"allowOther"`
	Secret     bool     `json:"secret"`
}

// Option is one choice of a question.
type Option struct {
	Label       string `json:"label"`
	Description string `json:"description,omitempty"`
}

// Answer holds what was chosen or written.
type Answer struct {
	Answers []string `json:"answers"`
}
