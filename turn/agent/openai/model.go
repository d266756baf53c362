package openai

import (
	"context"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// openAIModel is asked where nothing chooses a model and the endpoint is OpenAI's own,
// whose list of models begins with any.
const openAIModel = "gpt-5-mini"

// openAIHost is the host of OpenAI's own endpoint.
const openAIHost = "api.openai.com"

// anyModel returns a model for a turn that nothing chooses one for: the first that the
// endpoint lists, which for a server of one's own is mostly the only one.
func (a *agent) anyModel(ctx context.Context) (string, error) {
	if a.host == openAIHost {
		return openAIModel, nil
	}
	list, err := a.client.Models.List(ctx)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil || len(list.Data) == 0 {
		return "", &turn.Error{
			Code:    protocol.TurnErrUnavailable,
			Message: "no model is chosen, and the endpoint lists none; set model for the agent or in the thread's config",
		}
	}
	return list.Data[0].ID, nil
}
