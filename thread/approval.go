package thread

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// Approve asks for permission; see turn.Emitter.
func (r *run) Approve(ctx context.Context, ap turn.Approval) (bool, error) {
	t := r.t
	if ap.ScopeKey == "" {
		ap.ScopeKey = ap.Kind + ":" + ap.Operation
	}
	ap.Target = validJSON(ap.Target)
	t.mu.Lock()
	if err := r.mayAsk(written(ap, 1)); err != nil {
		t.mu.Unlock()
		return false, err
	}
	a := r.askApproval(ap)
	t.mu.Unlock()
	err := r.await(ctx, a, func(x *change) { x.resolveApproval(a, "cancelled", r.by) })
	if err != nil {
		return false, err
	}
	return accepted(a.decision), nil
}

func accepted(decision string) bool {
	return oneOf(protocol.Decision(decision), protocol.DecisionAccept, protocol.DecisionAcceptForThread, protocol.DecisionAcceptAlways)
}

// askApproval begins an approval. Where a policy or an earlier decision answers it, it is
// resolved in the same commit. t.mu is held.
func (r *run) askApproval(ap turn.Approval) *ask {
	t := r.t
	x := t.begin()
	item := r.prepare(protocol.Item{
		Type: protocol.ItemApproval, ApprovalID: protocol.NewID(protocol.PrefixApproval), Kind: approvalKind(ap.Kind),
		Operation: ap.Operation, Target: ap.Target, ScopeKey: ap.ScopeKey, Reason: ap.Reason,
		Decisions: protocol.Decision("").Values(),
	}, x.at)
	item.Status = protocol.ItemInProgress
	a := &ask{id: item.ApprovalID, kind: askApproval, method: protocol.MethodApprovalRequest.Name}
	item.ExpiresAt = r.expire(a, func(x *change) { x.resolveApproval(a, "timedOut", nil) })
	a.it = &openItem{r: r, item: item}
	a.params = func() any { return approvalParams(t.id, a.it.item) }
	a.take = func(p Peer, raw json.RawMessage, err error) { t.approvalAnswered(a, p, raw, err) }
	r.items = append(r.items, a.it)
	emit(x, protocol.EventApprovalRequested, protocol.AskEvent{Header: x.next(r.turn.ID, item.ID, r.turn.TraceID), Item: item})
	x.openAsk(r, a)
	if decision := r.decided(ap.ScopeKey); decision != "" {
		x.resolveApproval(a, decision, nil)
		if decision == string(protocol.DecisionCancel) {
			x.then = func() { t.interruptRun(protocol.CancelUser, nil, "") }
		}
	}
	x.commit(nil)
	return a
}

func approvalKind(kind string) string {
	if slices.Contains([]string{"command", "file", "tool", "network"}, kind) {
		return kind
	}
	return "other"
}

// decided is what a policy of the thread, or a decision that was to last, says of an
// approval: "" for nothing. No lost connection and no default is among them.
func (r *run) decided(scopeKey string) string {
	t := r.t
	switch {
	case r.conf.Approvals == protocol.ApprovalsAuto:
		return string(protocol.DecisionAccept)
	case r.conf.Approvals == protocol.ApprovalsNever:
		return string(protocol.DecisionDecline)
	case slices.Contains(t.st.Allowed, scopeKey), t.m.rules.allow(t.st.Thread.Owner, t.st.Thread.Agent, scopeKey):
		return string(protocol.DecisionAccept)
	case t.capable(protocol.MethodApprovalRequest.Name):
		return ""
	case r.conf.NoApprover == protocol.NoApproverDecline:
		return string(protocol.DecisionDecline)
	case r.conf.NoApprover == protocol.NoApproverCancel:
		return string(protocol.DecisionCancel)
	default:
		return ""
	}
}

func approvalParams(thread string, it protocol.Item) protocol.ApprovalRequestParams {
	return protocol.ApprovalRequestParams{
		AskContext: protocol.AskContext{ThreadID: thread, TurnID: it.TurnID, ItemID: it.ID}, ApprovalID: it.ApprovalID,
		Kind: it.Kind, Operation: it.Operation, Target: it.Target, ScopeKey: it.ScopeKey, Reason: it.Reason,
		Decisions: it.Decisions, ExpiresAt: it.ExpiresAt,
	}
}

// approvalAnswered takes a client's response to the request. One that is an error or does
// not fit answers nothing: the approval stays open.
func (t *Thread) approvalAnswered(a *ask, p Peer, raw json.RawMessage, err error) {
	var res protocol.ApprovalRequestResult
	if err == nil {
		err = protocol.Decode(raw, &res)
	}
	if err == nil {
		err = checkNote(res.Note)
	}
	if err != nil || !p.Caller().Approve || t.m.cannotKeep() != nil {
		t.m.count("answers.invalid")
		return
	}
	t.approve(a, res.Decision, res.Note, p.Caller().By(), nil, nil)
}

// maxNote bounds what is said with a decision, in bytes.
const maxNote = 16 << 10

func checkNote(note string) error {
	if len(note) > maxNote {
		return protocol.InvalidParams("note", "must not be longer than 16 KiB")
	}
	return nil
}

// approve resolves an approval by somebody's decision. What shall hold in other threads too
// only their owner says: anybody else's acceptAlways is acceptForThread. t.mu is held.
func (t *Thread) approve(a *ask, d protocol.Decision, note string, by *protocol.By, prepare func(*change), done func(error)) {
	x := t.begin()
	if note != "" {
		text, _ := protocol.Marshal(note)
		a.it.item.Metadata = protocol.Object{"note": text}
	}
	key := a.it.item.ScopeKey
	if d == protocol.DecisionAcceptAlways && by.User != t.st.Thread.Owner {
		d = protocol.DecisionAcceptForThread
	}
	switch d {
	case protocol.DecisionAcceptForThread:
		if !slices.Contains(t.st.Allowed, key) {
			t.st.Allowed = append(t.st.Allowed, key)
		}
		x.row = true
	case protocol.DecisionAcceptAlways:
		t.m.rules.add(x, t.st.Thread.Owner, t.st.Thread.Agent, key)
	case protocol.DecisionCancel:
		x.then = func() { t.interruptRun(protocol.CancelUser, by, "") }
	default: // it decides this one only
	}
	x.touchActive()
	x.resolveApproval(a, string(d), by)
	if prepare != nil {
		prepare(x)
	}
	x.commit(done)
}

// resolveApproval adds the one resolution of an approval.
func (x *change) resolveApproval(a *ask, decision string, by *protocol.By) {
	it := a.it
	a.decision = decision
	it.closed = true
	it.item.CompletedAt, it.item.Decision, it.item.By = x.at, decision, by
	it.item.Status = approvalStatus(decision)
	x.settle(a, func() {
		emit(x, protocol.EventApprovalResolved, protocol.AskEvent{
			Header: x.next(it.item.TurnID, it.item.ID, it.r.turn.TraceID), Item: it.item, Decision: decision, By: by,
		})
	})
}

func approvalStatus(decision string) protocol.ItemStatus {
	switch {
	case accepted(decision):
		return protocol.ItemCompleted
	case decision == "cancelled":
		return protocol.ItemCancelled
	case decision == "abandoned":
		return protocol.ItemInterrupted
	default:
		return protocol.ItemDeclined
	}
}

// ApprovalRespond answers an approval, from any client that may.
func (m *Manager) ApprovalRespond(c Call, p protocol.ApprovalRespondParams, r Reply[protocol.ItemResult]) {
	if err := checkNote(p.Note); err != nil {
		r(protocol.ItemResult{}, err)
		return
	}
	m.respond(c, p.ApprovalID, p.IdempotencyKey, askApproval, r, func(t *Thread, a *ask, prepare func(*change, protocol.ItemResult), r Reply[protocol.ItemResult]) {
		var res protocol.ItemResult
		t.approve(a, p.Decision, p.Note, c.Caller.By(), func(x *change) {
			res.Item = a.it.item
			prepare(x, res)
		}, func(err error) { r(res, err) })
	})
}
