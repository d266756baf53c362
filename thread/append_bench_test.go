package thread_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
	"github.com/spoolhq/spool/storage/faulty"
	"github.com/spoolhq/spool/storage/mem"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
)

// benchFile makes a Manager with a file, and a count of the bytes that are given to it.
func benchFile(b *testing.B, a turn.Agent) (*thread.Manager, *atomic.Int64) {
	b.Helper()
	file, err := bolt.Open(b.Context(), bolt.Options{Path: filepath.Join(b.TempDir(), "spool.db")})
	if err != nil {
		b.Fatal(err)
	}
	written := new(atomic.Int64)
	s := faulty.New(file, faulty.Hooks{BeforeCommit: func(batch *storage.Batch) error {
		written.Add(int64(batch.Size()))
		return nil
	}})
	m, err := thread.Open(b.Context(), thread.Config{
		Store: s, Ephemeral: mem.New(), Default: "test", Log: zerolog.Nop(),
		Agents: []turn.Spec{{Name: "test", Kind: "test", Agent: a}},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = m.Shutdown(context.Background(), 0)
		_ = s.Close()
	})
	return m, written
}

// fed makes an idle thread where n items of 100 bytes wait.
func fed(b *testing.B, m *thread.Manager, n int) string {
	b.Helper()
	id := (<-send(m.Start, ann, protocol.ThreadStartParams{})).result.Thread.ID
	for n > 0 {
		p := protocol.ThreadItemsAppendParams{ThreadID: id}
		for range min(n, 1000) {
			p.Input = append(p.Input, protocol.TextInput(fmt.Sprintf("%0100d", n))...)
			n--
		}
		if a := <-send(m.ItemsAppend, ann, p); a.err != nil {
			b.Fatal(a.err)
		}
	}
	return id
}

// An append costs what is appended, however much waits.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{0, 1000, 10_000, 50_000} {
		b.Run(fmt.Sprintf("%d wait", n), func(b *testing.B) {
			m, written := benchFile(b, echo{})
			id := fed(b, m, n)
			p := protocol.ThreadItemsAppendParams{ThreadID: id, Input: protocol.TextInput(fmt.Sprintf("%0100d", 1))}
			written.Store(0)
			b.ReportAllocs()
			for b.Loop() {
				if a := <-send(m.ItemsAppend, ann, p); a.err != nil {
					b.Fatal(a.err)
				}
			}
			b.ReportMetric(float64(written.Load())/float64(b.N), "written/op")
		})
	}
}

// The first turn takes all that waits. Meanwhile another thread is written to: longest is how
// long one of its commits took.
func BenchmarkTakeWaiting(b *testing.B) {
	for _, n := range []int{1000, 10_000, 50_000} {
		b.Run(fmt.Sprintf("%d wait", n), func(b *testing.B) {
			m, _ := benchFile(b, echo{})
			other := fed(b, m, 0)
			longest := int64(0)
			for b.Loop() {
				b.StopTimer()
				p := input(fed(b, m, n), "go", "")
				p.Wait = true
				quit, quitted := make(chan struct{}), make(chan int64)
				go func() { quitted <- slowestUpdate(m, other, quit) }()
				b.StartTimer()
				if a := <-send(m.TurnRun, ann, p); a.err != nil {
					b.Fatal(a.err)
				}
				close(quit)
				longest = max(longest, <-quitted)
			}
			b.ReportMetric(float64(longest)/1e6, "longest-ms")
		})
	}
}

// slowestUpdate appends to a thread until quit is closed, and returns how long the slowest
// append took.
func slowestUpdate(m *thread.Manager, id string, quit chan struct{}) (longest int64) {
	p := protocol.ThreadMetadataUpdateParams{ThreadID: id, Metadata: []byte(`{"a":1}`)}
	for {
		select {
		case <-quit:
			return longest
		default:
			began := time.Now()
			<-send(m.MetadataUpdate, ann, p)
			longest = max(longest, int64(time.Since(began)))
		}
	}
}
