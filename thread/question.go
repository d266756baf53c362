package thread

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/spoolhq/spool/protocol"
)

// Ask asks the user; see turn.Emitter.
func (r *run) Ask(ctx context.Context, questions []protocol.Question) (map[string]protocol.Answer, error) {
	t := r.t
	t.mu.Lock()
	if err := r.mayAsk(written(questions, len(questions))); err != nil {
		t.mu.Unlock()
		return nil, err
	}
	a := r.askQuestions(questions)
	t.mu.Unlock()
	if err := r.await(ctx, a, func(x *change) { x.resolveQuestion(a, "cancelled", nil, r.by) }); err != nil {
		return nil, err
	}
	return a.answers, nil
}

// askQuestions begins a question. t.mu is held.
func (r *run) askQuestions(questions []protocol.Question) *ask {
	t := r.t
	x := t.begin()
	questions = slices.Clone(questions)
	for i := range questions {
		if questions[i].ID == "" {
			questions[i].ID = "q" + itoa(i+1)
		}
	}
	item := r.prepare(protocol.Item{
		Type: protocol.ItemQuestion, RequestID: protocol.NewID(protocol.PrefixQuestion), Questions: questions,
	}, x.at)
	item.Status = protocol.ItemInProgress
	a := &ask{id: item.RequestID, kind: askQuestion, method: protocol.MethodQuestionRequest.Name}
	item.ExpiresAt = r.expire(a, func(x *change) { x.resolveQuestion(a, "timedOut", nil, nil) })
	a.it = &openItem{r: r, item: item}
	a.params = func() any {
		it := a.it.item
		return protocol.QuestionRequestParams{
			AskContext: protocol.AskContext{ThreadID: t.id, TurnID: it.TurnID, ItemID: it.ID},
			RequestID:  it.RequestID, Questions: it.Questions, ExpiresAt: it.ExpiresAt,
		}
	}
	a.take = func(p Peer, raw json.RawMessage, err error) { t.questionAnswered(a, p, raw, err) }
	r.items = append(r.items, a.it)
	emit(x, protocol.EventQuestionRequested, protocol.AskEvent{Header: x.next(r.turn.ID, item.ID, r.turn.TraceID), Item: item})
	x.openAsk(r, a)
	if !t.capable(a.method) {
		switch r.conf.NoApprover {
		case protocol.NoApproverDecline:
			x.resolveQuestion(a, "cancelled", nil, nil)
		case protocol.NoApproverCancel:
			x.resolveQuestion(a, "cancelled", nil, nil)
			x.then = func() { t.interruptRun(protocol.CancelUser, nil, "") }
		default: // it waits
		}
	}
	x.commit(nil)
	return a
}

// questionAnswered takes a client's response to the request. One that is an error or does
// not fit answers nothing: the question stays open.
func (t *Thread) questionAnswered(a *ask, p Peer, raw json.RawMessage, err error) {
	var res protocol.QuestionRequestResult
	if err == nil {
		err = protocol.Decode(raw, &res)
	}
	if err == nil {
		err = t.checkAnswers(a, res.Answers)
	}
	if err != nil || !p.Caller().Approve || t.m.cannotKeep() != nil {
		t.m.count("answers.invalid")
		return
	}
	x := t.begin()
	x.touchActive()
	x.resolveQuestion(a, "answered", res.Answers, p.Caller().By())
	x.commit(nil)
}

// checkAnswers refuses answers that do not fit an ask, or are larger than an item may be.
func (t *Thread) checkAnswers(a *ask, answers map[string]protocol.Answer) error {
	if int64(written(answers, len(answers))) > t.m.limits.MaxItemBytes {
		return protocol.InvalidParams("answers", "are larger than limits.maxItemBytes")
	}
	return checkAnswers(a.it.item.Questions, answers)
}

// checkAnswers refuses answers that do not fit the questions.
func checkAnswers(questions []protocol.Question, answers map[string]protocol.Answer) error {
	for id := range answers {
		if !slices.ContainsFunc(questions, func(q protocol.Question) bool { return q.ID == id }) {
			return protocol.InvalidParams("answers."+id, "answers no question that was asked")
		}
	}
	for _, q := range questions {
		given, ok := answers[q.ID]
		field := "answers." + q.ID
		if !ok || len(given.Answers) == 0 {
			return protocol.InvalidParams(field, "is required: each question needs an answer")
		}
		for i, text := range given.Answers {
			known := slices.ContainsFunc(q.Options, func(o protocol.Option) bool { return o.Label == text })
			if !known && len(q.Options) > 0 && !q.AllowOther {
				return protocol.InvalidParams(field+".answers["+itoa(i)+"]", "is not one of the options")
			}
		}
	}
	return nil
}

// hidden stands in the journal for the answer to a secret question.
const hidden = "(secret)"

// public returns the answers as they may be kept and told: without those to secret
// questions.
func public(questions []protocol.Question, answers map[string]protocol.Answer) map[string]protocol.Answer {
	if answers == nil {
		return nil
	}
	out := map[string]protocol.Answer{}
	for _, q := range questions {
		a, ok := answers[q.ID]
		if ok && q.Secret {
			a = protocol.Answer{Answers: []string{hidden}}
		}
		if ok {
			out[q.ID] = a
		}
	}
	return out
}

// resolveQuestion adds the one resolution of a question. The agent gets the answers as they
// were given.
func (x *change) resolveQuestion(a *ask, outcome string, answers map[string]protocol.Answer, by *protocol.By) {
	it := a.it
	a.decision, a.answers = outcome, answers
	it.closed = true
	it.item.CompletedAt, it.item.Outcome, it.item.By = x.at, outcome, by
	it.item.Answers = public(it.item.Questions, answers)
	it.item.Status = questionStatus(outcome)
	x.settle(a, func() {
		emit(x, protocol.EventQuestionResolved, protocol.AskEvent{
			Header: x.next(it.item.TurnID, it.item.ID, it.r.turn.TraceID), Item: it.item, By: by,
		})
	})
}

func questionStatus(outcome string) protocol.ItemStatus {
	switch outcome {
	case "answered":
		return protocol.ItemCompleted
	case "timedOut":
		return protocol.ItemDeclined
	case "abandoned":
		return protocol.ItemInterrupted
	default:
		return protocol.ItemCancelled
	}
}

// QuestionRespond answers a question, from any client that may.
func (m *Manager) QuestionRespond(c Call, p protocol.QuestionRespondParams, r Reply[protocol.ItemResult]) {
	m.respond(c, p.RequestID, p.IdempotencyKey, askQuestion, r, func(t *Thread, a *ask, prepare func(*change, protocol.ItemResult), r Reply[protocol.ItemResult]) {
		if err := t.checkAnswers(a, p.Answers); err != nil {
			r(protocol.ItemResult{}, err)
			return
		}
		x := t.begin()
		x.touchActive()
		x.resolveQuestion(a, "answered", p.Answers, c.Caller.By())
		res := protocol.ItemResult{Item: a.it.item}
		prepare(x, res)
		x.commit(func(err error) { r(res, err) })
	})
}
