package agenttest

import (
	"context"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// OnApprove decides approvals; without it they are declined. Set it before the turn runs.
func (r *Recorder) OnApprove(f func(turn.Approval) bool) { r.onApprove = f }

// OnAsk answers questions; without it nobody answers. Set it before the turn runs.
func (r *Recorder) OnAsk(f func([]protocol.Question) map[string]protocol.Answer) { r.onAsk = f }

// OnCall carries tools out; without it every call fails. Set it before the turn runs.
func (r *Recorder) OnCall(f func(turn.ToolCall) protocol.ToolCallResult) { r.onCall = f }

// Approve implements [turn.Emitter].
func (r *Recorder) Approve(ctx context.Context, a turn.Approval) (bool, error) {
	if err := r.wait(ctx, "approve"); err != nil {
		return false, err
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	ok := r.onApprove != nil && r.onApprove(a)
	it := protocol.Item{Type: protocol.ItemApproval, Kind: a.Kind, Operation: a.Operation, ScopeKey: a.ScopeKey, Status: protocol.ItemDeclined}
	if ok {
		it.Status, it.Decision = protocol.ItemCompleted, string(protocol.DecisionAccept)
	}
	r.Add(it)
	return ok, context.Cause(ctx)
}

// Ask implements [turn.Emitter].
func (r *Recorder) Ask(ctx context.Context, questions []protocol.Question) (map[string]protocol.Answer, error) {
	if err := r.wait(ctx, "ask"); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var answers map[string]protocol.Answer
	if r.onAsk != nil {
		answers = r.onAsk(questions)
	}
	it := protocol.Item{Type: protocol.ItemQuestion, Questions: questions, Answers: answers, Status: protocol.ItemDeclined}
	if answers != nil {
		it.Status, it.Outcome = protocol.ItemCompleted, "answered"
	}
	r.Add(it)
	return answers, context.Cause(ctx)
}

// Call implements [turn.Emitter].
func (r *Recorder) Call(ctx context.Context, c turn.ToolCall) (protocol.ToolCallResult, error) {
	if err := r.wait(ctx, "call"); err != nil {
		return protocol.ToolCallResult{}, err
	}
	if ctx.Err() != nil {
		return protocol.ToolCallResult{}, context.Cause(ctx)
	}
	res := protocol.ToolCallResult{Error: &protocol.ItemFailure{
		Code: protocol.ToolErrUnavailable, Message: "no client offers the tool " + c.Tool,
	}}
	if r.onCall != nil {
		res = r.onCall(c)
	}
	it := protocol.Item{
		Type: protocol.ItemToolCall, Tool: c.Tool, Namespace: c.Namespace, Executor: protocol.ExecutorClient,
		CallID: protocol.NewID(protocol.PrefixCall), Arguments: c.Arguments, Error: res.Error, Status: protocol.ItemFailed,
	}
	if res.Success {
		it.Status, it.Result = protocol.ItemCompleted, &protocol.ToolResult{Content: res.Content, Structured: res.Structured}
	}
	r.Add(it)
	return res, context.Cause(ctx)
}
