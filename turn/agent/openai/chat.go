package openai

import (
	"cmp"
	"encoding/json"
	"net/http"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/shared"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// chat makes one call of the chat completions API and returns the text of the answer.
func (a *agent) chat(w *watchdog, req request, talk []protocol.Message, out turn.Emitter) (string, error) {
	var response *http.Response
	stream := a.completions.NewStreaming(w.ctx, chatParams(req, talk), option.WithResponseInto(&response))
	defer stream.Close() //nolint:errcheck // what was read is all that counts
	if err := refused(w, stream.Err(), response); err != nil {
		return "", err
	}
	c := chatter{speech: speech{out: out}}
	for stream.Next() {
		w.heard()
		c.chunk(stream.Current())
	}
	if c.usage != (protocol.Usage{}) {
		out.Usage(c.usage)
	}
	switch {
	case c.reason == "":
		return "", c.broken(w, stream.Err())
	case c.reason == "content_filter":
		c.cut()
		return "", errFiltered
	case c.reason == "length":
		return c.truncated(), nil
	default:
		return c.finish(), nil
	}
}

func chatParams(req request, talk []protocol.Message) sdk.ChatCompletionNewParams {
	p := sdk.ChatCompletionNewParams{Model: req.model}
	p.StreamOptions.IncludeUsage = param.NewOpt(true)
	if t := req.config.Temperature; t != nil {
		p.Temperature = param.NewOpt(*t)
	}
	if schema, strict := outputSchema(req.config); schema != nil {
		p.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{
			JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{
				Name: schemaName, Schema: schema, Strict: param.NewOpt(strict),
			},
		}
	}
	if req.instructions != "" {
		p.Messages = append(p.Messages, sdk.SystemMessage(req.instructions))
	}
	for _, m := range talk {
		p.Messages = append(p.Messages, chatMessage(m))
	}
	if extra := extraFields(req.config); extra != nil {
		p.SetExtraFields(extra)
	}
	return p
}

// chatMessage says developer messages as the system: every endpoint knows that role, few
// know the other.
func chatMessage(m protocol.Message) sdk.ChatCompletionMessageParamUnion {
	switch {
	case m.Role == protocol.RoleDeveloper:
		return sdk.SystemMessage(partsText(m.Parts))
	case m.Role == protocol.RoleAssistant:
		return sdk.AssistantMessage(partsText(m.Parts))
	case !hasImage(m.Parts):
		return sdk.UserMessage(partsText(m.Parts))
	}
	var content []sdk.ChatCompletionContentPartUnionParam
	for _, p := range m.Parts {
		if u := imageURL(p); u != "" {
			content = append(content, sdk.ImageContentPart(sdk.ChatCompletionContentPartImageImageURLParam{URL: u}))
		} else if text := partText(p); text != "" {
			content = append(content, sdk.TextContentPart(text))
		}
	}
	return sdk.UserMessage(content)
}

// chatter follows the chunks of one completion.
type chatter struct {
	speech
	reason string // why the model stopped; empty as long as it did not
	usage  protocol.Usage
}

func (c *chatter) chunk(chunk sdk.ChatCompletionChunk) {
	if u := chunk.Usage; u.PromptTokens != 0 || u.CompletionTokens != 0 {
		c.usage = protocol.Usage{
			InputTokens: u.PromptTokens, OutputTokens: u.CompletionTokens,
			CachedTokens:    u.PromptTokensDetails.CachedTokens,
			ReasoningTokens: u.CompletionTokensDetails.ReasoningTokens,
		}
	}
	for _, choice := range chunk.Choices {
		if choice.Index != 0 {
			continue
		}
		d := choice.Delta
		c.say(protocol.ItemReasoning, "", reasoning(d))
		c.say(protocol.ItemAgentMessage, "", d.Content)
		if d.Refusal != "" {
			c.refused = true
			c.say(protocol.ItemAgentMessage, "", d.Refusal)
		}
		c.reason = cmp.Or(choice.FinishReason, c.reason)
	}
}

// reasoning returns the reasoning in a delta, which is no part of the API but of several
// servers that speak it, under either of two names.
func reasoning(d sdk.ChatCompletionChunkChoiceDelta) string {
	for _, name := range []string{"reasoning_content", "reasoning"} {
		var text string
		if f, ok := d.JSON.ExtraFields[name]; ok && json.Unmarshal([]byte(f.Raw()), &text) == nil && text != "" {
			return text
		}
	}
	return ""
}
