package sdk

import (
	"encoding/json"
	"fmt"

	"github.com/spoolhq/spool/protocol"
)

// EventType names what happened. The names are the same in every SDK.
type EventType string

// The types of events.
const (
	EventTurnQueued         EventType = "turn_queued"
	EventTurnStarted        EventType = "turn_started"
	EventItemStarted        EventType = "item_started"
	EventAgentMessageDelta  EventType = "agent_message_delta"
	EventReasoningDelta     EventType = "reasoning_delta"
	EventToolArgumentsDelta EventType = "tool_arguments_delta" // a preview; item_completed has what counts
	EventCommandOutputDelta EventType = "command_output_delta"
	EventStateDelta         EventType = "state_delta"
	EventItemUpdated        EventType = "item_updated" // the whole item in progress; replaces what deltas built
	EventItemCompleted      EventType = "item_completed"
	EventApprovalRequested  EventType = "approval_requested"
	EventApprovalResolved   EventType = "approval_resolved"
	EventQuestionRequested  EventType = "question_requested"
	EventQuestionResolved   EventType = "question_resolved"
	EventUsageDelta         EventType = "usage_delta" // adds up to the usage of the turn
	EventPlanUpdated        EventType = "plan_updated"
	EventSubagentProgress   EventType = "subagent_progress"
	EventSystemEvent        EventType = "system_event"
	EventCompleted          EventType = "completed"
	EventFailed             EventType = "failed"
	EventCancelled          EventType = "cancelled"

	EventThreadStarted         EventType = "thread_started"
	EventThreadUpdated         EventType = "thread_updated"
	EventThreadResumed         EventType = "thread_resumed" // from paused to active
	EventThreadStatusChanged   EventType = "thread_status_changed"
	EventThreadRuntimeChanged  EventType = "thread_runtime_changed"
	EventThreadEnded           EventType = "thread_ended"
	EventThreadReset           EventType = "thread_reset" // drop all that is held of the thread
	EventThreadRolledBack      EventType = "thread_rolled_back"
	EventThreadItemsChanged    EventType = "thread_items_changed"
	EventThreadPresenceChanged EventType = "thread_presence_changed"
	EventThreadDeleted         EventType = "thread_deleted"
	EventQueueUpdated          EventType = "queue_updated"

	EventRaw EventType = "raw" // any other notification; Method says which
)

// eventTypes names the type of each notification; those that are missing are raw.
var eventTypes = map[string]EventType{
	protocol.EventTurnQueued.Name:          EventTurnQueued,
	protocol.EventTurnStarted.Name:         EventTurnStarted,
	protocol.EventTurnCompleted.Name:       EventCompleted,
	protocol.EventTurnFailed.Name:          EventFailed,
	protocol.EventTurnCancelled.Name:       EventCancelled,
	protocol.EventItemStarted.Name:         EventItemStarted,
	protocol.EventItemUpdated.Name:         EventItemUpdated,
	protocol.EventItemCompleted.Name:       EventItemCompleted,
	protocol.EventAgentMessageDelta.Name:   EventAgentMessageDelta,
	protocol.EventReasoningDelta.Name:      EventReasoningDelta,
	protocol.EventToolArgumentsDelta.Name:  EventToolArgumentsDelta,
	protocol.EventCommandOutputDelta.Name:  EventCommandOutputDelta,
	protocol.EventStateDelta.Name:          EventStateDelta,
	protocol.EventApprovalRequested.Name:   EventApprovalRequested,
	protocol.EventApprovalResolved.Name:    EventApprovalResolved,
	protocol.EventQuestionRequested.Name:   EventQuestionRequested,
	protocol.EventQuestionResolved.Name:    EventQuestionResolved,
	protocol.EventUsageDelta.Name:          EventUsageDelta,
	protocol.EventPlanUpdated.Name:         EventPlanUpdated,
	protocol.EventSubagentProgress.Name:    EventSubagentProgress,
	protocol.EventSystemNews.Name:          EventSystemEvent,
	protocol.EventThreadStarted.Name:       EventThreadStarted,
	protocol.EventThreadUpdated.Name:       EventThreadUpdated,
	protocol.EventThreadStatusChanged.Name: EventThreadStatusChanged,
	protocol.EventRuntimeChanged.Name:      EventThreadRuntimeChanged,
	protocol.EventThreadEnded.Name:         EventThreadEnded,
	protocol.EventThreadReset.Name:         EventThreadReset,
	protocol.EventThreadRolledBack.Name:    EventThreadRolledBack,
	protocol.EventItemsChanged.Name:        EventThreadItemsChanged,
	protocol.EventPresenceChanged.Name:     EventThreadPresenceChanged,
	protocol.EventThreadDeleted.Name:       EventThreadDeleted,
	protocol.EventQueueUpdated.Name:        EventQueueUpdated,
}

// Event is one thing that happened on a thread. Which of the fields after At are set is
// up to the type; [Payload] gives all there is of any event.
type Event struct {
	Type     EventType
	Method   string // the notification's own name
	ThreadID string
	TurnID   string
	ItemID   string
	TraceID  string
	Seq      uint64 // number of a durable event in its thread; 0: live only
	At       protocol.Time

	Delta  string // the new piece of text
	Offset int    // bytes of the item's text before Delta
	// Text is all the text of the item so far: of a message or of reasoning, the output of
	// a command, the arguments of a tool call. Deltas are put where their offset says, and
	// a snapshot of the item replaces it, so nothing is in it twice. It may lack a piece
	// between a connection loss and the snapshot that follows.
	Text string

	Item     *protocol.Item       // of item events; with the merged state for state_delta
	Turn     *protocol.Turn       // of turn events
	Thread   *protocol.Thread     // of thread events
	Runtime  *protocol.Runtime    // of thread_runtime_changed
	Usage    *protocol.Usage      // of usage_delta
	Plan     []protocol.PlanEntry // of plan_updated
	Decision string               // of approval_resolved

	// Raw is the whole message, byte for byte as it was received. It is nil only for the
	// end of a turn that was learned from turn/wait and not from an event.
	Raw json.RawMessage
}

// Terminal reports whether the event is the end of a turn, and the last event of it.
func (e Event) Terminal() bool {
	return e.Type == EventCompleted || e.Type == EventFailed || e.Type == EventCancelled
}

// Err returns a *TurnFailedError or *TurnCancelledError for the end of a turn that did
// not complete, nil for all other events. Its Partial holds no items.
func (e Event) Err() error {
	if !e.Terminal() || e.Turn == nil {
		return nil
	}
	return resultOf(e.Turn, "").err()
}

// Payload returns all that an event says, in the type of its notification:
//
//	p, err := sdk.Payload(ev, protocol.EventPresenceChanged)
//
// It fails if ev is another notification.
func Payload[P any](ev Event, n protocol.Notification[P]) (P, error) {
	var p P
	if ev.Method != n.Name {
		return p, fmt.Errorf("the event is %s, not %s", ev.Method, n.Name)
	}
	if ev.Raw == nil {
		return p, fmt.Errorf("the event %s was made by the SDK and has no message", ev.Method)
	}
	err := json.Unmarshal(protocol.Member(ev.Raw, "params"), &p)
	return p, err
}
