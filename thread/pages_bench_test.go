package thread_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
	"github.com/spoolhq/spool/storage/mem"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
)

// lister says n small items a turn.
type lister struct{ n int }

func (l lister) Run(_ context.Context, _ turn.Input, out turn.Emitter) error {
	for i := range l.n {
		it := out.Begin(protocol.Item{Type: protocol.ItemAgentMessage})
		it.Append(fmt.Sprintf("This is what the agent has to say as number %d.", i))
		it.Complete(nil)
	}
	return nil
}

// longThread makes a thread of so many turns of so many items each, in a file, and a Manager
// that has it. It is made in memory and copied, which is quicker.
func longThread(b *testing.B, turns, items int) (*thread.Manager, string) {
	b.Helper()
	from, agent := mem.New(), []turn.Spec{{Name: "test", Kind: "test", Agent: lister{items}}}
	m, err := thread.Open(b.Context(), thread.Config{Store: from, Ephemeral: mem.New(), Default: "test", Log: zerolog.Nop(), Agents: agent})
	if err != nil {
		b.Fatal(err)
	}
	id := (<-send(m.Start, ann, protocol.ThreadStartParams{})).result.Thread.ID
	p := input(id, "go", "")
	p.Wait = true
	for range turns {
		if a := <-send(m.TurnRun, ann, p); a.err != nil {
			b.Fatal(a.err)
		}
	}
	if err := m.Shutdown(context.Background(), 0); err != nil {
		b.Fatal(err)
	}
	to, err := bolt.Open(context.Background(), bolt.Options{Path: filepath.Join(b.TempDir(), "spool.db")})
	if err != nil {
		b.Fatal(err)
	}
	copyThread(b, from, to, id)
	m, err = thread.Open(b.Context(), thread.Config{Store: to, Ephemeral: mem.New(), Default: "test", Log: zerolog.Nop(), Agents: agent})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = m.Shutdown(context.Background(), 0)
		_ = to.Close()
	})
	return m, id
}

func copyThread(b *testing.B, from, to storage.Store, id string) {
	b.Helper()
	row, err := from.Thread(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	events, err := from.Events(b.Context(), id, 0, 0, 1<<30)
	if err != nil {
		b.Fatal(err)
	}
	turns, err := from.Turns(b.Context(), id, storage.TurnQuery{Limit: storage.MaxScan})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	to.Commit(&storage.Batch{Thread: id, Create: true, Events: events, Row: &row, Turns: turns}, func(err error) { done <- err })
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// A page of items costs what it holds, also in a turn of ten thousand.
func BenchmarkItemsPages(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		m, id := longThread(b, 1, n)
		for _, order := range []protocol.ListOrder{protocol.OrderAsc, protocol.OrderDesc} {
			b.Run(fmt.Sprintf("%d items/%s", n, order), func(b *testing.B) {
				walkPages(b, m.ItemsList, id, order)
			})
		}
	}
}

// A page of turns costs what it holds, also in a thread of ten thousand.
func BenchmarkTurnsPages(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		m, id := longThread(b, n, 1)
		for _, order := range []protocol.ListOrder{protocol.OrderAsc, protocol.OrderDesc} {
			b.Run(fmt.Sprintf("%d turns/%s", n, order), func(b *testing.B) {
				walkPages(b, m.TurnsList, id, order)
			})
			b.Run(fmt.Sprintf("items of %d turns/%s", n, order), func(b *testing.B) {
				walkPages(b, m.ItemsList, id, order)
			})
		}
	}
}

// walkPages asks for page after page, from the beginning on again at the end.
func walkPages(b *testing.B, list func(thread.Call, protocol.ThreadTurnsListParams, thread.Reply[thread.Page]), id string, order protocol.ListOrder) {
	p := protocol.ThreadTurnsListParams{ThreadID: id, Order: order, Paging: protocol.Paging{Limit: 25}}
	b.ReportAllocs()
	for b.Loop() {
		a := <-send(list, ann, p)
		if a.err != nil {
			b.Fatal(a.err)
		}
		p.Cursor = a.result.NextCursor
	}
}

// thread/read with all turns costs what they hold.
func BenchmarkReadTurns(b *testing.B) {
	m, id := longThread(b, 200, 1)
	b.ReportAllocs()
	for b.Loop() {
		a := <-send(m.Read, ann, protocol.ThreadReadParams{ThreadID: id, IncludeTurns: true})
		if a.err != nil || len(*a.result.Turns) != 200 {
			b.Fatal(a.err)
		}
		f, err := protocol.EncodeResult(protocol.RawID("1"), a.result)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(f)))
	}
}
