package agenttest

import (
	"encoding/json"

	"github.com/spoolhq/spool/protocol"
)

// item is an item of a Recorder.
type item struct {
	r *Recorder
	protocol.Item
	begun    bool   // by Begin, and not complete from the start
	streamed []byte // all that was said of the text or the output
}

// now returns the item as it is; r.mu is held.
func (it *item) now() protocol.Item {
	now := it.Item
	if it.begun && it.Status == protocol.ItemInProgress {
		if it.Type == protocol.ItemCommandExecution {
			now.Output = string(it.streamed)
		} else {
			now.Text = string(it.streamed)
		}
	}
	return now
}

// ID implements [turn.Item].
func (it *item) ID() string { return it.Item.ID }

// open reports whether the item still takes changes, one of which is what; r.mu is held.
func (it *item) open(what string) bool {
	return !it.r.over(what+" "+string(it.Type)) && it.Status == protocol.ItemInProgress
}

// Append implements [turn.Item].
func (it *item) Append(text string) {
	it.r.mu.Lock()
	if !it.open("delta") {
		it.r.mu.Unlock()
		return
	}
	it.streamed = append(it.streamed, text...)
	it.r.say("delta %s %q", it.Type, text)
	it.r.mu.Unlock()
	if it.r.onText != nil {
		it.r.onText(text)
	}
}

// Patch implements [turn.Item].
func (it *item) Patch(patch json.RawMessage) {
	it.r.mu.Lock()
	defer it.r.mu.Unlock()
	if !it.open("patch") {
		return
	}
	it.r.say("patch %s %s", it.Type, patch)
	if state, err := protocol.MergePatch(it.State, patch); err == nil {
		it.State = state
	}
}

// Complete implements [turn.Item].
func (it *item) Complete(change func(*protocol.Item)) {
	it.r.mu.Lock()
	defer it.r.mu.Unlock()
	if !it.open("complete") {
		return
	}
	it.Item = it.now()
	if change != nil {
		change(&it.Item)
	}
	if it.Status == protocol.ItemInProgress {
		it.Status = protocol.ItemCompleted
	}
	it.r.say("complete %s %s", it.Type, it.Status)
}
