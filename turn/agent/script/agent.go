package script

import (
	"context"
	"errors"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// Kind is the kind of agents of this package.
const Kind = "script"

// Spec returns the scripted agent under a name. It takes every key of a config, and a
// temperature of at most 1.
func Spec(name string) turn.Spec {
	return turn.Spec{
		Name: name, Kind: Kind,
		Description: "Streams text back word by word and obeys directives such as /sleep; needs no model.",
		Schema:      turn.ConfigSchema(`{"properties":{"temperature":{"maximum":1}}}`),
		Agent:       New(),
	}
}

// New returns the scripted agent. It has no state: one value serves everybody.
func New() turn.Agent { return agent{} }

type agent struct{}

// Run reads the turn's text as a script and carries it out.
func (agent) Run(ctx context.Context, in turn.Input, out turn.Emitter) error {
	text, err := scriptOf(ctx, in)
	if err != nil {
		return err
	}
	steps, err := parse(text)
	if err != nil {
		return err
	}
	r := &run{in: in, out: out}
	for _, s := range steps {
		// An agent that does not listen does not hear of it right before it gets stuck, either.
		if err := ctx.Err(); err != nil && s.name != stuckName {
			return err
		}
		if err := s.do(ctx, r, s.arg); err != nil {
			return s.explain(err)
		}
	}
	r.completeState()
	return ctx.Err()
}

// run is one turn under way.
type run struct {
	in    turn.Input
	out   turn.Emitter
	state turn.Item // the state item; nil before the first /state
}

// scriptOf returns the text of the turn's input, or else that of the messages that were
// pending when it started.
func scriptOf(ctx context.Context, in turn.Input) (string, error) {
	if in.Turn.Input.HasUser() || in.History == nil {
		return in.Turn.Input.Text(), nil
	}
	items, err := in.History(ctx)
	if err != nil {
		return "", err
	}
	var input protocol.Input
	for _, it := range items {
		if it.Type == protocol.ItemUserMessage && it.TurnID == in.Turn.ID {
			input = append(input, protocol.Message{Role: protocol.RoleUser, Parts: partsOf(it)})
		}
	}
	return input.Text(), nil
}

// explain adds to an error about the arguments which directive it is and how it is written.
func (s step) explain(err error) error {
	var bad misuse
	if errors.As(err, &bad) {
		return failure("/%s %s; write %s", s.name, string(bad), s.usage())
	}
	return err
}
