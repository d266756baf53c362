package openai

import (
	"cmp"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/shared"
	"github.com/tidwall/gjson"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// chat makes one call of the chat completions API and returns the text of the answer.
func (a *agent) chat(w *watchdog, req request, talk []protocol.Message, out turn.Emitter) (string, error) {
	answer, err := a.open(w, "chat/completions", chatParams(req, talk))
	if err != nil {
		return "", err
	}
	defer answer.close()
	c := chatter{speech: speech{out: out}}
	for answer.next() {
		c.chunk(answer.event)
	}
	if c.usage != (protocol.Usage{}) {
		out.Usage(c.usage)
	}
	switch {
	case c.reason == "":
		return "", c.broken(w, answer.err)
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

func (c *chatter) chunk(e gjson.Result) {
	used := e.Get("usage")
	if in, out := used.Get("prompt_tokens").Int(), used.Get("completion_tokens").Int(); in != 0 || out != 0 {
		c.usage = protocol.Usage{
			InputTokens: in, OutputTokens: out,
			CachedTokens:    used.Get("prompt_tokens_details.cached_tokens").Int(),
			ReasoningTokens: used.Get("completion_tokens_details.reasoning_tokens").Int(),
		}
	}
	for _, choice := range list(e, "choices") {
		if choice.Get("index").Int() != 0 {
			continue
		}
		d := choice.Get("delta")
		c.say(protocol.ItemReasoning, "", reasoning(d))
		c.say(protocol.ItemAgentMessage, "", field(d, "content"))
		if refusal := field(d, "refusal"); refusal != "" {
			c.refused = true
			c.say(protocol.ItemAgentMessage, "", refusal)
		}
		c.reason = cmp.Or(field(choice, "finish_reason"), c.reason)
	}
}

// reasoning returns the reasoning in a delta, which is no part of the API but of several
// servers that speak it, under either of two names.
func reasoning(delta gjson.Result) string {
	for _, name := range []string{"reasoning_content", "reasoning"} {
		if said := delta.Get(name); said.Type == gjson.String && said.Str != "" {
			return said.Str
		}
	}
	return ""
}
