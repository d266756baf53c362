package thread_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
)

// TestRules plays random requests, agents and crashes against the model, and looks after
// each step whether a client that follows, a client that replays and every read agree.
func TestRules(t *testing.T) { checkInBubble(t, playRules) }

// checkInBubble is rapid.Check in a bubble.
func checkInBubble(t *testing.T, prop func(*rapid.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		// A bubble has no deadline, and rapid asks whoever can have one.
		rapid.Check(struct{ testing.TB }{t}, prop)
	})
}

// game is one play.
type game struct {
	*world
	rt    *rapid.T
	id    string
	model model
	peer  *peer
	live  *mirror
	ends  map[string]int // terminal events of each turn that was ever told
	open  []turn.Item    // items in progress of the running turn
	texts int
}

func playRules(rt *rapid.T) {
	reaction := rapid.SampledFrom([]protocol.QueueReaction{"", protocol.QueuePause, protocol.QueueContinue, protocol.QueueClear})
	policy := protocol.QueuePolicy{OnFailed: reaction.Draw(rt, "onFailed"), OnCancelled: reaction.Draw(rt, "onCancelled")}
	most := rapid.SampledFrom([]int{2, 1000}).Draw(rt, "most")
	g := &game{
		world: newWorld(rt, limits(thread.Limits{IdleUnload: 2 * time.Second, MaxQueued: most})), rt: rt, ends: map[string]int{},
		model: model{status: protocol.StatusActive, policy: policy, most: most},
	}
	defer func() { g.close() }()
	g.id = g.start(protocol.ThreadOptions{QueuePolicy: &policy})
	g.live = newMirror(rt, g.id, 0)
	g.follow()
	rt.Repeat(map[string]func(*rapid.T){
		"":               g.check,
		"run":            g.playRun,
		"run more":       g.playRun,
		"steer":          g.playSteer,
		"interrupt":      g.playInterrupt,
		"queue update":   g.playUpdate,
		"queue remove":   g.playRemove,
		"queue reorder":  g.playReorder,
		"queue clear":    g.playClear,
		"queue pause":    g.playQueuePause,
		"queue resume":   g.playQueueResume,
		"thread pause":   g.playPause,
		"thread archive": g.playArchive,
		"thread resume":  g.playResume,
		"unarchive":      g.playUnarchive,
		"items append":   g.playAppend,
		"items update":   g.playItemUpdate,
		"items replace":  g.playReplace,
		"reset":          g.playReset,
		"rollback":       g.playRollback,
		"agent speaks":   g.playSpeak,
		"agent listens":  g.playListen,
		"agent ends":     g.playEnd,
		"agent ends too": g.playEnd,
		"crash":          g.playCrash,
		"unload":         g.playUnload,
		"replay":         g.playReplay,
	})
	g.settle()
}

// follow subscribes the client that follows from where it stands.
func (g *game) follow() {
	g.peer = g.connect("ann")
	g.subscribe(g.peer, g.id, g.live.seq)
}

func (g *game) text() string {
	g.texts++
	return fmt.Sprintf("input %d", g.texts)
}

// outcome checks whether an answer is an error of a code, 0 for none.
func (g *game) outcome(what string, err error, code int) bool {
	g.rt.Helper()
	synctest.Wait()
	e, _ := errors.AsType[*protocol.Error](err)
	if code == 0 && err != nil || code != 0 && (e == nil || e.Code != code) {
		g.rt.Fatalf("%s: %v; the model says %d %s", what, err, code, protocol.ErrorNames[code])
	}
	return err == nil
}

func (g *game) playRun(rt *rapid.T) {
	busy := rapid.SampledFrom([]protocol.IfBusy{"", protocol.BusyEnqueue, protocol.BusyEnqueue, protocol.BusySteer, protocol.BusyInterrupt}).Draw(rt, "ifBusy")
	text := g.text()
	ran := g.model.running
	how, code := g.model.accept(text, busy)
	r, err := try(g.m.TurnRun, ann, input(g.id, text, busy))
	if g.outcome("run", err, code) && r.Disposition != how {
		rt.Fatalf("run: %s; the model says %s", r.Disposition, how)
	}
	g.moved(ran)
}

// moved forgets the open items of a turn that runs no more.
func (g *game) moved(ran string) {
	if g.model.running != ran {
		g.open = nil
	}
}

// someTurn draws a turn of any kind; kind is running, waiting, over or never.
func (g *game) someTurn(rt *rapid.T) (id, kind string) {
	g.catchUp()
	kind = rapid.SampledFrom([]string{"running", "running", "waiting", "over", "never"}).Draw(rt, "turn")
	var of []string
	switch kind {
	case "running":
		if g.live.running != "" {
			of = []string{g.live.running}
		}
	case "waiting":
		of = g.live.queue
	case "over":
		of = slices.DeleteFunc(slices.Clone(g.live.order), func(id string) bool { return !g.live.over[id] })
	default:
		return protocol.NewID(protocol.PrefixTurn), kind
	}
	if len(of) == 0 {
		rt.Skip("there is no such turn")
	}
	return rapid.SampledFrom(of).Draw(rt, "id"), kind
}

func (g *game) playSteer(rt *rapid.T) {
	id, kind := g.someTurn(rt)
	ended := rapid.SampledFrom([]protocol.IfEnded{"", protocol.EndedReject}).Draw(rt, "ifEnded")
	text := g.text()
	ran := g.model.running
	how, code := protocol.DispositionSteered, 0
	switch {
	case kind == "never":
		code = protocol.CodeTurnNotFound
	case g.model.status != protocol.StatusActive:
		code = protocol.CodeThreadNotActive
	case kind == "running":
		code = g.model.steer(steered{text})
	case kind == "waiting" || ended == protocol.EndedReject:
		code = protocol.CodeTurnNotRunning
	default:
		how, code = g.model.pushFirst(text)
	}
	r, err := try(g.m.TurnSteer, ann, protocol.TurnSteerParams{ThreadID: g.id, ExpectedTurnID: id, Input: protocol.TextInput(text), IfEnded: ended})
	if g.outcome("steer", err, code) && r.Disposition != how {
		rt.Fatalf("steer: %s; the model says %s", r.Disposition, how)
	}
	g.moved(ran)
}

func (g *game) playInterrupt(rt *rapid.T) {
	p := protocol.TurnInterruptParams{ThreadID: g.id, Strict: rapid.Bool().Draw(rt, "strict")}
	p.Queue = rapid.SampledFrom([]protocol.InterruptQueue{"", protocol.InterruptKeep, protocol.InterruptClear, protocol.InterruptContinue}).Draw(rt, "queue")
	kind := ""
	if rapid.Bool().Draw(rt, "named") {
		p.TurnID, kind = g.someTurn(rt)
	}
	ran := g.model.running
	want, code := protocol.NoActiveTurn, 0
	switch {
	case kind == "never":
		code = protocol.CodeTurnNotFound
	case kind == "over" && p.Strict:
		code = protocol.CodeTurnNotRunning
	case kind == "over":
		want = protocol.AlreadyTerminal
	case kind == "waiting":
		want = protocol.RemovedFromQueue
		g.model.take(slices.Index(g.live.queue, p.TurnID))
	case g.model.running != "":
		want = protocol.Interrupting
		g.model.end(protocol.TurnCancelled, protocol.CancelUser, p.Queue)
	}
	r, err := try(g.m.TurnInterrupt, ann, p)
	if g.outcome("interrupt", err, code) && r.Outcome != want {
		rt.Fatalf("interrupt: %s; the model says %s", r.Outcome, want)
	}
	g.moved(ran)
}

// revision draws the right one or an old one.
func (g *game) revision(rt *rapid.T) (uint64, bool) {
	r := g.queue(g.id).Revision
	if r > 0 && rapid.IntRange(0, 4).Draw(rt, "stale") == 0 {
		return r - 1, true
	}
	return r, false
}

// edited checks the answer of an edit of the queue.
func (g *game) edited(what string, r protocol.QueueResult, err error, stale bool, change func()) {
	g.rt.Helper()
	before := g.live.revision
	if stale {
		g.outcome(what, err, protocol.CodeConflict)
		if e := protocol.AsError(err); e.Data.Revision != before || len(*e.Data.TurnIDs) != len(g.model.waiting) {
			g.rt.Fatalf("%s: the conflict says %+v", what, e.Data)
		}
		return
	}
	if g.outcome(what, err, 0); r.Revision < before || r.Revision > before+1 {
		g.rt.Fatalf("%s: revision %d follows %d", what, r.Revision, before)
	}
	ran := g.model.running
	change()
	g.model.next()
	g.moved(ran)
}

// waits draws a waiting turn.
func (g *game) waits(rt *rapid.T) (string, int) {
	g.catchUp()
	if len(g.live.queue) == 0 {
		rt.Skip("nothing waits")
	}
	i := rapid.IntRange(0, len(g.live.queue)-1).Draw(rt, "which")
	return g.live.queue[i], i
}

func (g *game) playUpdate(rt *rapid.T) {
	id, i := g.waits(rt)
	rev, stale := g.revision(rt)
	text := g.text()
	r, err := try(g.m.QueueUpdate, ann, protocol.QueueUpdateParams{ThreadID: g.id, TurnID: id, Input: protocol.TextInput(text), ExpectedRevision: rev})
	g.edited("update", r, err, stale, func() { g.model.waiting[i] = text })
}

func (g *game) playRemove(rt *rapid.T) {
	id, i := g.waits(rt)
	rev, stale := g.revision(rt)
	r, err := try(g.m.QueueRemove, ann, protocol.QueueRemoveParams{ThreadID: g.id, TurnID: id, ExpectedRevision: rev})
	g.edited("remove", r, err, stale, func() { g.model.take(i) })
}

func (g *game) playReorder(rt *rapid.T) {
	g.waits(rt)
	rev, stale := g.revision(rt)
	places := make([]int, len(g.live.queue))
	for i := range places {
		places[i] = i
	}
	places = rapid.Permutation(places).Draw(rt, "order")
	order, texts := make([]string, len(places)), make([]string, len(places))
	for i, p := range places {
		order[i], texts[i] = g.live.queue[p], g.model.waiting[p]
	}
	p := protocol.QueueReorderParams{ThreadID: g.id, Order: order, ExpectedRevision: rev}
	if !stale && rapid.IntRange(0, 5).Draw(rt, "bad") == 0 {
		p.Order = append(p.Order, p.Order[0])
		_, err := try(g.m.QueueReorder, ann, p)
		g.outcome("reorder", err, protocol.CodeInvalidParams)
		return
	}
	r, err := try(g.m.QueueReorder, ann, p)
	g.edited("reorder", r, err, stale, func() { g.model.waiting, g.model.first = texts, 0 })
}

func (g *game) playClear(rt *rapid.T) {
	rev, stale := g.revision(rt)
	r, err := try(g.m.QueueClear, ann, protocol.QueueClearParams{ThreadID: g.id, ExpectedRevision: rev})
	g.edited("clear", r, err, stale, func() { g.model.waiting, g.model.first = nil, 0 })
}

func (g *game) playQueuePause(*rapid.T) {
	r, err := try(g.m.QueuePause, ann, protocol.QueueParams{ThreadID: g.id})
	g.edited("pause", r, err, false, func() { g.model.paused, g.model.reason = true, protocol.PauseUser })
}

func (g *game) playQueueResume(*rapid.T) {
	r, err := try(g.m.QueueResume, ann, protocol.QueueParams{ThreadID: g.id})
	g.edited("resume", r, err, false, func() {
		if g.model.paused {
			g.model.paused, g.model.reason, g.model.fails = false, "", 0
		}
	})
}

func (g *game) ifBusy(rt *rapid.T) protocol.BusyThread {
	return rapid.SampledFrom([]protocol.BusyThread{"", protocol.BusyThreadInterrupt, protocol.BusyThreadAfterTurn}).Draw(rt, "ifBusy")
}

// change plays a request on the whole thread.
func (g *game) change(rt *rapid.T, what string, method func(thread.Call, protocol.ThreadChangeParams, thread.Reply[protocol.ThreadResult]), to protocol.ThreadStatus) {
	busy := g.ifBusy(rt)
	ran := g.model.running
	done, code := g.model.busy(busy, deferred{op: what})
	if !done {
		g.model.status = to
	}
	_, err := try(method, ann, protocol.ThreadChangeParams{ThreadID: g.id, IfBusy: busy})
	g.outcome(what, err, code)
	g.moved(ran)
}

func (g *game) playPause(rt *rapid.T) {
	if g.model.status == protocol.StatusArchived {
		_, err := try(g.m.Pause, ann, protocol.ThreadChangeParams{ThreadID: g.id})
		g.outcome("pause", err, protocol.CodeThreadNotActive)
		return
	}
	g.change(rt, "pause", g.m.Pause, protocol.StatusPaused)
}

func (g *game) playArchive(rt *rapid.T) {
	g.change(rt, "archive", g.m.Archive, protocol.StatusArchived)
}

func (g *game) playResume(*rapid.T) {
	no := false
	_, err := try(g.m.Resume, ann, protocol.ThreadResumeParams{ThreadID: g.id, Subscribe: &no})
	if g.model.status == protocol.StatusArchived {
		g.outcome("resume", err, protocol.CodeThreadNotActive)
		return
	}
	g.outcome("resume", err, 0)
	g.model.status = protocol.StatusActive
	g.model.dropLater("pause")
	g.model.next()
}

func (g *game) playUnarchive(*rapid.T) {
	_, err := try(g.m.Unarchive, ann, protocol.ThreadChangeParams{ThreadID: g.id})
	g.outcome("unarchive", err, 0)
	if g.model.status == protocol.StatusArchived {
		g.model.status = protocol.StatusActive
	}
	g.model.dropLater("archive")
	g.model.next()
}

func (g *game) playAppend(rt *rapid.T) {
	p := protocol.ThreadItemsAppendParams{ThreadID: g.id, Deliver: rapid.SampledFrom([]protocol.ItemsAppendDeliver{"", protocol.DeliverSteer}).Draw(rt, "deliver")}
	n := rapid.IntRange(1, 3).Draw(rt, "n")
	for range n {
		p.Items = append(p.Items, g.newItem(rt))
	}
	code := 0
	if p.Deliver == protocol.DeliverSteer && g.model.running != "" {
		code = g.model.steer(make([]steered, n)...)
	} else {
		g.model.pending += n
	}
	_, err := try(g.m.ItemsAppend, ann, p)
	g.outcome("append", err, code)
}

func (g *game) newItem(rt *rapid.T) json.RawMessage {
	return json.RawMessage(rapid.SampledFrom([]string{
		`{"type":"developerMessage","text":"User is in New York"}`,
		`{"type":"agentMessage","text":"I always write formally.","origin":"imported"}`,
		`{"type":"userMessage","content":[{"type":"text","text":"hm"}]}`,
		`{"type":"custom","kind":"form","role":"assistant","content":{"a":[1,2.50]}}`,
	}).Draw(rt, "item"))
}

func (g *game) playItemUpdate(rt *rapid.T) {
	g.catchUp()
	items := g.live.expectedItems()
	if len(items) == 0 {
		rt.Skip("there are no items")
	}
	it := rapid.SampledFrom(items).Draw(rt, "item")
	p := protocol.ThreadItemsUpdateParams{ThreadID: g.id, ItemID: it.ID, ExpectedRevision: it.Revision, Patch: json.RawMessage(`{"metadata":{"seen":true}}`)}
	code := 0
	switch {
	case it.Status == protocol.ItemInProgress:
		code = protocol.CodeInvalidParams
	case rapid.IntRange(0, 4).Draw(rt, "stale") == 0:
		p.ExpectedRevision++
		code = protocol.CodeConflict
	}
	r, err := try(g.m.ItemsUpdate, ann, p)
	if g.outcome("items/update", err, code) && r.Item.Revision != it.Revision+1 {
		rt.Fatalf("items/update: revision %d follows %d", r.Item.Revision, it.Revision)
	}
}

func (g *game) playReplace(rt *rapid.T) {
	g.catchUp()
	p := protocol.ThreadItemsReplaceParams{ThreadID: g.id, ExpectedSeq: g.live.seq}
	for _, it := range g.live.expectedItems() {
		if rapid.IntRange(0, 2).Draw(rt, "keep") > 0 {
			raw, _ := json.Marshal(it)
			p.Items = append(p.Items, raw)
		}
	}
	for range rapid.IntRange(0, 2).Draw(rt, "new") {
		p.Items = append(p.Items, g.newItem(rt))
	}
	code := 0
	switch {
	case g.model.running != "":
		code = protocol.CodeTurnInProgress
	case rapid.IntRange(0, 4).Draw(rt, "stale") == 0:
		p.ExpectedSeq--
		code = protocol.CodeConflict
	default:
		g.model.pending = 0
	}
	_, err := try(g.m.ItemsReplace, ann, p)
	g.outcome("items/replace", err, code)
}

func (g *game) playReset(rt *rapid.T) {
	busy := g.ifBusy(rt)
	queue := rapid.SampledFrom([]protocol.ResetQueue{"", protocol.ResetQueueKeep}).Draw(rt, "queue")
	ran := g.model.running
	done, code := g.model.busy(busy, deferred{op: "reset", queue: queue})
	if !done {
		g.model.reset(queue)
		g.model.next()
	}
	_, err := try(g.m.Reset, ann, protocol.ThreadResetParams{ThreadID: g.id, IfBusy: busy, Queue: queue})
	g.outcome("reset", err, code)
	g.moved(ran)
}

func (g *game) playRollback(rt *rapid.T) {
	g.catchUp()
	n := rapid.IntRange(1, 3).Draw(rt, "turns")
	code := 0
	switch {
	case g.model.running != "":
		code = protocol.CodeTurnInProgress
	case n > len(g.live.ran):
		code = protocol.CodeInvalidParams
	}
	_, err := try(g.m.Rollback, ann, protocol.ThreadRollbackParams{ThreadID: g.id, Turns: n})
	g.outcome("rollback", err, code)
}

// hand returns the running turn.
func (g *game) hand(rt *rapid.T) *held {
	g.catchUp()
	if g.live.running == "" {
		rt.Skip("nothing runs")
	}
	return g.with(g.live.running)
}

func (g *game) playSpeak(rt *rapid.T) {
	h := g.hand(rt)
	words := rapid.StringOfN(rapid.RuneFrom([]rune("aé漢𝄞 \n\"")), 1, 20, -1)
	switch what := rapid.SampledFrom([]string{"say", "begin", "append", "complete", "plan", "state", "custom", "usage", "history"}).Draw(rt, "what"); what {
	case "say":
		h.say(words.Draw(rt, "text"))
	case "begin":
		g.open = append(g.open, h.begin(rapid.SampledFrom([]protocol.ItemType{
			protocol.ItemAgentMessage, protocol.ItemReasoning, protocol.ItemCommandExecution, protocol.ItemState,
		}).Draw(rt, "type")))
	case "append", "complete":
		if len(g.open) == 0 {
			rt.Skip("nothing is open")
		}
		it := g.open[rapid.IntRange(0, len(g.open)-1).Draw(rt, "which")]
		h.step(func(turn.Emitter) {
			if what == "complete" {
				it.Complete(nil)
			} else {
				it.Append(words.Draw(rt, "text"))
				it.Patch(json.RawMessage(`{"a":{"b":1},"c":null}`))
			}
		})
	case "plan":
		h.step(func(out turn.Emitter) {
			out.Plan([]protocol.PlanEntry{{Text: words.Draw(rt, "plan"), Status: "pending"}})
		})
	case "custom":
		h.step(func(out turn.Emitter) {
			out.Add(protocol.Item{Type: protocol.ItemCustom, Kind: "form", Content: json.RawMessage(`{"a":1}`)})
		})
	case "usage":
		h.step(func(out turn.Emitter) { out.Usage(protocol.Usage{InputTokens: 3, OutputTokens: 1}) })
	case "history":
		items, err := h.history()
		if err != nil {
			rt.Fatalf("history: %v", err)
		}
		g.catchUp()
		same(rt, "history", g.live.expectedHistory(), items)
	}
	synctest.Wait()
	if rapid.Bool().Draw(rt, "time passes") {
		<-time.After(time.Second)
		synctest.Wait()
	}
}

func (g *game) playListen(rt *rapid.T) {
	h := g.hand(rt)
	var it protocol.Item
	var ok bool
	h.step(func(out turn.Emitter) { it, ok = out.Steered() })
	synctest.Wait()
	if ok != (len(g.model.steers) > 0) {
		rt.Fatalf("steered: %t; the model has %+v", ok, g.model.steers)
	}
	if !ok {
		return
	}
	s := g.model.steers[0]
	g.model.steers = g.model.steers[1:]
	if s.item() {
		return
	}
	var parts []protocol.Part
	if _ = json.Unmarshal(it.Content, &parts); it.Delivery != protocol.DeliverySteer || protocol.PartsText(parts) != s.text {
		rt.Fatalf("steered %+v; the model says %q", it, s.text)
	}
}

func (g *game) playEnd(rt *rapid.T) {
	h := g.hand(rt)
	ran := g.model.running
	if rapid.IntRange(0, 2).Draw(rt, "how") > 0 {
		g.model.end(protocol.TurnCompleted, "", "")
		h.done(completes)
	} else {
		g.model.end(protocol.TurnFailed, "", "")
		h.done(rapid.SampledFrom([]func() error{fails, panics}).Draw(rt, "failure"))
	}
	g.moved(ran)
}

func (g *game) playCrash(rt *rapid.T) {
	g.catchUp()
	g.reopen()
	g.model.crash()
	g.open = nil
	g.follow()
}

func (g *game) playUnload(rt *rapid.T) {
	if g.model.running != "" {
		rt.Skip("a turn runs")
	}
	g.catchUp()
	g.m.Detach(g.peer)
	<-time.After(5 * time.Second)
	synctest.Wait()
	if n := g.m.Stats().LoadedThreads; n != 0 {
		rt.Fatalf("%d threads are in memory after seconds of idleness", n)
	}
	g.follow()
}

func (g *game) playReplay(rt *rapid.T) {
	again := newMirror(rt, g.id, 0)
	p := g.connect("ann")
	defer g.m.Detach(p)
	g.subscribe(p, g.id, 0)
	again.apply(p.take(rt))
	again.agrees(g.world)
	sameBytes(rt, g.live, again)
}

// catchUp lets the client read, and counts the ends of turns.
func (g *game) catchUp() {
	frames := g.peer.take(g.rt)
	seq := g.live.seq
	for _, f := range frames {
		if f.Method() == "" {
			continue // a mark
		}
		method, e := parse(g.rt, f)
		switch method {
		case protocol.EventTurnQueued.Name, protocol.EventTurnStarted.Name:
			g.ends[e.TurnID] += 0
		case protocol.EventTurnCompleted.Name, protocol.EventTurnFailed.Name, protocol.EventTurnCancelled.Name:
			g.ends[e.TurnID]++
		case protocol.EventThreadReset.Name:
			if e.Seq > seq+1 { // what was erased while the client was away it never hears of
				maps.DeleteFunc(g.ends, func(_ string, n int) bool { return n == 0 })
			}
		}
		seq = max(seq, e.Seq)
	}
	g.live.apply(frames)
}

// check looks whether everybody agrees.
func (g *game) check(rt *rapid.T) {
	synctest.Wait()
	g.catchUp()
	g.live.agrees(g.world)
	m := &g.model
	q := g.queue(g.id)
	texts := []string{}
	for _, tn := range q.Turns {
		texts = append(texts, tn.Input.Text())
	}
	same(rt, "the model's queue", append([]string{}, m.waiting...), texts)
	running := ""
	if tn := g.live.turns[g.live.running]; tn != nil {
		running = tn.Input.Text()
	}
	h := g.read(g.id).Thread
	g.peer.knowsRuntime(rt, h)
	if running != m.running || q.Paused != m.paused || q.PauseReason != m.reason || h.Status != m.status || h.Runtime.PendingItems != m.pending {
		rt.Fatalf("running %q paused %t %s, %s, %d pending; the model says %+v", running, q.Paused, q.PauseReason, h.Status, h.Runtime.PendingItems, *m)
	}
	if running == "" && !q.Paused && h.Status == protocol.StatusActive && len(q.Turns) > 0 {
		rt.Fatalf("turns wait on an idle thread")
	}
}

// settle lets everything end and counts the ends.
func (g *game) settle() {
	rt := g.rt
	g.playUnarchive(rt)
	g.playResume(rt)
	for range 1000 {
		g.check(rt)
		if g.model.running == "" && len(g.model.waiting) == 0 {
			break
		}
		g.playQueueResume(rt)
		if g.model.running != "" {
			g.model.end(protocol.TurnCompleted, "", "")
			g.hand(rt).done(completes)
		}
	}
	other := newWorld(rt)
	defer other.close()
	other.takesOver(g.world, g.id)
	for id, n := range g.ends {
		if n != 1 {
			rt.Fatalf("turn %s has %d terminal events", id, n)
		}
	}
}
