package thread

import (
	"context"
	"time"

	"github.com/spoolhq/spool/protocol"
)

type Manager struct{}

// Open brings back what a crash interrupted and starts queued turns.
func Open(ctx context.Context, cfg Config) (*Manager, error) { panic("todo") }

// Shutdown: no new turns (ServerOverloaded), running ones get until drain passes, then are cancelled with reason shutdown; waits for agents and commits. ctx ends: stop waiting.
func (m *Manager) Shutdown(ctx context.Context, drain time.Duration) error { panic("todo") }

// Attach makes peer hear of thread-list events; call after `initialized`. Detach ends all its subscriptions and starts grace times of threads that belong to it; call when the connection is gone.
func (m *Manager) Attach(p Peer) { panic("todo") }
func (m *Manager) Detach(p Peer) { panic("todo") }

// Stats for server/stats.
type Stats struct {
	LoadedThreads, RunningTurns, QueuedTurns, Subscriptions int
	Counters                                                map[string]int64
}

func (m *Manager) Stats() Stats                  { panic("todo") }
func (m *Manager) Owned(connectionID string) int { panic("todo") } // threads belonging to the connection
func (m *Manager) Subscriptions(p Peer) int      { panic("todo") }
func (m *Manager) Agents() []protocol.AgentInfo  { panic("todo") }
func (m *Manager) AcceptingTurns() bool          { panic("todo") } // /readyz: false after a storage failure or in shutdown

type Subscription struct{}

// Fill returns the next frames of a subscription that is behind; more=false: caught up (or closed), stop calling until the next Behind.
func (s *Subscription) Fill(ctx context.Context) (frames []protocol.Frame, more bool, err error) {
	panic("todo")
}

func (m *Manager) Start(c Call, p protocol.ThreadStartParams, r Reply[protocol.ThreadResult]) {
	panic("todo")
}
func (m *Manager) GetOrCreate(c Call, p protocol.ThreadStartParams, r Reply[protocol.ThreadGetOrCreateResult]) {
	panic("todo")
}
func (m *Manager) Resume(c Call, p protocol.ThreadResumeParams, r Reply[protocol.ThreadSnapshot]) {
	panic("todo")
}
func (m *Manager) Read(c Call, p protocol.ThreadReadParams, r Reply[protocol.ThreadReadResult]) {
	panic("todo")
}
func (m *Manager) List(c Call, p protocol.ThreadListParams, r Reply[protocol.ThreadListResult]) {
	panic("todo")
}
func (m *Manager) TurnsList(c Call, p protocol.ThreadTurnsListParams, r Reply[protocol.TurnListResult]) {
	panic("todo")
}
func (m *Manager) ItemsList(c Call, p protocol.ThreadItemsListParams, r Reply[protocol.ItemListResult]) {
	panic("todo")
}
func (m *Manager) Subscribe(c Call, p protocol.ThreadSubscribeParams, r Reply[protocol.ThreadSnapshot]) {
	panic("todo")
}
func (m *Manager) Unsubscribe(c Call, p protocol.ThreadParams, r Reply[protocol.ThreadUnsubscribeResult]) {
	panic("todo")
}
func (m *Manager) Rename(c Call, p protocol.ThreadRenameParams, r Reply[protocol.ThreadResult]) {
	panic("todo")
}
func (m *Manager) MetadataUpdate(c Call, p protocol.ThreadMetadataUpdateParams, r Reply[protocol.ThreadResult]) {
	panic("todo")
}
func (m *Manager) ConfigUpdate(c Call, p protocol.ThreadConfigUpdateParams, r Reply[protocol.ThreadResult]) {
	panic("todo")
}
func (m *Manager) ModeSet(c Call, p protocol.ThreadModeSetParams, r Reply[protocol.ThreadResult]) {
	panic("todo")
}
func (m *Manager) Pause(c Call, p protocol.ThreadChangeParams, r Reply[protocol.ThreadResult]) {
	panic("todo")
}
func (m *Manager) Archive(c Call, p protocol.ThreadChangeParams, r Reply[protocol.ThreadResult]) {
	panic("todo")
}
func (m *Manager) Unarchive(c Call, p protocol.ThreadChangeParams, r Reply[protocol.ThreadResult]) {
	panic("todo")
}
func (m *Manager) End(c Call, p protocol.ThreadChangeParams, r Reply[protocol.ThreadResult]) {
	panic("todo")
}
func (m *Manager) EndAll(c Call, p protocol.ThreadEndAllParams, r Reply[protocol.ThreadEndAllResult]) {
	panic("todo")
}
func (m *Manager) Delete(c Call, p protocol.ThreadChangeParams, r Reply[protocol.ThreadDeleteResult]) {
	panic("todo")
}
func (m *Manager) Reset(c Call, p protocol.ThreadResetParams, r Reply[protocol.ThreadResetResult]) {
	panic("todo")
}
func (m *Manager) Fork(c Call, p protocol.ThreadForkParams, r Reply[protocol.ThreadResult]) {
	panic("todo")
}
func (m *Manager) Rollback(c Call, p protocol.ThreadRollbackParams, r Reply[protocol.ThreadResult]) {
	panic("todo")
}
func (m *Manager) Export(c Call, p protocol.ThreadExportParams, r Reply[protocol.ThreadExportResult]) {
	panic("todo")
}
func (m *Manager) Import(c Call, p protocol.ThreadImportParams, r Reply[protocol.ThreadResult]) {
	panic("todo")
}
func (m *Manager) ItemsAppend(c Call, p protocol.ThreadItemsAppendParams, r Reply[protocol.ThreadItemsAppendResult]) {
	panic("todo")
}
func (m *Manager) ItemsUpdate(c Call, p protocol.ThreadItemsUpdateParams, r Reply[protocol.ThreadItemsUpdateResult]) {
	panic("todo")
}
func (m *Manager) ItemsReplace(c Call, p protocol.ThreadItemsReplaceParams, r Reply[protocol.ThreadItemsReplaceResult]) {
	panic("todo")
}
func (m *Manager) PresenceList(c Call, p protocol.ThreadParams, r Reply[protocol.PresenceListResult]) {
	panic("todo")
}
func (m *Manager) AccessUpdate(c Call, p protocol.ThreadAccessUpdateParams, r Reply[protocol.ThreadResult]) {
	panic("todo")
}

func (m *Manager) TurnRun(c Call, p protocol.TurnRunParams, r Reply[protocol.TurnRunResult]) {
	panic("todo")
}
func (m *Manager) TurnStart(c Call, p protocol.TurnInput, r Reply[protocol.TurnRunResult]) {
	panic("todo")
}
func (m *Manager) TurnEnqueue(c Call, p protocol.TurnInput, r Reply[protocol.TurnRunResult]) {
	panic("todo")
}
func (m *Manager) TurnSteer(c Call, p protocol.TurnSteerParams, r Reply[protocol.TurnRunResult]) {
	panic("todo")
}
func (m *Manager) TurnInterrupt(c Call, p protocol.TurnInterruptParams, r Reply[protocol.TurnInterruptResult]) {
	panic("todo")
}
func (m *Manager) TurnWait(c Call, p protocol.TurnWaitParams, r Reply[protocol.TurnWaitResult]) {
	panic("todo")
}
func (m *Manager) TurnRead(c Call, p protocol.TurnReadParams, r Reply[protocol.TurnResult]) {
	panic("todo")
}
func (m *Manager) QueueList(c Call, p protocol.ThreadParams, r Reply[protocol.QueueListResult]) {
	panic("todo")
}
func (m *Manager) QueueUpdate(c Call, p protocol.QueueUpdateParams, r Reply[protocol.QueueResult]) {
	panic("todo")
}
func (m *Manager) QueueRemove(c Call, p protocol.QueueRemoveParams, r Reply[protocol.QueueResult]) {
	panic("todo")
}
func (m *Manager) QueueReorder(c Call, p protocol.QueueReorderParams, r Reply[protocol.QueueResult]) {
	panic("todo")
}
func (m *Manager) QueueClear(c Call, p protocol.QueueClearParams, r Reply[protocol.QueueResult]) {
	panic("todo")
}
func (m *Manager) QueuePause(c Call, p protocol.QueueParams, r Reply[protocol.QueueResult]) {
	panic("todo")
}
func (m *Manager) QueueResume(c Call, p protocol.QueueParams, r Reply[protocol.QueueResult]) {
	panic("todo")
}
