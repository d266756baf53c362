package protocol

import "reflect"

// Notification ties the name of a notification to its payload. Durable ones carry a seq
// and are kept in the journal. Where List is set it goes to every connection that may
// read the thread, else to the thread's subscribers.
type Notification[P any] struct {
	Name    string
	Durable bool
	List    bool
	Doc     string
}

// The notifications of the daemon.
var (
	EventThreadStarted       = Notification[ThreadStartedEvent]{"thread/started", true, true, "A thread begins."}
	EventThreadUpdated       = Notification[ThreadUpdatedEvent]{"thread/updated", true, true, "Parts of a thread's header changed."}
	EventThreadStatusChanged = Notification[ThreadStatusChangedEvent]{"thread/statusChanged", true, true, "A thread was paused, resumed, archived or unarchived."}
	EventThreadEnded         = Notification[ThreadEndedEvent]{"thread/ended", true, true, "A thread is final."}
	EventThreadReset         = Notification[ThreadResetEvent]{"thread/reset", true, false, "All turns and items are gone; drop what you hold."}
	EventThreadRolledBack    = Notification[ThreadRolledBackEvent]{"thread/rolledBack", true, false, "The newest turns were removed."}
	EventQueueUpdated        = Notification[QueueUpdatedEvent]{"thread/queue/updated", true, false, "The queue was edited, cleared, paused or resumed."}
	EventItemsChanged        = Notification[ItemsChangedEvent]{"thread/items/changed", true, false, "Items were appended, updated or replaced by a client."}

	EventTurnQueued    = Notification[TurnEvent]{"turn/queued", true, false, "An input waits for its turn."}
	EventTurnStarted   = Notification[TurnEvent]{"turn/started", true, false, "A turn runs."}
	EventTurnCompleted = Notification[TurnEvent]{"turn/completed", true, false, "A turn is over and did what it could."}
	EventTurnFailed    = Notification[TurnEvent]{"turn/failed", true, false, "A turn is over, with an error."}
	EventTurnCancelled = Notification[TurnEvent]{"turn/cancelled", true, false, "A turn was stopped or taken out of the queue."}

	EventItemStarted   = Notification[ItemEvent]{"item/started", true, false, "An item begins; deltas may follow."}
	EventItemCompleted = Notification[ItemEvent]{"item/completed", true, false, "An item is final; what it says counts."}

	EventApprovalRequested = Notification[AskEvent]{"item/approval/requested", true, false, "An agent asks for approval."}
	EventApprovalResolved  = Notification[AskEvent]{"item/approval/resolved", true, false, "An approval was given, refused, withdrawn or has expired."}
	EventQuestionRequested = Notification[AskEvent]{"item/question/requested", true, false, "An agent asks a question."}
	EventQuestionResolved  = Notification[AskEvent]{"item/question/resolved", true, false, "A question was answered, withdrawn or has expired."}
	EventPlanUpdated       = Notification[PlanUpdatedEvent]{"plan/updated", true, false, "The plan changed."}

	EventAgentMessageDelta  = Notification[DeltaEvent]{"item/agentMessage/delta", false, false, "A piece of a message."}
	EventReasoningDelta     = Notification[DeltaEvent]{"item/reasoning/delta", false, false, "A piece of reasoning."}
	EventToolArgumentsDelta = Notification[DeltaEvent]{"item/toolCall/argumentsDelta", false, false, "A piece of a tool call's arguments, as a preview."}
	EventCommandOutputDelta = Notification[DeltaEvent]{"item/commandExecution/outputDelta", false, false, "A piece of a command's output."}
	EventStateDelta         = Notification[StateDeltaEvent]{"item/state/delta", false, false, "A merge patch of a state item."}
	EventItemUpdated        = Notification[ItemEvent]{"item/updated", false, false, "An item in progress as it is now; replaces what deltas built."}
	EventUsageDelta         = Notification[UsageDeltaEvent]{"item/usage/delta", false, false, "The tokens of one model call."}
	EventToolCancel         = Notification[ToolCancelEvent]{"item/tool/cancel", false, false, "A tool call is not wanted any more."}
	EventSubagentProgress   = Notification[SubagentProgressEvent]{"subagent/progress", false, false, "What an agent's helper does."}
	EventSystemNews         = Notification[SystemEvent]{"system/event", false, false, "News for people."}
	EventRuntimeChanged     = Notification[RuntimeChangedEvent]{"thread/runtimeChanged", false, true, "What a thread does now, for lists and badges."}
	EventThreadDeleted      = Notification[ThreadDeletedEvent]{"thread/deleted", false, true, "The last thing ever said about a thread."}
	EventPresenceChanged    = Notification[PresenceChangedEvent]{"thread/presence/changed", false, false, "Who subscribed and who left."}
	EventSubscriptionLagged = Notification[SubscriptionLaggedEvent]{"thread/subscription/lagged", false, false, "You read too slowly; deltas were dropped, durable events follow from the journal."}
	EventSubscriptionClosed = Notification[SubscriptionClosedEvent]{"thread/subscription/closed", false, false, "Your subscription was ended."}
	EventServerShuttingDown = Notification[ShuttingDownEvent]{"server/shuttingDown", false, false, "The daemon stops."}
)

// The notifications of a client. EventCancelRequest goes both ways.
var (
	EventInitialized   = Notification[Empty]{Name: "initialized", Doc: "The client is ready; before it the daemon pushes nothing."}
	EventCancelRequest = Notification[CancelRequestParams]{Name: "$/cancelRequest", Doc: "Stop waiting for that request."}
)

// NotificationInfo is a Notification without its type parameter.
type NotificationInfo struct {
	Name    string
	Durable bool
	List    bool
	Doc     string
	Params  reflect.Type
}

func (n Notification[P]) info() NotificationInfo {
	return NotificationInfo{n.Name, n.Durable, n.List, n.Doc, reflect.TypeFor[P]()}
}

// ServerNotifications lists what the daemon says, in the order of the documentation.
func ServerNotifications() []NotificationInfo {
	return []NotificationInfo{
		EventThreadStarted.info(), EventThreadUpdated.info(), EventThreadStatusChanged.info(), EventThreadEnded.info(), EventThreadReset.info(),
		EventThreadRolledBack.info(), EventQueueUpdated.info(), EventItemsChanged.info(),
		EventTurnQueued.info(), EventTurnStarted.info(), EventTurnCompleted.info(), EventTurnFailed.info(), EventTurnCancelled.info(),
		EventItemStarted.info(), EventItemCompleted.info(),
		EventApprovalRequested.info(), EventApprovalResolved.info(), EventQuestionRequested.info(), EventQuestionResolved.info(), EventPlanUpdated.info(),
		EventAgentMessageDelta.info(), EventReasoningDelta.info(), EventToolArgumentsDelta.info(), EventCommandOutputDelta.info(), EventStateDelta.info(),
		EventItemUpdated.info(), EventUsageDelta.info(), EventToolCancel.info(), EventSubagentProgress.info(), EventSystemNews.info(), EventRuntimeChanged.info(),
		EventThreadDeleted.info(), EventPresenceChanged.info(), EventSubscriptionLagged.info(), EventSubscriptionClosed.info(), EventServerShuttingDown.info(),
		EventCancelRequest.info(),
	}
}

// ClientNotifications lists what a client may say.
func ClientNotifications() []NotificationInfo {
	return []NotificationInfo{EventInitialized.info(), EventCancelRequest.info()}
}
