package protocol

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestParseConfig(t *testing.T) {
	good := Object{}
	_ = json.Unmarshal([]byte(`{"model":"m","temperature":0,"instructions":"","stream":false,"history":{"maxTurns":3},"outputSchema":{"type":"object"},
		"approvals":"never","modes":[{"id":"plan","tools":[]},{"id":"do"}],"extra":{"anything":null}}`), &good)
	c, err := ParseConfig(good)
	if err != nil {
		t.Fatal(err)
	}
	if c.Model != "m" || *c.Temperature != 0 || *c.Instructions != "" || *c.Stream || c.History.MaxTurns != 3 || c.Approvals != ApprovalsNever ||
		len(c.Modes) != 2 || c.Modes[0].Tools == nil || c.Modes[1].Tools != nil || string(c.Extra["anything"]) != "null" {
		t.Errorf("%+v", c)
	}
	if c, err := ParseConfig(nil); err != nil || c.Model != "" {
		t.Errorf("%+v, %v", c, err)
	}
	for raw, field := range map[string]string{
		`{"colour":"red"}`:                       "colour",
		`{"Model":"m"}`:                          "Model",
		`{"model":5}`:                            "model",
		`{"model":null}`:                         "model",
		`{"temperature":2.1}`:                    "temperature",
		`{"temperature":-0.1}`:                   "temperature",
		`{"temperature":"hot"}`:                  "temperature",
		`{"maxTurnMs":-1}`:                       "maxTurnMs",
		`{"maxTurnMs":1.5}`:                      "maxTurnMs",
		`{"approvalTimeoutMs":-1}`:               "approvalTimeoutMs",
		`{"toolReconnectMs":-1}`:                 "toolReconnectMs",
		`{"history":{"maxTurns":-1}}`:            "history.maxTurns",
		`{"history":{"turns":1}}`:                "history.turns",
		`{"historyPolicy":"keep"}`:               "historyPolicy",
		`{"noApprover":"accept"}`:                "noApprover",
		`{"modes":[{"name":"x"}]}`:               "modes[0].id",
		`{"modes":[{"id":""}]}`:                  "modes[0].id",
		`{"modes":[{"id":"a"},{"id":"a"}]}`:      "modes[1].id",
		`{"modes":[{"id":"a","tools":["t",1]}]}`: "modes[0].tools[1]",
	} {
		var config Object
		if err := json.Unmarshal([]byte(raw), &config); err != nil {
			t.Fatal(err)
		}
		_, err := ParseConfig(config)
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeInvalidConfig || e.Data.Field != field {
			t.Errorf("%s: %+v, want field %s", raw, err, field)
		}
	}
}

func TestObjectMerge(t *testing.T) {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	base, over := Object{"a": raw("1"), "b": raw("2")}, Object{"b": raw("3"), "c": raw("4")}
	got, _ := Marshal(base.Merge(over))
	if string(got) != `{"a":1,"b":3,"c":4}` || len(base) != 2 || len(over) != 2 {
		t.Errorf("%s", got)
	}
	if m := Object(nil).Merge(nil); m == nil || len(m) != 0 {
		t.Errorf("%v", m)
	}
}
