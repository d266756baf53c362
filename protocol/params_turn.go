package protocol

// IfBusy says what becomes of an input while a turn runs.
type IfBusy string

// What can become of an input while a turn runs.
const (
	BusyReject    IfBusy = "reject"    // refused, nothing stored
	BusyEnqueue   IfBusy = "enqueue"   // to the end of the queue
	BusySteer     IfBusy = "steer"     // into the running turn; if that ends first, to the head of the queue
	BusyInterrupt IfBusy = "interrupt" // the running turn is cancelled, this one is next
)

// Values lists what can be done.
func (IfBusy) Values() []string { return []string{"reject", "enqueue", "steer", "interrupt"} }

// TurnInput is what turn/run, turn/start and turn/enqueue have in common.
type TurnInput struct {
	Mutation
	ThreadID   string  `json:"threadId"`
	Input      Input   `json:"input"`
	Sender     *Sender `json:"sender,omitempty"`     // the person it comes from
	TraceID    string  `json:"traceId,omitempty"`    // the connection's, or a new one, if absent
	Config     Object  `json:"config,omitempty"`     // for this turn, over the thread's
	Mode       string  `json:"mode,omitempty"`       // for this turn
	RunPending bool    `json:"runPending,omitempty"` // run the appended items, without input of its own
	Wait       bool    `json:"wait,omitempty"`       // answer when the turn is over
}

// TurnRunParams are those of turn/run.
type TurnRunParams struct {
	TurnInput
	IfBusy IfBusy `json:"ifBusy,omitempty"`
}

// Disposition says what became of an input.
type Disposition string

// What became of an input.
const (
	DispositionStarted Disposition = "started"
	DispositionQueued  Disposition = "queued"
	DispositionSteered Disposition = "steered"
)

// Values lists what can be.
func (Disposition) Values() []string { return []string{"started", "queued", "steered"} }

// TurnRunResult is the answer of turn/run, start, enqueue and steer.
type TurnRunResult struct {
	Replay
	Disposition Disposition `json:"disposition"`
	Turn        Turn        `json:"turn"` // the running one, if steered
}

// IfEnded says what becomes of a steer whose turn has ended.
type IfEnded string

// What can become of a steer whose turn has ended.
const (
	EndedEnqueueFirst IfEnded = "enqueueFirst"
	EndedReject       IfEnded = "reject"
)

// Values lists what can be done.
func (IfEnded) Values() []string { return []string{"enqueueFirst", "reject"} }

// TurnSteerParams are those of turn/steer.
type TurnSteerParams struct {
	Mutation
	ThreadID       string  `json:"threadId"`
	ExpectedTurnID string  `json:"expectedTurnId"`
	Input          Input   `json:"input"`
	Sender         *Sender `json:"sender,omitempty"`
	IfEnded        IfEnded `json:"ifEnded,omitempty"`
}

// InterruptQueue says what an interrupt does to the queue.
type InterruptQueue string

// What an interrupt can do to the queue. Absent, the thread's queuePolicy decides.
const (
	InterruptKeep     InterruptQueue = "keep" // as queuePolicy says
	InterruptClear    InterruptQueue = "clear"
	InterruptContinue InterruptQueue = "continue"
)

// Values lists what can be done.
func (InterruptQueue) Values() []string { return []string{"keep", "clear", "continue"} }

// TurnInterruptParams are those of turn/interrupt.
type TurnInterruptParams struct {
	Mutation
	ThreadID string         `json:"threadId"`
	TurnID   string         `json:"turnId,omitempty"` // never hits another turn
	Strict   bool           `json:"strict,omitempty"` // a turn that has ended is an error
	Queue    InterruptQueue `json:"queue,omitempty"`
}

// InterruptOutcome says what an interrupt did.
type InterruptOutcome string

// What an interrupt did.
const (
	Interrupting        InterruptOutcome = "interrupting"
	AlreadyInterrupting InterruptOutcome = "alreadyInterrupting"
	AlreadyTerminal     InterruptOutcome = "alreadyTerminal"
	RemovedFromQueue    InterruptOutcome = "removedFromQueue"
	NoActiveTurn        InterruptOutcome = "noActiveTurn"
)

// Values lists the outcomes.
func (InterruptOutcome) Values() []string {
	return []string{"interrupting", "alreadyInterrupting", "alreadyTerminal", "removedFromQueue", "noActiveTurn"}
}

// TurnInterruptResult is the answer of turn/interrupt.
type TurnInterruptResult struct {
	Replay
	Outcome InterruptOutcome `json:"outcome"`
	TurnID  string           `json:"turnId,omitempty"` // the turn it hit
}

// TurnWaitParams are those of turn/wait.
type TurnWaitParams struct {
	ThreadID  string `json:"threadId"`
	TurnID    string `json:"turnId"`
	TimeoutMs int64  `json:"timeoutMs,omitempty"` // absent: as long as it takes
}

// TurnWaitResult is the answer of turn/wait.
type TurnWaitResult struct {
	Turn     Turn `json:"turn"`
	TimedOut bool `json:"timedOut,omitempty"` // the turn is not over
}

// TurnReadParams are those of turn/read.
type TurnReadParams struct {
	ThreadID     string `json:"threadId"`
	TurnID       string `json:"turnId"`
	IncludeItems bool   `json:"includeItems,omitempty"`
}

// TurnResult is the answer of turn/read.
type TurnResult struct {
	Turn Turn `json:"turn"`
}

// QueueListResult is the answer of turn/queue/list.
type QueueListResult struct {
	Turns       []Turn      `json:"turns"`
	Revision    uint64      `json:"revision"`
	Paused      bool        `json:"paused"`
	PauseReason PauseReason `json:"pauseReason,omitempty"`
}

// QueueUpdateParams are those of turn/queue/update.
type QueueUpdateParams struct {
	Mutation
	ThreadID         string `json:"threadId"`
	TurnID           string `json:"turnId"`
	Input            Input  `json:"input"`
	ExpectedRevision uint64 `json:"expectedRevision"`
}

// QueueRemoveParams are those of turn/queue/remove.
type QueueRemoveParams struct {
	Mutation
	ThreadID         string `json:"threadId"`
	TurnID           string `json:"turnId"`
	ExpectedRevision uint64 `json:"expectedRevision"`
}

// QueueReorderParams are those of turn/queue/reorder.
type QueueReorderParams struct {
	Mutation
	ThreadID         string   `json:"threadId"`
	Order            []string `json:"order"` // ids of all queued turns in their new order
	ExpectedRevision uint64   `json:"expectedRevision"`
}

// QueueClearParams are those of turn/queue/clear.
type QueueClearParams struct {
	Mutation
	ThreadID         string `json:"threadId"`
	ExpectedRevision uint64 `json:"expectedRevision"`
}

// QueueParams are those of turn/queue/pause and resume.
type QueueParams struct {
	Mutation
	ThreadID string `json:"threadId"`
}

// QueueResult is the answer of requests that change the queue.
type QueueResult struct {
	Replay
	Revision uint64 `json:"revision"`
}
