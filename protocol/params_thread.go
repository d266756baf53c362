package protocol

import "encoding/json"

// Mutation is part of the params of every request that changes something.
type Mutation struct {
	// IdempotencyKey makes the request safe to repeat: the same key with the same
	// params is answered with the first result and replayed:true, with other params
	// it is refused. Kept for 24 hours at least, per owner and thread.
	IdempotencyKey string `json:"idempotencyKey,omitempty"`
}

// Key returns the idempotency key, empty for none.
func (m Mutation) Key() string { return m.IdempotencyKey }

// Replay is part of the result of every request that changes something.
type Replay struct {
	Replayed bool `json:"replayed,omitempty"` // the answer of an earlier request with the same idempotencyKey
}

// MarkReplayed says that the result is that of an earlier request.
func (r *Replay) MarkReplayed() { r.Replayed = true }

// BusyThread says what a request on a whole thread does while a turn runs.
type BusyThread string

// What a request on a thread can do while a turn runs.
const (
	BusyThreadReject    BusyThread = "reject"
	BusyThreadInterrupt BusyThread = "interrupt" // the turn ends in the same commit
	BusyThreadAfterTurn BusyThread = "afterTurn" // done with the turn's terminal commit
)

// Values lists what can be done.
func (BusyThread) Values() []string { return []string{"reject", "interrupt", "afterTurn"} }

// ThreadOptions say how a new thread shall be.
type ThreadOptions struct {
	Agent       string       `json:"agent,omitempty"`
	Identity    *Identity    `json:"identity,omitempty"`
	Config      Object       `json:"config,omitempty"`
	Mode        string       `json:"mode,omitempty"`
	Title       string       `json:"title,omitempty"`
	Metadata    Object       `json:"metadata,omitempty"`
	Lifetime    *Lifetime    `json:"lifetime,omitempty"`
	QueuePolicy *QueuePolicy `json:"queuePolicy,omitempty"`
	Tools       []Tool       `json:"tools,omitempty"`
	ThreadID    string       `json:"threadId,omitempty"`  // chosen by the client: thr_ and a new ULID
	Subscribe   *bool        `json:"subscribe,omitempty"` // true if absent
}

// ThreadStartParams are those of thread/start.
type ThreadStartParams struct {
	Mutation
	ThreadOptions
}

// ThreadResult is the answer of requests that give a thread.
type ThreadResult struct {
	Replay
	Thread       Thread `json:"thread"`
	AlreadyEnded bool   `json:"alreadyEnded,omitempty"` // thread/end found it so
}

// ThreadGetOrCreateResult is the answer of thread/getOrCreate.
type ThreadGetOrCreateResult struct {
	Replay
	Thread  Thread `json:"thread"`
	Created bool   `json:"created"`
	Resumed bool   `json:"resumed"`
}

// ThreadResumeParams are those of thread/resume.
type ThreadResumeParams struct {
	Mutation
	ThreadID  string  `json:"threadId"`
	Tools     []Tool  `json:"tools,omitempty"`
	Subscribe *bool   `json:"subscribe,omitempty"` // true if absent
	AfterSeq  *uint64 `json:"afterSeq,omitempty"`  // replay what came after it
}

// ThreadSnapshot is a thread with what is in progress on it.
type ThreadSnapshot struct {
	Replay
	Thread     Thread `json:"thread"`
	HeadSeq    uint64 `json:"headSeq"`
	ActiveTurn *Turn  `json:"activeTurn,omitempty"`
	Pending    []Item `json:"pending"` // open approvals, questions and tool calls
}

// ThreadParams name a thread.
type ThreadParams struct {
	ThreadID string `json:"threadId"`
}

// ThreadReadParams are those of thread/read.
type ThreadReadParams struct {
	ThreadID     string `json:"threadId"`
	IncludeTurns bool   `json:"includeTurns,omitempty"`
}

// ThreadReadResult is the answer of thread/read.
type ThreadReadResult struct {
	Thread     Thread  `json:"thread"`
	Turns      *[]Turn `json:"turns,omitempty"` // with items; the queued ones last
	ActiveTurn *Turn   `json:"activeTurn,omitempty"`
	Pending    []Item  `json:"pending"`
}

// Paging is part of the params of every list.
type Paging struct {
	Cursor string `json:"cursor,omitempty"` // nextCursor of the page before
	Limit  int    `json:"limit,omitempty"`  // 25 if absent, at most 200
}

// ThreadSort orders a list of threads, newest first.
type ThreadSort string

// The orders of a list of threads.
const (
	SortUpdated ThreadSort = "updated"
	SortCreated ThreadSort = "created"
)

// Values lists the orders.
func (ThreadSort) Values() []string { return []string{"updated", "created"} }

// ThreadListParams are those of thread/list. A thread is listed if it fits all that is
// given.
type ThreadListParams struct {
	Paging
	Identity *IdentityFilter `json:"identity,omitempty"`
	Status   []ThreadStatus  `json:"status,omitempty"`
	Agent    string          `json:"agent,omitempty"`
	Query    string          `json:"query,omitempty"` // part of title or preview, in any case
	Sort     ThreadSort      `json:"sort,omitempty"`
}

// IdentityFilter finds threads by the parts of their identity that are given.
type IdentityFilter struct {
	Channel string `json:"channel,omitempty"`
	User    string `json:"user,omitempty"`
	Context string `json:"context,omitempty"`
}

// ThreadListResult is the answer of thread/list.
type ThreadListResult struct {
	Data       []Thread `json:"data"`
	NextCursor string   `json:"nextCursor,omitempty"`
}

// ListOrder is the direction of a list.
type ListOrder string

// The directions of a list.
const (
	OrderAsc  ListOrder = "asc"
	OrderDesc ListOrder = "desc"
)

// Values lists the directions.
func (ListOrder) Values() []string { return []string{"asc", "desc"} }

// ThreadTurnsListParams are those of thread/turns/list.
type ThreadTurnsListParams struct {
	Paging
	ThreadID string    `json:"threadId"`
	TurnID   string    `json:"turnId,omitempty"` // this turn only
	Order    ListOrder `json:"order,omitempty"`
}

// TurnListResult is the answer of thread/turns/list: turns in the order in which they
// were accepted, without items.
type TurnListResult struct {
	Data       []Turn `json:"data"`
	NextCursor string `json:"nextCursor,omitempty"`
}

// ThreadItemsListParams are those of thread/items/list.
type ThreadItemsListParams = ThreadTurnsListParams

// ItemListResult is the answer of thread/items/list.
type ItemListResult struct {
	Data       []Item `json:"data"`
	NextCursor string `json:"nextCursor,omitempty"`
}

// Coalesce joins deltas for one subscriber: none is held back longer than MaxDelayMs,
// none made longer than MaxBytes.
type Coalesce struct {
	MaxDelayMs int64 `json:"maxDelayMs,omitempty"` // 50 if absent
	MaxBytes   int   `json:"maxBytes,omitempty"`   // 4096 if absent
}

// ThreadSubscribeParams are those of thread/subscribe.
type ThreadSubscribeParams struct {
	ThreadID string    `json:"threadId"`
	AfterSeq *uint64   `json:"afterSeq,omitempty"` // replay every durable event after it; absent: none
	Role     Role      `json:"role,omitempty"`
	Coalesce *Coalesce `json:"coalesce,omitempty"`
}

// ThreadUnsubscribeResult is the answer of thread/unsubscribe.
type ThreadUnsubscribeResult struct {
	Subscribed bool `json:"subscribed"` // whether it was, before
}

// ThreadRenameParams are those of thread/rename.
type ThreadRenameParams struct {
	Mutation
	ThreadID string `json:"threadId"`
	Title    string `json:"title"`
}

// ThreadMetadataUpdateParams are those of thread/metadata/update.
type ThreadMetadataUpdateParams struct {
	Mutation
	ThreadID string          `json:"threadId"`
	Metadata json.RawMessage `json:"metadata"` // merge patch: null removes a key
}

// ThreadConfigUpdateParams are those of thread/config/update.
type ThreadConfigUpdateParams struct {
	Mutation
	ThreadID string          `json:"threadId"`
	Config   json.RawMessage `json:"config"` // merge patch: null removes a key
}

// ThreadModeSetParams are those of thread/mode/set.
type ThreadModeSetParams struct {
	Mutation
	ThreadID string `json:"threadId"`
	Mode     string `json:"mode"` // empty: none
}

// ThreadChangeParams are those of thread/pause, archive, unarchive, end and delete.
type ThreadChangeParams struct {
	Mutation
	ThreadID string     `json:"threadId"`
	IfBusy   BusyThread `json:"ifBusy,omitempty"`
	Reason   string     `json:"reason,omitempty"`
}

// ThreadDeleteResult is the answer of thread/delete.
type ThreadDeleteResult struct {
	Replay
	Deleted bool `json:"deleted"`
}

// EndScope names a set of threads for thread/endAll.
type EndScope string

// EndConnection names the threads that belong to the calling connection.
const EndConnection EndScope = "connection"

// Values lists the sets.
func (EndScope) Values() []string { return []string{"connection"} }

// ThreadEndAllParams are those of thread/endAll: either a list of ids or a scope. Running
// turns are cancelled.
type ThreadEndAllParams struct {
	Mutation
	ThreadIDs []string `json:"threadIds,omitempty"`
	Scope     EndScope `json:"scope,omitempty"`
	Reason    string   `json:"reason,omitempty"`
}

// EndOutcome says what thread/endAll did to one thread.
type EndOutcome struct {
	ThreadID string `json:"threadId"`
	Outcome  string `json:"outcome"` // ended, alreadyEnded, notFound, failed
}

// ThreadEndAllResult is the answer of thread/endAll.
type ThreadEndAllResult struct {
	Replay
	Results []EndOutcome `json:"results"`
}

// ResetQueue says what a reset does to the waiting turns.
type ResetQueue string

// What a reset can do to the waiting turns.
const (
	ResetQueueClear ResetQueue = "clear"
	ResetQueueKeep  ResetQueue = "keep"
)

// Values lists what can be done.
func (ResetQueue) Values() []string { return []string{"clear", "keep"} }

// ThreadResetParams are those of thread/reset.
type ThreadResetParams struct {
	Mutation
	ThreadID string     `json:"threadId"`
	IfBusy   BusyThread `json:"ifBusy,omitempty"`
	Queue    ResetQueue `json:"queue,omitempty"`
}

// ThreadResetResult is the answer of thread/reset.
type ThreadResetResult struct {
	Replay
	Generation   uint64 `json:"generation"`
	RemovedTurns int    `json:"removedTurns"`
}

// ThreadForkParams are those of thread/fork. What is not given is taken from the source;
// threadId names the source, newThreadId the fork where the client chooses its id.
type ThreadForkParams struct {
	Mutation
	ThreadID    string       `json:"threadId"`
	UpToTurnID  string       `json:"upToTurnId,omitempty"` // last turn to take; absent: all that ended
	NewThreadID string       `json:"newThreadId,omitempty"`
	Agent       string       `json:"agent,omitempty"`
	Identity    *Identity    `json:"identity,omitempty"`
	Config      Object       `json:"config,omitempty"`
	Mode        string       `json:"mode,omitempty"`
	Title       string       `json:"title,omitempty"`
	Metadata    Object       `json:"metadata,omitempty"`
	Lifetime    *Lifetime    `json:"lifetime,omitempty"`
	QueuePolicy *QueuePolicy `json:"queuePolicy,omitempty"`
	Tools       []Tool       `json:"tools,omitempty"`
	Subscribe   *bool        `json:"subscribe,omitempty"` // true if absent
}

// ThreadRollbackParams are those of thread/rollback.
type ThreadRollbackParams struct {
	Mutation
	ThreadID string `json:"threadId"`
	Turns    int    `json:"turns"` // how many of the newest ended turns to remove
}

// ThreadExportParams are those of thread/export: one page of the journal.
type ThreadExportParams struct {
	ThreadID string `json:"threadId"`
	AfterSeq uint64 `json:"afterSeq,omitempty"`
}

// ThreadExportResult holds journal entries as they were sent. NextSeq is the afterSeq of
// the next page, absent at the end.
type ThreadExportResult struct {
	Events  []json.RawMessage `json:"events"`
	NextSeq uint64            `json:"nextSeq,omitempty"`
}

// ThreadImportParams are those of thread/import: a whole journal, as thread/export gave
// it, from the first event on.
type ThreadImportParams struct {
	Mutation
	Events []json.RawMessage `json:"events"`
}

// PresenceListResult is the answer of thread/presence/list.
type PresenceListResult struct {
	Data []Presence `json:"data"`
}

// ThreadAccessUpdateParams are those of thread/access/update.
type ThreadAccessUpdateParams struct {
	Mutation
	ThreadID string  `json:"threadId"`
	Grants   []Grant `json:"grants"` // all of them; those not named lose access
}
