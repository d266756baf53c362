package thread_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

func afterTurn(id string) protocol.ThreadChangeParams {
	return protocol.ThreadChangeParams{ThreadID: id, IfBusy: protocol.BusyThreadAfterTurn}
}

func interrupting(id string) protocol.ThreadChangeParams {
	return protocol.ThreadChangeParams{ThreadID: id, IfBusy: protocol.BusyThreadInterrupt, Reason: "enough"}
}

// Everything that was asked for the end of a turn is done, in the order in which it was
// asked; what a later request takes back is not.
func TestDeferredRequests(t *testing.T) {
	type step func(w *world, id string)
	pause := func(w *world, id string) { do(w.t, w.m.Pause, ann, afterTurn(id)) }
	archive := func(w *world, id string) { do(w.t, w.m.Archive, ann, afterTurn(id)) }
	end := func(w *world, id string) { do(w.t, w.m.End, ann, afterTurn(id)) }
	del := func(w *world, id string) { do(w.t, w.m.Delete, ann, afterTurn(id)) }
	reset := func(w *world, id string) {
		do(w.t, w.m.Reset, ann, protocol.ThreadResetParams{ThreadID: id, IfBusy: protocol.BusyThreadAfterTurn, Queue: protocol.ResetQueueKeep})
	}
	resume := func(w *world, id string) { do(w.t, w.m.Resume, ann, protocol.ThreadResumeParams{ThreadID: id}) }
	unarchive := func(w *world, id string) {
		do(w.t, w.m.Unarchive, ann, protocol.ThreadChangeParams{ThreadID: id})
	}
	tests := []struct {
		name   string
		steps  []step
		status protocol.ThreadStatus
		gen    uint64
	}{
		{"pause", []step{pause}, protocol.StatusPaused, 1},
		{"pause and reset", []step{pause, reset}, protocol.StatusPaused, 2},
		{"reset twice is one", []step{reset, reset}, protocol.StatusActive, 2},
		{"delete and pause", []step{del, pause}, "", 0},
		{"pause and delete", []step{pause, del}, "", 0},
		{"end, then others", []step{end, pause, archive, reset}, protocol.StatusEnded, 1},
		{"archive and end", []step{archive, end}, protocol.StatusEnded, 1},
		{"end and delete", []step{end, del}, "", 0},
		{"pause taken back", []step{pause, resume}, protocol.StatusActive, 1},
		{"archive taken back", []step{archive, unarchive}, protocol.StatusActive, 1},
	}
	for _, tt := range tests {
		for _, how := range []string{"the turn ends", "it is interrupted", "another request cuts it", "crash"} {
			t.Run(tt.name+", "+how, func(t *testing.T) {
				inWorld(t, func(w *world) {
					p := w.connect("ann")
					id := w.start(protocol.ThreadOptions{})
					w.subscribe(p, id, 0)
					h := w.held(id, "go")
					next := w.run(id, "next", protocol.BusyEnqueue)
					for _, s := range tt.steps {
						s(w, id)
					}
					status, gen := tt.status, tt.gen
					switch how {
					case "the turn ends":
						h.done(completes)
					case "it is interrupted":
						do(t, w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id, Queue: protocol.InterruptContinue})
					case "another request cuts it":
						do(t, w.m.Archive, ann, interrupting(id))
						if status != "" && status != protocol.StatusEnded {
							status = protocol.StatusArchived
						}
					case "crash":
						w.reopen()
					}
					if status == "" {
						refused(t, protocol.CodeThreadNotFound, w.m.Read, ann, protocol.ThreadReadParams{ThreadID: id})
						return
					}
					r := w.read(id).Thread
					if r.Status != status || r.Generation != gen {
						t.Errorf("%s, generation %d; want %s, %d", r.Status, r.Generation, status, gen)
					}
					if goes := r.Runtime.ActiveTurnID == next.ID; goes != (status == protocol.StatusActive && how != "crash") {
						t.Errorf("%+v", r.Runtime)
					}
					if how != "crash" {
						m := newMirror(t, id, 0)
						m.apply(p.take(t))
						m.agrees(w)
					}
				})
			})
		}
	}
}

func TestEnd(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		id := w.start(protocol.ThreadOptions{})
		w.subscribe(p, id, 0)
		h := w.held(id, "go")
		waits := w.run(id, "next", protocol.BusyEnqueue)
		refused(t, protocol.CodeTurnInProgress, w.m.End, ann, protocol.ThreadChangeParams{ThreadID: id})
		r := do(t, w.m.End, ann, interrupting(id))
		if r.AlreadyEnded || r.Thread.Status != protocol.StatusEnded || r.Thread.EndReason != "enough" {
			t.Errorf("%+v", r)
		}
		<-h.over
		for _, turnID := range []string{h.in.Turn.ID, waits.ID} {
			if tn := w.turn(id, turnID); tn.Status != protocol.TurnCancelled || tn.CancelReason != protocol.CancelThreadEnded {
				t.Errorf("%+v", tn)
			}
		}
		if again := do(t, w.m.End, ann, interrupting(id)); !again.AlreadyEnded {
			t.Errorf("%+v", again)
		}
		for what, err := range map[string]*protocol.Error{
			"run":       refused(t, protocol.CodeThreadNotActive, w.m.TurnRun, ann, input(id, "hi", "")),
			"rename":    refused(t, protocol.CodeThreadNotActive, w.m.Rename, ann, protocol.ThreadRenameParams{ThreadID: id, Title: "x"}),
			"append":    refused(t, protocol.CodeThreadNotActive, w.m.ItemsAppend, ann, protocol.ThreadItemsAppendParams{ThreadID: id, Input: protocol.TextInput("x")}),
			"resume":    refused(t, protocol.CodeThreadNotActive, w.m.Resume, ann, protocol.ThreadResumeParams{ThreadID: id}),
			"unarchive": refused(t, protocol.CodeThreadNotActive, w.m.Unarchive, ann, protocol.ThreadChangeParams{ThreadID: id}),
			"reset":     refused(t, protocol.CodeThreadNotActive, w.m.Reset, ann, protocol.ThreadResetParams{ThreadID: id}),
			"rollback":  refused(t, protocol.CodeThreadNotActive, w.m.Rollback, ann, protocol.ThreadRollbackParams{ThreadID: id, Turns: 1}),
		} {
			if err.Data.Status != "ended" || err.Data.EndReason != "enough" {
				t.Errorf("%s: %+v", what, err.Data)
			}
		}
		m := newMirror(t, id, 0)
		m.apply(p.take(t))
		m.agrees(w)
		if got := m.before; got != "thread/ended" {
			t.Errorf("the last event is %s", got)
		}
	})
}

func TestS08DeleteWhileRunning(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		id := w.start(protocol.ThreadOptions{})
		w.subscribe(p, id, 0)
		h := w.held(id, "go")
		it := h.begin(protocol.ItemAgentMessage)
		h.hardens()
		w.run(id, "next", protocol.BusyEnqueue)
		waits := send(w.m.TurnWait, ann, protocol.TurnWaitParams{ThreadID: id, TurnID: h.in.Turn.ID})
		p.take(t)
		p.state = nil
		do(t, w.m.Delete, ann, interrupting(id))
		if a := now(t, waits); a.err != nil || a.result.Turn.CancelReason != protocol.CancelThreadEnded {
			t.Errorf("%+v %v", a.result, a.err)
		}
		got := methods(p.take(t))
		if n := len(got); n < 2 || got[n-1] != "turn/cancelled" || got[n-2] != "turn/cancelled" {
			t.Errorf("%s", got)
		}
		if got := methods(p.state); got[len(got)-1] != "thread/deleted" {
			t.Errorf("%s", got)
		}
		h.speak(it, "late")
		<-time.After(time.Minute)
		synctest.Wait()
		if got := p.take(t); len(got) > 0 {
			t.Errorf("after the end: %s", methods(got))
		}
		refused(t, protocol.CodeThreadNotFound, w.m.Read, ann, protocol.ThreadReadParams{ThreadID: id})
		refused(t, protocol.CodeThreadNotFound, w.m.Subscribe, from(p), protocol.ThreadSubscribeParams{ThreadID: id})
		refused(t, protocol.CodeThreadNotFound, w.m.Delete, ann, interrupting(id))
		if n := w.m.Stats(); n.RunningTurns != 0 || n.Subscriptions != 0 || n.QueuedTurns != 0 {
			t.Errorf("%+v", n)
		}
	})
}

func TestEndAll(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		ids := make([]string, 4)
		for i := range ids {
			ids[i] = do(t, w.m.Start, from(p), protocol.ThreadStartParams{}).Thread.ID
		}
		h := w.held(ids[0], "go")
		do(t, w.m.End, ann, interrupting(ids[2]))
		foreign := do(t, w.m.Start, by("bo"), protocol.ThreadStartParams{}).Thread.ID
		r := do(t, w.m.EndAll, from(p), protocol.ThreadEndAllParams{ThreadIDs: []string{ids[0], ids[2], foreign, "nonsense"}, Reason: "bye"})
		want := []protocol.EndOutcome{{ThreadID: ids[0], Outcome: "ended"}, {ThreadID: ids[2], Outcome: "alreadyEnded"}, {ThreadID: foreign, Outcome: "notFound"}, {ThreadID: "nonsense", Outcome: "notFound"}}
		same(t, "endAll", want, r.Results)
		<-h.over
		r = do(t, w.m.EndAll, from(p), protocol.ThreadEndAllParams{Scope: protocol.EndConnection})
		same(t, "the connection's", []protocol.EndOutcome{{ThreadID: ids[1], Outcome: "ended"}, {ThreadID: ids[3], Outcome: "ended"}}, r.Results)
		if r := do(t, w.m.EndAll, from(p), protocol.ThreadEndAllParams{Scope: protocol.EndConnection}); len(r.Results) != 0 {
			t.Errorf("%+v", r)
		}
		refused(t, protocol.CodeInvalidParams, w.m.EndAll, ann, protocol.ThreadEndAllParams{})
		refused(t, protocol.CodeInvalidParams, w.m.EndAll, ann, protocol.ThreadEndAllParams{ThreadIDs: ids, Scope: protocol.EndConnection})
	})
}

// Times that a client sets may be longer than any clock counts.
func TestLongTimes(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		id := do(t, w.m.Start, from(p), protocol.ThreadStartParams{ThreadOptions: protocol.ThreadOptions{
			Lifetime: &protocol.Lifetime{Mode: protocol.LifetimeConnection, GraceMs: math.MaxInt64},
		}}).Thread.ID
		do(t, w.m.Subscribe, from(w.connect("ann")), protocol.ThreadSubscribeParams{ThreadID: id, Coalesce: &protocol.Coalesce{MaxDelayMs: math.MaxInt64}})
		w.m.Detach(p)
		<-time.After(time.Hour)
		synctest.Wait()
		if h := w.read(id).Thread; h.Status != protocol.StatusActive {
			t.Errorf("%+v", h)
		}
		refused(t, protocol.CodeInvalidParams, w.m.Start, ann, protocol.ThreadStartParams{ThreadOptions: protocol.ThreadOptions{Lifetime: &protocol.Lifetime{GraceMs: -1}}})
	})
}

func TestHeaderUpdates(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		id := w.start(protocol.ThreadOptions{Mode: "plan", Config: protocol.Object{"model": json.RawMessage(`"m"`)}})
		w.subscribe(p, id, 0)
		do(t, w.m.Rename, ann, protocol.ThreadRenameParams{ThreadID: id, Title: "new"})
		do(t, w.m.MetadataUpdate, ann, protocol.ThreadMetadataUpdateParams{ThreadID: id, Metadata: json.RawMessage(`{"a":{"b":1}}`)})
		do(t, w.m.MetadataUpdate, ann, protocol.ThreadMetadataUpdateParams{ThreadID: id, Metadata: json.RawMessage(`{"a":{"b":null,"c":2},"d":1.50}`)})
		do(t, w.m.ConfigUpdate, ann, protocol.ThreadConfigUpdateParams{ThreadID: id, Config: json.RawMessage(`{"temperature":1,"model":null}`)})
		do(t, w.m.ModeSet, ann, protocol.ThreadModeSetParams{ThreadID: id, Mode: "build"})
		before := w.read(id)
		for _, bad := range []string{`{"temperature":9}`, `{"colour":"red"}`, `{"temperature":"warm"}`} {
			refused(t, protocol.CodeInvalidConfig, w.m.ConfigUpdate, ann, protocol.ThreadConfigUpdateParams{ThreadID: id, Config: json.RawMessage(bad)})
		}
		refused(t, protocol.CodeInvalidParams, w.m.ConfigUpdate, ann, protocol.ThreadConfigUpdateParams{ThreadID: id, Config: json.RawMessage(`[]`)})
		refused(t, protocol.CodeInvalidParams, w.m.MetadataUpdate, ann, protocol.ThreadMetadataUpdateParams{ThreadID: id, Metadata: json.RawMessage(`1`)})
		refused(t, protocol.CodeInvalidConfig, w.m.ModeSet, ann, protocol.ThreadModeSetParams{ThreadID: id, Mode: "fly"})
		refused(t, protocol.CodeInvalidParams, w.m.Rename, ann, protocol.ThreadRenameParams{ThreadID: id, Title: strings.Repeat("x", 1001)})
		refused(t, protocol.CodeInvalidParams, w.m.AccessUpdate, ann, protocol.ThreadAccessUpdateParams{ThreadID: id, Grants: []protocol.Grant{{User: "ann", Role: protocol.RoleObserver}}})
		same(t, "after refusals", before, w.read(id))
		h := before.Thread
		if h.Title != "new" || h.Mode != "build" || string(h.Metadata["a"]) != `{"c":2}` || string(h.Metadata["d"]) != "1.50" || len(h.Config) != 1 {
			t.Errorf("%+v", h)
		}
		m := newMirror(t, id, 0)
		m.apply(p.take(t))
		m.agrees(w)
		tn := w.held(id, "go").in
		if tn.Turn.Mode != "build" || tn.Config.Temperature == nil || *tn.Config.Temperature != 1 || tn.Config.Model != "" {
			t.Errorf("%+v", tn)
		}
	})
}

func TestListOfThreads(t *testing.T) {
	inWorld(t, func(w *world) {
		var ids []string
		for i := range 7 {
			o := protocol.ThreadOptions{Title: fmt.Sprint("Title ", i), Identity: &protocol.Identity{Channel: "ide", Context: fmt.Sprint("c", i%2)}}
			if i%3 == 0 {
				o.Lifetime = &protocol.Lifetime{Mode: protocol.LifetimeEphemeral}
			}
			ids = append(ids, w.start(o))
			<-time.After(time.Second)
		}
		do(t, w.m.Archive, ann, protocol.ThreadChangeParams{ThreadID: ids[1]})
		do(t, w.m.Start, by("bo"), protocol.ThreadStartParams{})
		list := func(p protocol.ThreadListParams) (got []string) {
			for range 20 {
				r := do(t, w.m.List, ann, p)
				for _, h := range r.Data {
					got = append(got, fmt.Sprint(slices.Index(ids, h.ID)))
				}
				if p.Cursor = r.NextCursor; p.Cursor == "" {
					break
				}
			}
			return got
		}
		for _, limit := range []int{1, 2, 3, 100} {
			page := protocol.Paging{Limit: limit}
			same(t, "all", []string{"6", "3", "0", "1", "5", "4", "2"}, list(protocol.ThreadListParams{Paging: page}))
			same(t, "by creation", []string{"6", "3", "0", "5", "4", "2", "1"}, list(protocol.ThreadListParams{Paging: page, Sort: protocol.SortCreated}))
			same(t, "active", []string{"6", "3", "0", "5", "4", "2"}, list(protocol.ThreadListParams{Paging: page, Status: []protocol.ThreadStatus{protocol.StatusActive}}))
			same(t, "by text", []string{"4"}, list(protocol.ThreadListParams{Paging: page, Query: "TITLE 4"}))
			same(t, "by identity", []string{"3", "1", "5"}, list(protocol.ThreadListParams{Paging: page, Identity: &protocol.IdentityFilter{Context: "c1"}}))
		}
		refused(t, protocol.CodeInvalidParams, w.m.List, ann, protocol.ThreadListParams{Paging: protocol.Paging{Limit: 201}})
		refused(t, protocol.CodeInvalidParams, w.m.List, ann, protocol.ThreadListParams{Paging: protocol.Paging{Cursor: "x.y"}})
		refused(t, protocol.CodeInvalidParams, w.m.List, ann, protocol.ThreadListParams{Paging: protocol.Paging{Cursor: "d.nonsense"}})
	})
}

// A panic of an agent is the end of its turn and of nothing else.
func TestS37Panic(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{QueuePolicy: &protocol.QueuePolicy{OnFailed: protocol.QueueContinue}})
		h := w.held(id, "go")
		h.say("Hello")
		open := h.begin(protocol.ItemAgentMessage)
		h.speak(open, "half")
		next := w.run(id, "next", protocol.BusyEnqueue)
		h.done(panics)
		tn := w.turn(id, h.in.Turn.ID)
		if tn.Status != protocol.TurnFailed || tn.Error.Code != protocol.TurnErrPanic || tn.Text != "Hello\n\nhalf" || tn.Items[2].Status != protocol.ItemFailed {
			t.Errorf("%+v", tn)
		}
		if strings.Contains(tn.Error.Message, "fault") {
			t.Errorf("a client sees the panic: %q", tn.Error.Message)
		}
		w.with(next.ID).done(completes)
		if n := w.m.Stats().Counters["agents.panics"]; n != 1 {
			t.Errorf("%d panics", n)
		}
	})
}

// Raw JSON that an agent gives wrongly cannot break the thread.
func TestAgentsBadJSON(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		id := w.start(protocol.ThreadOptions{})
		w.subscribe(p, id, 0)
		h := w.held(id, "go")
		bad := json.RawMessage(`{"a":`)
		h.step(func(out turn.Emitter) {
			out.Add(protocol.Item{Type: protocol.ItemCustom, Content: bad, Metadata: protocol.Object{"x": bad}})
			st := out.Begin(protocol.Item{Type: protocol.ItemState, State: bad})
			st.Patch(bad)
			st.Complete(func(it *protocol.Item) { it.State = bad })
			out.Begin(protocol.Item{Type: protocol.ItemToolCall, Arguments: bad}).Complete(func(it *protocol.Item) {
				it.Result = &protocol.ToolResult{Structured: bad, Content: []protocol.Part{{Type: "data", Data: bad}}}
			})
			out.Begin(protocol.Item{Type: protocol.ItemAgentMessage}).Patch(json.RawMessage(`{"no":"state"}`))
			out.Add(protocol.Item{Type: protocol.ItemCustom, Extra: protocol.Object{"new": bad}})
		})
		h.done(completes)
		for _, it := range w.turn(id, h.in.Turn.ID).Items {
			if it.Type == protocol.ItemAgentMessage && it.State != nil {
				t.Errorf("%+v", it)
			}
		}
		m := newMirror(t, id, 0)
		m.apply(p.take(t))
		m.agrees(w)
	})
}
