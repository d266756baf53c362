package openai

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// conversation returns what the model is told: the messages of the history, whose last
// ones are the turn's input.
func conversation(ctx context.Context, in turn.Input) ([]protocol.Message, error) {
	talk := []protocol.Message(in.Turn.Input)
	if in.History != nil {
		items, err := in.History(ctx)
		if err != nil {
			return nil, err
		}
		talk = nil
		for _, it := range items {
			if m, ok := messageOf(it); ok {
				talk = append(talk, m)
			}
		}
	}
	if len(talk) == 0 {
		return nil, &turn.Error{Code: protocol.TurnErrAgent, Message: "there is no message to answer"}
	}
	return talk, nil
}

// messageOf returns what an item says to the model; false for items that say nothing.
func messageOf(it protocol.Item) (protocol.Message, bool) {
	switch it.Type {
	case protocol.ItemUserMessage:
		var parts []protocol.Part
		if json.Unmarshal(it.Content, &parts) != nil || len(parts) == 0 {
			return protocol.Message{}, false
		}
		if s := it.Sender; s != nil && s.GroupID != "" && s.Name != "" {
			parts = append([]protocol.Part{{Type: "text", Text: s.Name + " says:"}}, parts...)
		}
		return protocol.Message{Role: protocol.RoleUser, Parts: parts}, true
	case protocol.ItemDeveloperMessage:
		return textMessage(protocol.RoleDeveloper, it.Text), it.Text != ""
	case protocol.ItemAgentMessage:
		return textMessage(protocol.RoleAssistant, it.Text), it.Text != ""
	default:
		return protocol.Message{}, false
	}
}

func textMessage(role protocol.MessageRole, text string) protocol.Message {
	return protocol.Message{Role: role, Parts: []protocol.Part{{Type: "text", Text: text}}}
}

// instructions returns the agent's instructions or those that replace them, the extra
// ones, and those of the mode.
func (a *agent) instructions(in turn.Input) string {
	c := in.Config
	texts := []string{a.options.Instructions, c.ExtraInstructions}
	if c.Instructions != nil {
		texts[0] = *c.Instructions
	}
	for _, m := range c.Modes {
		if m.ID == in.Turn.Mode {
			texts = append(texts, m.Instructions)
		}
	}
	return joinTexts(texts)
}

// joinTexts joins what is not empty by blank lines.
func joinTexts(texts []string) string {
	var some []string
	for _, t := range texts {
		if t != "" {
			some = append(some, t)
		}
	}
	return strings.Join(some, "\n\n")
}

// hasImage reports whether any part is an image, the one thing beside text that is sent
// as it is.
func hasImage(parts []protocol.Part) bool {
	for _, p := range parts {
		if imageURL(p) != "" {
			return true
		}
	}
	return false
}

// imageURL returns the URL of an image part, made of its data if need be; empty for
// other parts.
func imageURL(p protocol.Part) string {
	switch {
	case p.Type != "image":
		return ""
	case p.URL != "":
		return p.URL
	default:
		return "data:" + cmp.Or(p.MimeType, "image/png") + ";base64," + unquote(p.Data)
	}
}

// partsText says all parts in words.
func partsText(parts []protocol.Part) string {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = partText(p)
	}
	return joinTexts(texts)
}

// partText says a part in words. Files that are only named are not read: the path is one
// on the client's machine.
func partText(p protocol.Part) string {
	switch p.Type {
	case "text":
		return p.Text
	case "file":
		return fileText(p)
	case "data":
		return string(p.Data)
	case "mention":
		return "@" + p.Name + inBrackets(p.Path)
	case "custom":
		return p.Kind + ": " + string(p.Content)
	default:
		return fmt.Sprintf("[%s%s, which cannot be shown]", p.Type, inBrackets(cmp.Or(p.Name, p.MimeType)))
	}
}

func fileText(p protocol.Part) string {
	name := cmp.Or(p.Name, p.Path, "without a name")
	if p.Data == nil {
		return "[file " + name + inBrackets(p.Path) + "]"
	}
	content, err := base64.StdEncoding.DecodeString(unquote(p.Data))
	if err != nil || !utf8.Valid(content) {
		return fmt.Sprintf("[file %s%s, %d bytes that are not text]", name, inBrackets(p.MimeType), len(content))
	}
	return "File " + name + ":\n" + string(content)
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

func unquote(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s) // parts were checked: data is a string
	return s
}
