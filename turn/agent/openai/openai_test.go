package openai

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
	"github.com/spoolhq/spool/turn/agenttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testKey = "sk-test-0123456789"

// server is a model endpoint. Each request takes the next of its handlers.
type server struct {
	t        testing.TB
	http     *httptest.Server
	mu       sync.Mutex
	handlers []http.HandlerFunc
	paths    []string
	bodies   []map[string]any
	headers  []http.Header
	always   func(w http.ResponseWriter, r *http.Request, body string) // instead of the handlers
}

func newServer(t testing.TB, handlers ...http.HandlerFunc) *server {
	t.Helper()
	s := &server{t: t, handlers: handlers}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() {
		s.http.Client().CloseIdleConnections()
		s.http.Close()
	})
	return s
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone: a turn may end while it still sends its request
	}
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		s.t.Errorf("body %s: %v", body, err)
	}
	if s.always != nil {
		s.always(w, r, string(body))
		return
	}
	s.mu.Lock()
	s.paths = append(s.paths, r.URL.Path)
	s.bodies = append(s.bodies, fields)
	s.headers = append(s.headers, r.Header)
	if len(s.handlers) == 0 {
		s.mu.Unlock()
		s.t.Errorf("one request too many: %s", r.URL.Path)
		http.Error(w, "too many", http.StatusTeapot)
		return
	}
	h := s.handlers[0]
	s.handlers = s.handlers[1:]
	s.mu.Unlock()
	h(w, r)
}

// agent returns an agent that talks to the server; change may be nil.
func (s *server) agent(change func(*Options)) turn.Agent {
	s.t.Helper()
	o := Options{
		BaseURL: s.http.URL + "/v1", APIKey: testKey, Model: "m1", MaxRetries: -1, HTTPClient: s.http.Client(),
	}
	if change != nil {
		change(&o)
	}
	a, err := New(o)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// sse answers with a stream of events, as they are, and the end of the body.
func sse(events ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		for _, e := range events {
			fmt.Fprint(w, e)
			w.(http.Flusher).Flush()
		}
	}
}

// torn is sse with a connection that breaks in place of the end.
func torn(events ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		sse(events...)(w, r)
		panic(http.ErrAbortHandler)
	}
}

// status answers with an error as the endpoints write it.
func status(code int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

// event is one event of the Responses API.
func event(typ, fields string) string {
	return fmt.Sprintf("event: %s\ndata: {\"type\":%q,\"sequence_number\":1,%s}\n\n", typ, typ, fields)
}

func textDelta(id, text string) string {
	return event("response.output_text.delta", fmt.Sprintf(`"item_id":%q,"output_index":0,"content_index":0,"delta":%q`, id, text))
}

const usageFields = `"usage":{"input_tokens":20,"input_tokens_details":{"cached_tokens":8},"output_tokens":10,"output_tokens_details":{"reasoning_tokens":4},"total_tokens":30}`

func message(id, text string) string {
	return fmt.Sprintf(`{"id":%q,"type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":%q,"annotations":[]}]}`, id, text)
}

func completed(output string) string {
	return event("response.completed", `"response":{"id":"resp_1","object":"response","status":"completed","output":[`+output+`],`+usageFields+`}`)
}

func answer(text string) http.HandlerFunc {
	words := strings.SplitAfter(text, " ")
	events := []string{event("response.created", `"response":{"id":"resp_1","status":"in_progress","output":[]}`)}
	for _, w := range words {
		events = append(events, textDelta("msg_1", w))
	}
	done := event("response.output_item.done", `"output_index":0,"item":`+message("msg_1", text))
	return sse(append(events, done, completed(message("msg_1", text)))...)
}

// chunk is one event of chat completions.
func chunk(delta, finish string) string {
	if finish != "null" {
		finish = fmt.Sprintf("%q", finish)
	}
	return fmt.Sprintf("data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m1\",\"choices\":[{\"index\":0,\"delta\":%s,\"finish_reason\":%s}],\"usage\":null}\n\n", delta, finish)
}

const (
	chatUsage = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m1\",\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":10,\"total_tokens\":30,\"prompt_tokens_details\":{\"cached_tokens\":8},\"completion_tokens_details\":{\"reasoning_tokens\":4}}}\n\n"
	chatDone  = "data: [DONE]\n\n"
)

func chatAnswer(text string) http.HandlerFunc {
	events := []string{chunk(`{"role":"assistant","content":"","refusal":null}`, "null")}
	for _, w := range strings.SplitAfter(text, " ") {
		events = append(events, chunk(fmt.Sprintf(`{"content":%q}`, w), "null"))
	}
	return sse(append(events, chunk(`{}`, "stop"), chatUsage, chatDone)...)
}

func useChat(o *Options) { o.API = APIChat }

func ask(text string) turn.Input {
	return turn.Input{Turn: protocol.Turn{ID: "trn_1", Input: protocol.TextInput(text)}}
}

func configured(t testing.TB, in turn.Input, config string) turn.Input {
	t.Helper()
	var o protocol.Object
	if err := json.Unmarshal([]byte(config), &o); err != nil {
		t.Fatal(err)
	}
	c, err := protocol.ParseConfig(o)
	if err != nil {
		t.Fatal(err)
	}
	in.Config = c
	return in
}

func run(t testing.TB, a turn.Agent, in turn.Input) (turn.Outcome, *agenttest.Recorder) {
	t.Helper()
	var r agenttest.Recorder
	o := r.Run(t.Context(), a, in)
	return o, &r
}

func mustComplete(t testing.TB, a turn.Agent, in turn.Input) *agenttest.Recorder {
	t.Helper()
	o, r := run(t, a, in)
	if o.Status != protocol.TurnCompleted {
		t.Fatalf("outcome %s %+v %s", o.Status, o.Error, o.Stack)
	}
	return r
}

func diff(t testing.TB, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

var wantUsage = protocol.Usage{InputTokens: 20, OutputTokens: 10, CachedTokens: 8, ReasoningTokens: 4}

func TestAnswer(t *testing.T) {
	want := []string{
		"begin agentMessage", `delta agentMessage "Good "`, `delta agentMessage "day."`, "complete agentMessage completed", "usage 20 10",
	}
	t.Run("responses", func(t *testing.T) {
		s := newServer(t, answer("Good day."))
		r := mustComplete(t, s.agent(nil), ask("Hello"))
		diff(t, want, r.Log())
		diff(t, wantUsage, r.Total())
		diff(t, []string{"/v1/responses"}, s.paths)
		diff(t, map[string]any{
			"model": "m1", "store": false, "stream": true, "input": []any{map[string]any{"role": "user", "content": "Hello"}},
		}, s.bodies[0])
		if got := s.headers[0].Get("Authorization"); got != "Bearer "+testKey {
			t.Errorf("Authorization %q", got)
		}
	})
	t.Run("chat", func(t *testing.T) {
		s := newServer(t, chatAnswer("Good day."))
		r := mustComplete(t, s.agent(useChat), ask("Hello"))
		want := append(want[:3:3], "usage 20 10", "complete agentMessage completed")
		diff(t, want, r.Log())
		diff(t, wantUsage, r.Total())
		diff(t, []string{"/v1/chat/completions"}, s.paths)
		diff(t, map[string]any{
			"model": "m1", "stream": true, "stream_options": map[string]any{"include_usage": true},
			"messages": []any{map[string]any{"role": "user", "content": "Hello"}},
		}, s.bodies[0])
	})
}

func TestReasoning(t *testing.T) {
	want := []protocol.Item{
		{Type: protocol.ItemReasoning, Status: protocol.ItemCompleted, Text: "First.\n\nThen."},
		{Type: protocol.ItemAgentMessage, Status: protocol.ItemCompleted, Text: "42"},
	}
	check := func(t *testing.T, r *agenttest.Recorder) {
		t.Helper()
		got := r.Items()
		for i := range got {
			got[i].ID = ""
		}
		diff(t, want, got)
	}
	t.Run("responses summary", func(t *testing.T) {
		part := func(n int) string {
			return event("response.reasoning_summary_part.added", fmt.Sprintf(`"item_id":"rs_1","output_index":0,"summary_index":%d,"part":{"type":"summary_text","text":""}`, n))
		}
		delta := func(text string) string {
			return event("response.reasoning_summary_text.delta", fmt.Sprintf(`"item_id":"rs_1","output_index":0,"summary_index":0,"delta":%q`, text))
		}
		item := `{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"First."},{"type":"summary_text","text":"Then."}]}`
		s := newServer(t, sse(part(0), delta("Fi"), delta("rst."), part(1), delta("Then."),
			event("response.output_item.done", `"output_index":0,"item":`+item),
			textDelta("msg_1", "42"), completed(item+","+message("msg_1", "42"))))
		check(t, mustComplete(t, s.agent(nil), ask("x")))
	})
	t.Run("responses open reasoning", func(t *testing.T) {
		delta := event("response.reasoning_text.delta", `"item_id":"rs_1","output_index":0,"content_index":0,"delta":"First.\n\nThen."`)
		s := newServer(t, sse(delta, textDelta("msg_1", "42"), completed("")))
		check(t, mustComplete(t, s.agent(nil), ask("x")))
	})
	for _, field := range []string{"reasoning_content", "reasoning"} {
		t.Run("chat "+field, func(t *testing.T) {
			s := newServer(t, sse(
				chunk(fmt.Sprintf(`{"role":"assistant","content":null,%q:"First."}`, field), "null"),
				chunk(fmt.Sprintf(`{%q:"\n\nThen."}`, field), "null"),
				chunk(`{"content":"42"}`, "null"), chunk(`{}`, "stop"), chatDone))
			check(t, mustComplete(t, s.agent(useChat), ask("x")))
		})
	}
}

func TestFinalTextCounts(t *testing.T) {
	done := func(text string) string {
		return event("response.output_item.done", `"output_index":0,"item":`+message("msg_1", text))
	}
	tests := map[string][]string{
		"it differs from the pieces":  {textDelta("msg_1", "Hallo"), done("Hello"), completed(message("msg_1", "Hello"))},
		"no pieces came":              {done("Hello"), completed(message("msg_1", "Hello"))},
		"it is only in the last":      {completed(message("msg_1", "Hello"))},
		"the last event repeats it":   {textDelta("msg_1", "Hello"), completed(message("msg_1", "Hello"))},
		"every event has another id":  {textDelta("a", "Hello"), strings.ReplaceAll(done("Hello"), "msg_1", "b"), completed(message("c", "Hello"))},
		"the last event has no items": {textDelta("msg_1", "Hello"), completed("")},
	}
	for name, events := range tests {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, sse(events...))
			r := mustComplete(t, s.agent(nil), ask("x"))
			if r.Text() != "Hello" || len(r.Items()) != 1 {
				t.Errorf("%q, %v", r.Text(), r.Log())
			}
		})
	}
}

func TestCitations(t *testing.T) {
	annotation := `{"type":"url_citation","url":"https://example.com","title":"Example","start_index":0,"end_index":5}`
	s := newServer(t, sse(textDelta("msg_1", "Hello"),
		event("response.output_text.annotation.added", `"item_id":"msg_1","output_index":0,"content_index":0,"annotation_index":0,"annotation":`+annotation),
		completed("")))
	r := mustComplete(t, s.agent(nil), ask("x"))
	diff(t, "["+annotation+"]", string(r.Items()[0].Citations))
}

func TestFallbackToChat(t *testing.T) {
	for name, refuse := range map[string]http.HandlerFunc{
		"404 of a router": func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) },
		"404 with JSON":   status(404, `{"error":{"message":"not found","type":"invalid_request_error"}}`),
		"404 of FastAPI":  status(404, `{"detail":"Not Found"}`),
		"404 with a text": status(404, `{"error":"unknown path"}`),
		"405":             status(405, ``),
		"501":             status(501, `{}`),
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, refuse, chatAnswer("one"), chatAnswer("two"))
			a := s.agent(nil)
			if r := mustComplete(t, a, ask("x")); r.Text() != "one" {
				t.Error(r.Log())
			}
			if r := mustComplete(t, a, ask("y")); r.Text() != "two" {
				t.Error(r.Log())
			}
			diff(t, []string{"/v1/responses", "/v1/chat/completions", "/v1/chat/completions"}, s.paths)
		})
	}
	t.Run("not where responses was chosen", func(t *testing.T) {
		s := newServer(t, status(404, `{}`))
		o, _ := run(t, s.agent(func(o *Options) { o.API = APIResponses }), ask("x"))
		if o.Status != protocol.TurnFailed {
			t.Errorf("%+v", o)
		}
	})
	t.Run("not for a model that is missing", func(t *testing.T) {
		s := newServer(t, status(404, `{"error":{"message":"The model m1 does not exist","code":"model_not_found"}}`))
		o, _ := run(t, s.agent(nil), ask("x"))
		if o.Error == nil || !strings.Contains(o.Error.Message, `knows no model "m1"`) {
			t.Errorf("%+v", o.Error)
		}
	})
	t.Run("not remembered where chat is missing too", func(t *testing.T) {
		s := newServer(t, status(404, `{}`), status(404, `{}`), answer("Hello"))
		a := s.agent(nil)
		o, _ := run(t, a, ask("x"))
		if o.Error == nil || o.Error.Retryable || !strings.Contains(o.Error.Message, "base_url is wrong") {
			t.Errorf("%+v", o.Error)
		}
		if r := mustComplete(t, a, ask("x")); r.Text() != "Hello" {
			t.Error(r.Log())
		}
	})
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name      string
		answer    http.HandlerFunc
		change    func(*Options)
		code      string
		retryable bool
		want      string
	}{
		{
			name: "bad key", answer: status(401, `{"error":{"message":"Incorrect API key provided: `+testKey+`","code":"invalid_api_key"}}`),
			code: protocol.TurnErrUnavailable, want: "refused the key; set OPENAI_API_KEY",
		},
		{
			name: "no key", answer: status(401, `{"error":{"message":"You did not provide an API key"}}`),
			change: func(o *Options) { o.APIKey, o.KeyHint = "", "MY_KEY in the environment" },
			code:   protocol.TurnErrUnavailable, want: "wants a key; set MY_KEY in the environment",
		},
		{
			name: "forbidden", answer: status(403, `{"error":{"message":"Country not supported"}}`),
			code: protocol.TurnErrUnavailable, want: "refused access: Country not supported",
		},
		{
			name: "rate limit", answer: status(429, `{"error":{"message":"slow down","code":"rate_limit_exceeded"}}`, "Retry-After", "7"),
			code: protocol.TurnErrUnavailable, retryable: true, want: "too many requests; try again later, in 7s",
		},
		{
			name: "quota", answer: status(429, `{"error":{"message":"x","code":"insufficient_quota"}}`),
			code: protocol.TurnErrUnavailable, want: "quota",
		},
		{
			name: "server error", answer: status(503, `<html>oops</html>`),
			code: protocol.TurnErrUnavailable, retryable: true, want: "has a problem (503 Service Unavailable)",
		},
		{
			name: "too long", answer: status(400, `{"error":{"message":"max 8192 tokens","code":"context_length_exceeded"}}`),
			code: protocol.TurnErrAgent, want: "conversation is too long",
		},
		{
			name: "filtered input", answer: status(400, `{"error":{"message":"bad","code":"content_filter"}}`),
			code: protocol.TurnErrAgent, want: "content filter",
		},
		{
			name: "bad request", answer: status(400, `{"error":{"message":"Unsupported parameter:\n 'temperature' for key `+testKey+` and sk-other-99999999","param":"temperature"}}`),
			code: protocol.TurnErrAgent, want: "did not take the request (400): Unsupported parameter: 'temperature' for key [key] and [key]",
		},
		{
			name: "long error", answer: status(400, `{"error":{"message":"`+strings.Repeat("ä", 10_000)+`"}}`),
			code: protocol.TurnErrAgent, want: "ä…",
		},
		{
			name: "a web page", answer: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				fmt.Fprint(w, "<html>Welcome</html>")
			},
			code: protocol.TurnErrUnavailable, want: "not answer with an event stream but with text/html; is base_url right?",
		},
	}
	for _, tt := range tests {
		for _, api := range []API{APIResponses, APIChat} {
			t.Run(tt.name+" "+string(api), func(t *testing.T) {
				s := newServer(t, tt.answer)
				o, r := run(t, s.agent(func(o *Options) {
					o.API = api
					if tt.change != nil {
						tt.change(o)
					}
				}), ask("x"))
				if o.Status != protocol.TurnFailed || o.Error.Code != tt.code || o.Error.Retryable != tt.retryable ||
					!strings.Contains(o.Error.Message, tt.want) {
					t.Errorf("%s %+v", o.Status, o.Error)
				}
				if strings.Contains(o.Error.Message, testKey) || strings.ContainsAny(o.Error.Message, "\n\r") || len(o.Error.Message) > 600 {
					t.Errorf("the message shows too much: %q", o.Error.Message)
				}
				if len(r.Items()) != 0 {
					t.Errorf("items: %v", r.Log())
				}
			})
		}
	}
}

func TestRetryAfterInDetails(t *testing.T) {
	s := newServer(t, status(429, `{}`, "Retry-After-Ms", "1500"))
	o, _ := run(t, s.agent(nil), ask("x"))
	diff(t, `{"retryAfterMs":1500}`, string(o.Error.Details))
}

func TestRefusedConnection(t *testing.T) {
	s := newServer(t)
	const nobody = "http://127.0.0.1:1" // not a port that was free a moment ago: another test may get it
	a := s.agent(func(o *Options) { o.BaseURL = nobody + "/v1?api-version=secret" })
	o, _ := run(t, a, ask("x"))
	if o.Error == nil || o.Error.Code != protocol.TurnErrUnavailable || !o.Error.Retryable ||
		!strings.Contains(o.Error.Message, "cannot be reached") || strings.Contains(o.Error.Message, "secret") {
		t.Errorf("%+v", o.Error)
	}
}

func TestRetry(t *testing.T) {
	busy := status(429, `{"error":{"message":"slow down"}}`, "Retry-After-Ms", "1")
	broken := status(500, ``, "Retry-After-Ms", "1")
	s := newServer(t, busy, broken, answer("Hello"))
	r := mustComplete(t, s.agent(func(o *Options) { o.MaxRetries = 2 }), ask("x"))
	if r.Text() != "Hello" || len(s.paths) != 3 {
		t.Errorf("%q after %d requests", r.Text(), len(s.paths))
	}
}

func TestCutStream(t *testing.T) {
	errorEvent := event("error", `"code":"server_error","message":"overloaded, key `+testKey+`","param":null`)
	failedEvent := event("response.failed", `"response":{"id":"resp_1","status":"failed","error":{"code":"rate_limit_exceeded","message":"slow down"},"output":[],`+usageFields+`}`)
	tests := []struct {
		name   string
		api    API
		answer http.HandlerFunc
		want   string
	}{
		{"responses ends early", APIResponses, sse(textDelta("msg_1", "Hel")), "the model's answer was cut off"},
		{"responses breaks", APIResponses, torn(textDelta("msg_1", "Hel")), "the model's answer was cut off"},
		{"responses sends garbage", APIResponses, sse(textDelta("msg_1", "Hel"), "data: {\n\n"), "the model's answer was cut off"},
		{"responses error", APIResponses, sse(textDelta("msg_1", "Hel"), errorEvent), "the model's answer was cut off: overloaded, key [key]"},
		{"responses failed", APIResponses, sse(textDelta("msg_1", "Hel"), failedEvent), "the model's answer was cut off: slow down"},
		{"chat ends early", APIChat, sse(chunk(`{"content":"Hel"}`, "null")), "the model's answer was cut off"},
		{"chat breaks", APIChat, torn(chunk(`{"content":"Hel"}`, "null")), "the model's answer was cut off"},
		{"chat error", APIChat, sse(chunk(`{"content":"Hel"}`, "null"), "data: {\"error\":{\"message\":\"overloaded\",\"code\":502}}\n\n"), "the model's answer was cut off: overloaded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, tt.answer)
			o, r := run(t, s.agent(func(o *Options) { o.API = tt.api }), ask("x"))
			if o.Error == nil || o.Error.Code != protocol.TurnErrAgent || !o.Error.Retryable || o.Error.Message != tt.want {
				t.Errorf("%+v", o.Error)
			}
			items := r.Items()
			if len(items) != 1 || items[0].Text != "Hel" || items[0].Status != protocol.ItemFailed {
				t.Errorf("items %+v", items)
			}
		})
	}
}

func TestTruncated(t *testing.T) {
	incomplete := func(reason string) http.HandlerFunc {
		return sse(textDelta("msg_1", "Hel"), event("response.incomplete",
			`"response":{"id":"resp_1","status":"incomplete","incomplete_details":{"reason":"`+reason+`"},"output":[],`+usageFields+`}`))
	}
	stopped := func(reason string) http.HandlerFunc {
		return sse(chunk(`{"content":"Hel"}`, "null"), chunk(`{}`, reason), chatUsage, chatDone)
	}
	for api, answer := range map[API]http.HandlerFunc{APIResponses: incomplete("max_output_tokens"), APIChat: stopped("length")} {
		t.Run(string(api), func(t *testing.T) {
			s := newServer(t, answer)
			r := mustComplete(t, s.agent(func(o *Options) { o.API = api }), ask("x"))
			items := r.Items()
			if len(items) != 2 || items[0].Text != "Hel" || items[0].Status != protocol.ItemCompleted || items[1].Kind != "truncated" {
				t.Errorf("%+v", items)
			}
			diff(t, wantUsage, r.Total())
		})
	}
	for api, answer := range map[API]http.HandlerFunc{APIResponses: incomplete("content_filter"), APIChat: stopped("content_filter")} {
		t.Run("filtered "+string(api), func(t *testing.T) {
			s := newServer(t, answer)
			o, r := run(t, s.agent(func(o *Options) { o.API = api }), ask("x"))
			if o.Error == nil || o.Error.Retryable || !strings.Contains(o.Error.Message, "content filter") {
				t.Errorf("%+v", o.Error)
			}
			if it := r.Items()[0]; it.Text != "Hel" || it.Status != protocol.ItemFailed {
				t.Errorf("%+v", it)
			}
			diff(t, wantUsage, r.Total())
		})
	}
}

func TestRefusal(t *testing.T) {
	for api, answer := range map[API]http.HandlerFunc{
		APIResponses: sse(event("response.refusal.delta", `"item_id":"msg_1","output_index":0,"content_index":0,"delta":"I cannot."`), completed("")),
		APIChat:      sse(chunk(`{"refusal":"I cannot."}`, "null"), chunk(`{}`, "stop"), chatDone),
	} {
		t.Run(string(api), func(t *testing.T) {
			s := newServer(t, answer)
			items := mustComplete(t, s.agent(func(o *Options) { o.API = api }), ask("x")).Items()
			if len(items) != 2 || items[0].Text != "I cannot." || items[1].Kind != "refused" {
				t.Errorf("%+v", items)
			}
		})
	}
}

func TestNoAnswer(t *testing.T) {
	s := newServer(t, sse(completed("")))
	items := mustComplete(t, s.agent(nil), ask("x")).Items()
	if len(items) != 1 || items[0].Kind != "empty" {
		t.Errorf("%+v", items)
	}
}

// A chat endpoint that loses the connection after the end of the answer has answered.
func TestChatTornAfterTheEnd(t *testing.T) {
	s := newServer(t, torn(chunk(`{"content":"Hello"}`, "null"), chunk(`{}`, "stop")))
	if r := mustComplete(t, s.agent(useChat), ask("x")); r.Text() != "Hello" {
		t.Error(r.Log())
	}
}

// An interrupt closes the request: the endpoint notices, and the text stays as interrupted.
func TestCancel(t *testing.T) {
	for api, piece := range map[API]string{APIResponses: textDelta("msg_1", "Hel"), APIChat: chunk(`{"content":"Hel"}`, "null")} {
		t.Run(string(api), func(t *testing.T) {
			gone := make(chan struct{})
			s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				sse(piece)(w, r)
				<-r.Context().Done()
				close(gone)
			})
			ctx, cancel := context.WithCancelCause(t.Context())
			var r agenttest.Recorder
			r.OnText(func(string) { cancel(turn.Cancelled{Reason: protocol.CancelUser}) })
			o := r.Run(ctx, s.agent(func(o *Options) { o.API = api }), ask("x"))
			if o.Status != protocol.TurnCancelled || o.Reason != protocol.CancelUser {
				t.Errorf("%+v", o)
			}
			select {
			case <-gone:
			case <-time.After(time.Minute):
				t.Error("the endpoint still works on the request")
			}
			if it := r.Items()[0]; it.Text != "Hel" || it.Status != protocol.ItemInterrupted {
				t.Errorf("%+v", it)
			}
		})
	}
}

func TestCancelBeforeTheAnswer(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := make(chan struct{})
	s := newServer(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel(turn.Cancelled{Reason: protocol.CancelUser})
		<-r.Context().Done()
		close(gone)
	})
	var r agenttest.Recorder
	if o := r.Run(ctx, s.agent(func(o *Options) { o.MaxRetries = 5 }), ask("x")); o.Status != protocol.TurnCancelled {
		t.Errorf("%+v", o)
	}
	<-gone
}

// A cancellation ends the wait for the next attempt.
func TestCancelDuringRetry(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		status(429, `{}`, "Retry-After", "60")(w, r)
		time.AfterFunc(20*time.Millisecond, func() { cancel(turn.Cancelled{Reason: protocol.CancelUser}) })
	})
	start := time.Now()
	var r agenttest.Recorder
	o := r.Run(ctx, s.agent(func(o *Options) { o.MaxRetries = 1 }), ask("x"))
	if o.Status != protocol.TurnCancelled || time.Since(start) > 30*time.Second {
		t.Errorf("%+v after %v", o, time.Since(start))
	}
}

func TestSilence(t *testing.T) {
	for name, first := range map[string]string{"before the answer": "", "in the answer": textDelta("msg_1", "Hel")} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				if first != "" {
					sse(first)(w, r)
				}
				<-r.Context().Done()
			})
			o, r := run(t, s.agent(func(o *Options) { o.Timeout = 50 * time.Millisecond }), ask("x"))
			if o.Error == nil || o.Error.Code != protocol.TurnErrUnavailable || !o.Error.Retryable || !strings.Contains(o.Error.Message, "said nothing for 50ms") {
				t.Errorf("%s %+v", o.Status, o.Error)
			}
			for _, it := range r.Items() {
				if it.Text != "Hel" || it.Status != protocol.ItemFailed {
					t.Errorf("%+v", it)
				}
			}
		})
	}
}

func TestSteer(t *testing.T) {
	for _, api := range []API{APIResponses, APIChat} {
		t.Run(string(api), func(t *testing.T) {
			reply := map[API]func(string) http.HandlerFunc{APIResponses: answer, APIChat: chatAnswer}[api]
			s := newServer(t, reply("ten inches"), reply("25.4 cm"))
			var r agenttest.Recorder
			sent := false
			r.OnText(func(string) {
				if !sent {
					sent = true
					r.Send("use metric units")
					r.Send("please")
				}
			})
			o := r.Run(t.Context(), s.agent(func(o *Options) { o.API = api }), ask("How long?"))
			if o.Status != protocol.TurnCompleted || r.Text() != "ten inches\n\n25.4 cm" {
				t.Errorf("%+v %q", o, r.Text())
			}
			list := s.bodies[1][map[API]string{APIResponses: "input", APIChat: "messages"}[api]]
			said := func(role, text string) any { return map[string]any{"role": role, "content": text} }
			diff(t, []any{
				said("user", "How long?"), said("assistant", "ten inches"), said("user", "use metric units"), said("user", "please"),
			}, list.([]any))
			diff(t, protocol.Usage{InputTokens: 40, OutputTokens: 20, CachedTokens: 16, ReasoningTokens: 8}, r.Total())
		})
	}
}

func TestHeadersAndQuery(t *testing.T) {
	s := newServer(t, answer("Hello"))
	mustComplete(t, s.agent(func(o *Options) { o.Headers, o.APIKey = map[string]string{"X-Title": "spool"}, "" }), ask("x"))
	if s.headers[0].Get("X-Title") != "spool" || s.headers[0].Get("Authorization") != "" {
		t.Errorf("%v", s.headers[0])
	}
}

// The environment of the process never decides where a key goes.
func TestEnvironmentIsIgnored(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-from-environment")
	t.Setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/")
	t.Setenv("OPENAI_ORG_ID", "org")
	s := newServer(t, answer("Hello"))
	mustComplete(t, s.agent(func(o *Options) { o.APIKey = "" }), ask("x"))
	if h := s.headers[0]; h.Get("Authorization") != "" || h.Get("OpenAI-Organization") != "" {
		t.Errorf("%v", h)
	}
}

// One agent serves many turns at once, also while it learns which API there is.
func TestManyTurns(t *testing.T) {
	const turns = 20
	s := newServer(t)
	route := func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/responses") {
			http.NotFound(w, r)
			return
		}
		chatAnswer("Hello")(w, r)
	}
	for range 2 * turns {
		s.handlers = append(s.handlers, route)
	}
	a := s.agent(nil)
	var wg sync.WaitGroup
	for range turns {
		wg.Go(func() {
			var r agenttest.Recorder
			if o := r.Run(t.Context(), a, ask("x")); o.Status != protocol.TurnCompleted || r.Text() != "Hello" {
				t.Errorf("%+v %q", o.Error, r.Text())
			}
		})
	}
	wg.Wait()
}
