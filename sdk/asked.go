package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/spoolhq/spool/protocol"
)

// asked is a request of the daemon on one of its connections.
type asked struct {
	link *link
	id   protocol.RawID
}

// person is an approval or a question that a handler of Options works on.
type person struct {
	asked
	cancel context.CancelCauseFunc
}

// Why the context of a handler ended.
var (
	errWithdrawn = errors.New("the daemon does not want the answer any more")
	errLost      = errors.New("the connection was lost")
)

// receiveRequest takes a request of the daemon. What no handler was set for is refused, as
// the client declared no capability for it.
func (c *Client) receiveRequest(l *link, e protocol.Envelope) {
	a := asked{l, protocol.RawID(e.ID)}
	var err error
	switch {
	case e.Method == protocol.MethodApprovalRequest.Name && c.opts.OnApproval != nil:
		err = askPerson(c, a, e, c.approve)
	case e.Method == protocol.MethodQuestionRequest.Name && c.opts.OnQuestion != nil:
		err = askPerson(c, a, e, c.answerQuestions)
	case e.Method == protocol.MethodToolCall.Name && c.opts.OffersTools:
		err = c.receiveCall(a, e)
	default:
		err = protocol.Errorf(protocol.CodeMethodNotFound, "this client does not carry out %s", e.Method)
	}
	if err != nil {
		c.answer(a, nil, err)
	}
}

func (c *Client) approve(ctx context.Context, p protocol.ApprovalRequestParams) (protocol.ApprovalRequestResult, error) {
	r, err := c.opts.OnApproval(ctx, p)
	if err == nil && !slices.Contains(p.Decisions, string(r.Decision)) {
		err = protocol.Errorf(protocol.CodeInternalError, "the handler decided %q, which is none of the decisions", r.Decision)
	}
	return r, err
}

func (c *Client) answerQuestions(ctx context.Context, p protocol.QuestionRequestParams) (protocol.QuestionRequestResult, error) {
	answers, err := c.opts.OnQuestion(ctx, p)
	return protocol.QuestionRequestResult{Answers: answers}, err
}

// askPerson has a handler answer an approval or a question. The error refuses it.
func askPerson[P, R any](c *Client, a asked, e protocol.Envelope, handle func(context.Context, P) (R, error)) error {
	var params P
	if err := json.Unmarshal(e.Params, &params); err != nil {
		return protocol.Errorf(protocol.CodeInvalidParams, "the params of %s make no sense: %v", e.Method, err)
	}
	ctx, cancel := context.WithCancelCause(c.ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &person{asked: a, cancel: cancel}
	accepted := c.work(&c.people, func() {
		result, err := guarded(ctx, c, e.Method, params, handle)
		cancel(nil)
		c.mu.Lock()
		if c.persons[string(a.id)] == p {
			delete(c.persons, string(a.id))
		}
		c.mu.Unlock()
		c.answer(a, result, err)
	})
	if !accepted {
		cancel(nil)
		return tooMuch(e.Method)
	}
	c.persons[string(a.id)] = p
	return nil
}

func tooMuch(method string) error {
	return protocol.Errorf(protocol.CodeServerOverloaded, "%s: the client is busy with too many already", method)
}

// answer answers a request of the daemon, unless its connection is lost. An error answers
// nothing in the daemon's eyes: approvals and questions stay open.
func (c *Client) answer(a asked, result any, err error) {
	var frame []byte
	if err == nil {
		frame, err = protocol.EncodeResult(a.id, result)
	}
	if err != nil {
		frame = protocol.EncodeError(a.id, refusal(err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == a.link {
		c.push(message{frame: frame})
	}
}

// refusal gives the error of a handler its form on the wire.
func refusal(err error) error {
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		return e
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, errWithdrawn) {
		return protocol.Errorf(protocol.CodeRequestCancelled, "the request was withdrawn")
	}
	return protocol.Errorf(protocol.CodeInternalError, "the handler failed: %v", err)
}

// withdrawn ends the context of the handler whose answer is not wanted any more.
func (c *Client) withdrawn(e protocol.Envelope) {
	id := protocol.Member(e.Params, "id")
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.persons[string(id)]; p != nil {
		p.cancel(errWithdrawn)
		return
	}
	for _, r := range c.runs {
		if r.waits(id) {
			r.cancel(errWithdrawn)
		}
	}
}

// leaveHandlers is what the loss of a connection means for handlers: approvals and
// questions are asked again on the next one, tools go on. mu is held.
func (c *Client) leaveHandlers() {
	for id, p := range c.persons {
		p.cancel(errLost)
		delete(c.persons, id)
	}
	for _, r := range c.runs {
		r.open = nil
	}
}
