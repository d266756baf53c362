package sdk

import (
	"context"
	"iter"

	"github.com/spoolhq/spool/protocol"
)

// Approvals reads and answers the approvals that agents wait for, whoever gave the turn.
type Approvals struct {
	c      *Client
	thread string // empty: of all threads
}

// Approvals gives access to the open approvals of all threads that the user may see.
func (c *Client) Approvals() Approvals { return Approvals{c: c} }

// Approvals gives access to the open approvals of the thread.
func (t *Thread) Approvals() Approvals { return Approvals{t.c, t.id} }

// List yields the open approvals, oldest first.
func (a Approvals) List(ctx context.Context) iter.Seq2[protocol.PendingItem, error] {
	return pending(ctx, a.c, protocol.MethodApprovalList, a.thread)
}

// Respond answers an approval; note, which may be empty, is kept with it. The first valid
// answer wins: a later one is refused with AlreadyResolved, and ApprovalExpired once it has
// expired. The result is the approval as it was resolved.
func (a Approvals) Respond(ctx context.Context, approvalID string, decision protocol.Decision, note string) (*protocol.Item, error) {
	return answered(Call(ctx, a.c, protocol.MethodApprovalRespond,
		protocol.ApprovalRespondParams{ApprovalID: approvalID, Decision: decision, Note: note}))
}

// Rules are what the decision acceptAlways left behind: operations that need no approval
// any more, in every thread of an agent.
type Rules struct{ c *Client }

// Rules gives access to the user's approval rules.
func (c *Client) Rules() Rules { return Rules{c} }

// List yields the rules in the order in which they were made.
func (r Rules) List(ctx context.Context) iter.Seq2[protocol.ApprovalRule, error] {
	return pages(func(cursor string) ([]protocol.ApprovalRule, string, error) {
		res, err := Call(ctx, r.c, protocol.MethodApprovalRulesList, protocol.Paging{Cursor: cursor})
		return res.Data, res.NextCursor, err
	})
}

// Remove removes a rule and reports whether there was one.
func (r Rules) Remove(ctx context.Context, id string) (bool, error) {
	res, err := Call(ctx, r.c, protocol.MethodApprovalRulesRemove, protocol.ApprovalRulesRemoveParams{ID: id})
	return res.Removed, err
}

// Questions reads and answers the questions that agents wait for.
type Questions struct {
	c      *Client
	thread string // empty: of all threads
}

// Questions gives access to the open questions of all threads that the user may see.
func (c *Client) Questions() Questions { return Questions{c: c} }

// Questions gives access to the open questions of the thread.
func (t *Thread) Questions() Questions { return Questions{t.c, t.id} }

// List yields the open questions, oldest first.
func (q Questions) List(ctx context.Context) iter.Seq2[protocol.PendingItem, error] {
	return pending(ctx, q.c, protocol.MethodQuestionList, q.thread)
}

// Respond answers a request; answers are by the ids of its questions, all of which need
// one. The first valid answer wins, as with [Approvals.Respond]. The answers to secret
// questions are left out of the result.
func (q Questions) Respond(ctx context.Context, requestID string, answers map[string]protocol.Answer) (*protocol.Item, error) {
	return answered(Call(ctx, q.c, protocol.MethodQuestionRespond,
		protocol.QuestionRespondParams{RequestID: requestID, Answers: answers}))
}

func pending(ctx context.Context, c *Client, m protocol.Request[protocol.ApprovalListParams, protocol.PendingListResult], thread string) iter.Seq2[protocol.PendingItem, error] {
	return pages(func(cursor string) ([]protocol.PendingItem, string, error) {
		res, err := Call(ctx, c, m, protocol.ApprovalListParams{Paging: protocol.Paging{Cursor: cursor}, ThreadID: thread})
		return res.Data, res.NextCursor, err
	})
}

func answered(r protocol.ItemResult, err error) (*protocol.Item, error) {
	if err != nil {
		return nil, err
	}
	return &r.Item, nil
}
