package script

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/spoolhq/spool/protocol"
)

// tools says the tools that the turn is offered.
func tools(ctx context.Context, r *run, arg string) error {
	if err := noArgs(arg); err != nil {
		return err
	}
	return say(ctx, r, "no tools")
}

// tool calls a client tool. No client can offer one, so each call fails as that of a tool
// whose client is gone.
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
	failure := &protocol.ItemFailure{
		Code: protocol.ToolErrUnavailable, Message: "no client offers the tool " + name,
	}
	r.out.Add(protocol.Item{
		Type: protocol.ItemToolCall, Status: protocol.ItemFailed, Tool: name, CallID: protocol.NewID(protocol.PrefixCall),
		Executor: protocol.ExecutorClient, Arguments: json.RawMessage(args), Error: failure,
	})
	return say(ctx, r, failure.Code+": "+failure.Message)
}

func approve(context.Context, *run, string) error {
	return failure("/approve: this daemon does not offer approvals")
}

func ask(context.Context, *run, string) error {
	return failure("/ask: this daemon does not offer questions")
}
