package protocol

import "encoding/json"

// ItemsAppendDeliver says when appended items reach the agent.
type ItemsAppendDeliver string

// When appended items reach the agent.
const (
	DeliverNext  ItemsAppendDeliver = "next"
	DeliverSteer ItemsAppendDeliver = "steer"
)

// Values lists when.
func (ItemsAppendDeliver) Values() []string { return []string{"next", "steer"} }

// NewItem is an item as a client writes it: type and the fields of the type, and of the
// common fields status, createdAt, metadata and origin. An id is allowed in
// thread/items/replace only, where it keeps an item.
type NewItem = json.RawMessage

// ThreadItemsAppendParams are those of thread/items/append: items or input.
type ThreadItemsAppendParams struct {
	Mutation
	ThreadID string             `json:"threadId"`
	Items    []NewItem          `json:"items,omitempty"`
	Input    Input              `json:"input,omitempty"`
	Deliver  ItemsAppendDeliver `json:"deliver,omitempty"`
}

// ThreadItemsAppendResult is the answer of thread/items/append.
type ThreadItemsAppendResult struct {
	Replay
	Items []Item `json:"items"`
}

// ThreadItemsUpdateParams are those of thread/items/update.
type ThreadItemsUpdateParams struct {
	Mutation
	ThreadID         string          `json:"threadId"`
	ItemID           string          `json:"itemId"`
	ExpectedRevision uint64          `json:"expectedRevision"`
	Patch            json.RawMessage `json:"patch"` // merge patch
}

// ThreadItemsUpdateResult is the answer of thread/items/update.
type ThreadItemsUpdateResult struct {
	Replay
	Item Item `json:"item"`
}

// ThreadItemsReplaceParams are those of thread/items/replace.
type ThreadItemsReplaceParams struct {
	Mutation
	ThreadID    string    `json:"threadId"`
	Items       []NewItem `json:"items"`
	ExpectedSeq uint64    `json:"expectedSeq"` // headSeq the client saw
}

// ThreadItemsReplaceResult is the answer of thread/items/replace.
type ThreadItemsReplaceResult struct {
	Replay
	HeadSeq uint64 `json:"headSeq"`
}
