package protocol

import "encoding/json"

// Header is part of every notification about a thread. Seq is there for durable ones
// only: 1, 2, 3 … per thread, without holes, never reused.
type Header struct {
	ThreadID string `json:"threadId"`
	TurnID   string `json:"turnId,omitempty"`
	ItemID   string `json:"itemId,omitempty"`
	TraceID  string `json:"traceId,omitempty"` // of the turn
	Seq      uint64 `json:"seq,omitempty"`     // durable events only
	At       Time   `json:"at"`                // when it was decided
}

// ThreadStartedEvent is the first event of a thread.
type ThreadStartedEvent struct {
	Header
	Thread Thread `json:"thread"`
}

// ThreadUpdatedEvent says that parts of the header changed.
type ThreadUpdatedEvent struct {
	Header
	Thread  Thread   `json:"thread"`
	Changed []string `json:"changed"` // names of fields of thread
}

// ThreadStatusChangedEvent says that the status changed.
type ThreadStatusChangedEvent struct {
	Header
	Thread   Thread       `json:"thread"`
	Previous ThreadStatus `json:"previous"`
}

// ThreadEndedEvent says that the thread is final.
type ThreadEndedEvent struct {
	Header
	Thread Thread `json:"thread"`
	Reason string `json:"reason"` // thread.endReason
}

// ThreadResetEvent says that all before it is gone: a client drops what it holds.
type ThreadResetEvent struct {
	Header
	Thread     Thread `json:"thread"`
	Generation uint64 `json:"generation"`
}

// ThreadRolledBackEvent names turns that are not part of the thread any more.
type ThreadRolledBackEvent struct {
	Header
	RemovedTurnIDs []string `json:"removedTurnIds"`
}

// QueueUpdatedEvent says that the queue was edited, cleared, paused or resumed.
type QueueUpdatedEvent struct {
	Header
	Revision    uint64      `json:"revision"`
	Paused      bool        `json:"paused"`
	PauseReason PauseReason `json:"pauseReason,omitempty"`
	TurnIDs     []string    `json:"turnIds"`           // the whole queue, in order
	Updated     []Turn      `json:"updated,omitempty"` // turns with a new input
}

// ItemChange is one change to an item outside the normal course of a turn.
type ItemChange struct {
	Op     string `json:"op"` // append, update, replace
	ItemID string `json:"itemId"`
	Item   Item   `json:"item"`
}

// ItemsChangedEvent says that items were appended or updated. Where Replaced is set, its
// changes are all items the thread has.
type ItemsChangedEvent struct {
	Header
	Changes  []ItemChange `json:"changes"`
	Replaced bool         `json:"replaced,omitempty"`
}

// TurnEvent is a step in the life of a turn. Queue is there where the turn enters or
// leaves the queue.
type TurnEvent struct {
	Header
	Turn  Turn        `json:"turn"`
	Queue *QueueState `json:"queue,omitempty"`
}

// ItemEvent carries an item as it is now.
type ItemEvent struct {
	Header
	Item Item `json:"item"`
}

// AskEvent is a step in the life of an approval or a question.
type AskEvent struct {
	Header
	Item     Item   `json:"item"`
	Decision string `json:"decision,omitempty"`
	By       *By    `json:"by,omitempty"`
}

// PlanUpdatedEvent carries the whole plan.
type PlanUpdatedEvent struct {
	Header
	Entries []PlanEntry `json:"entries"`
}

// DeltaEvent is a piece of an item's text. Offset is the length in UTF-8 bytes of the
// text before it.
type DeltaEvent struct {
	Header
	Offset int    `json:"offset"` // bytes of text before it
	Delta  string `json:"delta"`  // text to append
}

// StateDeltaEvent changes a state item by a JSON merge patch.
type StateDeltaEvent struct {
	Header
	Patch json.RawMessage `json:"patch"` // merge patch of the item's state
}

// UsageDeltaEvent carries the tokens of one model call.
type UsageDeltaEvent struct {
	Header
	Usage Usage `json:"usage"`
}

// ToolCancelEvent tells the owner of a call to stop it.
type ToolCancelEvent struct {
	Header
	CallID string `json:"callId"`
	Reason string `json:"reason"`
}

// SubagentProgressEvent is a snapshot of what an agent's helper does.
type SubagentProgressEvent struct {
	Header
	Progress json.RawMessage `json:"progress"`
}

// SystemEvent is news for people.
type SystemEvent struct {
	Header
	Kind       string `json:"kind"`
	MessageKey string `json:"messageKey,omitempty"` // names the text, for translations
	Params     Object `json:"params,omitempty"`     // what to put into a translation
	Text       string `json:"text"`                 // in English
}

// RuntimeChangedEvent says what a thread does now.
type RuntimeChangedEvent struct {
	Header
	Runtime Runtime `json:"runtime"`
}

// ThreadDeletedEvent is the last thing ever said about a thread.
type ThreadDeletedEvent struct {
	Header
}

// PresenceChangedEvent says who joined and who left.
type PresenceChangedEvent struct {
	Header
	Joined []Presence `json:"joined,omitempty"`
	Left   []Presence `json:"left,omitempty"`
}

// SubscriptionLaggedEvent says that the reader was too slow: deltas were dropped, and it
// is caught up from the journal.
type SubscriptionLaggedEvent struct {
	Header
	ThroughSeq uint64 `json:"throughSeq"` // head when the lag was noticed
}

// SubscriptionClosedEvent says that a subscription ended without being asked to.
type SubscriptionClosedEvent struct {
	Header
	Reason string `json:"reason"`
}

// ShuttingDownEvent says that the daemon stops.
type ShuttingDownEvent struct {
	Deadline Time `json:"deadline"` // when running turns are cancelled
}
