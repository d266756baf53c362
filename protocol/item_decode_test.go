package protocol

import (
	"errors"
	"strings"
	"testing"
)

func TestDecodeItem(t *testing.T) {
	for raw, want := range map[string]struct{ field, problem string }{
		`{"type":"agentMessage"}`: {},
		`{"type":"agentMessage","text":"a","createdAt":"2026-01-31T12:00:00Z","metadata":{"a":null},"origin":"imported","status":"completed"}`: {},
		`{"type":"userMessage","content":[{"type":"text","text":"a"}]}`:                                                                        {},
		`{"type":"custom","kind":"k","role":"r","content":"any"}`:                                                                              {},
		`{"type":"toolCall","result":{"content":[]}}`:                                                                                          {},
		`null`:                         {"items[1]", "must be an object"},
		`[]`:                           {"items[1]", "must be an object"},
		`{}`:                           {"items[1].type", "must be one of userMessage"},
		`{"type":5}`:                   {"items[1].type", "must be one of"},
		`{"type":"hologram"}`:          {"items[1].type", "must be one of"},
		`{"type":"plan","text":"a"}`:   {"items[1].text", "is not a field of an item of type plan"},
		`{"type":"plan","Entries":[]}`: {"items[1].Entries", "is not a field"},
		`{"type":"plan","new":1}`:      {"items[1].new", "is not a field"},
		`{"type":"notice","text":"a","text":"b"}`:                 {"items[1].text", "is there twice"},
		`{"type":"notice","text":5}`:                              {"items[1].text", "must be a string"},
		`{"type":"notice","text":null}`:                           {"items[1].text", "must not be null"},
		`{"type":"notice","status":"over"}`:                       {"items[1].status", "must be one of completed"},
		`{"type":"userMessage","content":"a"}`:                    {"items[1].content", "must be a list"},
		`{"type":"userMessage","content":[{"type":"text"}]}`:      {"items[1].content[0].text", "is required"},
		`{"type":"plan","entries":[{"text":"a"}]}`:                {"items[1].entries[0].status", "is required"},
		`{"type":"toolCall","result":{"content":[{"a":1}]}}`:      {"items[1].result.content[0].a", "is not a known field"},
		`{"type":"question","answers":{"q":{"answers":["a",1]}}}`: {"items[1].answers.q.answers[1]", "must be a string"},
	} {
		var it Item
		err := DecodeItem([]byte(raw), "items[1]", &it)
		if want.field == "" {
			if err != nil || it.Type == "" {
				t.Errorf("%s: %+v, %v", raw, it, err)
			}
			continue
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != CodeInvalidParams || e.Data.Field != want.field || !strings.Contains(e.Message, want.problem) {
			t.Errorf("%s: %v, want %s %s", raw, err, want.field, want.problem)
		}
	}
}
