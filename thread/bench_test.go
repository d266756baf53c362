package thread_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage/mem"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
)

// echo says what it is told.
type echo struct{}

func (echo) Run(_ context.Context, in turn.Input, out turn.Emitter) error {
	it := out.Begin(protocol.Item{Type: protocol.ItemAgentMessage})
	it.Append(in.Turn.Input.Text())
	it.Complete(nil)
	return nil
}

// sink is a connection that only counts.
type sink struct {
	peer
	bytes, frames atomic.Int64
}

func (s *sink) Offer(f protocol.Frame, _ thread.Class, _ string) bool {
	s.bytes.Add(int64(len(f)))
	s.frames.Add(1)
	return true
}

func benchManager(b *testing.B, a turn.Agent) *thread.Manager {
	b.Helper()
	m, err := thread.Open(context.Background(), thread.Config{
		Store: mem.New(), Ephemeral: mem.New(), Default: "test", Log: zerolog.Nop(),
		Agents: []turn.Spec{{Name: "test", Kind: "test", Agent: a}},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Shutdown(context.Background(), 0) })
	return m
}

// talker says n deltas of 8 bytes a turn.
type talker struct{ n int }

func (t talker) Run(_ context.Context, _ turn.Input, out turn.Emitter) error {
	it := out.Begin(protocol.Item{Type: protocol.ItemReasoning})
	for range t.n {
		it.Append("8 bytes ")
	}
	it.Complete(nil)
	return nil
}

func BenchmarkDeltas(b *testing.B) {
	for _, subscribers := range []int{0, 1, 32} {
		b.Run(fmt.Sprintf("%d subscribers", subscribers), func(b *testing.B) {
			const each = 10_000
			m := benchManager(b, talker{each})
			id := (<-send(m.Start, ann, protocol.ThreadStartParams{})).result.Thread.ID
			for i := range subscribers {
				s := &sink{peer: peer{who: thread.Caller{User: "ann", ConnectionID: fmt.Sprint(i)}}}
				m.Attach(s)
				<-send(m.Subscribe, thread.Call{Context: b.Context(), Caller: s.who, Peer: s}, protocol.ThreadSubscribeParams{ThreadID: id})
			}
			p := input(id, "go", "")
			p.Wait = true
			b.ReportAllocs()
			deltas := 0
			for b.Loop() {
				if a := <-send(m.TurnRun, ann, p); a.err != nil {
					b.Fatal(a.err)
				}
				deltas += each
			}
			b.ReportMetric(float64(deltas)/b.Elapsed().Seconds(), "deltas/s")
		})
	}
}

func BenchmarkTurns(b *testing.B) {
	m := benchManager(b, echo{})
	b.Run("one thread", func(b *testing.B) { benchTurns(b, m, 1) })
	b.Run("16 threads", func(b *testing.B) { benchTurns(b, m, 16) })
}

// benchTurns runs turns one after the other on each of some threads.
func benchTurns(b *testing.B, m *thread.Manager, threads int) {
	ids := make([]string, threads)
	for i := range ids {
		ids[i] = (<-send(m.Start, ann, protocol.ThreadStartParams{})).result.Thread.ID
	}
	b.ReportAllocs()
	turns := 0
	for b.Loop() {
		got := make([]chan answer[protocol.TurnRunResult], threads)
		for i, id := range ids {
			p := input(id, "hi", "")
			p.Wait = true
			got[i] = send(m.TurnRun, ann, p)
		}
		for _, g := range got {
			if a := <-g; a.err != nil {
				b.Fatal(a.err)
			}
			turns++
		}
	}
	b.ReportMetric(float64(turns)/b.Elapsed().Seconds(), "turns/s")
}
