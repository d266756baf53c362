package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

func init() {
	roles["fakecodex"] = func([]string) error {
		in := bufio.NewScanner(os.Stdin)
		f := fakeCodex{send: func(msg []byte) error {
			_, err := os.Stdout.Write(append(msg, '\n'))
			return err
		}}
		for in.Scan() {
			if err := f.handle(in.Bytes()); err != nil {
				return err
			}
		}
		f.turns.Wait()
		return in.Err()
	}
}

// fakeCodex speaks the other dialect to one client: it insists on the handshake and on the shape
// of params, does not send "jsonrpc", and begins to stream before it answers turn/start.
type fakeCodex struct {
	mu      sync.Mutex
	send    func([]byte) error
	shaken  int // 1: initialize, 2: initialized
	threads int
	ids     int
	turns   sync.WaitGroup
}

func (f *fakeCodex) say(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.send(text)
}

func (f *fakeCodex) handle(msg []byte) error {
	var r struct {
		ID     json.RawMessage
		Method string
		Params struct {
			ThreadID   string
			ClientInfo struct{ Name string }
			Input      []struct{ Type, Text string }
		}
	}
	if err := json.Unmarshal(msg, &r); err != nil {
		return err
	}
	refuse := func(why string) error {
		return f.say(p{"id": r.ID, "error": p{"code": -32600, "message": why}})
	}
	answer := func(result p) error { return f.say(p{"id": r.ID, "result": result}) }
	switch {
	case r.Method == "initialize" && r.Params.ClientInfo.Name != "":
		f.shaken = 1
		return answer(p{"userAgent": "fake"})
	case r.Method == "initialized" && f.shaken == 1:
		f.shaken = 2
		return nil
	case f.shaken < 2:
		return refuse("Not initialized")
	case r.Method == "thread/start":
		f.threads++
		thread := p{"id": fmt.Sprint("t", f.threads)}
		if err := f.say(p{"method": "thread/started", "params": p{"thread": thread}}); err != nil {
			return err
		}
		return answer(p{"thread": thread})
	case r.Method == "turn/start" && len(r.Params.Input) == 1 && r.Params.Input[0].Type == "text":
		f.ids++
		turn := fmt.Sprint("u", f.ids)
		f.turns.Go(func() { f.turn(r.Params.ThreadID, turn, r.Params.Input[0].Text) })
		return answer(p{"turn": p{"id": turn, "status": "inProgress"}})
	}
	return refuse("unknown method or params: " + string(msg))
}

// turn says the text five times.
func (f *fakeCodex) turn(thread, turn, text string) {
	note := func(method string, params p) {
		params["threadId"] = thread
		if f.say(p{"method": method, "params": params}) != nil {
			return // the client has left
		}
	}
	note("turn/started", p{"turn": p{"id": turn}})
	for range 40 {
		note("item/agentMessage/delta", p{"turnId": turn, "itemId": "i1", "delta": text})
	}
	status := "completed"
	if text == "fail" {
		status = "failed"
	}
	note("turn/completed", p{"turn": p{"id": turn, "status": status}})
}

func checkCompared(t *testing.T, args ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	var out, log strings.Builder
	args = append([]string{"-short", "-rounds", "1", "-json", "rows.json"}, args...)
	if code := run(t.Context(), args, &out, &log); code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", code, &log, &out)
	}
	rows := readRows(t, "rows.json")
	if len(rows) != 6 {
		t.Errorf("%d rows, want 6", len(rows))
	}
	for _, r := range rows {
		if r.Value <= 0 && r.Unit != "MB" || r.Limit <= 0 {
			t.Errorf("%s: the target has %v, Spool %v", r.What, r.Value, r.Limit)
		}
	}
	if !strings.Contains(out.String(), "whole turn of 40 deltas") {
		t.Errorf("the deltas of a turn were not counted:\n%s", &out)
	}
}

func TestOtherServerStdio(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	checkCompared(t, "-spool", spool(t), "-target", "codex:stdio:"+self+" "+childWord+" fakecodex", "-input", "hello")
}

func TestOtherServerWebSocket(t *testing.T) {
	checkCompared(t, "-spool", spool(t), "-target", "codex:"+serveFakeCodex(t))
}

func TestOtherServerTurnFails(t *testing.T) {
	t.Chdir(t.TempDir())
	var out, log strings.Builder
	code := run(t.Context(), []string{"-short", "-target", "codex:" + serveFakeCodex(t), "-input", "fail"}, &out, &log)
	if code != 2 || !strings.Contains(log.String(), "the turn failed") {
		t.Errorf("exit code %d, said %q", code, &log)
	}
}

// serveFakeCodex serves the fake over WebSockets and returns the URL.
func serveFakeCodex(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		f := fakeCodex{send: func(msg []byte) error { return c.Write(r.Context(), websocket.MessageText, msg) }}
		defer f.turns.Wait()
		for {
			_, msg, err := c.Read(r.Context())
			if err != nil || f.handle(msg) != nil {
				return
			}
		}
	}))
	t.Cleanup(srv.Close)
	return "ws" + strings.TrimPrefix(srv.URL, "http")
}

func TestParseTarget(t *testing.T) {
	for _, bad := range []string{"codex", "codex:", "codex:stdio:", "other:ws://localhost", "codex:http://localhost"} {
		if _, err := parseTarget(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	got, err := parseTarget("codex:stdio:codex app-server")
	if err != nil || strings.Join(got.command, "|") != "codex|app-server" {
		t.Errorf("got %+v, %v", got, err)
	}
}
