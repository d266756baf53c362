package openai

import (
	"net/http"

	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// respond makes one call of the Responses API and returns the text of the answer.
func (a *agent) respond(w *watchdog, req request, talk []protocol.Message, out turn.Emitter) (string, error) {
	var response *http.Response
	stream := a.responses.NewStreaming(w.ctx, responseParams(req, talk), option.WithResponseInto(&response))
	defer stream.Close() //nolint:errcheck // what was read is all that counts
	if err := refused(w, stream.Err(), response); err != nil {
		return "", err
	}
	r := responder{speech: speech{out: out}}
	for !r.over && stream.Next() {
		w.heard()
		r.event(stream.Current())
	}
	if !r.over {
		return "", r.broken(w, stream.Err())
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

func (r *responder) event(e responses.ResponseStreamEventUnion) {
	switch e.Type {
	case "response.output_text.delta":
		r.say(protocol.ItemAgentMessage, e.ItemID, e.Delta)
	case "response.refusal.delta":
		r.refused = true
		r.say(protocol.ItemAgentMessage, e.ItemID, e.Delta)
	case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
		r.say(protocol.ItemReasoning, e.ItemID, e.Delta)
	case "response.reasoning_summary_part.added":
		r.paragraph(e.ItemID)
	case "response.output_text.annotation.added":
		r.cite(e.Annotation.RawJSON())
	case "response.output_item.done":
		r.outputItem(e.Item)
	case "response.completed", "response.incomplete", "response.failed":
		r.end(e.Response)
	case "error":
		r.fail(streamFailure(e.Code, e.Message))
	}
}

// outputItem completes an item with what the endpoint says it is.
func (r *responder) outputItem(it responses.ResponseOutputItemUnion) {
	var texts string
	for _, c := range it.Content {
		texts += c.Text + c.Refusal
		r.refused = r.refused || c.Refusal != ""
	}
	switch it.Type {
	case "message":
		r.final(protocol.ItemAgentMessage, it.ID, texts)
	case "reasoning":
		var summary []string
		for _, s := range it.Summary {
			summary = append(summary, s.Text)
		}
		if texts == "" {
			texts = joinTexts(summary)
		}
		r.final(protocol.ItemReasoning, it.ID, texts)
	}
}

// end takes the last event.
func (r *responder) end(res responses.Response) {
	if len(r.said) == 0 { // an endpoint that sent no pieces
		for _, it := range res.Output {
			r.outputItem(it)
		}
	}
	if u := res.Usage; u.InputTokens != 0 || u.OutputTokens != 0 {
		r.out.Usage(protocol.Usage{
			InputTokens: u.InputTokens, OutputTokens: u.OutputTokens,
			CachedTokens: u.InputTokensDetails.CachedTokens, ReasoningTokens: u.OutputTokensDetails.ReasoningTokens,
		})
	}
	r.over = true
	switch {
	case res.Status == "failed":
		r.fail(streamFailure(string(res.Error.Code), res.Error.Message))
	case res.IncompleteDetails.Reason == "content_filter":
		r.fail(errFiltered)
	case res.Status == "incomplete":
		r.result = r.truncated()
	default:
		r.result = r.finish()
	}
}

func (r *responder) fail(err error) {
	r.cut()
	r.over, r.err = true, err
}
