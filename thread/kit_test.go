package thread_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/faulty"
	"github.com/spoolhq/spool/storage/mem"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
)

// tb is what testing.T and rapid.T have in common.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// world is a Manager over stores that outlive it. It lives in a synctest bubble.
type world struct {
	t     tb
	mem   *mem.Store
	eph   *mem.Store
	cfg   thread.Config
	hooks faulty.Hooks // beside the crash
	gate  *gate        // of gated

	without string // an agent that is not configured

	m       *thread.Manager
	agent   *agent
	crashed *atomic.Bool
	peers   []*peer
	conns   int
}

// setup changes a world before it opens.
type setup func(*world)

func limits(l thread.Limits) setup { return func(w *world) { w.cfg.Limits = l } }

// gated gives the world a disk that can be held up.
func gated(w *world) {
	w.gate = newGate()
	w.hooks = w.gate.hooks()
}

func hooked(h faulty.Hooks) setup { return func(w *world) { w.hooks = h } }

// inWorld runs f in a bubble with an open world, and shuts that down afterwards.
func inWorld(t *testing.T, f func(w *world), setups ...setup) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, setups...)
		defer w.close()
		f(w)
	})
}

func newWorld(t tb, setups ...setup) *world {
	w := &world{t: t, mem: mem.New(), eph: mem.New()}
	for _, s := range setups {
		s(w)
	}
	w.open()
	return w
}

var errCrash = errors.New("crash")

// open starts a Manager over the stores as they are.
func (w *world) open() {
	w.t.Helper()
	if err := w.tryOpen(); err != nil {
		w.t.Fatalf("Open: %v", err)
	}
}

func (w *world) tryOpen() error {
	crashed := new(atomic.Bool)
	hooks := w.hooks
	before := hooks.BeforeCommit
	hooks.BeforeCommit = func(b *storage.Batch) error {
		if crashed.Load() {
			return errCrash
		}
		if before != nil {
			return before(b)
		}
		return nil
	}
	w.crashed, w.agent, w.peers = crashed, newAgent(), nil
	cfg := w.cfg
	cfg.Store, cfg.Ephemeral, cfg.Default, cfg.Log = faulty.New(w.mem, hooks), w.eph, "test", zerolog.Nop()
	cfg.Agents = []turn.Spec{
		{Name: "test", Kind: "test", Agent: w.agent, Modes: []protocol.Mode{{ID: "plan"}, {ID: "build"}}},
		{Name: "other", Kind: "test", Agent: w.agent},
	}
	cfg.Agents = slices.DeleteFunc(cfg.Agents, func(s turn.Spec) bool { return s.Name == w.without })
	m, err := thread.Open(context.Background(), cfg)
	w.m = m
	return err
}

// crash ends the Manager as a kill would: from now on nothing of it is kept or heard. The
// ephemeral threads are gone.
func (w *world) crash() {
	w.crashed.Store(true)
	for _, p := range w.peers {
		p.mu.Lock()
		p.dead = true
		p.mu.Unlock()
	}
	w.close()
	w.eph = mem.New()
}

func (w *world) close() {
	close(w.agent.quit)
	if w.gate != nil {
		w.gate.lift()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.m.Shutdown(ctx, 0); err != nil {
		w.t.Errorf("Shutdown: %v", err)
	}
	synctest.Wait()
}

// reopen crashes and starts again.
func (w *world) reopen() {
	w.t.Helper()
	w.crash()
	w.open()
	synctest.Wait()
}

// connect makes a connection of a user that hears of threads.
func (w *world) connect(user string) *peer {
	w.conns++
	p := &peer{who: thread.Caller{User: user, ConnectionID: fmt.Sprintf("con_%d", w.conns), Client: "test"}}
	return w.attach(p)
}

func (w *world) attach(p *peer) *peer {
	w.peers = append(w.peers, p)
	w.m.Attach(p)
	return p
}

// from is a call of a connection.
func from(p *peer) thread.Call {
	return thread.Call{Context: context.Background(), Caller: p.who, Peer: p}
}

// by is a call of a user who subscribes to nothing.
func by(user string) thread.Call {
	return thread.Call{Context: context.Background(), Caller: thread.Caller{User: user, ConnectionID: "con_" + user, Client: "test"}}
}

var ann = by("ann")

// answer is what a request was answered.
type answer[R any] struct {
	result R
	err    error
}

// send calls a method and returns where its answer will be. A second answer panics.
func send[P, R any](method func(thread.Call, P, thread.Reply[R]), c thread.Call, p P) chan answer[R] {
	if c.Hash == nil {
		raw, _ := json.Marshal(p)
		c.Hash = fmt.Appendf(nil, "%T %s", p, raw)
	}
	got := make(chan answer[R], 1)
	var once sync.Once
	method(c, p, func(r R, err error) {
		first := false
		once.Do(func() { first = true })
		if !first {
			panic("a request was answered twice")
		}
		if p, ok := c.Peer.(*peer); ok && p != nil {
			p.mark("answer")
		}
		got <- answer[R]{r, err}
	})
	return got
}

// try calls a method and waits for the answer.
func try[P, R any](method func(thread.Call, P, thread.Reply[R]), c thread.Call, p P) (R, error) {
	a := <-send(method, c, p)
	return a.result, a.err
}

// do is try for what must succeed, and waits until all that follows from it has happened.
func do[P, R any](t tb, method func(thread.Call, P, thread.Reply[R]), c thread.Call, p P) R {
	t.Helper()
	r, err := try(method, c, p)
	if err != nil {
		t.Fatalf("%T: %v", p, err)
	}
	synctest.Wait()
	return r
}

// now gives the answer that a request must have by now.
func now[R any](t tb, got chan answer[R]) answer[R] {
	t.Helper()
	synctest.Wait()
	select {
	case a := <-got:
		return a
	default:
		t.Fatalf("a request has no answer")
		panic("unreachable")
	}
}

// refused is try for what must be refused with a code.
func refused[P, R any](t tb, code int, method func(thread.Call, P, thread.Reply[R]), c thread.Call, p P) *protocol.Error {
	t.Helper()
	r, err := try(method, c, p)
	e, ok := errors.AsType[*protocol.Error](err)
	if !ok || e.Code != code {
		t.Fatalf("%T: %+v, %v; want error %d %s", p, r, err, code, protocol.ErrorNames[code])
	}
	synctest.Wait()
	return e
}

// start begins a thread of ann that nobody is subscribed to.
func (w *world) start(o protocol.ThreadOptions) string {
	w.t.Helper()
	return do(w.t, w.m.Start, ann, protocol.ThreadStartParams{ThreadOptions: o}).Thread.ID
}

// input is a turn/run with text.
func input(id, text string, busy protocol.IfBusy) protocol.TurnRunParams {
	return protocol.TurnRunParams{TurnInput: protocol.TurnInput{ThreadID: id, Input: protocol.TextInput(text)}, IfBusy: busy}
}

// run gives a thread an input, which must be accepted.
func (w *world) run(id, text string, busy protocol.IfBusy) protocol.Turn {
	w.t.Helper()
	return do(w.t, w.m.TurnRun, ann, input(id, text, busy)).Turn
}

// held starts a turn on an idle thread and returns it in the hands of its agent.
func (w *world) held(id, text string) *held {
	w.t.Helper()
	return w.with(w.run(id, text, protocol.BusyReject).ID)
}

// with returns the run of a turn that its agent has.
func (w *world) with(turnID string) *held {
	w.t.Helper()
	synctest.Wait()
	h := w.agent.of(turnID)
	if h == nil {
		w.t.Fatalf("turn %s has not reached its agent", turnID)
	}
	return h
}

// end finishes a turn and waits until all that follows has happened.
func (h *held) done(f func() error) {
	h.finish(f)
	synctest.Wait()
}

func (w *world) read(id string) protocol.ThreadReadResult {
	w.t.Helper()
	return readBy(w.t, w.m, id)
}

// readBy reads a thread as a client does. What comes as the journal has it has to say what the
// daemon would write of it now, and no more.
func readBy(t tb, m *thread.Manager, id string) (got protocol.ThreadReadResult) {
	t.Helper()
	raw, err := protocol.Marshal(do(t, m.Read, ann, protocol.ThreadReadParams{ThreadID: id, IncludeTurns: true}))
	if err == nil {
		err = json.Unmarshal(raw, &got)
	}
	if err != nil {
		t.Fatalf("the answer of thread/read: %v", err)
	}
	same(t, "thread/read", got, json.RawMessage(raw))
	return got
}

func (w *world) queue(id string) protocol.QueueListResult {
	w.t.Helper()
	return do(w.t, w.m.QueueList, ann, protocol.ThreadParams{ThreadID: id})
}

func (w *world) turn(id, turnID string) protocol.Turn {
	w.t.Helper()
	return do(w.t, w.m.TurnRead, ann, protocol.TurnReadParams{ThreadID: id, TurnID: turnID, IncludeItems: true}).Turn
}

// subscribe subscribes a connection with a replay of everything after a seq, and lets it
// read that, so that it is live.
func (w *world) subscribe(p *peer, id string, after uint64) {
	w.t.Helper()
	do(w.t, w.m.Subscribe, from(p), protocol.ThreadSubscribeParams{ThreadID: id, AfterSeq: &after})
	p.drain(w.t)
}

// decode reads what a page holds.
func decode[T any](t tb, page []json.RawMessage) []T {
	t.Helper()
	all := make([]T, len(page))
	for i, raw := range page {
		if err := json.Unmarshal(raw, &all[i]); err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
	}
	return all
}

// pages collects a list of turns or items in pages of a size.
func pages[T any](t tb, method func(thread.Call, protocol.ThreadTurnsListParams, thread.Reply[thread.Page]), id string, size int, order protocol.ListOrder) []T {
	t.Helper()
	p := protocol.ThreadTurnsListParams{ThreadID: id, Paging: protocol.Paging{Limit: size}, Order: order}
	all := []T{}
	for range 10_000 {
		page := do(t, method, ann, p)
		if len(page.Data) > size {
			t.Fatalf("a page of %d where %d were asked for", len(page.Data), size)
		}
		all = append(all, decode[T](t, page.Data)...)
		if page.NextCursor == "" {
			return all
		}
		p.Cursor = page.NextCursor
	}
	t.Fatalf("a list without end")
	return nil
}

func (w *world) turns(id string, size int) []protocol.Turn {
	w.t.Helper()
	return pages[protocol.Turn](w.t, w.m.TurnsList, id, size, "")
}

func (w *world) items(id string, size int) []protocol.Item {
	w.t.Helper()
	return pages[protocol.Item](w.t, w.m.ItemsList, id, size, "")
}

// export returns a whole journal.
func (w *world) export(id string) []json.RawMessage {
	w.t.Helper()
	var all []json.RawMessage
	p := protocol.ThreadExportParams{ThreadID: id}
	for {
		r := do(w.t, w.m.Export, ann, p)
		all = append(all, r.Events...)
		if r.NextSeq == 0 {
			return all
		}
		p.AfterSeq = r.NextSeq
	}
}
