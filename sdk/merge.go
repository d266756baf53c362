package sdk

import (
	"encoding/json"
	"strings"

	"github.com/spoolhq/spool/protocol"
)

// merger holds the items in progress of one stream of events, and with them the rule of
// text: a delta is put where its offset says, a snapshot replaces what deltas built.
type merger map[string]*openItem

type openItem struct {
	item protocol.Item
	text strings.Builder // its strings stay valid while it grows
}

// put replaces what is held of an item in progress; one that is not in progress is done.
func (m merger) put(item protocol.Item) {
	if item.Status != protocol.ItemInProgress {
		delete(m, item.ID)
		return
	}
	old, text := m[item.ID], itemText(&item)
	if old != nil && text == "" && item.Type == protocol.ItemToolCall {
		old.item = item // a snapshot does not tell the arguments that are not complete
		return
	}
	o := &openItem{item: item}
	o.text.WriteString(text)
	m[item.ID] = o
}

// apply brings the stream forward by an event and fills in what the event says of its item.
func (m merger) apply(ev *Event, patch json.RawMessage) {
	switch {
	case ev.Item != nil:
		m.put(*ev.Item)
		ev.Text = itemText(ev.Item)
		if ev.Text == "" {
			ev.Text = m.text(ev.Item.ID)
		}
	case ev.Type == EventStateDelta:
		m.patch(ev, patch)
	case ev.ItemID != "" && isDelta(ev.Type):
		m.grow(ev)
	case ev.Terminal():
		for id, o := range m {
			if o.item.TurnID == ev.TurnID {
				delete(m, id)
			}
		}
	case ev.Type == EventThreadReset:
		clear(m)
	}
}

// grow adds a delta. What of it is there already is not added again; one that begins
// beyond what is there is not added at all, as a piece in between is missing.
func (m merger) grow(ev *Event) {
	o := m[ev.ItemID]
	if o == nil {
		o = &openItem{item: protocol.Item{ID: ev.ItemID, TurnID: ev.TurnID, Status: protocol.ItemInProgress}}
		m[ev.ItemID] = o
	}
	if known := o.text.Len() - ev.Offset; ev.Offset >= 0 && known >= 0 && known < len(ev.Delta) {
		o.text.WriteString(ev.Delta[known:])
	}
	ev.Text = o.text.String()
}

// patch changes a state item.
func (m merger) patch(ev *Event, patch json.RawMessage) {
	o := m[ev.ItemID]
	if o == nil || len(patch) == 0 {
		return
	}
	if state, err := protocol.MergePatch(o.item.State, patch); err == nil {
		o.item.State = state
	}
	item := o.item
	ev.Item = &item
}

// text returns what is held of the text of an item in progress.
func (m merger) text(id string) string {
	if o := m[id]; o != nil {
		return o.text.String()
	}
	return ""
}

// itemText returns the text that deltas of an item build.
func itemText(item *protocol.Item) string {
	switch item.Type {
	case protocol.ItemCommandExecution:
		return item.Output
	case protocol.ItemToolCall:
		return string(item.Arguments)
	default:
		return item.Text
	}
}

func isDelta(t EventType) bool {
	switch t {
	case EventAgentMessageDelta, EventReasoningDelta, EventToolArgumentsDelta, EventCommandOutputDelta:
		return true
	default:
		return false
	}
}

// fill puts the text that is held of an item into it.
func (m merger) fill(item *protocol.Item) {
	switch {
	case item.Type == protocol.ItemCommandExecution:
		item.Output = m.text(item.ID)
	case item.Type.HasText():
		item.Text = m.text(item.ID)
	}
}
