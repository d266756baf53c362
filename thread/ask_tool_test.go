package thread_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// done is the result of a tool that went well.
const done = `{"success":true,"content":[{"type":"text","text":"72 F"}],"structured":{"f":72}}`

// called reads the request of a call.
func (p *responder) called(t tb) (*request, protocol.ToolCallParams) {
	t.Helper()
	r := p.only(t, calls)
	return r, get[protocol.ToolCallParams](r)
}

// fails reports whether a result is a failure with a code.
func failsWith(r protocol.ToolCallResult, code string) bool {
	return !r.Success && r.Error != nil && r.Error.Code == code && r.Error.Message != ""
}

func toolNames(tools []protocol.Tool) string {
	var names []string
	for _, t := range tools {
		names = append(names, t.Name)
	}
	return strings.Join(names, " ")
}

func TestToolCall(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p, other := w.responder("ann", "", calls), w.responder("ann", "", calls)
		w.watch(p, id, "")
		w.watch(other, id, "")
		g := do(t, w.m.ToolRegister, as(p), offered(id, "weather")).BindingGeneration
		h := w.held(id, "go")
		if toolNames(h.in.Tools) != "weather" {
			t.Errorf("offered %+v", h.in.Tools)
		}
		result := h.call("weather", `{"city":"NYC"}`)
		r, params := p.called(t)
		if n := len(only(t, p.take(t), "item/started")); n != 1 || r.seq < n {
			t.Errorf("%d item/started, %d frames before the request", n, r.seq)
		}
		if params.Attempt != 1 || params.BindingGeneration != g || params.Tool != "weather" || string(params.Arguments) != `{"city":"NYC"}` {
			t.Errorf("%+v", params)
		}
		other.none(t, calls)
		r.reply(done)
		if got := hears(t, result); !got.Success || got.Content[0].Text != "72 F" || string(got.Structured) != `{"f":72}` {
			t.Errorf("%+v", got)
		}
		it := w.item(id, h.in.Turn.ID, protocol.ItemToolCall)
		if it.Status != protocol.ItemCompleted || it.CallID != params.CallID || it.Executor != protocol.ExecutorClient || string(it.Result.Structured) != `{"f":72}` {
			t.Errorf("%+v", it)
		}
		r.reply(done) // again
		if n := w.resolutions(id)[it.ID]; n != 1 {
			t.Errorf("%d resolutions", n)
		}
	})
}

// Whatever a client answers, the turn goes on.
func TestToolResults(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.responder("ann", "", calls)
		do(t, w.m.ToolRegister, as(p), offered(id, "x"))
		h := w.held(id, "go")
		for _, tt := range []struct{ answer, code string }{
			{`{"success":false,"error":{"code":"Mine","message":"no"}}`, "Mine"},
			{`{"success":false,"error":{"code":"ToolUnavailable","message":"no"}}`, protocol.ToolErrUnavailable},
			{`{"success":false}`, protocol.ToolErrFailed},
			{`{}`, protocol.ToolErrFailed},
			{`null`, protocol.ToolErrFailed},
			{`{"success":true,"content":[{"type":"nothing"}]}`, protocol.ToolErrFailed},
			{`"` + strings.Repeat("x", 5<<20) + `"`, protocol.ToolErrFailed},
		} {
			result := h.call("x", `{}`)
			r, _ := p.called(t)
			r.reply(tt.answer)
			if got := hears(t, result); !failsWith(got, tt.code) {
				t.Errorf("%.40s: %+v", tt.answer, got)
			}
		}
		result := h.call("x", `{}`)
		r, _ := p.called(t)
		r.of.mu.Lock()
		r.answered = true
		r.of.mu.Unlock()
		r.answer(nil, protocol.Errorf(protocol.CodeInternalError, "it crashed"))
		if got := hears(t, result); !failsWith(got, protocol.ToolErrFailed) {
			t.Errorf("%+v", got)
		}
	})
}

// What may not be called no client hears of.
func TestToolCallsThatAreRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		var o protocol.Object
		_ = json.Unmarshal([]byte(`{"modes":[{"id":"home"},{"id":"mail","tools":["b"]}]}`), &o)
		id := w.start(protocol.ThreadOptions{Config: o, Mode: "home"})
		p := w.responder("ann", "", calls)
		reg := offered(id, "g", "b")
		reg.Tools[0].InputSchema = json.RawMessage(`{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}`)
		reg.Tools[1].Scope = protocol.ToolScope("mode")
		do(t, w.m.ToolRegister, as(p), reg)
		h := w.held(id, "go")
		if toolNames(h.in.Tools) != "g" {
			t.Errorf("in home the agent is offered %s", toolNames(h.in.Tools))
		}
		refuses := func(name, args, code string) {
			t.Helper()
			if got := hears(t, h.call(name, args)); !failsWith(got, code) {
				t.Errorf("%s %s: %+v", name, args, got)
			}
		}
		refuses("none", `{}`, protocol.ToolErrUnavailable)
		refuses("b", `{}`, protocol.ToolErrNotAllowed)
		for _, args := range []string{`{"n":"x"}`, ``, `[]`, `{`, `{"n":1} x`} {
			refuses("g", args, protocol.ToolErrInvalidArguments)
		}
		reg.Tools = append(reg.Tools, offered(id, "new").Tools...)
		do(t, w.m.ToolRegister, as(p), reg)
		refuses("new", `{}`, protocol.ToolErrNotAllowed)
		p.none(t, calls)
		result := h.call("g", `{"n":1}`)
		r, _ := p.called(t)
		r.reply(done)
		hears(t, result)
		// One that was taken back is not waited for.
		do(t, w.m.ToolUnregister, as(p), protocol.ToolUnregisterParams{ThreadID: id, Tools: []string{"g"}})
		refuses("g", `{"n":1}`, protocol.ToolErrUnavailable)
		h.done(completes)

		do(t, w.m.ModeSet, ann, protocol.ThreadModeSetParams{ThreadID: id, Mode: "mail"})
		do(t, w.m.ToolRegister, as(p), reg)
		h = w.held(id, "go")
		if toolNames(h.in.Tools) != "b g new" {
			t.Errorf("in mail the agent is offered %s", toolNames(h.in.Tools))
		}
		result = h.call("b", `{}`)
		r, _ = p.called(t)
		r.reply(done)
		hears(t, result)
		for item, n := range w.resolutions(id) {
			if n != 1 {
				t.Errorf("item %s: %d resolutions", item, n)
			}
		}
	})
}

func TestToolRegister(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p, q := w.responder("ann", "", calls), w.responder("ann", "", calls)
		list := func() string {
			return toolNames(do(t, w.m.ToolList, ann, protocol.ThreadParams{ThreadID: id}).Data)
		}
		g := do(t, w.m.ToolRegister, as(p), offered(id, "a", "b")).BindingGeneration
		for name, bad := range map[string]func(*protocol.ToolRegisterParams){
			"no name":   func(r *protocol.ToolRegisterParams) { r.Tools[0].Name = "" },
			"twice":     func(r *protocol.ToolRegisterParams) { r.Tools[1].Name = "a" },
			"no schema": func(r *protocol.ToolRegisterParams) { r.Tools[0].InputSchema = json.RawMessage(`{"type":7}`) },
			"another file": func(r *protocol.ToolRegisterParams) {
				r.Tools[0].InputSchema = json.RawMessage(`{"$ref":"file:///etc/passwd"}`)
			},
			"of no thread": func(r *protocol.ToolRegisterParams) { r.ThreadID, r.ExpectedGeneration = "", &g },
		} {
			reg := offered(id, "a", "c")
			bad(&reg)
			if _, err := try(w.m.ToolRegister, as(q), reg); protocol.AsError(err).Code != protocol.CodeInvalidParams {
				t.Errorf("%s: %v", name, err)
			}
		}
		refused(t, protocol.CodeForbidden, w.m.ToolRegister, as(w.responder("ann", "", approvals)), offered(id, "a"))
		refused(t, protocol.CodeThreadNotFound, w.m.ToolRegister, as(w.responder("bo", "", calls)), offered(id, "a"))
		if _, err := try(w.m.ToolUnregister, ann, protocol.ToolUnregisterParams{}); err == nil {
			t.Error("tools of no connection were taken back")
		}
		if list() != "a b" {
			t.Errorf("after refusals there is %q", list())
		}
		old := g
		stale := offered(id, "z")
		stale.ExpectedGeneration = &old
		g = do(t, w.m.ToolRegister, as(q), offered(id, "b", "c")).BindingGeneration
		if g <= old || list() != "a b c" {
			t.Errorf("generation %d follows %d, %q", g, old, list())
		}
		if e := refused(t, protocol.CodeStaleBinding, w.m.ToolRegister, as(p), stale); e.Data.BindingGeneration != g {
			t.Errorf("%+v", e.Data)
		}
		stale.ExpectedGeneration = &g
		do(t, w.m.ToolRegister, as(p), stale)
		if list() != "b c z" {
			t.Errorf("%q", list())
		}
		do(t, w.m.ToolUnregister, as(q), protocol.ToolUnregisterParams{ThreadID: id, Tools: []string{"c", "z"}})
		if list() != "b z" {
			t.Errorf("%q", list())
		}
		do(t, w.m.ToolUnregister, as(q), protocol.ToolUnregisterParams{ThreadID: id})
		if list() != "z" {
			t.Errorf("%q", list())
		}
		do(t, w.m.End, ann, protocol.ThreadChangeParams{ThreadID: id})
		refused(t, protocol.CodeThreadNotActive, w.m.ToolRegister, as(q), offered(id, "a"))
		if list() != "" {
			t.Errorf("a thread that has ended is offered %q", list())
		}
	})
}

// Tools for all threads of a connection, now and later, beside those of one.
func TestToolsOfAConnection(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.responder("ann", "", calls)
		start := func() string {
			return do(t, w.m.Start, as(p), protocol.ThreadStartParams{}).Thread.ID
		}
		list := func(id string) string {
			return toolNames(do(t, w.m.ToolList, ann, protocol.ThreadParams{ThreadID: id}).Data)
		}
		one, foreign := start(), w.start(protocol.ThreadOptions{})
		do(t, w.m.ToolRegister, as(p), offered("", "a", "b"))
		two := start()
		if list(one) != "a b" || list(two) != "a b" || list(foreign) != "" {
			t.Errorf("%q %q %q", list(one), list(two), list(foreign))
		}
		do(t, w.m.ToolRegister, as(p), offered(two, "a", "own"))
		do(t, w.m.ToolUnregister, as(p), protocol.ToolUnregisterParams{Tools: []string{"a"}})
		if list(one) != "b" || list(two) != "own" || list(start()) != "b" {
			t.Errorf("%q %q", list(one), list(two))
		}
		// thread/resume brings them to a thread that becomes the connection's.
		do(t, w.m.Resume, as(p), protocol.ThreadResumeParams{ThreadID: foreign})
		if list(foreign) != "b" {
			t.Errorf("%q", list(foreign))
		}
		// A list that is there and empty is a list.
		do(t, w.m.Resume, as(p), protocol.ThreadResumeParams{ThreadID: foreign, Tools: []protocol.Tool{}})
		if list(foreign) != "" {
			t.Errorf("%q", list(foreign))
		}
	})
}

// The same key on another connection is another request: its tools have to be bound there.
func TestToolRegisterAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		reg := offered(id, "a")
		reg.IdempotencyKey = "k"
		p := w.responder("ann", "", calls)
		do(t, w.m.ToolRegister, as(p), reg)
		if r := do(t, w.m.ToolRegister, as(p), reg); !r.Replayed {
			t.Error("it was done twice on one connection")
		}
		w.leave(p)
		q := w.responder("ann", "", calls)
		if r := do(t, w.m.ToolRegister, as(q), reg); r.Replayed {
			t.Error("the answer of another connection was given again")
		}
		result := w.held(id, "go").call("a", `{}`)
		r, _ := q.called(t)
		r.reply(done)
		hears(t, result)
	})
}

// The client vanishes and comes back: the call goes out again, and says so.
func TestToolClientComesBack(t *testing.T) {
	back := map[string]func(w *world, id string) *responder{
		"subscribes": func(w *world, id string) *responder {
			q := w.responder("ann", "web-1", calls)
			w.watch(q, id, "")
			return q
		},
		"registers": func(w *world, id string) *responder {
			q := w.responder("ann", "web-1", calls)
			if r := do(w.t, w.m.ToolRegister, as(q), offered(id, "weather")); len(r.PendingCalls) != 1 {
				w.t.Fatalf("pendingCalls %v", r.PendingCalls)
			}
			return q
		},
		"another registers": func(w *world, id string) *responder {
			q := w.responder("ann", "", calls)
			do(w.t, w.m.ToolRegister, as(q), offered(id, "weather"))
			return q
		},
		"resumes with tools": func(w *world, id string) *responder {
			q := w.responder("ann", "", calls)
			do(w.t, w.m.Resume, as(q), protocol.ThreadResumeParams{ThreadID: id, Tools: offered(id, "weather").Tools})
			return q
		},
	}
	for name, comes := range back {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				id := w.start(protocol.ThreadOptions{})
				p := w.responder("ann", "web-1", calls)
				w.watch(p, id, "")
				do(t, w.m.ToolRegister, as(p), offered(id, "weather"))
				h := w.held(id, "go")
				result := h.call("weather", `{}`)
				old, first := p.called(t)
				w.leave(p)
				<-time.After(29 * time.Second)
				waits(t, result)
				q := comes(w, id)
				r, second := q.called(t)
				if second.CallID != first.CallID || second.ItemID != first.ItemID || first.Attempt != 1 || second.Attempt != 2 {
					t.Errorf("%+v after %+v", second, first)
				}
				old.reply(done)
				waits(t, result)
				<-time.After(time.Hour) // it is not in a hurry
				waits(t, result)
				r.reply(done)
				if got := hears(t, result); !got.Success {
					t.Errorf("%+v", got)
				}
				if n := w.resolutions(id)[first.ItemID]; n != 1 {
					t.Errorf("%d resolutions", n)
				}
			})
		})
	}
}

// Nobody but the same instance of the same user gets the tools by coming.
func TestToolClientStaysAway(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.configured(`{"toolReconnectMs":3000}`)
		do(t, w.m.AccessUpdate, ann, protocol.ThreadAccessUpdateParams{ThreadID: id, Grants: []protocol.Grant{{User: "bo", Role: protocol.RoleParticipant}}})
		p := w.responder("ann", "web-1", calls)
		do(t, w.m.ToolRegister, as(p), offered(id, "weather"))
		h := w.held(id, "go")
		result := h.call("weather", `{}`)
		r, _ := p.called(t)
		w.leave(p)
		for _, q := range []*responder{w.responder("ann", "web-2", calls), w.responder("ann", "", calls), w.responder("bo", "web-1", calls), w.responder("ann", "web-1")} {
			w.watch(q, id, "")
			q.none(t, calls)
		}
		<-time.After(3*time.Second - time.Millisecond)
		waits(t, result)
		<-time.After(time.Millisecond)
		if got := hears(t, result); !failsWith(got, protocol.ToolErrUnavailable) {
			t.Errorf("%+v", got)
		}
		r.reply(done)
		if n := w.m.Stats().Counters["answers.late"]; n != 1 {
			t.Errorf("%d late answers", n)
		}
		if it := w.item(id, h.in.Turn.ID, protocol.ItemToolCall); it.Status != protocol.ItemFailed || it.Result != nil || it.Error.Code != protocol.ToolErrUnavailable {
			t.Errorf("%+v", it)
		}
		// The next call goes to whoever offers the tool then.
		q := w.responder("ann", "", calls)
		do(t, w.m.ToolRegister, as(q), offered(id, "weather"))
		result = h.call("weather", `{}`)
		r, params := q.called(t)
		if params.Attempt != 1 {
			t.Errorf("%+v", params)
		}
		r.reply(done)
		hears(t, result)
	})
}

// The same instance is back before the loss of its old connection is noticed.
func TestToolClientBackBeforeItsLossIsNoticed(t *testing.T) {
	for _, registers := range []bool{false, true} {
		inWorld(t, func(w *world) {
			id := w.start(protocol.ThreadOptions{})
			p := w.responder("ann", "web-1", calls)
			do(t, w.m.ToolRegister, as(p), offered(id, "weather", "old"))
			h := w.held(id, "go")
			result := h.call("weather", `{}`)
			p.called(t)
			q := w.responder("ann", "web-1", calls)
			w.watch(q, id, "")
			if registers {
				do(t, w.m.ToolRegister, as(q), offered(id, "weather"))
				if l := toolNames(do(t, w.m.ToolList, ann, protocol.ThreadParams{ThreadID: id}).Data); l != "weather" {
					t.Errorf("the instance offers %q", l)
				}
			}
			w.leave(p)
			r, params := q.called(t)
			if params.Attempt != 2 {
				t.Errorf("%+v", params)
			}
			<-time.After(time.Minute)
			waits(t, result)
			r.reply(done)
			if got := hears(t, result); !got.Success {
				t.Errorf("%+v", got)
			}
		})
	}
}

// Somebody who comes back takes no call from others, even where its tool was taken back.
func TestReturnOfAnotherToolClient(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p, other := w.responder("ann", "", calls), w.responder("ann", "web-1", calls)
		do(t, w.m.ToolRegister, as(p), offered(id, "mine"))
		do(t, w.m.ToolRegister, as(other), offered(id, "theirs"))
		h := w.held(id, "go")
		result := h.call("mine", `{}`)
		r, _ := p.called(t)
		do(t, w.m.ToolUnregister, as(p), protocol.ToolUnregisterParams{ThreadID: id})
		w.leave(other)
		back := w.responder("ann", "web-1", calls)
		w.watch(back, id, "")
		<-time.After(time.Minute)
		if r.withdrawn {
			t.Error("the call was taken back")
		}
		waits(t, result)
		r.reply(done)
		if got := hears(t, result); !got.Success {
			t.Errorf("%+v", got)
		}
	})
}

// Calls in parallel have their own ends.
func TestToolCallsInParallel(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p, q := w.responder("ann", "", calls), w.responder("ann", "", calls)
		do(t, w.m.ToolRegister, as(p), offered(id, "a"))
		do(t, w.m.ToolRegister, as(q), offered(id, "b"))
		h := w.held(id, "go")
		var results []chan heard[protocol.ToolCallResult]
		for i := range 6 {
			results = append(results, h.call([]string{"a", "b"}[i%2], `{}`))
		}
		if len(p.open(calls)) != 3 || len(q.open(calls)) != 3 {
			t.Fatalf("%d and %d calls", len(p.open(calls)), len(q.open(calls)))
		}
		if on := w.read(id).Thread.Runtime.WaitingOn; !slices.Equal(on, []string{"tool"}) {
			t.Errorf("waitingOn %v", on)
		}
		open := p.open(calls)
		for _, i := range []int{2, 0, 1} {
			open[i].reply(`{"success":true,"content":[{"type":"text","text":"` + string(rune('0'+i)) + `"}]}`)
		}
		w.leave(q)
		<-time.After(30 * time.Second)
		for i, c := range results {
			got := hears(t, c)
			if i%2 == 0 && (!got.Success || got.Content[0].Text != string(rune('0'+i/2))) || i%2 == 1 && !failsWith(got, protocol.ToolErrUnavailable) {
				t.Errorf("call %d: %+v", i, got)
			}
		}
	})
}

// A call that is not wanted any more is taken back from the client.
func TestToolCallIsCancelled(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.responder("ann", "", calls)
		do(t, w.m.ToolRegister, as(p), offered(id, "a"))
		h := w.held(id, "go")
		result := h.call("a", `{}`)
		r, params := p.called(t)
		do(t, w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id})
		stops(t, result)
		p.mu.Lock()
		var told []string
		for _, f := range p.state {
			if f.Method() == "item/tool/cancel" && strings.Contains(string(f), params.CallID) {
				told = append(told, string(f))
			}
		}
		p.mu.Unlock()
		if len(told) != 1 || !r.withdrawn {
			t.Errorf("item/tool/cancel %q, withdrawn %t", told, r.withdrawn)
		}
		if it := w.item(id, h.in.Turn.ID, protocol.ItemToolCall); it.Status != protocol.ItemCancelled {
			t.Errorf("%+v", it)
		}
	})
}

// Who loses access loses the calls too.
func TestToolsOfSomebodyWhoLosesAccess(t *testing.T) {
	for _, left := range [][]protocol.Grant{{}, {{User: "bo", Role: protocol.RoleObserver}}} {
		inWorld(t, func(w *world) {
			id := w.configured(`{"toolReconnectMs":1000}`)
			do(t, w.m.AccessUpdate, ann, protocol.ThreadAccessUpdateParams{ThreadID: id, Grants: []protocol.Grant{{User: "bo", Role: protocol.RoleParticipant}}})
			p := w.responder("bo", "", calls)
			do(t, w.m.ToolRegister, as(p), offered(id, "a"))
			h := w.held(id, "go")
			result := h.call("a", `{}`)
			r, _ := p.called(t)
			do(t, w.m.AccessUpdate, ann, protocol.ThreadAccessUpdateParams{ThreadID: id, Grants: left})
			if !r.withdrawn {
				t.Error("the call is still theirs")
			}
			r.reply(done)
			waits(t, result)
			<-time.After(time.Second)
			if got := hears(t, result); !failsWith(got, protocol.ToolErrUnavailable) {
				t.Errorf("%+v", got)
			}
			if got := hears(t, h.call("a", `{}`)); !failsWith(got, protocol.ToolErrUnavailable) {
				t.Errorf("%+v", got)
			}
			p.none(t, calls)
		})
	}
}

// A thread whose tools are all of clients that left does not stay in memory for them.
func TestUnloadWithTools(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.responder("ann", "web-1", calls)
		do(t, w.m.ToolRegister, as(p), offered(id, "a"))
		<-time.After(time.Hour)
		if n := w.m.Stats().LoadedThreads; n != 1 {
			t.Errorf("%d threads while the client is there", n)
		}
		w.leave(p)
		<-time.After(time.Hour)
		synctest.Wait()
		if n := w.m.Stats().LoadedThreads; n != 0 {
			t.Errorf("%d threads when the client has left", n)
		}
	})
}
