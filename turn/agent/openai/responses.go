package openai

import (
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
	"github.com/tidwall/gjson"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// respond makes one call of the Responses API and returns the text of the answer.
func (a *agent) respond(w *watchdog, req request, talk []protocol.Message, out turn.Emitter) (string, error) {
	answer, err := a.open(w, "responses", responseParams(req, talk))
	if err != nil {
		return "", err
	}
	defer answer.close()
	r := responder{speech: speech{out: out}}
	for !r.over && answer.next() {
		r.event(answer.event)
	}
	if !r.over {
		return "", r.broken(w, answer.err)
	}
	return r.result, r.err
}

func responseParams(req request, talk []protocol.Message) responses.ResponseNewParams {
	p := responses.ResponseNewParams{Model: req.model, Store: param.NewOpt(false)}
	if req.instructions != "" {
		p.Instructions = param.NewOpt(req.instructions)
	}
	if t := req.config.Temperature; t != nil {
		p.Temperature = param.NewOpt(*t)
	}
	if schema, strict := outputSchema(req.config); schema != nil {
		p.Text.Format.OfJSONSchema = &responses.ResponseFormatTextJSONSchemaConfigParam{
			Name: schemaName, Schema: schema, Strict: param.NewOpt(strict),
		}
	}
	for _, m := range talk {
		p.Input.OfInputItemList = append(p.Input.OfInputItemList, responseMessage(m))
	}
	if extra := extraFields(req.config); extra != nil {
		p.SetExtraFields(extra)
	}
	return p
}

func responseMessage(m protocol.Message) responses.ResponseInputItemUnionParam {
	role := responses.EasyInputMessageRole(m.Role)
	if m.Role != protocol.RoleUser || !hasImage(m.Parts) {
		return responses.ResponseInputItemParamOfMessage(partsText(m.Parts), role)
	}
	var content responses.ResponseInputMessageContentListParam
	for _, p := range m.Parts {
		if u := imageURL(p); u != "" {
			image := responses.ResponseInputContentParamOfInputImage(responses.ResponseInputImageDetailAuto)
			image.OfInputImage.ImageURL = param.NewOpt(u)
			content = append(content, image)
		} else if text := partText(p); text != "" {
			content = append(content, responses.ResponseInputContentParamOfInputText(text))
		}
	}
	return responses.ResponseInputItemParamOfMessage(content, role)
}

// responder follows the events of one response.
type responder struct {
	speech
	over   bool // the last event came
	result string
	err    error
}

func (r *responder) event(e gjson.Result) {
	switch field(e, "type") {
	case "response.output_text.delta":
		r.say(protocol.ItemAgentMessage, field(e, "item_id"), field(e, "delta"))
	case "response.refusal.delta":
		r.refused = true
		r.say(protocol.ItemAgentMessage, field(e, "item_id"), field(e, "delta"))
	case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
		r.say(protocol.ItemReasoning, field(e, "item_id"), field(e, "delta"))
	case "response.reasoning_summary_part.added":
		r.paragraph(field(e, "item_id"))
	case "response.output_text.annotation.added":
		r.cite(e.Get("annotation"))
	case "response.output_item.done":
		r.outputItem(e.Get("item"))
	case "response.completed", "response.incomplete", "response.failed":
		r.end(e.Get("response"))
	case "error":
		r.fail(streamFailure(field(e, "code"), field(e, "message")))
	}
}

// outputItem completes an item with what the endpoint says it is.
func (r *responder) outputItem(it gjson.Result) {
	var texts string
	for _, c := range list(it, "content") {
		refusal := field(c, "refusal")
		texts += field(c, "text") + refusal
		r.refused = r.refused || refusal != ""
	}
	switch field(it, "type") {
	case "message":
		r.final(protocol.ItemAgentMessage, field(it, "id"), texts)
	case "reasoning":
		var summary []string
		for _, s := range list(it, "summary") {
			summary = append(summary, field(s, "text"))
		}
		if texts == "" {
			texts = joinTexts(summary)
		}
		r.final(protocol.ItemReasoning, field(it, "id"), texts)
	}
}

// end takes the last event.
func (r *responder) end(res gjson.Result) {
	if len(r.said) == 0 { // an endpoint that sent no pieces
		for _, it := range list(res, "output") {
			r.outputItem(it)
		}
	}
	used := protocol.Usage{
		InputTokens: res.Get("usage.input_tokens").Int(), OutputTokens: res.Get("usage.output_tokens").Int(),
		CachedTokens:    res.Get("usage.input_tokens_details.cached_tokens").Int(),
		ReasoningTokens: res.Get("usage.output_tokens_details.reasoning_tokens").Int(),
	}
	if used.InputTokens != 0 || used.OutputTokens != 0 {
		r.out.Usage(used)
	}
	r.over = true
	status := field(res, "status")
	switch {
	case status == "failed":
		r.fail(streamFailure(field(res, "error.code"), field(res, "error.message")))
	case field(res, "incomplete_details.reason") == "content_filter":
		r.fail(errFiltered)
	case status == "incomplete":
		r.result = r.truncated()
	default:
		r.result = r.finish()
	}
}

func (r *responder) fail(err error) {
	r.cut()
	r.over, r.err = true, err
}
