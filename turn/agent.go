package turn

import (
	"context"
	"encoding/json"

	"github.com/spoolhq/spool/protocol"
)

// Agent executes turns. One value serves all threads of an agent at once, so Run must be
// safe to call from many goroutines.
type Agent interface {
	// Run executes one turn and returns when it is over: nil completes it, an error
	// fails it (use *Error to choose the code). When ctx ends (an interrupt, a time
	// limit, the end of the daemon) Run shall return soon; what it says after the
	// grace time is dropped. Items it leaves open are closed for it, with the text
	// they have. A panic fails the turn and nothing else.
	Run(ctx context.Context, in Input, out Emitter) error
}

// Input is what an agent knows of the turn it runs.
type Input struct {
	// Turn is the turn with its input, sender, mode, trace id and effective config.
	Turn protocol.Turn
	// Config is Turn.Config, read.
	Config protocol.Config
	// Tools are those that clients offer to this turn: the global ones, and those that
	// its mode names. A call of any other fails.
	Tools []protocol.Tool
	// History returns the items of the thread in order, those of this turn's input
	// last, after history.maxTurns and historyPolicy were applied. It reads the
	// journal; call it once, and only if needed.
	History func(ctx context.Context) ([]protocol.Item, error)
}

// Emitter is what an agent may say. Its methods may be called from several goroutines
// and never block on a client. Text goes to an item that was begun; an item is final
// once it was completed. After the end of the turn everything is dropped.
type Emitter interface {
	// Begin starts an item that grows. init gives its type and first fields; id,
	// status, revision, origin and times are set for it.
	Begin(init protocol.Item) Item
	// Add says an item that is complete from the start. An empty status means
	// completed. It returns the item as it was kept.
	Add(item protocol.Item) protocol.Item
	// Steer takes the next message that was sent into the running turn, which
	// becomes an item of it. It waits for one until ctx ends; see also Steered.
	Steer(ctx context.Context) (protocol.Item, error)
	// Steered is Steer without waiting; false: there is none.
	Steered() (protocol.Item, bool)
	// Approve asks for permission and waits for the answer: true lets the agent do it.
	// False is a refusal, by a person, by a policy or because nobody answered in time;
	// the agent goes on without. An error is the end of the turn: return it.
	Approve(ctx context.Context, a Approval) (bool, error)
	// Ask asks the user and waits for the answers, by id of the question. No answers and
	// no error: nobody answered; the agent goes on without. An error is the end of the
	// turn: return it.
	Ask(ctx context.Context, questions []protocol.Question) (map[string]protocol.Answer, error)
	// Call has a client carry a tool out and waits for the result. A call that fails, for
	// whatever reason, is a result with Success false. An error is the end of the turn:
	// return it. Several calls may wait at once.
	Call(ctx context.Context, c ToolCall) (protocol.ToolCallResult, error)
	// Usage reports the tokens of one model call; they add up.
	Usage(u protocol.Usage)
	// Plan replaces the plan of the turn.
	Plan(entries []protocol.PlanEntry)
	// Event says something to the people who watch; it is not kept.
	Event(kind, text string)
}

// Approval is what an agent asks permission for.
type Approval struct {
	Kind      string          // command, file, tool, network or other
	Operation string          // what it wants to do, for people
	Target    json.RawMessage // what it would touch, any JSON; may be nil
	// ScopeKey names operations that one decision may cover, such as command:rm. It is
	// what acceptForThread and acceptAlways remember. Empty: Kind:Operation.
	ScopeKey string
	Reason   string // why, for people
}

// ToolCall is a call of a tool that a client offers.
type ToolCall struct {
	Tool      string
	Namespace string
	Arguments json.RawMessage // a JSON object; checked against the tool's inputSchema
}

// Item is an item in progress.
type Item interface {
	// ID is the item's id.
	ID() string
	// Append adds text: to the text of a message or of reasoning, to the arguments
	// of a tool call (as a preview), to the output of a command. It is live at once.
	Append(text string)
	// Patch changes a state item by a JSON merge patch.
	Patch(patch json.RawMessage)
	// Complete makes the item final. change, which may be nil, sees the item with
	// the text so far and may set fields, the text and a status other than
	// completed. Later calls do nothing.
	Complete(change func(*protocol.Item))
}

// Error fails a turn with a code of its own. An agent that returns another error fails
// it with AgentError and that error's text, so no secret belongs into it.
type Error struct {
	Code      string // one of protocol.TurnErr…
	Message   string
	Retryable bool
	Details   json.RawMessage
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }
