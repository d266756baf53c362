package openai

import (
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// speech turns the pieces of a model's answer into items, one open at a time.
type speech struct {
	out       turn.Emitter
	item      turn.Item // the open one; nil if none
	kind      protocol.ItemType
	id        string          // the endpoint's id of the open item
	text      strings.Builder // text of the open item
	citations []json.RawMessage
	answer    []string        // texts of the messages that are complete
	said      map[string]bool // ids of all items that were begun
	refused   bool
}

// say adds text to the item of the given kind and id, which it begins if need be.
func (s *speech) say(kind protocol.ItemType, id, text string) {
	if text == "" {
		return
	}
	if s.item == nil || s.kind != kind || s.id != id {
		s.done()
		s.item, s.kind, s.id = s.out.Begin(protocol.Item{Type: kind}), kind, id
		if s.said == nil {
			s.said = map[string]bool{}
		}
		s.said[id] = true
	}
	s.text.WriteString(text)
	s.item.Append(text)
}

// paragraph begins a new paragraph in the open item, if it is that one and has text.
func (s *speech) paragraph(id string) {
	if s.item != nil && s.id == id && s.text.Len() > 0 {
		s.say(s.kind, id, "\n\n")
	}
}

// cite adds a citation to the open message.
func (s *speech) cite(citation gjson.Result) {
	if s.item != nil && citation.IsObject() {
		s.citations = append(s.citations, json.RawMessage(citation.Raw))
	}
}

// final completes the item of an id with the text that the endpoint says is the whole
// one, also where no piece of it came before.
func (s *speech) final(kind protocol.ItemType, id, text string) {
	open := s.item != nil && s.kind == kind
	switch {
	case open && (s.id == id || s.text.String() == text): // some endpoints give new ids at every event
	case text == "" || s.said[id]:
		return
	default:
		s.say(kind, id, text)
	}
	if text != "" && s.text.String() != text {
		s.text.Reset()
		s.text.WriteString(text)
	}
	s.done()
}

// done completes the open item.
func (s *speech) done() { s.end(protocol.ItemCompleted) }

// cut ends the open item, whose text is not whole.
func (s *speech) cut() { s.end(protocol.ItemFailed) }

func (s *speech) end(status protocol.ItemStatus) {
	if s.item == nil {
		return
	}
	text := s.text.String()
	citations, _ := json.Marshal(s.citations) // each is JSON
	cited := len(s.citations) > 0
	s.item.Complete(func(it *protocol.Item) {
		it.Status = status
		if it.Text != text {
			it.Text = text
		}
		if cited {
			it.Citations = citations
		}
	})
	if s.kind == protocol.ItemAgentMessage {
		s.answer = append(s.answer, text)
	}
	s.item, s.citations = nil, nil
	s.text.Reset()
}

// notice tells the user something about the answer.
func (s *speech) notice(kind, text string) {
	s.out.Add(protocol.Item{Type: protocol.ItemNotice, Kind: kind, Text: text})
}

// finish completes what is open and returns the text of the answer. It says so where the
// model said nothing, or refused.
func (s *speech) finish() string {
	s.done()
	switch {
	case s.refused:
		s.notice("refused", "The model refused to answer.")
	case len(s.answer) == 0:
		s.notice("empty", "The model gave no answer.")
	}
	return strings.Join(s.answer, "\n\n")
}

// truncated is finish for an answer that reached the limit of output tokens.
func (s *speech) truncated() string {
	s.done()
	s.notice("truncated", "The answer reached the limit of output tokens and is not complete.")
	return strings.Join(s.answer, "\n\n")
}
