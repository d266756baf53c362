package thread

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// What the journal has of turns and items was made into JSON once. Whoever reads history gets
// it as it stands there; who wants to know more of a turn or an item than its id decodes it.

var errNotThere = errors.New("it does not hold what it should")

// turnIn returns a turn as an event has it, nil for none.
func turnIn(env protocol.Envelope, id string) (json.RawMessage, error) {
	if env.Method != protocol.EventQueueUpdated.Name {
		return protocol.Member(env.Params, "turn"), nil
	}
	var updated []json.RawMessage
	if raw := protocol.Member(env.Params, "updated"); raw != nil {
		if err := json.Unmarshal(raw, &updated); err != nil {
			return nil, err
		}
	}
	for _, tn := range updated {
		if textOf(tn, "id") == id {
			return tn, nil
		}
	}
	return nil, nil
}

// storedChange is a [protocol.ItemChange] with the item as the journal has it.
type storedChange struct {
	Op     string          `json:"op"`
	ItemID string          `json:"itemId"`
	Item   json.RawMessage `json:"item"`
}

// changesIn returns the changes of a thread/items/changed.
func changesIn(env protocol.Envelope) ([]storedChange, error) {
	var changes []storedChange
	err := json.Unmarshal(protocol.Member(env.Params, "changes"), &changes)
	return changes, err
}

// revisionOf returns the revision of an item.
func revisionOf(item json.RawMessage) (n uint64) {
	_ = json.Unmarshal(protocol.Member(item, "revision"), &n) // it was checked when it was written
	return n
}

// withItems returns a turn with its items, as they are in a [protocol.Turn].
func withItems(turn json.RawMessage, items []json.RawMessage) json.RawMessage {
	if len(items) == 0 {
		return turn
	}
	size := len(turn) + len(`,"items":[]`)
	for _, it := range items {
		size += len(it) + 1
	}
	b := append(make([]byte, 0, size), turn[:len(turn)-1]...) // without its last brace
	b = append(b, `,"items":[`...)
	for i, it := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, it...)
	}
	return append(b, "]}"...)
}

// withEntries returns a plan with the entries of a later plan/updated.
func withEntries(item json.RawMessage, env protocol.Envelope) (json.RawMessage, error) {
	var (
		it   protocol.Item
		plan protocol.PlanUpdatedEvent
	)
	if err := errors.Join(json.Unmarshal(item, &it), json.Unmarshal(env.Params, &plan)); err != nil {
		return nil, err
	}
	it.Entries = plan.Entries
	return protocol.Marshal(it)
}

// decoded reads turns or items that the journal has.
func decoded[T any](t *Thread, stored []json.RawMessage) ([]T, error) {
	all := make([]T, len(stored))
	for i, raw := range stored {
		if err := json.Unmarshal(raw, &all[i]); err != nil {
			return nil, fmt.Errorf("the journal of %s: %w: %w", t.id, storage.ErrCorrupt, err)
		}
	}
	return all, nil
}
