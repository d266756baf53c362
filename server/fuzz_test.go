package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/sourcegraph/jsonrpc2"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
)

// seeds adds what the conversations send, a line each.
func seeds(f *testing.F) {
	files, err := filepath.Glob("testdata/conversations/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		_, parts := parseParts(string(text))
		for _, p := range parts {
			if p.name == "client" {
				f.Add([]byte(p.text))
			}
		}
	}
	f.Add([]byte("{\"id\":1,\"method\":\"m\"}\n{\"id\":-1,\"result\":{}}"))
	f.Add(bytes.Repeat([]byte("["), 20000))
	f.Add([]byte("\xff\xfe{}\n"))
}

// FuzzReadObject: whatever a client sends, the stream gives whole messages to jsonrpc2 or
// answers them itself, and ends only when the client does.
func FuzzReadObject(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 4096
		var out counting
		h := &Hub{limits: Limits{MaxMessageBytes: limit}.withDefaults()}
		c := newConn(context.Background(), h, Lines(inOut{bytes.NewReader(in), &out}, limit), Local("stdio"))
		s := &stream{c: c, ended: make(chan struct{})}
		for {
			var req jsonrpc2.Request
			if err := s.ReadObject(&req); err != nil {
				if !errors.Is(err, io.EOF) {
					t.Fatalf("the stream ended with %v", err)
				}
				break
			}
			if m := s.current; m.method == "" && req.Method == "" && m.id == nil {
				t.Fatal("a message that says nothing")
			} else if m.id != nil && checkID(json.RawMessage(m.id)) != "" {
				t.Fatalf("the id %s was taken", m.id)
			}
		}
		c.out.flush(t.Context())
		c.out.close()
		c.wg.Wait()
		if n := h.counters.panics.Load(); n != 0 {
			t.Fatal("it panicked")
		}
		checkFrames(t, out.Bytes())
	})
}

// checkFrames fails unless each line is a JSON-RPC message.
func checkFrames(t *testing.T, out []byte) {
	for line := range bytes.Lines(out) {
		var m struct {
			Version string           `json:"jsonrpc"`
			ID      *json.RawMessage `json:"id"`
			Method  string           `json:"method"`
			Error   *protocol.Error  `json:"error"`
			Result  *json.RawMessage `json:"result"`
		}
		if err := json.Unmarshal(line, &m); err != nil || m.Version != "2.0" {
			t.Fatalf("the daemon said %q (%v)", line, err)
		}
		if m.Method == "" && (m.Error == nil) == (m.Result == nil) {
			t.Fatalf("the daemon answered with %q", line)
		}
		if m.Error != nil && (m.Error.Data.Name == "" || m.Error.Message == "") {
			t.Fatalf("an error without a name or a text: %q", line)
		}
	}
}

type inOut struct {
	io.Reader
	out io.Writer
}

func (s inOut) Write(p []byte) (int, error) { return s.out.Write(p) }
func (inOut) Close() error                  { return nil }

// FuzzDispatch: every request with any params is answered once, and the answer is never an
// internal error. The manager stands behind it, with its stores in memory.
func FuzzDispatch(f *testing.F) {
	for _, m := range protocol.ClientRequests() {
		f.Add(m.Name, []byte(`{}`))
		f.Add(m.Name, []byte(`{"threadId":"thr_01ARZ3NDEKTSV4RRFFQ69G5FAV","input":"x","turnId":"t","turns":1}`))
	}
	f.Add("turn/run", []byte(`{"input":[{"type":"text","text":"/say x"}],"wait":true,"config":{"a":1}}`))
	f.Fuzz(func(t *testing.T, method string, params []byte) {
		if _, ok := methods(&Hub{manager: &thread.Manager{}})[method]; !ok || !json.Valid(params) {
			return
		}
		h := newHub(t)
		c := newConn(t.Context(), h, newGate(), Local("stdio"))
		c.session.state.Store(int32(stateActive))
		answers := make(chan protocol.Frame, 16)
		c.out.transport = answering{newGate(), answers}
		c.requested(message{id: protocol.RawID("1"), method: method, params: params})
		answer := <-answers
		if code(t, string(answer)) == protocol.CodeInternalError {
			t.Errorf("%s %s: %s", method, params, answer)
		}
		c.end(nil)
		c.calls.close()
		c.out.close()
		c.wg.Wait()
		h.manager.Detach(c)
	})
}

// answering passes on the answers that are written, not the events.
type answering struct {
	*gate
	answers chan protocol.Frame
}

func (a answering) Write(frames []protocol.Frame) error {
	for _, f := range frames {
		if protocol.ParseFrame(f).ID != nil {
			a.answers <- f
		}
	}
	return nil
}
