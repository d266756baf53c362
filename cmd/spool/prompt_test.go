package main

import (
	"bytes"
	"testing"

	"github.com/spoolhq/spool/protocol"
)

func TestParseDecision(t *testing.T) {
	all := protocol.Decision("").Values()
	for _, tt := range []struct {
		line    string
		offered []string
		want    protocol.Decision // empty: none
		note    string
	}{
		{"y", all, protocol.DecisionAccept, ""},
		{"YES", all, protocol.DecisionAccept, ""},
		{"t", all, protocol.DecisionAcceptForThread, ""},
		{"always", all, protocol.DecisionAcceptAlways, ""},
		{"n", all, protocol.DecisionDecline, ""},
		{"no, never", all, "", ""},
		{"no never", all, protocol.DecisionDecline, "never"},
		{"c  why  ", all, protocol.DecisionCancel, "why"},
		{"", all, "", ""},
		{"ok", all, "", ""},
		{"yes please", all, "", ""},
		{"a test", all, "", ""},
		{"accept", all, "", ""},
		{"a", []string{"accept", "decline"}, "", ""},
	} {
		r, ok := parseDecision(tt.line, tt.offered)
		if ok != (tt.want != "") || ok && (r.Decision != tt.want || r.Note != tt.note) {
			t.Errorf("%q is %+v, %v", tt.line, r, ok)
		}
	}
}

func TestParseAnswer(t *testing.T) {
	options := []protocol.Option{{Label: "staging"}, {Label: "Production"}, {Label: "1"}}
	for _, tt := range []struct {
		line, want string
		q          protocol.Question
	}{
		{"2", "Production", protocol.Question{Options: options}},
		{"1", "staging", protocol.Question{Options: options}},
		{"production", "Production", protocol.Question{Options: options}},
		{"0", "", protocol.Question{Options: options}},
		{"4", "", protocol.Question{Options: options}},
		{"moon", "", protocol.Question{Options: options}},
		{"moon", "moon", protocol.Question{Options: options, AllowOther: true}},
		{"4", "4", protocol.Question{Options: options, AllowOther: true}},
		{"4", "4", protocol.Question{}},
		{"", "", protocol.Question{}},
	} {
		if got, ok := parseAnswer(tt.line, tt.q); ok != (tt.want != "") || ok && got != tt.want {
			t.Errorf("%q is %q, %v", tt.line, got, ok)
		}
	}
}

// What agents write does not drive the terminal.
func TestPromptsAreClean(t *testing.T) {
	evil := "a\x1b[2J\rb"
	texts := approvalPrompt(protocol.ApprovalRequestParams{
		Kind: "command", Operation: evil, Reason: evil, ScopeKey: evil, Target: []byte(`"x"`),
		Decisions: protocol.Decision("").Values(),
	}, false)
	texts += questionPrompt(protocol.Question{Header: evil, Question: evil, Options: []protocol.Option{{Label: evil, Description: evil}}}, false)
	if bytes.ContainsAny([]byte(texts), "\x1b\r") {
		t.Errorf("%q", texts)
	}
}

// Where nobody sits nobody is asked.
func TestNoAskerWithoutTerminal(t *testing.T) {
	var b bytes.Buffer
	if newApp(&b, &b, &b, nil).newAsker(true) != nil {
		t.Error("there is somebody")
	}
}
