package protocol

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestItemFieldsAreFieldsOfItem(t *testing.T) {
	used := map[string]bool{}
	for _, name := range ItemNotice.Values() {
		typ := ItemType(name)
		fields := typ.Fields()
		if len(fields) == 0 {
			t.Errorf("%s has no fields", name)
		}
		for _, f := range fields {
			used[f] = true
			if _, ok := itemIndex[f]; !ok {
				t.Errorf("%s: Item has no field %s", name, f)
			}
		}
		for _, f := range typ.RequiredFields() {
			if !slices.Contains(fields, f) {
				t.Errorf("%s: %s is required but no field", name, f)
			}
		}
	}
	for _, common := range []string{"id", "turnId", "type", "status", "createdAt", "completedAt", "revision", "origin", "metadata"} {
		used[common] = true
	}
	for name := range itemIndex {
		if !used[name] {
			t.Errorf("no type of item has the field %s", name)
		}
	}
	if len(itemFields) != len(ItemNotice.Values()) || ItemType("x").Fields() != nil {
		t.Error("itemFields and Values differ")
	}
}

// An item without anything still has what its type always has.
func TestItemAlwaysHasItsFields(t *testing.T) {
	for _, name := range ItemNotice.Values() {
		raw, err := Marshal(Item{Type: ItemType(name)})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range ItemType(name).RequiredFields() {
			if v := Member(raw, f); v == nil || string(v) == "null" {
				t.Errorf("%s: %s is %q in %s", name, f, v, raw)
			}
		}
		var got Item
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		if again, _ := Marshal(got); !sameJSON(t, raw, again) {
			t.Errorf("%s, then %s", raw, again)
		}
	}
}

func TestItemExactBytes(t *testing.T) {
	zero := `"status":"","createdAt":"1970-01-01T00:00:00.000Z","revision":0,"origin":""`
	tests := []struct {
		item Item
		want string
	}{
		{Item{Type: ItemAgentMessage}, `{"id":"","type":"agentMessage",` + zero + `,"text":""}`},
		{Item{Type: ItemAgentMessage, Text: "<&>"}, `{"id":"","type":"agentMessage",` + zero + `,"text":"<&>"}`},
		{Item{Type: ItemState}, `{"id":"","type":"state",` + zero + `,"state":{}}`},
		{Item{Type: ItemState, State: json.RawMessage("null")}, `{"id":"","type":"state",` + zero + `,"state":null}`},
		{Item{Type: "new"}, `{"id":"","type":"new",` + zero + `}`},
		{Item{Type: "new", Extra: Object{"a": json.RawMessage("1")}}, `{"id":"","type":"new",` + zero + `,"a":1}`},
		{Item{Type: "new", Extra: Object{}}, `{"id":"","type":"new",` + zero + `}`},
		// What is in Extra under a known name would be there twice.
		{Item{Type: ItemReasoning, Text: "a", Extra: Object{"text": json.RawMessage(`"b"`)}}, `{"id":"","type":"reasoning",` + zero + `,"text":"a"}`},
		{Item{Type: ItemReasoning, Extra: Object{"text": json.RawMessage(`"b"`), "x": nil}}, `{"id":"","type":"reasoning",` + zero + `,"text":"","x":null}`},
		{Item{Type: ItemToolCall, Result: &ToolResult{}}, `{"id":"","type":"toolCall",` + zero + `,"result":{"content":[]},"tool":"","callId":"","executor":"client","arguments":{}}`},
	}
	for _, tt := range tests {
		if got, err := Marshal(tt.item); err != nil || string(got) != tt.want {
			t.Errorf("got  %s, %v\nwant %s", got, err, tt.want)
		}
	}
	extra := Object{"text": json.RawMessage(`"b"`)}
	_, _ = Marshal(Item{Type: ItemReasoning, Extra: extra})
	if len(extra) != 1 {
		t.Error("encoding changed Extra")
	}
}

func TestItemKeepsWhatItDoesNotKnow(t *testing.T) {
	raw := `{"id":"itm_1","type":"hologram","status":"completed","createdAt":"2026-01-31T12:00:00.000Z","revision":3,"origin":"turn","text":"a","angle":1.50,"rays":[{"b":null}]}`
	var it Item
	if err := json.Unmarshal([]byte(raw), &it); err != nil {
		t.Fatal(err)
	}
	if len(it.Extra) != 2 || string(it.Extra["angle"]) != "1.50" {
		t.Errorf("extra %s", it.Extra)
	}
	if got, _ := Marshal(it); string(got) != raw {
		t.Errorf("got  %s\nwant %s", got, raw)
	}
}

func TestItemRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, err := Marshal(drawItem(t))
		if err != nil {
			t.Fatal(err)
		}
		var got Item
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		again, err := Marshal(got)
		if err != nil || !sameJSON(t, raw, again) {
			t.Fatalf("%s\nthen\n%s\n%v", raw, again, err)
		}
		var third Item
		if err := json.Unmarshal(again, &third); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, third); diff != "" {
			t.Fatal(diff)
		}
	})
}
