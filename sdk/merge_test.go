package sdk

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/spoolhq/spool/protocol"
)

// Whatever is lost, doubled, joined or replaced on the way: the text is never wrong where
// it claims to be whole, a piece is never there twice, and the completed item is the end.
func TestMergeProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]protocol.ItemType{protocol.ItemAgentMessage, protocol.ItemReasoning, protocol.ItemCommandExecution}).Draw(t, "kind")
		types := map[protocol.ItemType]EventType{
			protocol.ItemAgentMessage: EventAgentMessageDelta, protocol.ItemReasoning: EventReasoningDelta, protocol.ItemCommandExecution: EventCommandOutputDelta,
		}
		snapshot := func(text string, status protocol.ItemStatus) *protocol.Item {
			it := &protocol.Item{ID: "itm_1", TurnID: "trn_1", Type: kind, Status: status, Text: text}
			if kind == protocol.ItemCommandExecution {
				it.Text, it.Output = "", text
			}
			return it
		}
		m := merger{}
		m.apply(&Event{Type: EventItemStarted, ItemID: "itm_1", Item: snapshot("", protocol.ItemInProgress)}, nil)
		whole, complete, saw := "", true, map[string]string{}
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			piece := rapid.StringN(1, 5, -1).Draw(t, "piece")
			if !utf8.ValidString(piece) {
				continue
			}
			ev := Event{Type: types[kind], ItemID: "itm_1", TurnID: "trn_1"}
			switch rapid.SampledFrom([]string{"delta", "delta", "delta", "lost", "twice", "snapshot", "joined"}).Draw(t, "what") {
			case "delta":
				ev.Offset, ev.Delta = len(whole), piece
				whole += piece
			case "lost":
				whole += piece
				complete = false
				continue
			case "twice":
				ev.Offset = rapid.IntRange(0, len(whole)).Draw(t, "offset")
				ev.Delta = whole[ev.Offset:]
			case "joined": // overlaps what is there and brings something new
				ev.Offset = rapid.IntRange(0, len(whole)).Draw(t, "offset")
				whole += piece
				ev.Delta = whole[ev.Offset:]
			case "snapshot":
				whole += piece
				ev = Event{Type: EventItemUpdated, ItemID: "itm_1", Item: snapshot(whole, protocol.ItemInProgress)}
				complete = true
			}
			m.apply(&ev, nil)
			if complete && ev.Text != whole {
				t.Fatalf("text %q, want %q", ev.Text, whole)
			}
			if !bytes.HasPrefix([]byte(whole), []byte(ev.Text)) {
				t.Fatalf("text %q is no beginning of %q", ev.Text, whole)
			}
			saw[ev.Text] = string([]byte(ev.Text))
		}
		for text, copied := range saw { // strings handed out earlier did not change
			if text != copied {
				t.Fatalf("%q became %q", copied, text)
			}
		}
		end := Event{Type: EventItemCompleted, ItemID: "itm_1", Item: snapshot("corrected", protocol.ItemCompleted)}
		m.apply(&end, nil)
		if end.Text != "corrected" || len(m) != 0 {
			t.Fatalf("in the end %q, open %v", end.Text, m)
		}
	})
}

func TestMergeState(t *testing.T) {
	m := merger{}
	state := protocol.Item{ID: "itm_1", TurnID: "trn_1", Type: protocol.ItemState, Status: protocol.ItemInProgress, State: json.RawMessage(`{"a":1}`)}
	m.apply(&Event{Type: EventItemStarted, Item: &state}, nil)
	ev := Event{Type: EventStateDelta, ItemID: "itm_1"}
	m.apply(&ev, json.RawMessage(`{"b":2,"a":null}`))
	if ev.Item == nil || string(ev.Item.State) != `{"b":2}` {
		t.Errorf("got %s", toJSON(ev.Item))
	}
	unknown := Event{Type: EventStateDelta, ItemID: "itm_2"}
	if m.apply(&unknown, json.RawMessage(`{}`)); unknown.Item != nil {
		t.Error("a state from nowhere")
	}
	m.apply(&Event{Type: EventCompleted, TurnID: "trn_1"}, nil)
	if len(m) != 0 {
		t.Error("open items outlive their turn")
	}
}

func TestMergeArguments(t *testing.T) {
	m := merger{}
	call := protocol.Item{ID: "itm_1", Type: protocol.ItemToolCall, Status: protocol.ItemInProgress, Tool: "x"}
	m.apply(&Event{Type: EventItemStarted, Item: &call}, nil)
	first := Event{Type: EventToolArgumentsDelta, ItemID: "itm_1", Delta: `{"q":`}
	m.apply(&first, nil)
	updated := Event{Type: EventItemUpdated, Item: &call} // without arguments that are no JSON yet
	m.apply(&updated, nil)
	second := Event{Type: EventToolArgumentsDelta, ItemID: "itm_1", Offset: 5, Delta: `1}`}
	m.apply(&second, nil)
	if updated.Text != `{"q":` || second.Text != `{"q":1}` {
		t.Errorf("got %q, then %q", updated.Text, second.Text)
	}
}
