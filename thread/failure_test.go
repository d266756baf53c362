package thread_test

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/faulty"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
)

// disk fails when it is told to.
type disk struct{ broken atomic.Bool }

func (d *disk) setup(w *world) {
	w.hooks = faulty.Hooks{BeforeCommit: func(*storage.Batch) error {
		if d.broken.Load() {
			return errors.New("input/output error")
		}
		return nil
	}}
}

func (d *disk) behindAGate(w *world) {
	w.gate = newGate()
	hold := w.gate.hooks().BeforeCommit
	d.setup(w)
	fail := w.hooks.BeforeCommit
	w.hooks.BeforeCommit = func(b *storage.Batch) error {
		_ = hold(b)
		return fail(b)
	}
}

func TestFailedCommit(t *testing.T) {
	var d disk
	inWorld(t, func(w *world) {
		id, idle := w.start(protocol.ThreadOptions{Title: "old"}), w.start(protocol.ThreadOptions{})
		p, q := w.connect("ann"), w.connect("ann")
		w.subscribe(p, id, 0)
		h := w.held(id, "go")
		it := h.begin(protocol.ItemAgentMessage)
		h.speak(it, "Hello")
		w.run(id, "next", protocol.BusyEnqueue)
		waits := send(w.m.TurnWait, ann, protocol.TurnWaitParams{ThreadID: id, TurnID: h.in.Turn.ID})
		p.take(t)
		kept := w.export(id)

		d.broken.Store(true)
		e := refused(t, protocol.CodeStorageUnavailable, w.m.Rename, from(p), protocol.ThreadRenameParams{ThreadID: id, Title: "new"})
		if e.Data.Hint == "" {
			t.Errorf("%+v", e)
		}
		if got := p.take(t); !slices.Equal(methods(got), []string{"answer"}) {
			t.Errorf("told what is not kept: %s", methods(got))
		}
		<-h.over // the agent was stopped
		if a := now(t, waits); protocol.AsError(a.err).Code != protocol.CodeStorageUnavailable {
			t.Errorf("turn/wait: %+v %v", a.result, a.err)
		}
		if w.m.AcceptingTurns() {
			t.Error("turns are still accepted")
		}
		if n := w.m.Stats().RunningTurns; n != 0 {
			t.Errorf("%d turns run", n)
		}
		for _, later := range []error{
			refused(t, protocol.CodeStorageUnavailable, w.m.TurnRun, ann, input(idle, "hi", "")),
			refused(t, protocol.CodeStorageUnavailable, w.m.Start, ann, protocol.ThreadStartParams{}),
			refused(t, protocol.CodeStorageUnavailable, w.m.Delete, ann, protocol.ThreadChangeParams{ThreadID: id}),
			refused(t, protocol.CodeStorageUnavailable, w.m.Rename, ann, protocol.ThreadRenameParams{ThreadID: idle}),
		} {
			if protocol.AsError(later).Data.Hint == "" {
				t.Errorf("%+v", later)
			}
		}
		if r := w.read(id); r.Thread.Title != "old" || r.Thread.HeadSeq != uint64(len(kept)) {
			t.Errorf("read: %+v", r.Thread)
		}
		same(t, "export", kept, w.export(id))
		w.subscribe(q, id, 0)
		m := newMirror(t, id, 0)
		m.apply(q.take(t))
		if m.seq != uint64(len(kept)) {
			t.Errorf("the replay ends at %d of %d", m.seq, len(kept))
		}
	}, d.setup)
}

// A turn whose end could not be kept is read as it is kept: it runs. Nobody can interrupt it.
func TestReadOfATurnThatRanAtTheFailure(t *testing.T) {
	var d disk
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		w.held(id, "first").done(completes)
		h := w.held(id, "go")
		h.say("kept")
		d.broken.Store(true)
		h.done(completes)
		if w.m.AcceptingTurns() {
			t.Fatal("the store has not failed")
		}
		for what, tn := range map[string]protocol.Turn{
			"turn/read": w.turn(id, h.in.Turn.ID), "thread/read": (*w.read(id).Turns)[1],
		} {
			if tn.ID != h.in.Turn.ID || tn.Status != protocol.TurnRunning || len(tn.Items) != 2 || tn.Items[1].Text != "kept" {
				t.Errorf("%s: %+v", what, tn)
			}
		}
		if turns := w.turns(id, 1); len(turns) != 2 || turns[1].ID != h.in.Turn.ID || turns[1].Status != protocol.TurnRunning {
			t.Errorf("turns: %+v", turns)
		}
		if items := w.items(id, 1); len(items) != 3 || items[2].Text != "kept" {
			t.Errorf("items: %+v", items)
		}
		for _, turnID := range []string{"", h.in.Turn.ID} {
			refused(t, protocol.CodeStorageUnavailable, w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id, TurnID: turnID})
		}
		d.broken.Store(false)
		w.reopen()
		if tn := w.turn(id, h.in.Turn.ID); tn.Status != protocol.TurnFailed {
			t.Errorf("after a restart: %+v", tn)
		}
	}, d.setup)
}

// What stands behind a commit that fails is not kept either, whether it writes or reads.
func TestFailedCommitTakesLaterOnesAlong(t *testing.T) {
	var d disk
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.connect("ann")
		h := w.held(id, "go")
		it := h.begin(protocol.ItemAgentMessage)
		inner := w.gate
		inner.shut()
		renamed := send(w.m.Rename, ann, protocol.ThreadRenameParams{ThreadID: id, Title: "new"})
		queued := send(w.m.TurnRun, ann, input(id, "next", protocol.BusyEnqueue))
		h.step(func(turn.Emitter) { it.Append("live") })
		waits := send(w.m.TurnRun, ann, protocol.TurnRunParams{TurnInput: protocol.TurnInput{ThreadID: id, Input: protocol.TextInput("third"), Wait: true}, IfBusy: protocol.BusyEnqueue})
		subscribed := send(w.m.Subscribe, from(p), protocol.ThreadSubscribeParams{ThreadID: id})
		listed := send(w.m.QueueList, ann, protocol.ThreadParams{ThreadID: id})
		var read answer[thread.ReadResult]
		go func() { read.result, read.err = try(w.m.Read, ann, protocol.ThreadReadParams{ThreadID: id}) }()
		synctest.Wait()
		d.broken.Store(true)
		inner.lift()
		for what, err := range map[string]error{
			"rename": now(t, renamed).err, "run": now(t, queued).err, "run and wait": now(t, waits).err,
			"subscribe": now(t, subscribed).err, "queue/list": now(t, listed).err, "read": read.err,
		} {
			if protocol.AsError(err).Code != protocol.CodeStorageUnavailable {
				t.Errorf("%s: %v", what, err)
			}
		}
		if n := len(w.queue(id).Turns); n != 0 {
			t.Errorf("%d turns are queued that are not kept", n)
		}
	}, d.behindAGate)
}

// What is said of an item that was not kept is told to nobody.
func TestDeltasOfAnItemThatIsNotKept(t *testing.T) {
	var d disk
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.connect("ann")
		w.subscribe(p, id, 0)
		h := w.held(id, "go")
		p.take(t)
		w.gate.shut()
		it := h.begin(protocol.ItemAgentMessage)
		h.step(func(turn.Emitter) { it.Append("lost") })
		synctest.Wait()
		d.broken.Store(true)
		w.gate.lift()
		synctest.Wait()
		if got := methods(p.take(t)); len(got) > 0 {
			t.Errorf("told %s of what is not kept", got)
		}
	}, d.behindAGate)
}

// What is told live says nothing of what must be kept before it.
func TestReadBehindADelta(t *testing.T) {
	var d disk
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{Title: "old"})
		h := w.held(id, "go")
		it := h.begin(protocol.ItemAgentMessage)
		w.gate.shut()
		send(w.m.Rename, ann, protocol.ThreadRenameParams{ThreadID: id, Title: "new"})
		h.step(func(turn.Emitter) { it.Append("live") })
		var read answer[thread.ReadResult]
		go func() { read.result, read.err = try(w.m.Read, ann, protocol.ThreadReadParams{ThreadID: id}) }()
		synctest.Wait()
		d.broken.Store(true)
		w.gate.lift()
		if protocol.AsError(read.err).Code != protocol.CodeStorageUnavailable {
			t.Errorf("read %q, %v", read.result.Thread.Title, read.err)
		}
	}, d.behindAGate)
}

// A start that fails is as if it had not been.
func TestFailedStart(t *testing.T) {
	var d disk
	inWorld(t, func(w *world) {
		d.broken.Store(true)
		id := protocol.NewID(protocol.PrefixThread)
		refused(t, protocol.CodeStorageUnavailable, w.m.Start, ann, protocol.ThreadStartParams{ThreadOptions: protocol.ThreadOptions{ThreadID: id}})
		refused(t, protocol.CodeThreadNotFound, w.m.Read, ann, protocol.ThreadReadParams{ThreadID: id})
		if l := do(t, w.m.List, ann, protocol.ThreadListParams{}); len(l.Data) != 0 {
			t.Errorf("%+v", l)
		}
	}, d.setup)
}

func TestDiskNearlyFull(t *testing.T) {
	var full atomic.Bool
	inWorld(t, func(w *world) {
		id, other := w.start(protocol.ThreadOptions{}), w.start(protocol.ThreadOptions{})
		w.held(other, "go").done(completes)
		pending := do(t, w.m.ItemsAppend, ann, protocol.ThreadItemsAppendParams{ThreadID: other, Input: protocol.TextInput("waits")}).Items[0]
		h := w.held(id, "go")
		queued := w.run(id, "next", protocol.BusyEnqueue)
		full.Store(true)
		if w.m.AcceptingTurns() {
			t.Error("turns are still accepted")
		}
		if e := refused(t, protocol.CodeStorageUnavailable, w.m.Start, ann, protocol.ThreadStartParams{}); !strings.Contains(e.Message, "limits.disk_reserve") || !strings.Contains(e.Data.Hint, "need not be restarted") {
			t.Errorf("a person is told %q, %q", e.Message, e.Data.Hint)
		}
		refused(t, protocol.CodeStorageUnavailable, w.m.Fork, ann, protocol.ThreadForkParams{ThreadID: id})
		refused(t, protocol.CodeStorageUnavailable, w.m.TurnRun, ann, input(id, "hi", protocol.BusyEnqueue))
		refused(t, protocol.CodeStorageUnavailable, w.m.TurnSteer, ann, protocol.TurnSteerParams{ThreadID: id, ExpectedTurnID: h.in.Turn.ID, Input: protocol.TextInput("hm")})
		refused(t, protocol.CodeStorageUnavailable, w.m.ItemsAppend, ann, protocol.ThreadItemsAppendParams{ThreadID: other, Input: protocol.TextInput("x")})
		refused(t, protocol.CodeStorageUnavailable, w.m.ItemsReplace, ann, protocol.ThreadItemsReplaceParams{ThreadID: other, ExpectedSeq: w.read(other).Thread.HeadSeq})
		refused(t, protocol.CodeStorageUnavailable, w.m.ItemsUpdate, ann, protocol.ThreadItemsUpdateParams{ThreadID: other, ItemID: pending.ID, ExpectedRevision: 1, Patch: []byte(`{"metadata":{}}`)})
		refused(t, protocol.CodeStorageUnavailable, w.m.QueueUpdate, ann, protocol.QueueUpdateParams{ThreadID: id, TurnID: queued.ID, ExpectedRevision: 1, Input: protocol.TextInput("x")})
		do(t, w.m.QueueRemove, ann, protocol.QueueRemoveParams{ThreadID: id, TurnID: queued.ID, ExpectedRevision: 1})
		do(t, w.m.Rename, ann, protocol.ThreadRenameParams{ThreadID: id, Title: "small"})
		do(t, w.m.Rollback, ann, protocol.ThreadRollbackParams{ThreadID: other, Turns: 1})
		if r := do(t, w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id}); r.Outcome != protocol.Interrupting {
			t.Errorf("%+v", r)
		}
		if tn := w.turn(id, h.in.Turn.ID); tn.Status != protocol.TurnCancelled {
			t.Errorf("%+v", tn)
		}
		do(t, w.m.Delete, ann, protocol.ThreadChangeParams{ThreadID: other})
		full.Store(false)
		w.held(id, "hi").done(completes)
	}, func(w *world) { w.cfg.Full = full.Load })
}

// A read that fails is an error of the store, and says nothing of paths.
func TestFailedRead(t *testing.T) {
	var broken atomic.Bool
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		w.held(id, "go").done(completes)
		broken.Store(true)
		e := refused(t, protocol.CodeStorageUnavailable, w.m.TurnsList, ann, protocol.ThreadTurnsListParams{ThreadID: id})
		if e.Message == "" || slices.Contains([]byte(e.Message), '/') {
			t.Errorf("%q", e.Message)
		}
		refused(t, protocol.CodeStorageUnavailable, w.m.ItemsList, ann, protocol.ThreadItemsListParams{ThreadID: id})
		refused(t, protocol.CodeStorageUnavailable, w.m.Export, ann, protocol.ThreadExportParams{ThreadID: id})
		broken.Store(false)
		if n := len(w.turns(id, 5)); n != 1 {
			t.Errorf("%d turns", n)
		}
	}, hooked(faulty.Hooks{BeforeRead: func(string) error {
		if broken.Load() {
			return &storage.Error{Op: "read", Path: "/var/lib/spool", Err: errors.New("input/output error")}
		}
		return nil
	}}))
}
