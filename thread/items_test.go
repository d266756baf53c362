package thread_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/faulty"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
)

// texts names items by what they say.
func texts(items []protocol.Item) []string {
	all := []string{}
	for _, it := range items {
		said := it.Text
		var parts []protocol.Part
		if it.Type == protocol.ItemUserMessage && json.Unmarshal(it.Content, &parts) == nil {
			said = protocol.PartsText(parts)
		}
		all = append(all, said)
	}
	return all
}

func (w *world) append(id string, deliver protocol.ItemsAppendDeliver, items ...string) []protocol.Item {
	w.t.Helper()
	p := protocol.ThreadItemsAppendParams{ThreadID: id, Deliver: deliver}
	for _, it := range items {
		p.Items = append(p.Items, json.RawMessage(it))
	}
	return do(w.t, w.m.ItemsAppend, ann, p).Items
}

// Items that were steered into a turn and not taken wait in the order in which they came.
func TestUntakenItemsKeepTheirOrder(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		w.append(id, protocol.DeliverSteer, developer("1"), developer("2"))
		w.run(id, "a", protocol.BusySteer)
		w.append(id, protocol.DeliverSteer, developer("3"))
		w.run(id, "b", protocol.BusySteer)
		h.done(completes)
		next := w.with(w.read(id).Thread.Runtime.ActiveTurnID)
		history, err := next.history()
		if err != nil {
			t.Fatal(err)
		}
		same(t, "history", []string{"go", "1", "2", "3", "a"}, texts(history))
		if q := w.queue(id).Turns; len(q) != 1 || q[0].Input.Text() != "b" {
			t.Errorf("%+v", q)
		}
	})
}

// What a request answered must not change afterwards.
func TestAnswersDoNotChange(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		items := w.append(id, protocol.DeliverSteer, `{"type":"userMessage","content":[{"type":"text","text":"hm"}]}`)
		var it protocol.Item
		h.step(func(out turn.Emitter) { it, _ = out.Steered() })
		synctest.Wait()
		if it.Delivery != protocol.DeliverySteer || items[0].Delivery != protocol.DeliveryPending {
			t.Errorf("%s, answered %s", it.Delivery, items[0].Delivery)
		}
	})
}

func TestS39AppendWithoutRunning(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		refused(t, protocol.CodeInvalidParams, w.m.TurnRun, ann, protocol.TurnRunParams{TurnInput: protocol.TurnInput{ThreadID: id, RunPending: true}})
		w.append(id, "", developer("User is in New York"), `{"type":"agentMessage","text":"I always write formally."}`)
		refused(t, protocol.CodeInvalidParams, w.m.TurnRun, ann, protocol.TurnRunParams{TurnInput: protocol.TurnInput{ThreadID: id, RunPending: true}})
		do(t, w.m.ItemsAppend, ann, protocol.ThreadItemsAppendParams{ThreadID: id, Input: protocol.TextInput("hello")})
		w.reopen()
		if r := w.read(id).Thread.Runtime; r.Busy || r.PendingItems != 3 {
			t.Errorf("%+v", r)
		}
		r := do(t, w.m.TurnRun, ann, protocol.TurnRunParams{TurnInput: protocol.TurnInput{ThreadID: id, RunPending: true}})
		h := w.with(r.Turn.ID)
		w.append(id, "", developer("later"))
		history, _ := h.history()
		same(t, "history", []string{"User is in New York", "I always write formally.", "hello"}, texts(history))
		if history[1].Origin != protocol.OriginInjected || history[1].TurnID != r.Turn.ID {
			t.Errorf("%+v", history[1])
		}
		h.done(completes)
		if r := w.read(id).Thread.Runtime; r.PendingItems != 1 {
			t.Errorf("%+v", r)
		}
	})
}

func TestAppendRefuses(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		for _, bad := range []string{
			`{"type":"agentMessage","text":"x","id":"itm_00VHNCZD607V28KJ8MGN0RTBN6"}`,
			`{"type":"approval","operation":"rm"}`, `{"type":"agentMessage","status":"inProgress"}`,
			`{"type":"agentMessage","origin":"turn"}`, `{"type":"nothing"}`,
		} {
			refused(t, protocol.CodeInvalidParams, w.m.ItemsAppend, ann, protocol.ThreadItemsAppendParams{ThreadID: id, Items: []json.RawMessage{json.RawMessage(bad)}})
		}
		refused(t, protocol.CodeInvalidParams, w.m.ItemsAppend, ann, protocol.ThreadItemsAppendParams{ThreadID: id})
		if head := w.read(id).Thread.HeadSeq; head != 1 {
			t.Errorf("head %d", head)
		}
	})
}

// history gives the items of the thread by the id of each.
func byID(items []protocol.Item) map[string]protocol.Item {
	m := map[string]protocol.Item{}
	for _, it := range items {
		m[it.ID] = it
	}
	return m
}

func (w *world) update(id string, it protocol.Item, patch string) protocol.Item {
	w.t.Helper()
	return do(w.t, w.m.ItemsUpdate, ann, protocol.ThreadItemsUpdateParams{ThreadID: id, ItemID: it.ID, ExpectedRevision: it.Revision, Patch: json.RawMessage(patch)}).Item
}

func (w *world) replace(id string, items ...any) error {
	p := protocol.ThreadItemsReplaceParams{ThreadID: id, ExpectedSeq: w.read(id).Thread.HeadSeq, Items: []json.RawMessage{}}
	for _, it := range items {
		raw, _ := json.Marshal(it)
		p.Items = append(p.Items, raw)
	}
	_, err := try(w.m.ItemsReplace, ann, p)
	synctest.Wait()
	return err
}

// A replacement is the newest word on an item, whatever was changed before.
func TestReplaceOutranksOlderEdits(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		h.say("Hello")
		h.done(completes)
		items := w.items(id, 10)
		edited := w.update(id, items[1], `{"text":"edited"}`)
		if edited.Revision != 2 || texts(w.items(id, 10))[1] != "edited" {
			t.Errorf("%+v", edited)
		}
		it := items[1]
		it.Text = "replaced"
		if err := w.replace(id, items[0], it); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			got := w.items(id, 10)
			same(t, "items", []string{"go", "replaced"}, texts(got))
			if got[0].Delivery != protocol.DeliveryInput {
				t.Errorf("%+v", got[0])
			}
			w.reopen()
		}
	})
}

// An item can belong only to a turn that ran.
func TestReplaceRefusesForeignTurns(t *testing.T) {
	inWorld(t, func(w *world) {
		id, other := w.start(protocol.ThreadOptions{}), w.start(protocol.ThreadOptions{})
		h := w.held(other, "elsewhere")
		h.done(completes)
		foreign := w.items(other, 10)[0]
		foreign.ID = ""
		w.held(id, "go").done(completes)
		w.held(id, "again")
		waits := w.run(id, "queued", protocol.BusyEnqueue)
		do(t, w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id})
		head := w.read(id).Thread.HeadSeq
		for _, turnID := range []string{foreign.TurnID, waits.ID, protocol.NewID(protocol.PrefixTurn)} {
			it := protocol.Item{Type: protocol.ItemAgentMessage, Text: "x", TurnID: turnID}
			raw, _ := json.Marshal(map[string]any{"type": it.Type, "text": it.Text, "turnId": it.TurnID})
			if err := w.replace(id, json.RawMessage(raw)); protocol.AsError(err).Data.Field != "items[0].turnId" {
				t.Errorf("%v", err)
			}
		}
		if now := w.read(id).Thread.HeadSeq; now != head {
			t.Errorf("head %d, was %d", now, head)
		}
	})
}

// What was rolled back is told to no agent any more, also where a replacement held it.
func TestRollbackAfterReplace(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		for _, text := range []string{"one", "two"} {
			w.held(id, text).done(completes)
		}
		items := w.items(id, 10)
		if err := w.replace(id, items[0], items[1], json.RawMessage(developer("loose"))); err != nil {
			t.Fatal(err)
		}
		do(t, w.m.Rollback, ann, protocol.ThreadRollbackParams{ThreadID: id, Turns: 1})
		same(t, "items", []string{"loose", "one"}, texts(w.items(id, 1)))
		refused(t, protocol.CodeItemNotFound, w.m.ItemsUpdate, ann, protocol.ThreadItemsUpdateParams{ThreadID: id, ItemID: items[1].ID, ExpectedRevision: 1, Patch: json.RawMessage(`{"metadata":{}}`)})
		history, _ := w.held(id, "three").history()
		same(t, "history", []string{"loose", "one", "three"}, texts(history))
	})
}

// A list read while turns come and go gives those of its moment, and no error.
func TestListsBesideNewTurns(t *testing.T) {
	for _, order := range []protocol.ListOrder{protocol.OrderAsc, protocol.OrderDesc} {
		var hold func(string) // called before a read of the store
		inWorld(t, func(w *world) {
			id := w.start(protocol.ThreadOptions{})
			for i := range 3 {
				w.held(id, fmt.Sprint(i)).done(completes)
			}
			for _, list := range []func() (int, string, error){
				func() (int, string, error) {
					r, err := try(w.m.TurnsList, ann, protocol.ThreadTurnsListParams{ThreadID: id, Order: order, Paging: protocol.Paging{Limit: 2}})
					return len(r.Data), r.NextCursor, err
				},
				func() (int, string, error) {
					r, err := try(w.m.ItemsList, ann, protocol.ThreadTurnsListParams{ThreadID: id, Order: order, Paging: protocol.Paging{Limit: 2}})
					return len(r.Data), r.NextCursor, err
				},
			} {
				hold = func(method string) {
					if method != "Turns" {
						return
					}
					hold = nil
					go func() { _, _ = try(w.m.TurnRun, ann, input(id, "new", protocol.BusyInterrupt)) }()
					synctest.Wait()
				}
				if n, next, err := list(); n != 2 || next == "" || err != nil {
					t.Errorf("%s: %d, next %q, %v", order, n, next, err)
				}
				w.with(w.read(id).Thread.Runtime.ActiveTurnID).done(completes)
			}
		}, hooked(faulty.Hooks{BeforeRead: func(method string) error {
			if hold != nil {
				hold(method)
			}
			return nil
		}}))
	}
}

// Between the look at the journal and the change a reset, a rollback or a replacement may
// take the item away.
func TestUpdateOfAnItemThatGoes(t *testing.T) {
	for name, go_ := range map[string]func(w *world, id string){
		"reset": func(w *world, id string) { <-send(w.m.Reset, ann, protocol.ThreadResetParams{ThreadID: id}) },
		"rollback": func(w *world, id string) {
			<-send(w.m.Rollback, ann, protocol.ThreadRollbackParams{ThreadID: id, Turns: 1})
		},
		"replace": func(w *world, id string) {
			<-send(w.m.ItemsReplace, ann, protocol.ThreadItemsReplaceParams{ThreadID: id, ExpectedSeq: 6, Items: []json.RawMessage{}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var hold func(string)
			inWorld(t, func(w *world) {
				id := w.start(protocol.ThreadOptions{})
				h := w.held(id, "go")
				h.say("Hello")
				h.done(completes)
				it := w.items(id, 10)[1]
				hold = func(method string) {
					if method == "Key" { // it was found, and is not changed yet
						hold = nil
						go go_(w, id)
						synctest.Wait()
					}
				}
				p := protocol.ThreadItemsUpdateParams{ThreadID: id, ItemID: it.ID, ExpectedRevision: 1, Patch: json.RawMessage(`{"text":"ghost"}`)}
				p.IdempotencyKey = "k"
				refused(t, protocol.CodeItemNotFound, w.m.ItemsUpdate, ann, p)
				if n := len(w.export(id)); n != 1 && n != 7 {
					t.Errorf("%d events", n)
				}
				if strings.Contains(fmt.Sprintf("%s", w.export(id)), "ghost") {
					t.Error("an item was changed that the thread has not")
				}
			}, hooked(faulty.Hooks{BeforeRead: func(method string) error {
				if hold != nil {
					hold(method)
				}
				return nil
			}}))
		})
	}
}

// A change that is not told yet must not outlive what took its item away.
func TestUpdateBehindAReset(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		h.say("Hello")
		h.done(completes)
		it := w.items(id, 10)[1]
		w.gate.shut()
		first := send(w.m.ItemsUpdate, ann, protocol.ThreadItemsUpdateParams{ThreadID: id, ItemID: it.ID, ExpectedRevision: 1, Patch: json.RawMessage(`{"text":"new"}`)})
		synctest.Wait()
		send(w.m.Reset, ann, protocol.ThreadResetParams{ThreadID: id})
		var second answer[protocol.ThreadItemsUpdateResult]
		go func() {
			second = <-send(w.m.ItemsUpdate, ann, protocol.ThreadItemsUpdateParams{ThreadID: id, ItemID: it.ID, ExpectedRevision: 2, Patch: json.RawMessage(`{"text":"ghost"}`)})
		}()
		synctest.Wait()
		w.gate.lift()
		if a := now(t, first); a.err != nil {
			t.Error(a.err)
		}
		if protocol.AsError(second.err).Code != protocol.CodeItemNotFound {
			t.Errorf("%+v, %v", second.result, second.err)
		}
	}, gated)
}

func TestS40TwoUpdates(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		h.step(func(out turn.Emitter) {
			out.Add(protocol.Item{Type: protocol.ItemCustom, Kind: "form", Role: "assistant", Content: json.RawMessage(`{"formType":"contact"}`)})
		})
		h.done(completes)
		it := w.items(id, 10)[1]
		w.update(id, it, `{"content":{"submitted":true}}`)
		p := protocol.ThreadItemsUpdateParams{ThreadID: id, ItemID: it.ID, ExpectedRevision: it.Revision, Patch: json.RawMessage(`{"metadata":{"liked":true}}`)}
		e := refused(t, protocol.CodeConflict, w.m.ItemsUpdate, ann, p)
		if e.Data.Item == nil || e.Data.Item.Revision != 2 {
			t.Errorf("%+v", e.Data)
		}
		p.ExpectedRevision = 2
		both := do(t, w.m.ItemsUpdate, ann, p).Item
		if string(both.Content) != `{"formType":"contact","submitted":true}` || string(both.Metadata["liked"]) != "true" || both.Revision != 3 {
			t.Errorf("%+v", both)
		}
		w.reopen()
		same(t, "after a restart", both, byID(w.items(id, 10))[it.ID])
		for _, patch := range []string{`{"id":"x"}`, `{"status":"failed"}`, `{"revision":9}`, `{"text":"x"}`, `[]`, `1`} {
			p.ExpectedRevision, p.Patch = 3, json.RawMessage(patch)
			refused(t, protocol.CodeInvalidParams, w.m.ItemsUpdate, ann, p)
		}
	})
}

func TestOutputTooLarge(t *testing.T) {
	big := strings.Repeat("x", 101)
	tests := map[string]func(out turn.Emitter){
		"append": func(out turn.Emitter) {
			it := out.Begin(protocol.Item{Type: protocol.ItemAgentMessage})
			it.Append(big[:100])
			it.Append("y")
			it.Append("after")
		},
		"begin": func(out turn.Emitter) { out.Begin(protocol.Item{Type: protocol.ItemAgentMessage, Text: big}) },
		"add":   func(out turn.Emitter) { out.Add(protocol.Item{Type: protocol.ItemAgentMessage, Text: big}) },
		"complete": func(out turn.Emitter) {
			out.Begin(protocol.Item{Type: protocol.ItemAgentMessage}).Complete(func(it *protocol.Item) { it.Text = big })
		},
		"state": func(out turn.Emitter) {
			out.Begin(protocol.Item{Type: protocol.ItemState}).Patch(json.RawMessage(`{"a":"` + big + `"}`))
		},
	}
	for name, act := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				id := w.start(protocol.ThreadOptions{})
				p := w.connect("ann")
				w.subscribe(p, id, 0)
				h := w.held(id, "go")
				h.step(act)
				synctest.Wait()
				tn := w.turn(id, h.in.Turn.ID)
				if tn.Status != protocol.TurnFailed || tn.Error.Code != protocol.TurnErrOutputTooLarge {
					t.Errorf("%s %+v", tn.Status, tn.Error)
				}
				for _, it := range tn.Items {
					if len(it.Text)+len(it.State) > 100 {
						t.Errorf("an item of %d bytes", len(it.Text)+len(it.State))
					}
				}
				m := newMirror(t, id, 0)
				m.apply(p.take(t))
				m.agrees(w)
			}, limits(thread.Limits{MaxItemBytes: 100}))
		})
	}
}

// The store sees one batch for the end of a turn and the start of the next.
func TestEndAndStartAreOneCommit(t *testing.T) {
	var batches []*storage.Batch
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		w.run(id, "next", protocol.BusyEnqueue)
		batches = nil
		h.done(completes)
		methods := methods(framesOf(batches[0].Events))
		same(t, "the first commit", []string{"turn/completed", "turn/started"}, methods)
	}, hooked(faulty.Hooks{BeforeCommit: func(b *storage.Batch) error { batches = append(batches, b); return nil }}))
}

func framesOf(events []storage.Event) []protocol.Frame {
	frames := make([]protocol.Frame, len(events))
	for i, e := range events {
		frames[i] = e.Frame
	}
	return frames
}
