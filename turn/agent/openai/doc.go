// Package openai is the agent that answers with a model, through any endpoint that speaks
// OpenAI's HTTP API: OpenAI itself, and the many servers and gateways that copy it.
//
// It knows two forms of that API. The Responses API is tried first; where an endpoint does
// not have it, the agent goes over to chat completions and stays there. Options.API fixes
// the choice.
//
// A turn sends the thread's user, developer and assistant messages and streams what comes
// back: text as agentMessage items, reasoning (where the endpoint shows it) as reasoning
// items. A message that is steered into the turn is sent after the answer under way, in
// the same turn. The conversation lives in the thread only: the endpoint is asked not to
// keep it.
//
// The key is sent in a header to the configured endpoint and appears nowhere else: not in
// errors, logs or items. What an endpoint says in its errors is passed on in one short line.
package openai
