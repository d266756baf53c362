package openai

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
	"github.com/spoolhq/spool/turn/agenttest"
)

// streamed is an answer whose body is there already.
func streamed(body io.Reader) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(body),
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// hears returns an agent that gets the same body as the answer to every request.
func hears(t testing.TB, api API, body func() io.Reader) turn.Agent {
	t.Helper()
	a, err := New(Options{
		BaseURL: "http://model.invalid/v1", APIKey: testKey, Model: "m1", API: api, MaxRetries: -1,
		HTTPClient: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return streamed(body()), nil })},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// What an agent does with an event that is not what it should be: it goes on, or the answer is
// cut off there.
func TestOddEvents(t *testing.T) {
	hello := map[API]string{
		APIResponses: textDelta("msg_1", "Hello") + completed(""),
		APIChat:      chunk(`{"content":"Hello"}`, "stop") + chatDone,
	}
	tests := map[string]struct {
		first string
		cut   bool
	}{
		"of a kind that nobody knows": {first: "event: response.queued\ndata: {\"type\":\"response.queued\",\"choices\":{},\"delta\":\"x\"}\n\n"},
		"a comment":                   {first: ": ping\n\n"},
		"null":                        {first: "data: null\n\n"},
		"an error that is null":       {first: "data: {\"error\":null}\n\n"},
		"fields of other kinds": {first: "data: {\"type\":[],\"choices\":[5,\"{}\",null,{\"delta\":7}],\"usage\":\"{}\"}\n\n" +
			event("response.output_item.done", `"item":"{\"type\":\"message\",\"content\":[{\"text\":\"no\"}]}"`) +
			event("response.output_item.done", `"item":{"type":"message","content":{"text":"no"}}`)},
		"in several lines":    {first: "data: {\"type\":\ndata:\"x\"}\r\n\r\n"},
		"a number":            {first: "data: 5\n\n", cut: true},
		"a list":              {first: "data: []\n\n", cut: true},
		"nothing":             {first: "data:\n\n", cut: true},
		"two objects":         {first: "data: {} {}\n\n", cut: true},
		"half an object":      {first: "data: {\"type\":\"x\"\n\n", cut: true},
		"nested without end":  {first: "data: {\"a\":" + strings.Repeat("[", 5<<20) + "\n\n", cut: true},
		"nested very deep":    {first: "data: {\"a\":" + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + "}\n\n", cut: true},
		"an error that is no": {first: "data: {\"error\":5}\n\n", cut: true},
	}
	for name, tt := range tests {
		for api, rest := range hello {
			t.Run(name+" "+string(api), func(t *testing.T) {
				o, r := run(t, hears(t, api, func() io.Reader { return strings.NewReader(tt.first + rest) }), ask("x"))
				switch {
				case tt.cut && (o.Error == nil || o.Error.Message != "the model's answer was cut off" || len(r.Items()) != 0):
					t.Errorf("%+v, %v", o, r.Log())
				case !tt.cut && (o.Error != nil || r.Text() != "Hello"):
					t.Errorf("%+v, %v", o, r.Log())
				}
			})
		}
	}
}

// endless is a line again and again.
type endless struct {
	line string
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	for n := 0; n < len(p); {
		k := copy(p[n:], e.line[e.read%len(e.line):])
		n, e.read = n+k, e.read+k
	}
	return len(p), nil
}

// An event that does not end does not fill the memory.
func TestEventTooLarge(t *testing.T) {
	for name, line := range map[string]string{"many lines": "data: " + strings.Repeat("x", 1000) + "\n", "one line": "data: xxxxx", "comments": ":" + strings.Repeat("x", 1000) + "\n"} {
		t.Run(name, func(t *testing.T) {
			body := endless{line: line}
			o, _ := run(t, hears(t, APIResponses, func() io.Reader { return &body }), ask("x"))
			if o.Error == nil || o.Error.Message != "the model's answer was cut off" {
				t.Errorf("%+v", o)
			}
			if body.read < maxEvent/2 || body.read > 3*maxEvent {
				t.Errorf("%d bytes were read", body.read)
			}
		})
	}
}

// What bounds an event does not bound the answer.
func TestLargeAnswer(t *testing.T) {
	w := watch(t.Context(), time.Minute)
	defer w.stop()
	event, n := textDelta("msg_1", strings.Repeat("x", 1<<20)), 0
	response := streamed(strings.NewReader(strings.Repeat(event, 2+maxEvent/len(event))))
	defer response.Body.Close()
	s := read(w, response)
	for s.next() {
		n += len(s.event.Raw)
	}
	if n <= maxEvent || s.err != nil {
		t.Errorf("%d bytes, %v", n, s.err)
	}
}

// A connection serves one turn after the other, also where the end of the answer comes some
// time after its last event.
func TestConnectionIsUsedAgain(t *testing.T) {
	for api, reply := range map[API]http.HandlerFunc{APIResponses: answer("Good day"), APIChat: chatAnswer("Good day")} {
		t.Run(string(api), func(t *testing.T) {
			var connections atomic.Int32
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				reply(w, r)
				<-time.After(2 * time.Millisecond)
			}))
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			s.Start()
			defer s.Close()
			a, err := New(Options{BaseURL: s.URL + "/v1", Model: "m1", API: api, HTTPClient: s.Client()})
			if err != nil {
				t.Fatal(err)
			}
			const turns, attempts = 10, 10
			used := 0
			for range attempts { // a busy machine may be late with the end of any answer
				before := connections.Load()
				for range turns {
					mustComplete(t, a, ask("x"))
				}
				if used = int(connections.Load() - before); used <= turns/2 { // one at first, then none
					return
				}
			}
			t.Errorf("%d connections for %d turns", used, turns)
		})
	}
}

// An endpoint that does not end its answer after the last event does not hold the turn up.
func TestAnswerLeftOpen(t *testing.T) {
	for api, reply := range map[API]http.HandlerFunc{APIResponses: answer("Good day"), APIChat: chatAnswer("Good day")} {
		t.Run(string(api), func(t *testing.T) {
			s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				reply(w, r)
				<-r.Context().Done()
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var r agenttest.Recorder
			if o := r.Run(ctx, s.agent(func(o *Options) { o.API = api }), ask("x")); o.Status != protocol.TurnCompleted || r.Text() != "Good day" {
				t.Errorf("%+v, %v", o, r.Log())
			}
		})
	}
}

// FuzzStream: whatever an endpoint streams, the turn ends, with items that are all closed, or
// with an error for people.
func FuzzStream(f *testing.F) {
	for _, body := range []string{
		textDelta("a", "Hel") + textDelta("b", "lo") + event("response.output_item.done", `"item":`+message("b", "Hallo")) + completed(message("b", "Hello")),
		event("response.reasoning_summary_part.added", `"item_id":"a"`) + event("response.reasoning_summary_text.delta", `"item_id":"a","delta":"x"`) +
			event("response.output_item.done", `"item":{"id":"a","type":"reasoning","summary":[{"text":"1"},{"text":"2"}]}`),
		textDelta("a", "x") + event("response.output_text.annotation.added", `"item_id":"a","annotation":{"url":"u"}`) + completed(""),
		event("response.refusal.delta", `"item_id":"a","delta":"no"`) + event("response.failed", `"response":{"status":"failed","error":{"code":"c","message":"`+testKey+`"}}`),
		event("response.incomplete", `"response":{"status":"incomplete","incomplete_details":{"reason":"content_filter"}}`),
		event("error", `"code":502,"message":"m"`), "data: {\"error\":{\"message\":\"m\",\"code\":502}}\n\n", "data: {\"error\":\"m\"}\r\n\r\n",
		chunk(`{"reasoning":"Hm"}`, "null") + chunk(`{"content":"\ud800"}`, "null") + chunk(`{"refusal":"no"}`, "length") + chatUsage + chatDone,
		": ping\n\ndata:\n\n", "data: {\ndata: }\n\n", "data: [DONE]\n\n", "data: null\n\ndata: 5\n\n", "data: {\"choices\":[[],{}]}\n\n",
	} {
		f.Add(body)
	}
	var body string
	said := func() io.Reader { return strings.NewReader(body) }
	agents := []turn.Agent{hears(f, APIResponses, said), hears(f, APIChat, said)}
	f.Fuzz(func(t *testing.T, streamed string) {
		body = streamed
		for _, a := range agents {
			o, r := run(t, a, ask("x"))
			switch {
			case o.Error == nil && (o.Status != protocol.TurnCompleted || len(r.Items()) == 0):
				t.Errorf("%+v, %v", o, r.Log())
			case o.Error != nil && (o.Stack != nil || o.Error.Message == "" || !utf8.ValidString(o.Error.Message) || strings.Contains(o.Error.Message, testKey)):
				t.Errorf("%+v %s", o.Error, o.Stack)
			}
			for _, line := range r.Log() {
				if strings.HasPrefix(line, "closed ") {
					t.Errorf("an item was left open: %v", r.Log())
				}
			}
		}
	})
}

func BenchmarkStream(b *testing.B) {
	const n = 500
	for api, body := range map[API]string{
		APIResponses: strings.Repeat(textDelta("msg_1", "word "), n) + completed(""),
		APIChat:      strings.Repeat(chunk(`{"content":"word "}`, "null"), n) + chunk(`{}`, "stop") + chatDone,
	} {
		b.Run(string(api), func(b *testing.B) {
			a := hears(b, api, func() io.Reader { return strings.NewReader(body) })
			b.ReportAllocs()
			for b.Loop() {
				mustComplete(b, a, ask("x"))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/delta")
		})
	}
}
