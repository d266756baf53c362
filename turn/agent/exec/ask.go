package exec

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// maxOpen is how many asks of a program may be open. With so many its output is not read
// until one is answered.
const maxOpen = 64

// ask begins something that the program waits for. wait returns the line that answers it;
// its error ends the turn.
func (s *session) ask(id string, wait func(ctx context.Context) (any, error)) error {
	if !s.enter(id) {
		return failure("the program asked twice with the id %q before it was answered", s.agent.clean(clip(id)))
	}
	select {
	case s.slots <- struct{}{}:
	case <-s.p.exited: // with nobody to answer to
		return nil
	case <-s.ctx.Done():
		return nil
	}
	s.wg.Go(func() {
		defer func() { <-s.slots }()
		answer, err := wait(s.ctx)
		if err != nil {
			s.stop(err)
			return
		}
		s.leave(id)
		select {
		case s.answers <- answer:
		case <-s.fed:
		}
	})
	return nil
}

// enter notes that an id is in use, false if it is already.
func (s *session) enter(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[id] {
		return false
	}
	s.open[id] = true
	return true
}

func (s *session) leave(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, id)
}

func (l *approveLine) do(s *session) error {
	s.end()
	a := turn.Approval{Kind: l.Kind, Operation: l.Operation, Target: l.Target, ScopeKey: l.ScopeKey, Reason: l.Reason}
	return s.ask(l.ID, func(ctx context.Context) (any, error) {
		ok, err := s.out.Approve(ctx, a)
		return approvalLine{Type: "approval", ID: l.ID, Accepted: ok}, err
	})
}

func (l *askLine) do(s *session) error {
	s.end()
	questions := make([]protocol.Question, len(l.Questions))
	for i, q := range l.Questions {
		questions[i] = protocol.Question{
			ID: cmp.Or(q.ID, fmt.Sprintf("q%d", i+1)), Header: cmp.Or(q.Header, q.Question), Question: q.Question,
			Options: q.Options, AllowOther: len(q.Options) == 0, Secret: q.Secret,
		}
		if q.AllowOther != nil {
			questions[i].AllowOther = *q.AllowOther
		}
	}
	return s.ask(l.ID, func(ctx context.Context) (any, error) {
		answers, err := s.out.Ask(ctx, questions)
		return answersLine{Type: "answers", ID: l.ID, Answers: answers}, err
	})
}

func (l *callLine) do(s *session) error {
	s.end()
	c := turn.ToolCall{Tool: l.Tool, Namespace: l.Namespace, Arguments: l.Arguments}
	if len(c.Arguments) == 0 {
		c.Arguments = []byte("{}")
	}
	return s.ask(l.ID, func(ctx context.Context) (any, error) {
		res, err := s.out.Call(ctx, c)
		return resultLine{Type: "result", ID: l.ID, ToolCallResult: res}, err
	})
}

func (l *steerLine) do(s *session) error {
	return s.ask(l.ID, func(ctx context.Context) (any, error) {
		if l.Wait != nil && !*l.Wait {
			it, ok := s.out.Steered()
			return steered(l.ID, it, ok), nil
		}
		it, err := s.out.Steer(ctx)
		return steered(l.ID, it, true), err
	})
}

func steered(id string, it protocol.Item, ok bool) steeredLine {
	l := steeredLine{Type: "steer", ID: id}
	if ok {
		text := itemText(it)
		l.Text, l.Item = &text, &it
	}
	return l
}

// itemText returns the text of a message.
func itemText(it protocol.Item) string {
	if it.Type != protocol.ItemUserMessage {
		return it.Text
	}
	var in protocol.Input
	if err := in.UnmarshalJSON(it.Content); err != nil {
		return ""
	}
	return in.Text()
}
