package script

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/spoolhq/spool/protocol"
)

// history says the history the agent is given: a line "type: text" for each item.
func history(ctx context.Context, r *run, arg string) error {
	if err := noArgs(arg); err != nil {
		return err
	}
	if r.in.History == nil {
		return failure("/history: this turn has no history")
	}
	items, err := r.in.History(ctx)
	if err != nil {
		return err
	}
	lines := make([]string, len(items))
	for i, it := range items {
		text := strings.Join(strings.FieldsFunc(textOf(it), isLineEnd), " ")
		lines[i] = strings.TrimRight(string(it.Type)+": "+text, " ")
	}
	if len(lines) == 0 {
		return nil
	}
	return say(ctx, r, strings.Join(lines, "\n"))
}

func isLineEnd(c rune) bool { return c == '\n' || c == '\r' }

// partsOf returns the parts of a user message.
func partsOf(it protocol.Item) []protocol.Part {
	var parts []protocol.Part
	_ = json.Unmarshal(it.Content, &parts) // content of another form has no text
	return parts
}

// textOf returns what an item says, in one text.
func textOf(it protocol.Item) string {
	switch it.Type {
	case protocol.ItemUserMessage:
		return partsText(partsOf(it))
	case protocol.ItemToolCall:
		return toolText(it)
	case protocol.ItemCommandExecution:
		return strings.Join(it.Command, " ") + "\n" + it.Output
	case protocol.ItemFileChange:
		var paths []string
		for _, c := range it.Changes {
			paths = append(paths, c.Kind+" "+c.Path)
		}
		return strings.Join(paths, "; ")
	case protocol.ItemPlan:
		var steps []string
		for _, e := range it.Entries {
			steps = append(steps, e.Text)
		}
		return strings.Join(steps, "; ")
	case protocol.ItemApproval:
		return it.Kind + " " + it.Operation + " " + it.Decision
	case protocol.ItemQuestion:
		return questionText(it)
	case protocol.ItemState:
		return string(it.State)
	case protocol.ItemCustom:
		return it.Kind + " " + string(it.Content)
	case protocol.ItemError:
		return it.Code + " " + it.Message
	default:
		return it.Text
	}
}

// partsText returns the text of parts; those without text are named by their type.
func partsText(parts []protocol.Part) string {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.Text
		if p.Type != "text" {
			texts[i] = "[" + p.Type + "]"
		}
	}
	return strings.Join(texts, "\n")
}

func toolText(it protocol.Item) string {
	text := it.Tool + " " + string(it.Arguments)
	switch {
	case it.Error != nil:
		return text + " " + it.Error.Code + ": " + it.Error.Message
	case it.Result != nil:
		return text + " " + partsText(it.Result.Content)
	default:
		return text
	}
}

func questionText(it protocol.Item) string {
	var texts []string
	for _, q := range it.Questions {
		text := q.Question
		if a := it.Answers[q.ID].Answers; len(a) > 0 && !q.Secret {
			text += " " + strings.Join(a, ", ")
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; ")
}
