package thread_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/mem"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
)

// story makes a thread with a bit of everything and leaves it idle.
func (w *world) story() string {
	id := w.start(protocol.ThreadOptions{Title: "story", Metadata: protocol.Object{"a": json.RawMessage("1")}, Identity: identity("", "x")})
	h := w.held(id, "one")
	h.say("One")
	h.step(func(out turn.Emitter) {
		out.Plan([]protocol.PlanEntry{{Text: "p", Status: "pending"}})
		out.Usage(protocol.Usage{InputTokens: 5, OutputTokens: 2})
		st := out.Begin(protocol.Item{Type: protocol.ItemState})
		st.Patch(json.RawMessage(`{"a":{"b":[1,2.50]}}`))
	})
	w.run(id, "steered", protocol.BusySteer)
	h.step(func(out turn.Emitter) { out.Steered() })
	dropped := w.run(id, "dropped", protocol.BusyEnqueue)
	do(w.t, w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id, TurnID: dropped.ID})
	h.done(completes)
	w.append(id, "", developer("note"))
	w.held(id, "two").done(fails)
	items := w.items(id, 10)
	w.update(id, items[1], `{"text":"Edited"}`)
	waits := w.append(id, "", developer("waits"), developer("waits, too"))
	w.update(id, waits[0], `{"metadata":{"seen":true}}`)
	return id
}

func TestImportOfAnExport(t *testing.T) {
	tests := map[string]func(w *world) string{
		"story": (*world).story,
		"rolled back": func(w *world) string {
			id := w.story()
			do(w.t, w.m.Rollback, ann, protocol.ThreadRollbackParams{ThreadID: id, Turns: 1})
			return id
		},
		"replaced": func(w *world) string {
			id := w.story()
			items := w.items(id, 10)
			if err := w.replace(id, items[0], items[1], json.RawMessage(developer("loose"))); err != nil {
				w.t.Fatalf("%v", err)
			}
			loose := w.items(id, 1)[0]
			w.update(id, loose, `{"text":"edited"}`)
			w.append(id, "", developer("waits"))
			w.held(id, "three").done(completes)
			return id
		},
		"reset": func(w *world) string {
			id := w.story()
			do(w.t, w.m.Reset, ann, protocol.ThreadResetParams{ThreadID: id})
			w.held(id, "anew").done(completes)
			return id
		},
		"paused queue": func(w *world) string {
			id := w.story()
			h := w.held(id, "three")
			w.run(id, "four", protocol.BusyEnqueue)
			w.run(id, "five", protocol.BusyEnqueue)
			q := w.queue(id)
			do(w.t, w.m.QueueReorder, ann, protocol.QueueReorderParams{ThreadID: id, Order: []string{q.Turns[1].ID, q.Turns[0].ID}, ExpectedRevision: q.Revision})
			do(w.t, w.m.QueueUpdate, ann, protocol.QueueUpdateParams{ThreadID: id, TurnID: q.Turns[0].ID, Input: protocol.TextInput("vier"), ExpectedRevision: q.Revision + 1})
			h.done(fails)
			return id
		},
		"fork": func(w *world) string {
			return do(w.t, w.m.Fork, ann, protocol.ThreadForkParams{ThreadID: w.story()}).Thread.ID
		},
		"ended": func(w *world) string {
			id := w.story()
			do(w.t, w.m.End, ann, protocol.ThreadChangeParams{ThreadID: id, Reason: "done"})
			return id
		},
	}
	for name, tell := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				id := tell(w)
				other := newWorld(t)
				defer other.close()
				other.takesOver(w, id)
				other.reopen()
				other.equals(w, id)
			})
		})
	}
}

// takesOver imports a thread that is idle from another world, and looks whether it is there
// as it was.
func (w *world) takesOver(from *world, id string) {
	w.t.Helper()
	journal := from.export(id)
	do(w.t, w.m.Import, ann, protocol.ThreadImportParams{Events: journal})
	w.equals(from, id)
	same(w.t, "export", journal, w.export(id))
	p := w.connect("ann")
	defer w.m.Detach(p)
	w.subscribe(p, id, 0)
	m := newMirror(w.t, id, 0)
	m.apply(p.take(w.t))
	m.agrees(w)
	refused(w.t, protocol.CodeThreadExists, w.m.Import, ann, protocol.ThreadImportParams{Events: journal})
}

// equals looks whether a thread is the same in two worlds.
func (w *world) equals(from *world, id string) {
	w.t.Helper()
	same(w.t, "queue/list", from.queue(id), w.queue(id))
	same(w.t, "turns/list", from.turns(id, 3), w.turns(id, 3))
	same(w.t, "items/list", from.items(id, 3), w.items(id, 3))
	a, b := from.read(id), w.read(id)
	a.Thread.UpdatedAt, a.Thread.LastActiveAt = b.Thread.UpdatedAt, b.Thread.LastActiveAt
	if a.Thread.Generation > 1 {
		a.Thread.Preview = b.Thread.Preview // turns that a reset kept may be the first of the journal
	}
	same(w.t, "thread/read", a, b)
}

// What ran or waited when a journal was exported does not start where it is imported.
func TestImportOfABusyThread(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		it := h.begin(protocol.ItemAgentMessage)
		h.speak(it, "Hello")
		w.run(id, "next", protocol.BusyEnqueue)
		journal := w.export(id)
		other := newWorld(t)
		defer other.close()
		do(t, other.m.Import, ann, protocol.ThreadImportParams{Events: journal})
		r := other.read(id)
		if r.Thread.Runtime.Busy || !r.Thread.Runtime.QueuePaused || r.Thread.Runtime.QueueLength != 1 {
			t.Errorf("%+v", r.Thread.Runtime)
		}
		if tn := (*r.Turns)[0]; tn.Status != protocol.TurnFailed || tn.Error.Code != protocol.TurnErrRestarted {
			t.Errorf("%+v", tn)
		}
		m := newMirror(t, id, 0)
		p := other.connect("ann")
		other.subscribe(p, id, 0)
		m.apply(p.take(t))
		m.agrees(other)
		do(t, other.m.QueueResume, ann, protocol.QueueParams{ThreadID: id})
		other.with(other.read(id).Thread.Runtime.ActiveTurnID).done(completes)
	})
}

// A journal can come from anywhere.
func TestImportRefuses(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.story()
		h := w.held(id, "three")
		w.run(id, "four", protocol.BusyEnqueue)
		do(t, w.m.QueuePause, ann, protocol.QueueParams{ThreadID: id})
		h.done(completes)
		good := w.export(id)
		do(t, w.m.Delete, ann, protocol.ThreadChangeParams{ThreadID: id})
		fresh := protocol.NewID(protocol.PrefixThread)
		for i := range good {
			good[i] = json.RawMessage(strings.ReplaceAll(string(good[i]), id, fresh))
		}
		at := func(method string) int {
			return slices.IndexFunc(good, func(e json.RawMessage) bool { return protocol.Frame(e).Method() == method })
		}
		swap := func(method, old, with string) []json.RawMessage {
			i := at(method)
			bad := slices.Clone(good)
			if bad[i] = json.RawMessage(strings.Replace(string(good[i]), old, with, 1)); string(bad[i]) == string(good[i]) {
				t.Fatalf("%s has no %s: %s", method, old, good[i])
			}
			return bad
		}
		seq := func(i int, e string) json.RawMessage {
			return json.RawMessage(fmt.Sprintf(`{"jsonrpc":"2.0","method":%s,"seq":%d,"at":"2026-01-01T00:00:00.000Z"}}`, strings.Replace(e, "THREAD", fresh, 1), i+1))
		}
		n := len(good)
		trn := protocol.NewID(protocol.PrefixTurn)
		tests := map[string][]json.RawMessage{
			"nothing":            {},
			"no object":          {json.RawMessage("1")},
			"no beginning":       good[1:],
			"a hole":             slices.Delete(slices.Clone(good), 3, 4),
			"twice":              append(slices.Clone(good), good[n-1]),
			"another thread":     append(slices.Clone(good), seq(n, `"thread/rolledBack","params":{"threadId":"thr_0","removedTurnIds":[]`)),
			"begun again":        append(slices.Clone(good), json.RawMessage(strings.Replace(string(good[0]), `"seq":1`, fmt.Sprintf(`"seq":%d`, n+1), 1))),
			"two lines":          swap("turn/started", `"params":`, "\"params\":\n"),
			"an answer":          swap("turn/started", `"params":`, `"result":1,"params":`),
			"a request":          swap("turn/started", `"params":`, `"id":1,"params":`),
			"no UTF-8":           swap("turn/started", "one", "on\xff"),
			"a delta":            append(slices.Clone(good), seq(n, `"item/agentMessage/delta","params":{"threadId":"THREAD"`)),
			"unknown status":     swap("thread/started", `"status":"active"`, `"status":"asleep"`),
			"unknown lifetime":   swap("thread/started", `"mode":"durable"`, `"mode":"eternal"`),
			"unknown policy":     swap("thread/started", `"onFailed":"pause"`, `"onFailed":"explode"`),
			"negative grace":     swap("thread/started", `"onDisconnect":"continue"`, `"onDisconnect":"continue","graceMs":-1`),
			"another status":     swap("turn/completed", `"status":"completed"`, `"status":"running"`),
			"a turn twice":       append(slices.Clone(good), seq(n, strings.TrimSuffix(strings.TrimPrefix(string(good[at("turn/started")]), `{"jsonrpc":"2.0","method":`), "}}"))),
			"nobody's queue":     swap("thread/queue/updated", `"turnIds":[`, `"turnIds":["`+trn+`",`),
			"doubled in queue":   append(slices.Clone(good), seq(n, `"thread/queue/updated","params":{"threadId":"THREAD","turnIds":[]`)),
			"rollback of others": append(slices.Clone(good), seq(n, `"thread/rolledBack","params":{"threadId":"THREAD","removedTurnIds":["`+trn+`"]`)),
			"an end of nothing":  append(slices.Clone(good), seq(n, `"turn/completed","params":{"threadId":"THREAD","turnId":"`+trn+`","turn":{"id":"`+trn+`","status":"completed"}`)),
			"a damaged item":     swap("item/completed", `"createdAt":"`, `"createdAt":"x`),
			"a turn's name":      swap("turn/completed", `"turn":`, `"Turn":`),
			"a turn's id":        swap("turn/completed", `"turn":{"id":`, `"turn":{"Id":`),
			"a turn with items":  swap("turn/completed", `"turn":{`, `"turn":{"items":[],`),
			"an item's name":     swap("item/completed", `"item":`, `"Item":`),
			"changes of nothing": swap("thread/items/changed", `"item":`, `"x":`),
			"no changes":         swap("thread/items/changed", `"changes":`, `"Changes":`),
			"another item":       swap("item/completed", `"itemId":"`, `"itemId":"x`),
			"a huge seq":         {json.RawMessage(strings.Replace(strings.Replace(string(good[0]), "thread/started", "thread/reset", 1), `"seq":1,`, `"seq":18446744073709551614,`, 1))},
		}
		for name, events := range tests {
			e := refused(t, protocol.CodeInvalidParams, w.m.Import, ann, protocol.ThreadImportParams{Events: events})
			if !strings.HasPrefix(e.Data.Field, "events") {
				t.Errorf("%s: %v", name, e)
			}
		}
		unknown := swap("thread/started", `"agent":"test"`, `"agent":"nobody"`)[:1]
		refused(t, protocol.CodeAgentNotFound, w.m.Import, ann, protocol.ThreadImportParams{Events: unknown})
		if h := do(t, w.m.Import, by("bo"), protocol.ThreadImportParams{Events: good}).Thread; h.Owner != "bo" {
			t.Errorf("%+v", h)
		}
		refused(t, protocol.CodeThreadNotFound, w.m.Read, ann, protocol.ThreadReadParams{ThreadID: fresh})
	})
}

func TestFork(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.story()
		do(t, w.m.AccessUpdate, ann, protocol.ThreadAccessUpdateParams{ThreadID: id, Grants: []protocol.Grant{{User: "bo", Role: protocol.RoleObserver}}})
		before := w.export(id)
		turns := w.turns(id, 10)
		ran := slices.DeleteFunc(slices.Clone(turns), func(tn protocol.Turn) bool { return tn.StartedAt == 0 })
		whole := do(t, w.m.Fork, ann, protocol.ThreadForkParams{ThreadID: id}).Thread
		if whole.ForkedFrom.ThreadID != id || whole.Title != "story" || string(whole.Metadata["a"]) != "1" || whole.Identity != nil || whole.Runtime.PendingItems != 2 {
			t.Errorf("%+v", whole)
		}
		same(t, "items", texts(w.items(id, 10)), texts(w.items(whole.ID, 10)))
		for _, tn := range w.turns(whole.ID, 10) {
			if tn.ThreadID != whole.ID || slices.ContainsFunc(turns, func(o protocol.Turn) bool { return o.ID == tn.ID }) {
				t.Errorf("%+v", tn)
			}
		}
		part := do(t, w.m.Fork, by("bo"), protocol.ThreadForkParams{ThreadID: id, UpToTurnID: ran[0].ID, Title: "part"}).Thread
		if part.Owner != "bo" || part.Title != "part" || part.ForkedFrom.TurnID != ran[0].ID {
			t.Errorf("%+v", part)
		}
		refused(t, protocol.CodeThreadNotFound, w.m.Read, ann, protocol.ThreadReadParams{ThreadID: part.ID})
		refused(t, protocol.CodeTurnNotFound, w.m.Fork, ann, protocol.ThreadForkParams{ThreadID: id, UpToTurnID: protocol.NewID(protocol.PrefixTurn)})
		refused(t, protocol.CodeThreadExists, w.m.Fork, ann, protocol.ThreadForkParams{ThreadID: id, NewThreadID: whole.ID})
		h := w.held(whole.ID, "on")
		history, _ := h.history()
		same(t, "history", append(texts(w.items(id, 10)), "on"), texts(history))
		same(t, "the source", before, w.export(id))
	})
}

func TestReset(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		id := w.story()
		w.subscribe(p, id, 0)
		h := w.held(id, "go")
		it := h.begin(protocol.ItemAgentMessage)
		h.speak(it, strings.Repeat("x", 70_000)) // has a checkpoint
		kept := w.run(id, "kept", protocol.BusyEnqueue)
		head := w.read(id).Thread.HeadSeq
		refused(t, protocol.CodeTurnInProgress, w.m.Reset, ann, protocol.ThreadResetParams{ThreadID: id})
		r := do(t, w.m.Reset, ann, protocol.ThreadResetParams{ThreadID: id, IfBusy: protocol.BusyThreadInterrupt, Queue: protocol.ResetQueueKeep})
		if r.Generation != 2 || r.RemovedTurns != 4 {
			t.Errorf("%+v", r)
		}
		now := w.read(id)
		if now.Thread.Title != "story" || now.Thread.HeadSeq <= head || now.Thread.Usage != (protocol.Usage{}) || now.Thread.Runtime.ActiveTurnID != kept.ID || now.Thread.Runtime.PendingItems != 0 {
			t.Errorf("%+v", now.Thread)
		}
		if left, _ := w.mem.Checkpoints(h.ctx, id); len(left) != 0 {
			t.Errorf("%d checkpoints", len(left))
		}
		m := newMirror(t, id, 0)
		m.apply(p.take(t))
		m.agrees(w)
		history, _ := w.with(kept.ID).history()
		same(t, "history", []string{"kept"}, texts(history))
		again := newMirror(t, id, 0)
		q := w.connect("ann")
		w.subscribe(q, id, 3)
		again.apply(q.take(t))
		again.agrees(w)
		sameBytes(t, m, again)
		for _, after := range []protocol.BusyThread{protocol.BusyThreadAfterTurn, protocol.BusyThreadInterrupt} {
			do(t, w.m.Reset, ann, protocol.ThreadResetParams{ThreadID: id, IfBusy: after})
		}
		if g := w.read(id).Thread.Generation; g != 4 {
			t.Errorf("generation %d", g)
		}
	})
}

func TestRollback(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.connect("ann")
		id := w.story()
		w.subscribe(p, id, 0)
		refused(t, protocol.CodeInvalidParams, w.m.Rollback, ann, protocol.ThreadRollbackParams{ThreadID: id})
		for _, many := range []int{3, math.MaxInt} { // no memory is taken for what a client only claims
			refused(t, protocol.CodeInvalidParams, w.m.Rollback, ann, protocol.ThreadRollbackParams{ThreadID: id, Turns: many})
		}
		do(t, w.m.Rollback, ann, protocol.ThreadRollbackParams{ThreadID: id, Turns: 1})
		history, _ := w.held(id, "on").history()
		same(t, "history", []string{"one", "Edited", "", "", "steered", "waits", "waits, too", "on"}, texts(history))
		refused(t, protocol.CodeTurnInProgress, w.m.Rollback, ann, protocol.ThreadRollbackParams{ThreadID: id, Turns: 1})
		m := newMirror(t, id, 0)
		m.apply(p.take(t))
		m.agrees(w)
	})
}

// FuzzImport imports whatever it is given and plays with what comes out: nothing may panic,
// hang or be lost at a restart.
func FuzzImport(f *testing.F) {
	for _, seed := range journals(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, lines string) {
		p := protocol.ThreadImportParams{}
		for line := range strings.Lines(lines) {
			if line = strings.TrimSpace(line); json.Valid([]byte(line)) {
				p.Events = append(p.Events, json.RawMessage(line))
			}
		}
		store := mem.New()
		m := echoing(t, store)
		r, err := try(m.Import, ann, p)
		if err != nil {
			return
		}
		id := r.Thread.ID
		list := protocol.ThreadTurnsListParams{ThreadID: id, Paging: protocol.Paging{Limit: 2}}
		for _, err := range []error{
			failure(try(m.TurnsList, ann, list)), failure(try(m.ItemsList, ann, list)),
			failure(try(m.Read, ann, protocol.ThreadReadParams{ThreadID: id, IncludeTurns: true})),
		} {
			if err != nil {
				t.Errorf("%v", err)
			}
		}
		before, _ := try(m.Export, ann, protocol.ThreadExportParams{ThreadID: id})
		if err := m.Shutdown(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
		if r.Thread.Lifetime.Mode == protocol.LifetimeEphemeral {
			return
		}
		m = echoing(t, store)
		after, err := try(m.Export, ann, protocol.ThreadExportParams{ThreadID: id})
		if err != nil || len(before.Events) != len(after.Events) {
			t.Fatalf("%d events before the restart, %d behind it, %v", len(before.Events), len(after.Events), err)
		}
		run := input(id, "go", protocol.BusyEnqueue)
		run.Wait = true
		_, _ = try(m.TurnRun, ann, run)
		_, _ = try(m.QueueResume, ann, protocol.QueueParams{ThreadID: id})
		_, _ = try(m.TurnRun, ann, run)
	})
}

func failure[R any](_ R, err error) error { return err }

// echoing opens a Manager whose agent says what it is told, until the test is over.
func echoing(t testing.TB, store storage.Store) *thread.Manager {
	t.Helper()
	m, err := thread.Open(context.Background(), thread.Config{
		Store: store, Ephemeral: mem.New(), Default: "test", Log: zerolog.Nop(),
		Agents: []turn.Spec{{Name: "test", Kind: "test", Agent: echo{}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Shutdown(context.Background(), time.Second); err != nil {
			t.Error(err)
		}
	})
	return m
}

// journals makes some to begin with.
func journals(f *testing.F) (all []string) {
	m := echoing(f, mem.New())
	id := (<-send(m.Start, ann, protocol.ThreadStartParams{})).result.Thread.ID
	run := func(text string) {
		p := input(id, text, protocol.BusyEnqueue)
		p.Wait = true
		<-send(m.TurnRun, ann, p)
	}
	export := func() {
		var lines []string
		for _, e := range (<-send(m.Export, ann, protocol.ThreadExportParams{ThreadID: id})).result.Events {
			lines = append(lines, string(e))
		}
		all = append(all, strings.Join(lines, "\n"))
	}
	run("hi")
	<-send(m.ItemsAppend, ann, protocol.ThreadItemsAppendParams{ThreadID: id, Items: []json.RawMessage{json.RawMessage(developer("x"))}})
	export()
	<-send(m.Reset, ann, protocol.ThreadResetParams{ThreadID: id})
	run("anew")
	export()
	<-send(m.Rollback, ann, protocol.ThreadRollbackParams{ThreadID: id, Turns: 1})
	<-send(m.QueuePause, ann, protocol.QueueParams{ThreadID: id})
	<-send(m.End, ann, protocol.ThreadChangeParams{ThreadID: id})
	export()
	return all
}
