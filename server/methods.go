package server

import (
	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
)

// methods is the table of all methods that the daemon offers.
func methods(h *Hub) map[string]*method {
	m := h.manager
	table := map[string]*method{}
	for _, row := range []*method{
		local(protocol.MethodInitialize, (*conn).initialize),
		local(protocol.MethodConnectionUpdate, (*conn).update),

		on(protocol.MethodThreadStart, m.Start),
		on(protocol.MethodThreadGetOrCreate, m.GetOrCreate),
		on(protocol.MethodThreadResume, m.Resume),
		on(protocol.Request[protocol.ThreadReadParams, thread.ReadResult](protocol.MethodThreadRead), m.Read),
		on(protocol.MethodThreadList, m.List),
		on(protocol.Request[protocol.ThreadTurnsListParams, thread.Page](protocol.MethodThreadTurnsList), m.TurnsList),
		on(protocol.Request[protocol.ThreadItemsListParams, thread.Page](protocol.MethodThreadItemsList), m.ItemsList),
		on(protocol.MethodThreadSubscribe, m.Subscribe),
		on(protocol.MethodThreadUnsubscribe, m.Unsubscribe),
		on(protocol.MethodThreadRename, m.Rename),
		on(protocol.MethodThreadMetadataUpdate, m.MetadataUpdate),
		on(protocol.MethodThreadConfigUpdate, m.ConfigUpdate),
		on(protocol.MethodThreadModeSet, m.ModeSet),
		on(protocol.MethodThreadPause, m.Pause),
		on(protocol.MethodThreadArchive, m.Archive),
		on(protocol.MethodThreadUnarchive, m.Unarchive),
		on(protocol.MethodThreadEnd, m.End),
		on(protocol.MethodThreadEndAll, m.EndAll),
		on(protocol.MethodThreadDelete, m.Delete),
		on(protocol.MethodThreadReset, m.Reset),
		on(protocol.MethodThreadFork, m.Fork),
		on(protocol.MethodThreadRollback, m.Rollback),
		on(protocol.MethodThreadExport, m.Export),
		on(protocol.MethodThreadImport, m.Import),
		on(protocol.MethodThreadItemsAppend, m.ItemsAppend),
		on(protocol.MethodThreadItemsUpdate, m.ItemsUpdate),
		on(protocol.MethodThreadItemsReplace, m.ItemsReplace),
		on(protocol.MethodThreadPresenceList, m.PresenceList),
		on(protocol.MethodThreadAccessUpdate, m.AccessUpdate),

		on(protocol.MethodTurnRun, m.TurnRun),
		on(protocol.MethodTurnStart, m.TurnStart),
		on(protocol.MethodTurnEnqueue, m.TurnEnqueue),
		on(protocol.MethodTurnSteer, m.TurnSteer),
		on(protocol.MethodTurnInterrupt, m.TurnInterrupt),
		on(protocol.MethodTurnWait, m.TurnWait),
		on(protocol.MethodTurnRead, m.TurnRead),
		on(protocol.MethodTurnQueueList, m.QueueList),
		on(protocol.MethodTurnQueueUpdate, m.QueueUpdate),
		on(protocol.MethodTurnQueueRemove, m.QueueRemove),
		on(protocol.MethodTurnQueueMove, m.QueueReorder),
		on(protocol.MethodTurnQueueClear, m.QueueClear),
		on(protocol.MethodTurnQueuePause, m.QueuePause),
		on(protocol.MethodTurnQueueResume, m.QueueResume),

		on(protocol.MethodToolRegister, m.ToolRegister),
		on(protocol.MethodToolUnregister, m.ToolUnregister),
		on(protocol.MethodToolList, m.ToolList),
		on(protocol.MethodApprovalList, m.ApprovalList),
		on(protocol.MethodApprovalRespond, m.ApprovalRespond),
		on(protocol.MethodApprovalRulesList, m.ApprovalRulesList),
		on(protocol.MethodApprovalRulesRemove, m.ApprovalRulesRemove),
		on(protocol.MethodQuestionList, m.QuestionList),
		on(protocol.MethodQuestionRespond, m.QuestionRespond),

		local(protocol.MethodAgentList, (*conn).agentList),
		local(protocol.MethodAgentRead, (*conn).agentRead),

		local(protocol.MethodServerInfo, (*conn).info),
		local(protocol.MethodServerPing, (*conn).ping),
		local(protocol.MethodServerStats, (*conn).stats),
		local(protocol.MethodServerConnectionsList, (*conn).connectionsList),
		on(protocol.MethodServerBackup, h.backUp),
		on(protocol.MethodServerShutdown, h.shut),
	} {
		table[row.info.Name] = row
	}
	return table
}
