package sdk

import (
	"encoding/json"
	"testing"

	"github.com/spoolhq/spool/protocol"
)

func TestEveryNotificationHasItsType(t *testing.T) {
	raw := map[string]bool{ // what is no news about a thread's content
		"item/tool/cancel": true, "thread/subscription/lagged": true, "thread/subscription/closed": true,
		"server/shuttingDown": true, "$/cancelRequest": true,
	}
	for _, n := range protocol.ServerNotifications() {
		if (eventTypes[n.Name] == "") != raw[n.Name] {
			t.Errorf("%s has the type %q", n.Name, eventTypes[n.Name])
		}
	}
}

func TestDecodeEvents(t *testing.T) {
	thread := threadJSON(3)
	for _, test := range []struct {
		method, params string
		want           EventType
		check          func(Event) bool
	}{
		{"turn/started", turnEvent(4, "trn_1", "running", ""), EventTurnStarted, func(e Event) bool {
			return e.Seq == 4 && e.ThreadID == "thr_1" && e.TurnID == "trn_1" && e.TraceID == "trc_1" && e.At > 0 && e.Turn.ID == "trn_1"
		}},
		{"turn/started", `{"threadId":"thr_1","seq":4}`, EventRaw, func(e Event) bool { return e.Seq == 4 && e.ThreadID == "thr_1" }},
		{"item/agentMessage/delta", deltaEvent("trn_1", "itm_1", 3, "é"), EventAgentMessageDelta, func(e Event) bool { return e.Offset == 3 && e.Delta == "é" && e.ItemID == "itm_1" }},
		{"item/usage/delta", `{"threadId":"thr_1","usage":{"inputTokens":1,"outputTokens":2}}`, EventUsageDelta, func(e Event) bool { return e.Usage.OutputTokens == 2 }},
		{"plan/updated", `{"threadId":"thr_1","entries":[{"text":"a","status":"pending"}]}`, EventPlanUpdated, func(e Event) bool { return e.Plan[0].Text == "a" }},
		{"item/approval/resolved", `{"threadId":"thr_1","item":{"id":"i","type":"approval","status":"completed"},"decision":"accept"}`, EventApprovalResolved, func(e Event) bool { return e.Decision == "accept" && e.Item.ID == "i" }},
		{"thread/statusChanged", `{"threadId":"thr_1","previous":"paused","thread":` + thread + `}`, EventThreadResumed, func(e Event) bool { return e.Thread.ID == "thr_1" }},
		{"thread/statusChanged", `{"threadId":"thr_1","previous":"archived","thread":` + thread + `}`, EventThreadStatusChanged, nil},
		{"thread/runtimeChanged", `{"threadId":"thr_1","runtime":{"busy":true,"waitingOn":[]}}`, EventThreadRuntimeChanged, func(e Event) bool { return e.Runtime.Busy }},
		{"subagent/progress", `{"threadId":"thr_1","progress":{"x":1}}`, EventSubagentProgress, nil},
		{"system/event", `{"threadId":"thr_1","kind":"k","text":"t"}`, EventSystemEvent, nil},
		{"thread/queue/updated", `{"threadId":"thr_1","revision":1,"paused":true,"turnIds":[]}`, EventQueueUpdated, nil},
		{"thread/items/changed", `{"threadId":"thr_1","changes":[]}`, EventThreadItemsChanged, nil},
		{"new/thing", `{"threadId":"thr_1","turn":5}`, EventRaw, func(e Event) bool { return e.Method == "new/thing" && e.ThreadID == "thr_1" }},
		{"new/thing", `7`, EventRaw, nil},
	} {
		raw := []byte(`{"jsonrpc":"2.0","method":"` + test.method + `","params":` + test.params + `}`)
		ev, _ := decodeEvent(newEvent(protocol.ParseFrame(raw), raw))
		if ev.Type != test.want || test.check != nil && !test.check(ev) {
			t.Errorf("%s became %s", raw, toJSON(ev))
		}
	}
}

func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"method":"turn/started","params":` + turnEvent(1, "trn_1", "running", "") + `}`))
	f.Add([]byte(`{"method":"item/agentMessage/delta","params":` + deltaEvent("trn_1", "itm_1", 1<<40, "x") + `}`))
	f.Add([]byte(`{"method":"item/state/delta","params":{"itemId":"itm_1","patch":{"a":null}}}`))
	f.Add([]byte(`{"method":"item/updated","params":` + itemEvent(0, "trn_1", "itm_1", "inProgress", "é") + `}`))
	f.Add([]byte(`{"params":[],"method":"thread/statusChanged","id":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return
		}
		m := merger{"itm_1": {item: protocol.Item{ID: "itm_1", Status: protocol.ItemInProgress}}}
		sent := string(raw)
		ev, patch := decodeEvent(newEvent(protocol.ParseFrame(raw), raw))
		m.apply(&ev, patch)
		if string(ev.Raw) != sent {
			t.Errorf("Raw is %s, was sent as %s", ev.Raw, sent)
		}
		if ev.Type == "" {
			t.Error("an event without a type")
		}
		_ = ev.Err()
	})
}
