package openai

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/tidwall/gjson"
)

// maxEvent bounds an event of an answer, in bytes. The library bounds a line of it, but not
// how many lines an event may have.
const maxEvent = 32 << 20

// What close waits for.
const (
	linger      = 50 * time.Millisecond
	lingerBytes = 4 << 10
)

var (
	errEventTooLarge = errors.New("an event of the answer is too large")
	errNoEvent       = errors.New("what came is not a JSON object")
)

// stream is an answer that comes event by event. OpenAI's library sends the request and cuts
// the answer into events. What an event says is not decoded into the library's types: they have
// a field for all that any event can say, and filling them takes nearly as much processor time
// as the rest of a turn. The few fields that matter are looked up in the JSON as it came.
type stream struct {
	w       *watchdog
	body    *meter
	decoder ssestream.Decoder
	event   gjson.Result // the one that came last
	err     error        // why it broke off; nil where it just ended
}

// open sends a request and returns its answer, which is to be closed.
func (a *agent) open(w *watchdog, path string, params any) (*stream, error) {
	var response *http.Response
	err := a.client.Post(w.ctx, path, params, &response, option.WithJSONSet("stream", true))
	if failed := refused(w, err, response); failed != nil {
		if err == nil {
			_ = response.Body.Close() // nothing of it counts
		}
		return nil, failed
	}
	return read(w, response), nil
}

// read returns the stream that a response is.
func read(w *watchdog, response *http.Response) *stream {
	body := &meter{ReadCloser: response.Body}
	response.Body = body
	return &stream{w: w, body: body, decoder: ssestream.NewDecoder(response)}
}

// next takes the next event; false: there is none, see err.
func (s *stream) next() bool {
	if s.err != nil || !s.decoder.Next() {
		s.err = cmp.Or(s.err, s.decoder.Err())
		return false
	}
	s.w.heard()
	s.body.read = 0
	data := s.decoder.Event().Data
	if bytes.HasPrefix(data, []byte("[DONE]")) {
		return false
	}
	s.event, s.err = parse(data)
	return s.err == nil
}

// parse reads an event, in which nothing is found if it is null; one that reports an error is
// that error. The JSON is checked first, as gjson demands, and by encoding/json, which bounds
// how deep it nests.
func parse(data []byte) (gjson.Result, error) {
	if !json.Valid(data) {
		return gjson.Result{}, errNoEvent
	}
	e := gjson.ParseBytes(data)
	if !e.IsObject() && e.Type != gjson.Null {
		return gjson.Result{}, errNoEvent
	}
	if said := e.Get("error"); said.Type != gjson.Null {
		return gjson.Result{}, streamFailure(cmp.Or(field(said, "code"), field(said, "type")), field(said, "message"))
	}
	return e, nil
}

// close ends the answer. Most endpoints end it right after its last event, and a connection
// serves the next call only where that end was read: it gets a moment to come.
func (s *stream) close() {
	enough := time.AfterFunc(linger, func() { s.w.cancel(nil) })
	defer enough.Stop()
	_, _ = io.CopyN(io.Discard, s.body, lingerBytes) // what was read before is all that counts
	_ = s.body.Close()
}

// field returns what a field says; empty where it is not there.
func field(e gjson.Result, name string) string { return e.Get(name).String() }

// list returns the elements of a field; none where it is no array.
func list(e gjson.Result, name string) []gjson.Result {
	if l := e.Get(name); l.IsArray() {
		return l.Array()
	}
	return nil
}

// meter is the body of an answer. It fails where what was read since the last event is more
// than an event may be.
type meter struct {
	io.ReadCloser
	read int
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	if m.read += n; m.read > maxEvent {
		return 0, errEventTooLarge
	}
	return n, err
}
