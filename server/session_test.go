package server

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/spoolhq/spool/protocol"
)

func TestWhichNotificationsAClientGets(t *testing.T) {
	no := false
	var s session
	s.init("con_x", Local("stdio"))
	if err := s.open(protocol.InitializeParams{
		ClientInfo: protocol.ClientInfo{Name: "x"},
		Capabilities: protocol.ClientCapabilities{
			Streaming: &no, OptOutNotificationMethods: []string{"thread/runtimeChanged", "not/yet/known", "turn"},
		},
	}); err != nil {
		t.Fatal(err)
	}
	unwanted := map[string]bool{
		"thread/runtimeChanged": true, "item/agentMessage/delta": true, "item/reasoning/delta": true, "item/toolCall/argumentsDelta": true,
		"item/commandExecution/outputDelta": true, "item/state/delta": true,
	}
	for _, n := range protocol.ServerNotifications() {
		if s.wants(n.Name) == unwanted[n.Name] {
			t.Errorf("%s: %v", n.Name, s.wants(n.Name))
		}
	}
}

func TestInitializeChecksWhatTheClientSaysOfItself(t *testing.T) {
	long := strings.Repeat("x", 300)
	for field, p := range map[string]protocol.InitializeParams{
		"clientInfo.name":       {},
		"clientInfo.version":    {ClientInfo: protocol.ClientInfo{Name: "x", Version: long}},
		"clientInfo.instanceId": {ClientInfo: protocol.ClientInfo{Name: "x", InstanceID: long}},
		"metadata.traceId":      {ClientInfo: protocol.ClientInfo{Name: "x"}, Metadata: protocol.Object{"traceId": json.RawMessage("5")}},
		"metadata":              {ClientInfo: protocol.ClientInfo{Name: "x"}, Metadata: protocol.Object{"a": json.RawMessage(`"` + strings.Repeat("x", maxMetadata) + `"`)}},
	} {
		var s session
		s.init("con_x", Local("stdio"))
		if e := protocol.AsError(s.open(p)); e.Code != protocol.CodeInvalidParams || e.Data.Field != field {
			t.Errorf("%s: %+v", field, e)
		}
		if s.at() != stateNew {
			t.Errorf("%s: the connection is open", field)
		}
	}
}

func TestDefaultsFillIn(t *testing.T) {
	d := protocol.Defaults{Agent: "a", ThreadID: "thr_d", Config: protocol.Object{"model": json.RawMessage(`"m"`)}}
	rows := map[string]fillIn{}
	for _, m := range protocol.ClientRequests() {
		rows[m.Name] = fillInOf(m.Params)
	}
	for _, tc := range []struct{ method, in, want string }{
		{"thread/start", ``, `{"config":{"model":"m"},"agent":"a"}`},
		{"thread/start", `{"agent":"b","config":{}}`, `{"agent":"b","config":{}}`},
		{"thread/getOrCreate", `{ }`, `{"config":{"model":"m"},"agent":"a" }`},
		{"thread/fork", `{}`, `{"threadId":"thr_d"}`},
		{"thread/read", ` {"includeTurns":true}`, ` {"includeTurns":true}`},
		{"thread/read", `{"includeTurns":true}`, `{"threadId":"thr_d","includeTurns":true}`},
		{"thread/list", `{}`, `{}`},
		{"thread/config/update", `{}`, `{"threadId":"thr_d"}`},
		{"turn/run", `{"input":"x"}`, `{"config":{"model":"m"},"threadId":"thr_d","input":"x"}`},
		{"turn/start", `{"threadId":"thr_d"}`, `{"config":{"model":"m"},"threadId":"thr_d"}`},
		{"turn/enqueue", `{"threadId":"thr_other"}`, `{"threadId":"thr_other"}`},
		{"turn/interrupt", `{}`, `{"threadId":"thr_d"}`},
		{"agent/read", `{}`, `{"agent":"a"}`},
		{"agent/list", `{}`, `{}`},
		{"turn/run", `[]`, `[]`},
		{"turn/run", `5`, `5`},
		{"turn/run", `null`, `null`},
	} {
		got := string(rows[tc.method].apply(json.RawMessage(tc.in), d))
		if got != tc.want {
			t.Errorf("%s %s: got %s, want %s", tc.method, tc.in, got, tc.want)
		}
		if same := string(rows[tc.method].apply(json.RawMessage(tc.in), protocol.Defaults{})); same != tc.in {
			t.Errorf("%s %s: without defaults it became %s", tc.method, tc.in, same)
		}
	}
}
