package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spoolhq/spool/protocol"
)

// describeItem returns one line about an item that is no text of the agent, empty for one
// that needs none.
func describeItem(it *protocol.Item) string {
	switch it.Type {
	case protocol.ItemToolCall:
		return describeTool(it)
	case protocol.ItemCommandExecution:
		return describeCommand(it)
	case protocol.ItemFileChange:
		paths := make([]string, len(it.Changes))
		for i, c := range it.Changes {
			paths[i] = c.Kind + " " + c.Path
		}
		return oneLine(strings.Join(paths, ", "), 160)
	case protocol.ItemApproval:
		return oneLine(fmt.Sprintf("approval of %s: %s%s", it.Kind, it.Operation, arrow(it.Decision)), 160)
	case protocol.ItemQuestion:
		texts := make([]string, len(it.Questions))
		for i, q := range it.Questions {
			texts[i] = q.Question
		}
		return oneLine("question: "+strings.Join(texts, " ")+arrow(it.Outcome), 160)
	case protocol.ItemState:
		return "state " + compact(it.State)
	case protocol.ItemCustom:
		return oneLine(it.Kind+" "+compact(it.Content), 160)
	case protocol.ItemNotice:
		return oneLine(it.Text, 160)
	case protocol.ItemError:
		return oneLine(it.Code+": "+it.Message, 160)
	case protocol.ItemDeveloperMessage:
		if it.Visibility == "shown" {
			return oneLine(it.Text, 160)
		}
	default: // user messages and texts are not described; plans come as events
	}
	return ""
}

func describeTool(it *protocol.Item) string {
	result := string(it.Status)
	if it.Error != nil {
		result = it.Error.Message
	} else if it.Result != nil {
		result = protocol.PartsText(it.Result.Content)
	}
	took := ""
	if it.DurationMs > 0 {
		took = fmt.Sprintf(" (%d ms)", it.DurationMs)
	}
	return oneLine(fmt.Sprintf("%s %s", it.Tool, compact(it.Arguments)), 80) + " → " + oneLine(result, 80) + took
}

func describeCommand(it *protocol.Item) string {
	exit := string(it.Status)
	if it.ExitCode != nil {
		exit = fmt.Sprintf("exit %d", *it.ExitCode)
	}
	return oneLine("$ "+strings.Join(it.Command, " "), 120) + " → " + exit
}

// arrow writes what came of something, if anything did.
func arrow(result string) string {
	if result == "" {
		return ""
	}
	return " → " + result
}

// compact writes JSON on one short line.
func compact(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	return oneLine(string(raw), 80)
}

// describeEnd returns how a turn ended, empty if it just completed.
func describeEnd(t *protocol.Turn) string {
	switch t.Status {
	case protocol.TurnFailed:
		if t.Error != nil {
			return oneLine(fmt.Sprintf("failed: %s (%s)", t.Error.Message, t.Error.Code), 200)
		}
		return "failed"
	case protocol.TurnCancelled:
		return fmt.Sprintf("cancelled: %s", t.CancelReason)
	case protocol.TurnQueued:
		return fmt.Sprintf("waiting, position %d", t.Position)
	case protocol.TurnRunning:
		return "running"
	default:
		return ""
	}
}

// partsText returns the text of a message, with a mark for each part that is none.
func partsText(parts []protocol.Part) string {
	lines := make([]string, len(parts))
	for i, p := range parts {
		switch {
		case p.Type == "text":
			lines[i] = p.Text
		default:
			lines[i] = "[" + strings.TrimSpace(p.Type+" "+p.Name) + "]"
		}
	}
	return strings.Join(lines, "\n")
}

// contentText returns what a user message says.
func contentText(it *protocol.Item) string {
	var parts []protocol.Part
	if err := json.Unmarshal(it.Content, &parts); err != nil {
		return compact(it.Content)
	}
	return partsText(parts)
}

// inputText returns what an input says, for people.
func inputText(in protocol.Input) string {
	var texts []string
	for _, m := range in {
		texts = append(texts, partsText(m.Parts))
	}
	return strings.Join(texts, "\n")
}

// threadName returns what tells a thread from others: its title, or how it began.
func threadName(t protocol.Thread) string {
	if t.Title != "" {
		return oneLine(t.Title, 60)
	}
	return oneLine(t.Preview, 60)
}

// describeRuntime returns what a thread does, for a list.
func describeRuntime(r protocol.Runtime) string {
	var words []string
	switch {
	case r.Interrupting:
		words = append(words, "interrupting")
	case len(r.WaitingOn) > 0:
		words = append(words, "waits for "+strings.Join(r.WaitingOn, ", "))
	case r.Busy:
		words = append(words, "running")
	}
	if r.QueueLength > 0 {
		words = append(words, fmt.Sprintf("%d waiting", r.QueueLength))
	}
	if r.QueuePaused {
		words = append(words, "queue paused: "+string(r.PauseReason))
	}
	return strings.Join(words, ", ")
}
