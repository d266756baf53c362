package agenttest_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
	"github.com/spoolhq/spool/turn/agenttest"
)

// Echo says each message back, word by word, and all that is steered in after it.
type Echo struct{}

// Run implements turn.Agent.
func (Echo) Run(ctx context.Context, in turn.Input, out turn.Emitter) error {
	text := in.Turn.Input.Text()
	for {
		message := out.Begin(protocol.Item{Type: protocol.ItemAgentMessage})
		for word := range strings.SplitAfterSeq(text, " ") {
			if err := ctx.Err(); err != nil {
				return err // what was said is kept
			}
			message.Append(word)
		}
		message.Complete(nil)
		steered, ok := out.Steered()
		if !ok {
			return nil
		}
		var next protocol.Input
		if err := json.Unmarshal(steered.Content, &next); err != nil {
			return err
		}
		text = next.Text()
	}
}

func TestEcho(t *testing.T) {
	hello := turn.Input{Turn: protocol.Turn{ID: "trn_1", Input: protocol.TextInput("Hello to you")}}
	agenttest.Run(t, func(testing.TB) turn.Agent { return Echo{} }, agenttest.Cases{
		Says: hello, Text: "Hello to you", Steers: hello,
	})
}
