package thread_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
)

// TestSeams lets clients join, leave and fall behind at any moment while an agent speaks and
// the disk is slow. Whatever a client missed, the text it holds is never doubled and never
// has a gap, and in the end all hold the same.
func TestSeams(t *testing.T) { checkInBubble(t, playSeams) }

// seams is one play.
type seams struct {
	*world
	rt      *rapid.T
	id      string
	ref     *mirror // what has been told, from the journal
	clients []*client
	held    *held
	item    turn.Item
	subs    int
}

// client is one that comes and goes.
type client struct {
	*peer
	asked  bool                    // it has asked for a subscription
	mirror *mirror                 // nil: not subscribed as far as the client knows
	after  map[string]func(*seams) // what to do where the answer with this mark is read
}

func playSeams(rt *rapid.T) {
	s := &seams{world: newWorld(rt, gated, limits(thread.Limits{CheckpointBytes: 64, MaxItemBytes: 1 << 20})), rt: rt}
	defer s.close()
	g := s.gate
	s.id = s.start(protocol.ThreadOptions{})
	s.ref = newMirror(rt, s.id, 0)
	for i := range 3 {
		p := s.connect("ann")
		p.room = 2 + 3*i
		s.clients = append(s.clients, &client{peer: p, after: map[string]func(*seams){}})
	}
	s.begin()
	rt.Repeat(map[string]func(*rapid.T){
		"":             func(*rapid.T) { s.look() },
		"speak":        s.playSpeak,
		"speak more":   s.playSpeak,
		"next item":    s.playItem,
		"next turn":    s.playTurn,
		"run":          s.playRun,
		"subscribe":    s.playSubscribe,
		"resubscribe":  s.playSubscribe,
		"unsubscribe":  s.playUnsubscribe,
		"read":         s.playRead,
		"read more":    s.playRead,
		"read all":     s.playReadAll,
		"disk stalls":  func(*rapid.T) { g.shut() },
		"disk crawls":  func(*rapid.T) { g.pass() },
		"disk is back": func(*rapid.T) { g.lift() },
		"time passes":  func(*rapid.T) { <-time.After(30 * time.Millisecond); synctest.Wait() },
	})
	s.settle()
}

// begin starts a turn and takes it in hand.
func (s *seams) begin() {
	s.gate.lift()
	s.held = s.world.held(s.id, "go")
	s.item = s.held.begin(protocol.ItemAgentMessage)
	synctest.Wait()
}

// look reads what has been told so far.
func (s *seams) look() {
	synctest.Wait()
	for {
		r := do(s.rt, s.m.Export, ann, protocol.ThreadExportParams{ThreadID: s.id, AfterSeq: s.ref.seq})
		for _, e := range r.Events {
			s.ref.apply([]protocol.Frame{protocol.Frame(e)})
		}
		if r.NextSeq == 0 {
			return
		}
	}
}

var words = rapid.StringOfN(rapid.RuneFrom([]rune("aé漢𝄞")), 1, 30, -1)

func (s *seams) playSpeak(rt *rapid.T) {
	text := words.Draw(rt, "text")
	s.held.step(func(turn.Emitter) { s.item.Append(text) })
}

func (s *seams) playItem(rt *rapid.T) {
	correct := rapid.Bool().Draw(rt, "corrected")
	typ := rapid.SampledFrom([]protocol.ItemType{protocol.ItemAgentMessage, protocol.ItemReasoning, protocol.ItemCommandExecution}).Draw(rt, "type")
	s.held.step(func(out turn.Emitter) {
		s.item.Complete(func(it *protocol.Item) {
			if correct {
				*text(it) = "what was meant"
			}
		})
		s.item = out.Begin(protocol.Item{Type: typ})
	})
}

func (s *seams) playTurn(*rapid.T) {
	s.held.done(completes)
	s.begin()
}

// playRun sends an input, which subscribes the client without a replay.
func (s *seams) playRun(rt *rapid.T) {
	c := s.draw(rt)
	if !c.asked {
		rt.Skip("only a client that has the past can go on from here")
	}
	go func() { _, _ = try(s.m.TurnRun, from(c.peer), input(s.id, "more", protocol.BusySteer)) }()
	synctest.Wait()
	s.held.step(func(out turn.Emitter) { out.Steered() })
}

func (s *seams) draw(rt *rapid.T) *client {
	return s.clients[rapid.IntRange(0, len(s.clients)-1).Draw(rt, "client")]
}

// playSubscribe sends thread/subscribe, and when the client reads the answer it begins anew
// from there.
func (s *seams) playSubscribe(rt *rapid.T) {
	c := s.draw(rt)
	p := protocol.ThreadSubscribeParams{ThreadID: s.id}
	if rapid.Bool().Draw(rt, "coalesce") {
		p.Coalesce = &protocol.Coalesce{MaxDelayMs: rapid.Int64Range(0, 60).Draw(rt, "delay"), MaxBytes: rapid.IntRange(0, 12).Draw(rt, "bytes")}
	}
	if rapid.Bool().Draw(rt, "replay") {
		s.look()
		after := rapid.Uint64Range(0, s.ref.seq).Draw(rt, "after")
		p.AfterSeq = &after
	}
	c.asked = true
	s.subs++
	mark := fmt.Sprintf("subscribed %d", s.subs)
	s.m.Subscribe(thread.Call{Context: context.Background(), Caller: c.who, Peer: c.peer}, p, func(r protocol.ThreadSnapshot, err error) {
		if err != nil {
			panic(err)
		}
		c.after[mark] = func(s *seams) { c.mirror = s.joined(p, r) }
		c.mark(mark)
	})
}

// joined is what a client holds that has just read the answer of thread/subscribe.
func (s *seams) joined(p protocol.ThreadSubscribeParams, r protocol.ThreadSnapshot) *mirror {
	s.look()
	after := r.HeadSeq
	if p.AfterSeq != nil {
		after = *p.AfterSeq
	}
	if after > s.ref.seq {
		s.rt.Fatalf("an answer tells of seq %d, others have been told up to %d", after, s.ref.seq)
	}
	m := s.at(after)
	if p.AfterSeq == nil {
		s.seed(m, r)
	}
	return m
}

// at is what a client holds that has read the events up to seq.
func (s *seams) at(seq uint64) *mirror {
	m := newMirror(s.rt, s.id, 0)
	for i := uint64(1); i <= seq; i++ {
		m.apply([]protocol.Frame{protocol.Frame(s.ref.bytes[i])})
	}
	clear(m.texts)
	return m
}

// seed takes the snapshot of an answer.
func (s *seams) seed(m *mirror, r protocol.ThreadSnapshot) {
	if tn := r.ActiveTurn; tn != nil {
		if len(tn.Items) != len(m.items[tn.ID]) {
			s.rt.Fatalf("the answer has %d items of the running turn, the events up to its headSeq %d", len(tn.Items), len(m.items[tn.ID]))
		}
		for i, it := range tn.Items {
			m.items[tn.ID][i] = &it
			m.texts[it.ID] = it.Status == protocol.ItemInProgress
		}
	}
}

func (s *seams) playUnsubscribe(rt *rapid.T) {
	c := s.draw(rt)
	c.asked = false
	s.subs++
	mark := fmt.Sprintf("unsubscribed %d", s.subs)
	s.m.Unsubscribe(from(c.peer), protocol.ThreadParams{ThreadID: s.id}, func(protocol.ThreadUnsubscribeResult, error) {
		c.after[mark] = func(*seams) { c.mirror = nil }
		c.mark(mark)
	})
}

func (s *seams) playRead(rt *rapid.T) {
	c := s.draw(rt)
	c.read(rt, rapid.IntRange(1, 6).Draw(rt, "frames"))
	s.hear(c)
}

func (s *seams) playReadAll(rt *rapid.T) {
	c := s.draw(rt)
	c.drain(rt)
	s.hear(c)
}

// hear lets a client work on what it has read.
func (s *seams) hear(c *client) {
	s.look()
	got := c.got
	c.got = nil
	for _, f := range got {
		if f.Method() == "" {
			if act := c.after[string(f)]; act != nil {
				act(s)
			}
			continue
		}
		if c.mirror == nil {
			if strings.Contains(string(f), `"seq":`) {
				s.rt.Fatalf("a client that is not subscribed gets %s", f)
			}
			continue
		}
		c.mirror.apply([]protocol.Frame{f})
	}
}

// settle ends everything; then all hold the same.
func (s *seams) settle() {
	s.gate.lift()
	s.held.done(completes)
	<-time.After(time.Second)
	s.look()
	s.ref.agrees(s.world)
	for _, c := range s.clients {
		c.drain(s.rt)
		s.hear(c)
		if c.mirror == nil {
			continue
		}
		if c.mirror.seq != s.ref.seq {
			s.rt.Fatalf("a client stands at seq %d, the head is %d", c.mirror.seq, s.ref.seq)
		}
		sameBytes(s.rt, s.ref, c.mirror)
		c.mirror.agrees(s.world)
	}
}
