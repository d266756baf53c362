package sdk

import (
	"encoding/json"

	"github.com/spoolhq/spool/protocol"
)

// payload has the members of all notifications that an Event shows.
type payload struct {
	protocol.Header
	Offset   int                   `json:"offset"`
	Delta    string                `json:"delta"`
	Patch    json.RawMessage       `json:"patch"`
	Item     *protocol.Item        `json:"item"`
	Turn     *protocol.Turn        `json:"turn"`
	Thread   *protocol.Thread      `json:"thread"`
	Previous protocol.ThreadStatus `json:"previous"`
	Runtime  *protocol.Runtime     `json:"runtime"`
	Usage    *protocol.Usage       `json:"usage"`
	Entries  []protocol.PlanEntry  `json:"entries"`
	Decision string                `json:"decision"`
}

// decodeEvent reads a notification. One that it does not know, or that is not what its
// name promises, becomes a raw event with as much of the header as can be read.
func decodeEvent(in event) (ev Event, patch json.RawMessage) {
	params := protocol.Member(in.raw, "params")
	ev = Event{Type: eventTypes[in.method], Method: in.method, Raw: in.raw}
	var p payload
	if ev.Type == "" || json.Unmarshal(params, &p) != nil || !p.complete(ev.Type) {
		p = payload{}
		_ = json.Unmarshal(params, &p.Header)
		ev.Type = EventRaw
	}
	ev.ThreadID, ev.TurnID, ev.ItemID, ev.TraceID = p.ThreadID, p.TurnID, p.ItemID, p.TraceID
	ev.Seq, ev.At = p.Seq, p.At
	ev.Delta, ev.Offset = p.Delta, p.Offset
	ev.Item, ev.Turn, ev.Thread, ev.Runtime, ev.Usage = p.Item, p.Turn, p.Thread, p.Runtime, p.Usage
	ev.Plan, ev.Decision = p.Entries, p.Decision
	if ev.Type == EventThreadStatusChanged && p.resumed() {
		ev.Type = EventThreadResumed
	}
	return ev, p.Patch
}

// complete reports whether what an event of the type is about is there.
func (p *payload) complete(t EventType) bool {
	switch t {
	case EventTurnQueued, EventTurnStarted, EventCompleted, EventFailed, EventCancelled:
		return p.Turn != nil
	case EventItemStarted, EventItemUpdated, EventItemCompleted, EventApprovalRequested, EventApprovalResolved,
		EventQuestionRequested, EventQuestionResolved:
		return p.Item != nil
	case EventUsageDelta:
		return p.Usage != nil
	case EventThreadStarted, EventThreadUpdated, EventThreadStatusChanged, EventThreadEnded, EventThreadReset:
		return p.Thread != nil
	case EventThreadRuntimeChanged:
		return p.Runtime != nil
	default:
		return true
	}
}

func (p *payload) resumed() bool {
	return p.Previous == protocol.StatusPaused && p.Thread.Status == protocol.StatusActive
}
