package thread_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// talk has the agent say n deltas of a KiB as fast as it can. It returns where the time that
// this took will be.
func talk(h *held, n int) <-chan time.Duration {
	took := make(chan time.Duration, 1)
	it := h.begin(protocol.ItemAgentMessage)
	began := time.Now()
	go h.step(func(turn.Emitter) {
		for range n {
			it.Append(strings.Repeat("x", 1<<10))
		}
		took <- time.Since(began)
	})
	synctest.Wait()
	return took
}

// over reports whether the agent has said all.
func over(took <-chan time.Duration) bool { return len(took) > 0 }

func (p *peer) counted(t tb, method string) int {
	t.Helper()
	n := 0
	for _, m := range methods(p.take(t)) {
		if m == method {
			n++
		}
	}
	return n
}

const lagged = "thread/subscription/lagged"

// A client that reads gets every delta, however fast the agent is.
func TestAgentKeepsPaceWithItsOnlyClient(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.connect("ann")
		w.subscribe(p, id, 0)
		h := w.held(id, "go")
		p.take(t)
		p.crowd, p.room = 40, 80
		took := talk(h, 1000)
		if over(took) {
			t.Fatal("the agent waited for nobody")
		}
		for !over(took) {
			p.read(t, 64)
			<-time.After(time.Millisecond)
			synctest.Wait()
		}
		deltas := 0
		for _, name := range methods(p.take(t)) {
			switch name {
			case "item/agentMessage/delta":
				deltas++
			case lagged:
				t.Error("a client that reads fell behind")
			}
		}
		if deltas != 1000 {
			t.Errorf("%d deltas of 1000", deltas)
		}
	})
}

// A client that reads nothing holds the agent up once, and falls behind.
func TestAgentDoesNotWaitForADeafClient(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.connect("ann")
		w.subscribe(p, id, 0)
		h := w.held(id, "go")
		p.take(t)
		p.crowd, p.room = 40, 400
		took := talk(h, 1000)
		if over(took) {
			t.Fatal("the agent did not wait at all")
		}
		if d := <-took; d > 150*time.Millisecond {
			t.Errorf("the agent waited %v for a client that reads nothing", d)
		}
		synctest.Wait()
		if p.counted(t, lagged) != 1 {
			t.Error("the client is not behind")
		}
		// It has read, so it counts again.
		if took := talk(h, 1000); over(took) {
			t.Error("the agent does not wait for a client that is back")
		}
	})
}

// The slow one among many holds the others up for a moment only.
func TestAgentLeavesTheSlowBehind(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		var peers []*peer
		for range 5 {
			p := w.connect("ann")
			w.subscribe(p, id, 0)
			peers = append(peers, p)
		}
		slow := peers[0]
		h := w.held(id, "go")
		for _, p := range peers {
			p.take(t)
			p.crowd, p.room = 40, 400
		}
		took := talk(h, 3000)
		reads := 0
		for !over(took) {
			for _, p := range peers[1:] {
				p.read(t, 1<<20)
			}
			if reads++; reads%10 == 0 {
				slow.read(t, 1)
			}
			<-time.After(time.Millisecond)
			synctest.Wait()
		}
		// 3000 deltas in rounds of some 40 are 75 ms for those who read as fast as they are told.
		if d := <-took; d > 250*time.Millisecond {
			t.Errorf("the agent took %v", d)
		}
		for _, p := range peers[1:] {
			if p.counted(t, lagged) != 0 {
				t.Error("one that keeps up fell behind")
			}
		}
		if slow.counted(t, lagged) != 1 {
			t.Error("the slow one did not fall behind")
		}
	})
}

// An agent that waits for clients can be interrupted.
func TestInterruptOfAnAgentThatWaitsForClients(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.connect("ann")
		w.subscribe(p, id, 0)
		h := w.held(id, "go")
		p.take(t)
		p.crowd = 40
		took := talk(h, 1000)
		began := time.Now()
		do(t, w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id})
		if !over(took) || time.Since(began) > 0 {
			t.Error("the agent still waits")
		}
		h.done(completes)
		p.drain(t)
	})
}
