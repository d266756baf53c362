package thread_test

import (
	"testing"
	"testing/synctest"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
)

// keyed is a turn/run with an idempotency key.
func keyed(id, text, key string) protocol.TurnRunParams {
	p := input(id, text, protocol.BusyEnqueue)
	p.IdempotencyKey = key
	return p
}

func TestS09SameKey(t *testing.T) {
	inWorld(t, func(w *world) {
		id, other := w.start(protocol.ThreadOptions{}), w.start(protocol.ThreadOptions{})
		w.gate.shut()
		var same []chan answer[protocol.TurnRunResult]
		for range 10 {
			same = append(same, send(w.m.TurnRun, ann, keyed(id, "deploy", "k1")))
		}
		wrong := send(w.m.TurnRun, ann, keyed(id, "destroy", "k1"))
		if e := protocol.AsError(now(t, wrong).err); e.Code != protocol.CodeIdempotencyMismatch {
			t.Errorf("while in flight: %v", e)
		}
		w.gate.lift()
		first := now(t, same[0])
		if first.err != nil || first.result.Replayed {
			t.Fatalf("%+v", first)
		}
		for _, got := range same[1:] {
			if a := now(t, got); a.err != nil || !a.result.Replayed || a.result.Turn.ID != first.result.Turn.ID || a.result.Disposition != first.result.Disposition {
				t.Errorf("%+v %v", a.result, a.err)
			}
		}
		for range 2 { // after the commit, then after a restart
			again := do(t, w.m.TurnRun, ann, keyed(id, "deploy", "k1"))
			if !again.Replayed || again.Turn.ID != first.result.Turn.ID {
				t.Errorf("%+v", again)
			}
			refused(t, protocol.CodeIdempotencyMismatch, w.m.TurnRun, ann, keyed(id, "destroy", "k1"))
			w.reopen()
		}
		if n := len(w.turns(id, 5)); n != 1 {
			t.Errorf("%d turns", n)
		}
		if r := do(t, w.m.TurnRun, ann, keyed(other, "deploy", "k1")); r.Replayed {
			t.Error("the key of another thread counts")
		}
		do(t, w.m.AccessUpdate, ann, protocol.ThreadAccessUpdateParams{ThreadID: id, Grants: []protocol.Grant{{User: "bo", Role: protocol.RoleParticipant}}})
		if r := do(t, w.m.TurnRun, by("bo"), keyed(id, "deploy", "k1")); r.Replayed {
			t.Error("the key of another user counts")
		}
	}, gated)
}

// A request that was refused left no trace, so its key is free.
func TestKeyOfARefusal(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		p := keyed(id, "next", "k")
		p.IfBusy = protocol.BusyReject
		refused(t, protocol.CodeTurnInProgress, w.m.TurnRun, ann, p)
		h.done(completes)
		if r := do(t, w.m.TurnRun, ann, p); r.Replayed {
			t.Errorf("%+v", r)
		}
	})
}

// A repeat is answered as the first request was, even where the turn it names is gone since.
func TestKeyOfATurnThatIsGone(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		queued := w.run(id, "later", protocol.BusyEnqueue)
		mutation := protocol.Mutation{IdempotencyKey: "steer"}
		steer := protocol.TurnSteerParams{Mutation: mutation, ThreadID: id, ExpectedTurnID: h.in.Turn.ID, Input: protocol.TextInput("hm")}
		mutation.IdempotencyKey = "remove"
		remove := protocol.QueueRemoveParams{Mutation: mutation, ThreadID: id, TurnID: queued.ID, ExpectedRevision: 1}
		mutation.IdempotencyKey = "interrupt"
		interrupt := protocol.TurnInterruptParams{Mutation: mutation, ThreadID: id, TurnID: h.in.Turn.ID}
		for i, want := range []bool{false, true} {
			steered := do(t, w.m.TurnSteer, ann, steer)
			removed := do(t, w.m.QueueRemove, ann, remove)
			interrupted := do(t, w.m.TurnInterrupt, ann, interrupt)
			if steered.Replayed != want || removed.Replayed != want || interrupted.Replayed != want ||
				steered.Turn.ID != h.in.Turn.ID || removed.Revision != 2 || interrupted.Outcome != protocol.Interrupting {
				t.Errorf("answer %d: %+v, %+v, %+v", i, steered, removed, interrupted)
			}
			if i == 0 {
				h.done(completes)
				do(t, w.m.Reset, ann, protocol.ThreadResetParams{ThreadID: id, IfBusy: protocol.BusyThreadInterrupt})
			}
		}
	})
}

// A repeated thread/items/update is answered, even where the turn of its item was removed.
func TestKeyOfAnItemThatIsGone(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		h.say("Hello")
		h.done(completes)
		item := w.items(id, 9)[1]
		update := protocol.ThreadItemsUpdateParams{
			Mutation: protocol.Mutation{IdempotencyKey: "k"}, ThreadID: id, ItemID: item.ID, ExpectedRevision: item.Revision, Patch: []byte(`{"text":"Bye"}`),
		}
		first := do(t, w.m.ItemsUpdate, ann, update)
		do(t, w.m.Rollback, ann, protocol.ThreadRollbackParams{ThreadID: id, Turns: 1})
		again := do(t, w.m.ItemsUpdate, ann, update)
		if first.Replayed || !again.Replayed || again.Item.Text != "Bye" || again.Item.Revision != first.Item.Revision {
			t.Errorf("%+v, then %+v", first, again)
		}
		update.IdempotencyKey = "new"
		refused(t, protocol.CodeItemNotFound, w.m.ItemsUpdate, ann, update)
	})
}

// A repeated thread/delete is answered, though nothing else of the thread is left.
func TestKeyOfADeletion(t *testing.T) {
	for name, c := range map[string]struct {
		mode protocol.LifetimeMode
		busy protocol.BusyThread
	}{
		"idle":                 {},
		"interrupted":          {busy: protocol.BusyThreadInterrupt},
		"later":                {busy: protocol.BusyThreadAfterTurn},
		"idle and ephemeral":   {mode: protocol.LifetimeEphemeral},
		"ephemeral, and later": {mode: protocol.LifetimeEphemeral, busy: protocol.BusyThreadAfterTurn},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				id := w.start(protocol.ThreadOptions{Lifetime: &protocol.Lifetime{Mode: c.mode}})
				run := keyed(id, "go", "run")
				if h := w.with(do(t, w.m.TurnRun, ann, run).Turn.ID); c.busy == "" {
					h.done(completes)
				}
				del := protocol.ThreadChangeParams{ThreadID: id, IfBusy: c.busy}
				del.IdempotencyKey = "delete"
				if r := do(t, w.m.Delete, ann, del); !r.Deleted || r.Replayed {
					t.Errorf("%+v", r)
				}
				if c.busy == protocol.BusyThreadAfterTurn {
					if r := do(t, w.m.Delete, ann, del); !r.Deleted || !r.Replayed {
						t.Errorf("while the turn runs: %+v", r)
					}
					w.with(w.read(id).Thread.Runtime.ActiveTurnID).done(completes)
				}
				for _, when := range []string{"at once", "after a restart"} {
					if c.mode == protocol.LifetimeEphemeral && when != "at once" {
						break
					}
					if r := do(t, w.m.Delete, ann, del); !r.Deleted || !r.Replayed {
						t.Errorf("%s: %+v", when, r)
					}
					refused(t, protocol.CodeThreadNotFound, w.m.TurnRun, ann, run) // what it said is gone
					w.reopen()
				}
			})
		})
	}
}

// With wait the repeat is answered with the end of the first turn.
func TestKeyAndWait(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := keyed(id, "go", "k")
		p.Wait = true
		first := send(w.m.TurnRun, ann, p)
		synctest.Wait()
		second := send(w.m.TurnRun, ann, p)
		synctest.Wait()
		h := w.with(w.read(id).Thread.Runtime.ActiveTurnID)
		h.say("done")
		h.done(completes)
		third := send(w.m.TurnRun, ann, p)
		for i, got := range []chan answer[protocol.TurnRunResult]{first, second, third} {
			a := now(t, got)
			if a.err != nil || a.result.Turn.Text != "done" || a.result.Turn.ID != h.in.Turn.ID || a.result.Replayed != (i > 0) {
				t.Errorf("%d: %+v %v", i, a.result, a.err)
			}
		}
	})
}

func TestKeysOfManyRequests(t *testing.T) {
	inWorld(t, func(w *world) {
		start := protocol.ThreadStartParams{}
		start.IdempotencyKey = "k"
		id := do(t, w.m.Start, ann, start).Thread.ID
		if r := do(t, w.m.Start, ann, start); r.Thread.ID != id || !r.Replayed {
			t.Errorf("%+v", r)
		}
		start.Title = "other"
		refused(t, protocol.CodeIdempotencyMismatch, w.m.Start, ann, start)

		h := w.held(id, "go")
		stop := protocol.TurnInterruptParams{ThreadID: id}
		stop.IdempotencyKey = "stop"
		one := do(t, w.m.TurnInterrupt, ann, stop)
		w.held(id, "again")
		if two := do(t, w.m.TurnInterrupt, ann, stop); two.TurnID != one.TurnID || !two.Replayed || two.Outcome != protocol.Interrupting {
			t.Errorf("%+v, then %+v", one, two)
		}
		if w.read(id).Thread.Runtime.ActiveTurnID == "" || h.in.Turn.ID != one.TurnID {
			t.Error("the repeat hit the next turn")
		}
		do(t, w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id})

		fork := protocol.ThreadForkParams{ThreadID: id}
		fork.IdempotencyKey = "fork"
		forked := do(t, w.m.Fork, ann, fork).Thread.ID
		if r := do(t, w.m.Fork, ann, fork); r.Thread.ID != forked || !r.Replayed {
			t.Errorf("%+v", r)
		}
		items := protocol.ThreadItemsAppendParams{ThreadID: id, Input: protocol.TextInput("hm")}
		items.IdempotencyKey = "append"
		a, b := do(t, w.m.ItemsAppend, ann, items), do(t, w.m.ItemsAppend, ann, items)
		if a.Items[0].ID != b.Items[0].ID || !b.Replayed {
			t.Errorf("%+v, then %+v", a, b)
		}
		back := protocol.ThreadRollbackParams{ThreadID: id, Turns: 1}
		back.IdempotencyKey = "rollback"
		do(t, w.m.Rollback, ann, back)
		if r := do(t, w.m.Rollback, ann, back); !r.Replayed {
			t.Errorf("%+v", r)
		}
		if n := len(w.turns(id, 5)); n != 1 {
			t.Errorf("%d turns are left", n)
		}
	})
}

func identity(user, context string) *protocol.Identity {
	return &protocol.Identity{Channel: "ide", User: user, Context: context}
}

func TestS30GetOrCreate(t *testing.T) {
	inWorld(t, func(w *world) {
		p := protocol.ThreadStartParams{ThreadOptions: protocol.ThreadOptions{Identity: identity("ann", "repo-x")}}
		get := func() protocol.ThreadGetOrCreateResult { return do(t, w.m.GetOrCreate, ann, p) }
		var all []chan answer[protocol.ThreadGetOrCreateResult]
		w.gate.shut()
		for range 50 {
			got := make(chan answer[protocol.ThreadGetOrCreateResult], 1)
			all = append(all, got)
			go func() { got <- <-send(w.m.GetOrCreate, ann, p) }()
		}
		synctest.Wait()
		w.gate.lift()
		ids, made := map[string]bool{}, 0
		for _, got := range all {
			a := now(t, got)
			if a.err != nil || a.result.Created == a.result.Resumed {
				t.Fatalf("%+v %v", a.result, a.err)
			}
			ids[a.result.Thread.ID] = true
			if a.result.Created {
				made++
			}
		}
		if len(ids) != 1 || made != 1 {
			t.Errorf("%d made, %d ids", made, len(ids))
		}
		first := get().Thread.ID
		do(t, w.m.Pause, ann, protocol.ThreadChangeParams{ThreadID: first})
		if r := get(); r.Thread.ID != first || r.Thread.Status != protocol.StatusActive || !r.Resumed {
			t.Errorf("paused: %+v", r)
		}
		w.reopen()
		if r := get(); r.Thread.ID != first {
			t.Errorf("after a restart: %+v", r)
		}
		do(t, w.m.Archive, ann, protocol.ThreadChangeParams{ThreadID: first})
		second := get()
		if second.Thread.ID == first || !second.Created {
			t.Errorf("archived: %+v", second)
		}
		p.Identity = identity("ann", "repo-y")
		if r := get(); r.Thread.ID == second.Thread.ID || !r.Created {
			t.Errorf("another context: %+v", r)
		}
		p.Identity = identity("ann", "repo-x")
		p.Agent = "other"
		if r := get(); !r.Created {
			t.Errorf("another agent: %+v", r)
		}
		p.Agent = ""
		p.Lifetime = &protocol.Lifetime{Mode: protocol.LifetimeConnection}
		refused(t, protocol.CodeInvalidConfig, w.m.GetOrCreate, ann, p)
		p.Lifetime = nil
		do(t, w.m.Delete, ann, protocol.ThreadChangeParams{ThreadID: second.Thread.ID})
		if r := get(); r.Thread.ID == second.Thread.ID || !r.Created {
			t.Errorf("deleted: %+v", r)
		}
		p.Identity = identity("bo", "")
		refused(t, protocol.CodeForbidden, w.m.GetOrCreate, ann, p)
		c := ann
		c.Caller.Admin = true
		do(t, w.m.GetOrCreate, c, p)
		p.Identity = nil
		refused(t, protocol.CodeInvalidParams, w.m.GetOrCreate, ann, p)
		p.Identity = identity("", "")
		if a, b := do(t, w.m.GetOrCreate, ann, p), do(t, w.m.GetOrCreate, by("bo"), p); a.Thread.ID == b.Thread.ID || !b.Created {
			t.Errorf("two owners share %s", a.Thread.ID)
		}
	}, gated)
}

// A thread that could not be made is not found later.
func TestGetOrCreateAfterAFailure(t *testing.T) {
	inWorld(t, func(w *world) {
		p := protocol.ThreadStartParams{ThreadOptions: protocol.ThreadOptions{Identity: identity("", "")}}
		used := w.start(protocol.ThreadOptions{})
		p.ThreadID = used
		refused(t, protocol.CodeThreadExists, w.m.GetOrCreate, ann, p)
		p.ThreadID = ""
		if r := do(t, w.m.GetOrCreate, ann, p); !r.Created {
			t.Errorf("%+v", r)
		}
	})
}

func TestChosenThreadIDs(t *testing.T) {
	inWorld(t, func(w *world) {
		id := protocol.NewID(protocol.PrefixThread)
		start := func(c thread.Call, id string) error {
			_, err := try(w.m.Start, c, protocol.ThreadStartParams{ThreadOptions: protocol.ThreadOptions{ThreadID: id}})
			synctest.Wait()
			return err
		}
		if err := start(ann, id); err != nil {
			t.Fatal(err)
		}
		for _, when := range []string{"living", "of another", "deleted", "deleted before the restart"} {
			c := ann
			if when == "of another" {
				c = by("bo")
			}
			if err := start(c, id); protocol.AsError(err).Code != protocol.CodeThreadExists {
				t.Errorf("%s: %v", when, err)
			}
			switch when {
			case "of another":
				do(t, w.m.Delete, ann, protocol.ThreadChangeParams{ThreadID: id})
			case "deleted":
				w.reopen()
			}
		}
		for _, bad := range []string{"x", "thr_", "trn_" + id[4:], "thr_" + "zzzzzzzzzzzzzzzzzzzzzzzzzz"} {
			if err := start(ann, bad); protocol.AsError(err).Data.Field != "threadId" {
				t.Errorf("%q: %v", bad, err)
			}
		}
	})
}
