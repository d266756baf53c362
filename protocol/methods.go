package protocol

import "reflect"

// Order says when a request may run.
type Order uint8

// When requests run.
const (
	// OrderNow: at once, before requests that came earlier. Never waits.
	OrderNow Order = 1
	// OrderInOrder: one after another on its connection.
	OrderInOrder Order = 2
	// OrderFree: beside others; for reads.
	OrderFree Order = 3
)

// Request ties a method to its params and result. The table below is the only list of
// methods: dispatch, JSON Schema, OpenRPC and the documentation are made from it.
type Request[P, R any] struct {
	Name     string
	Order    Order
	Scope    Scope
	Mutating bool // takes idempotencyKey, answers replayed
	Doc      string
}

// The requests of a client.
var (
	MethodInitialize       = Request[InitializeParams, InitializeResult]{"initialize", OrderInOrder, ScopeNone, false, "Opens a connection; first and once."}
	MethodConnectionUpdate = Request[ConnectionUpdateParams, ConnectionUpdateResult]{"connection/update", OrderInOrder, ScopeRead, false, "Renews the token or changes the connection's metadata."}

	MethodThreadStart          = Request[ThreadStartParams, ThreadResult]{"thread/start", OrderInOrder, ScopeRun, true, "Begins a thread."}
	MethodThreadGetOrCreate    = Request[ThreadStartParams, ThreadGetOrCreateResult]{"thread/getOrCreate", OrderInOrder, ScopeRun, true, "Finds the active or paused thread of an identity, or begins one; atomic."}
	MethodThreadResume         = Request[ThreadResumeParams, ThreadSnapshot]{"thread/resume", OrderInOrder, ScopeRun, true, "Takes a thread up again; a paused one becomes active."}
	MethodThreadRead           = Request[ThreadReadParams, ThreadReadResult]{"thread/read", OrderFree, ScopeRead, false, "Reads a thread; changes nothing."}
	MethodThreadList           = Request[ThreadListParams, ThreadListResult]{"thread/list", OrderFree, ScopeRead, false, "Lists threads, newest first."}
	MethodThreadTurnsList      = Request[ThreadTurnsListParams, TurnListResult]{"thread/turns/list", OrderFree, ScopeRead, false, "Lists the turns of a thread."}
	MethodThreadItemsList      = Request[ThreadItemsListParams, ItemListResult]{"thread/items/list", OrderFree, ScopeRead, false, "Lists the items of a thread or of one turn."}
	MethodThreadSubscribe      = Request[ThreadSubscribeParams, ThreadSnapshot]{"thread/subscribe", OrderInOrder, ScopeRead, false, "Sends the events of a thread from now on, or from a seq on."}
	MethodThreadUnsubscribe    = Request[ThreadParams, ThreadUnsubscribeResult]{"thread/unsubscribe", OrderInOrder, ScopeRead, false, "Ends a subscription."}
	MethodThreadRename         = Request[ThreadRenameParams, ThreadResult]{"thread/rename", OrderInOrder, ScopeRun, true, "Sets the title."}
	MethodThreadMetadataUpdate = Request[ThreadMetadataUpdateParams, ThreadResult]{"thread/metadata/update", OrderInOrder, ScopeRun, true, "Changes the metadata by a merge patch."}
	MethodThreadConfigUpdate   = Request[ThreadConfigUpdateParams, ThreadResult]{"thread/config/update", OrderInOrder, ScopeRun, true, "Changes the config by a merge patch, from the next turn on."}
	MethodThreadModeSet        = Request[ThreadModeSetParams, ThreadResult]{"thread/mode/set", OrderInOrder, ScopeRun, true, "Sets the mode, from the next turn on."}
	MethodThreadPause          = Request[ThreadChangeParams, ThreadResult]{"thread/pause", OrderInOrder, ScopeRun, true, "Stops starting turns until thread/resume."}
	MethodThreadArchive        = Request[ThreadChangeParams, ThreadResult]{"thread/archive", OrderInOrder, ScopeRun, true, "Puts a thread away."}
	MethodThreadUnarchive      = Request[ThreadChangeParams, ThreadResult]{"thread/unarchive", OrderInOrder, ScopeRun, true, "Brings an archived thread back."}
	MethodThreadEnd            = Request[ThreadChangeParams, ThreadResult]{"thread/end", OrderInOrder, ScopeRun, true, "Makes a thread final; it stays readable."}
	MethodThreadEndAll         = Request[ThreadEndAllParams, ThreadEndAllResult]{"thread/endAll", OrderInOrder, ScopeRun, true, "Ends several threads, with an outcome for each."}
	MethodThreadDelete         = Request[ThreadChangeParams, ThreadDeleteResult]{"thread/delete", OrderInOrder, ScopeRun, true, "Removes a thread and all it holds."}
	MethodThreadReset          = Request[ThreadResetParams, ThreadResetResult]{"thread/reset", OrderInOrder, ScopeRun, true, "Removes all turns and items; keeps id, owner, config and metadata."}
	MethodThreadFork           = Request[ThreadForkParams, ThreadResult]{"thread/fork", OrderInOrder, ScopeRun, true, "Begins a thread with the history of another."}
	MethodThreadRollback       = Request[ThreadRollbackParams, ThreadResult]{"thread/rollback", OrderInOrder, ScopeRun, true, "Removes the newest turns of an idle thread."}
	MethodThreadExport         = Request[ThreadExportParams, ThreadExportResult]{"thread/export", OrderFree, ScopeRead, false, "Gives a page of the journal, byte for byte."}
	MethodThreadImport         = Request[ThreadImportParams, ThreadResult]{"thread/import", OrderInOrder, ScopeRun, true, "Stores an exported journal under its own id."}
	MethodThreadItemsAppend    = Request[ThreadItemsAppendParams, ThreadItemsAppendResult]{"thread/items/append", OrderInOrder, ScopeRun, true, "Stores items without running a turn."}
	MethodThreadItemsUpdate    = Request[ThreadItemsUpdateParams, ThreadItemsUpdateResult]{"thread/items/update", OrderInOrder, ScopeRun, true, "Changes one item by a merge patch."}
	MethodThreadItemsReplace   = Request[ThreadItemsReplaceParams, ThreadItemsReplaceResult]{"thread/items/replace", OrderInOrder, ScopeRun, true, "Replaces all items of an idle thread."}
	MethodThreadPresenceList   = Request[ThreadParams, PresenceListResult]{"thread/presence/list", OrderFree, ScopeRead, false, "Lists who is subscribed."}
	MethodThreadAccessUpdate   = Request[ThreadAccessUpdateParams, ThreadResult]{"thread/access/update", OrderInOrder, ScopeRun, true, "Says who else may use the thread; for its owner."}

	MethodTurnRun         = Request[TurnRunParams, TurnRunResult]{"turn/run", OrderInOrder, ScopeRun, true, "Gives the agent an input."}
	MethodTurnStart       = Request[TurnInput, TurnRunResult]{"turn/start", OrderInOrder, ScopeRun, true, "turn/run with ifBusy:reject."}
	MethodTurnEnqueue     = Request[TurnInput, TurnRunResult]{"turn/enqueue", OrderInOrder, ScopeRun, true, "turn/run with ifBusy:enqueue."}
	MethodTurnSteer       = Request[TurnSteerParams, TurnRunResult]{"turn/steer", OrderInOrder, ScopeRun, true, "Gives an input to the running turn."}
	MethodTurnInterrupt   = Request[TurnInterruptParams, TurnInterruptResult]{"turn/interrupt", OrderNow, ScopeRun, true, "Stops a turn; safe to repeat."}
	MethodTurnWait        = Request[TurnWaitParams, TurnWaitResult]{"turn/wait", OrderFree, ScopeRead, false, "Answers when a turn is over."}
	MethodTurnRead        = Request[TurnReadParams, TurnResult]{"turn/read", OrderFree, ScopeRead, false, "Reads a turn."}
	MethodTurnQueueList   = Request[ThreadParams, QueueListResult]{"turn/queue/list", OrderFree, ScopeRead, false, "Lists the waiting turns."}
	MethodTurnQueueUpdate = Request[QueueUpdateParams, QueueResult]{"turn/queue/update", OrderInOrder, ScopeRun, true, "Changes the input of a waiting turn."}
	MethodTurnQueueRemove = Request[QueueRemoveParams, QueueResult]{"turn/queue/remove", OrderInOrder, ScopeRun, true, "Takes a waiting turn out."}
	MethodTurnQueueMove   = Request[QueueReorderParams, QueueResult]{"turn/queue/reorder", OrderInOrder, ScopeRun, true, "Puts the waiting turns into another order."}
	MethodTurnQueueClear  = Request[QueueClearParams, QueueResult]{"turn/queue/clear", OrderInOrder, ScopeRun, true, "Takes all waiting turns out."}
	MethodTurnQueuePause  = Request[QueueParams, QueueResult]{"turn/queue/pause", OrderInOrder, ScopeRun, true, "Lets nothing start from the queue."}
	MethodTurnQueueResume = Request[QueueParams, QueueResult]{"turn/queue/resume", OrderInOrder, ScopeRun, true, "Lets the queue go on."}

	MethodToolRegister   = Request[ToolRegisterParams, ToolRegisterResult]{"tool/register", OrderInOrder, ScopeRun, true, "Offers tools that this client carries out."}
	MethodToolUnregister = Request[ToolUnregisterParams, ToolRegisterResult]{"tool/unregister", OrderInOrder, ScopeRun, true, "Takes tools back."}
	MethodToolList       = Request[ThreadParams, ToolListResult]{"tool/list", OrderFree, ScopeRead, false, "Lists the tools of a thread."}

	MethodApprovalList        = Request[ApprovalListParams, PendingListResult]{"approval/list", OrderFree, ScopeRead, false, "Lists open approvals."}
	MethodApprovalRespond     = Request[ApprovalRespondParams, ItemResult]{"approval/respond", OrderInOrder, ScopeApprove, true, "Answers an approval."}
	MethodApprovalRulesList   = Request[Paging, ApprovalRulesListResult]{"approval/rules/list", OrderFree, ScopeRead, false, "Lists what acceptAlways stored."}
	MethodApprovalRulesRemove = Request[ApprovalRulesRemoveParams, RemovedResult]{"approval/rules/remove", OrderInOrder, ScopeApprove, true, "Removes such a rule."}
	MethodQuestionList        = Request[ApprovalListParams, PendingListResult]{"question/list", OrderFree, ScopeRead, false, "Lists open questions."}
	MethodQuestionRespond     = Request[QuestionRespondParams, ItemResult]{"question/respond", OrderInOrder, ScopeApprove, true, "Answers a question."}

	MethodAgentList = Request[Empty, AgentListResult]{"agent/list", OrderFree, ScopeRead, false, "Lists the configured agents."}
	MethodAgentRead = Request[AgentReadParams, AgentReadResult]{"agent/read", OrderFree, ScopeRead, false, "Describes one agent."}

	MethodServerInfo            = Request[Empty, ServerInfoResult]{"server/info", OrderFree, ScopeRead, false, "Describes the daemon."}
	MethodServerPing            = Request[Empty, PingResult]{"server/ping", OrderNow, ScopeRead, false, "Answers at once."}
	MethodServerStats           = Request[Empty, ServerStatsResult]{"server/stats", OrderFree, ScopeRead, false, "Counts what the daemon does."}
	MethodServerConnectionsList = Request[Empty, ConnectionsListResult]{"server/connections/list", OrderFree, ScopeAdmin, false, "Lists the connections."}
	MethodServerBackup          = Request[Empty, ServerBackupResult]{"server/backup", OrderFree, ScopeAdmin, false, "Writes a copy of all threads to a new file on the daemon's machine."}
	MethodServerShutdown        = Request[ServerShutdownParams, Empty]{"server/shutdown", OrderInOrder, ScopeAdmin, false, "Stops the daemon."}
)

// The requests of the daemon.
var (
	MethodApprovalRequest = Request[ApprovalRequestParams, ApprovalRequestResult]{Name: "item/approval/request", Doc: "May I do this?"}
	MethodQuestionRequest = Request[QuestionRequestParams, QuestionRequestResult]{Name: "item/question/request", Doc: "Which one?"}
	MethodToolCall        = Request[ToolCallParams, ToolCallResult]{Name: "item/tool/call", Doc: "Please carry this tool out."}
)

// RequestInfo is a Request without its type parameters.
type RequestInfo struct {
	Name     string
	Order    Order
	Scope    Scope
	Mutating bool
	Doc      string
	Params   reflect.Type
	Result   reflect.Type
}

// Info describes the request.
func (r Request[P, R]) Info() RequestInfo {
	return RequestInfo{r.Name, r.Order, r.Scope, r.Mutating, r.Doc, reflect.TypeFor[P](), reflect.TypeFor[R]()}
}

// ClientRequests lists the requests of a client, in the order of the documentation.
func ClientRequests() []RequestInfo {
	return []RequestInfo{
		MethodInitialize.Info(), MethodConnectionUpdate.Info(),
		MethodThreadStart.Info(), MethodThreadGetOrCreate.Info(), MethodThreadResume.Info(), MethodThreadRead.Info(), MethodThreadList.Info(),
		MethodThreadTurnsList.Info(), MethodThreadItemsList.Info(), MethodThreadSubscribe.Info(), MethodThreadUnsubscribe.Info(), MethodThreadRename.Info(),
		MethodThreadMetadataUpdate.Info(), MethodThreadConfigUpdate.Info(), MethodThreadModeSet.Info(), MethodThreadPause.Info(), MethodThreadArchive.Info(),
		MethodThreadUnarchive.Info(), MethodThreadEnd.Info(), MethodThreadEndAll.Info(), MethodThreadDelete.Info(), MethodThreadReset.Info(), MethodThreadFork.Info(),
		MethodThreadRollback.Info(), MethodThreadExport.Info(), MethodThreadImport.Info(), MethodThreadItemsAppend.Info(), MethodThreadItemsUpdate.Info(),
		MethodThreadItemsReplace.Info(), MethodThreadPresenceList.Info(), MethodThreadAccessUpdate.Info(),
		MethodTurnRun.Info(), MethodTurnStart.Info(), MethodTurnEnqueue.Info(), MethodTurnSteer.Info(), MethodTurnInterrupt.Info(), MethodTurnWait.Info(), MethodTurnRead.Info(),
		MethodTurnQueueList.Info(), MethodTurnQueueUpdate.Info(), MethodTurnQueueRemove.Info(), MethodTurnQueueMove.Info(), MethodTurnQueueClear.Info(),
		MethodTurnQueuePause.Info(), MethodTurnQueueResume.Info(),
		MethodToolRegister.Info(), MethodToolUnregister.Info(), MethodToolList.Info(),
		MethodApprovalList.Info(), MethodApprovalRespond.Info(), MethodApprovalRulesList.Info(), MethodApprovalRulesRemove.Info(),
		MethodQuestionList.Info(), MethodQuestionRespond.Info(),
		MethodAgentList.Info(), MethodAgentRead.Info(),
		MethodServerInfo.Info(), MethodServerPing.Info(), MethodServerStats.Info(), MethodServerConnectionsList.Info(), MethodServerBackup.Info(), MethodServerShutdown.Info(),
	}
}

// ServerRequests lists the requests of the daemon.
func ServerRequests() []RequestInfo {
	return []RequestInfo{MethodApprovalRequest.Info(), MethodQuestionRequest.Info(), MethodToolCall.Info()}
}
