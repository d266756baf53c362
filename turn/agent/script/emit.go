package script

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/spoolhq/spool/protocol"
)

// state merges JSON into the one state item of the turn, which lives until the turn ends.
func state(_ context.Context, r *run, arg string) error {
	patch := strings.TrimSpace(arg)
	if !json.Valid([]byte(patch)) {
		return misuse("needs a value that is valid JSON")
	}
	if r.state == nil {
		r.state = r.out.Begin(protocol.Item{Type: protocol.ItemState, State: json.RawMessage("{}")})
	}
	r.state.Patch(json.RawMessage(patch))
	return nil
}

func (r *run) completeState() {
	if r.state != nil {
		r.state.Complete(nil)
	}
}

func plan(_ context.Context, r *run, arg string) error {
	var entries []protocol.PlanEntry
	for text := range strings.SplitSeq(arg, ";") {
		if text = strings.TrimSpace(text); text != "" {
			entries = append(entries, protocol.PlanEntry{Text: text, Status: "pending"})
		}
	}
	if len(entries) == 0 {
		return misuse("needs at least one step")
	}
	r.out.Plan(entries)
	return nil
}

func usage(_ context.Context, r *run, arg string) error {
	args := strings.Fields(arg)
	if len(args) != 2 {
		return misuse("needs two numbers of tokens")
	}
	input, err1 := strconv.ParseInt(args[0], 10, 32)
	output, err2 := strconv.ParseInt(args[1], 10, 32)
	if err1 != nil || err2 != nil || input < 0 || output < 0 {
		return misuse("needs two numbers of tokens, 0 or more")
	}
	r.out.Usage(protocol.Usage{InputTokens: input, OutputTokens: output})
	return nil
}

func custom(_ context.Context, r *run, arg string) error {
	kind, content, _ := strings.Cut(strings.TrimSpace(arg), " ")
	content = strings.TrimSpace(content)
	if kind == "" || !json.Valid([]byte(content)) {
		return misuse("needs a kind and a value that is valid JSON")
	}
	r.out.Add(protocol.Item{
		Type: protocol.ItemCustom, Kind: kind, Role: string(protocol.RoleAssistant), Content: json.RawMessage(content),
	})
	return nil
}

func fail(_ context.Context, _ *run, arg string) error {
	if arg = strings.TrimSpace(arg); arg == "" {
		return misuse("needs a message")
	}
	return failure("%s", arg)
}

func crash(context.Context, *run, string) error {
	panic("the script says /panic")
}
