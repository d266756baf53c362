package script

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// tools says the tools that the turn is offered.
func tools(ctx context.Context, r *run, arg string) error {
	if err := noArgs(arg); err != nil {
		return err
	}
	var names []string
	for _, t := range r.in.Tools {
		name := t.Name
		if t.Namespace != "" {
			name = t.Namespace + "/" + name
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return say(ctx, r, "no tools")
	}
	return say(ctx, r, strings.Join(names, " "))
}

// tool calls a client tool and says its result: the text of it, else the structured value,
// or the code and message of the failure.
func tool(ctx context.Context, r *run, arg string) error {
	name, args, _ := strings.Cut(strings.TrimSpace(arg), " ")
	if args = strings.TrimSpace(args); args == "" {
		args = "{}"
	}
	if name == "" {
		return misuse("needs the name of a tool")
	}
	if !json.Valid([]byte(args)) {
		return misuse("needs arguments that are valid JSON")
	}
	call := turn.ToolCall{Tool: name, Arguments: json.RawMessage(args)}
	if space, rest, ok := strings.Cut(name, "/"); ok {
		call.Namespace, call.Tool = space, rest
	}
	res, err := r.out.Call(ctx, call)
	if err != nil {
		return err
	}
	return say(ctx, r, resultText(res))
}

func resultText(res protocol.ToolCallResult) string {
	if !res.Success && res.Error != nil {
		return res.Error.Code + ": " + res.Error.Message
	}
	if text := protocol.PartsText(res.Content); text != "" {
		return text
	}
	return string(res.Structured)
}

// approve asks for approval and says the decision.
func approve(ctx context.Context, r *run, arg string) error {
	kind, operation, _ := strings.Cut(strings.TrimSpace(arg), " ")
	if operation = strings.TrimSpace(operation); kind == "" || operation == "" {
		return misuse("needs a kind and what to do")
	}
	first, _, _ := strings.Cut(operation, " ")
	ok, err := r.out.Approve(ctx, turn.Approval{Kind: kind, Operation: operation, ScopeKey: kind + ":" + first})
	if err != nil {
		return err
	}
	if ok {
		return say(ctx, r, "accepted")
	}
	return say(ctx, r, "declined")
}

// ask asks a question, with options behind bars, and says the answer.
func ask(ctx context.Context, r *run, arg string) error {
	parts := strings.Split(arg, "|")
	q := protocol.Question{ID: "q1", Question: strings.TrimSpace(parts[0])}
	if q.Question == "" {
		return misuse("needs a question")
	}
	q.Header = q.Question
	for _, o := range parts[1:] {
		q.Options = append(q.Options, protocol.Option{Label: strings.TrimSpace(o)})
	}
	q.AllowOther = len(q.Options) == 0
	answers, err := r.out.Ask(ctx, []protocol.Question{q})
	if err != nil {
		return err
	}
	if answers == nil {
		return say(ctx, r, "no answer")
	}
	return say(ctx, r, strings.Join(answers[q.ID].Answers, ", "))
}
