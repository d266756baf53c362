package bolt_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
)

// BenchmarkCommit commits events of 200 bytes from 1 and 64 goroutines, each of which
// waits for one commit before the next and writes to a thread of its own.
func BenchmarkCommit(b *testing.B) {
	for _, row := range []bool{false, true} {
		for _, writers := range []int{1, 64} {
			b.Run(fmt.Sprintf("row=%v/writers=%d", row, writers), func(b *testing.B) { benchCommit(b, writers, row) })
		}
	}
}

func benchCommit(b *testing.B, writers int, row bool) {
	s, err := bolt.Open(b.Context(), bolt.Options{Path: dataFile(b)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var left atomic.Int64
	left.Store(int64(b.N))
	latencies := make([][]time.Duration, writers)
	var all sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for w := range writers {
		id := newThread()
		all.Go(func() {
			result := make(chan error, 1)
			done := func(err error) { result <- err }
			frame := make([]byte, 200)
			for seq := uint64(1); left.Add(-1) >= 0; seq++ {
				batch := &storage.Batch{Thread: id, Events: []storage.Event{{Seq: seq, Frame: frame}}}
				if row {
					batch.Row = &storage.Row{ID: id, Owner: "alice", Created: 1, Updated: int64(seq), Busy: true, Data: frame}
				}
				start := time.Now()
				s.Commit(batch, done)
				if err := <-result; err != nil {
					b.Error(err)
					return
				}
				latencies[w] = append(latencies[w], time.Since(start))
			}
		})
	}
	all.Wait()
	b.StopTimer()
	report(b, latencies)
}

func report(b *testing.B, latencies [][]time.Duration) {
	times := slices.Concat(latencies...)
	slices.Sort(times)
	b.ReportMetric(float64(len(times))/b.Elapsed().Seconds(), "commits/s")
	b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-us")
}

// BenchmarkReplay reads a journal of 10,000 events in pages of 256 KiB.
func BenchmarkReplay(b *testing.B) {
	s, err := bolt.Open(b.Context(), bolt.Options{Path: dataFile(b)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const n = 10_000
	id := newThread()
	batch := &storage.Batch{Thread: id}
	for seq := range uint64(n) {
		batch.Events = append(batch.Events, storage.Event{Seq: seq + 1, Frame: make([]byte, 200)})
	}
	if err := commit(s, batch); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		for after := uint64(0); after < n; {
			events, err := s.Events(b.Context(), id, after, 0, 256<<10)
			if err != nil {
				b.Fatal(err)
			}
			after = events[len(events)-1].Seq
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkThreads reads a page of 25 rows of a list of 100 and of 100,000.
func BenchmarkThreads(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("stored=%d", n), func(b *testing.B) {
			s, err := bolt.Open(b.Context(), bolt.Options{Path: dataFile(b)})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			for i := range n {
				id := newThread()
				r := &storage.Row{ID: id, Owner: "alice", Created: int64(i), Updated: int64(i), Data: make([]byte, 200)}
				s.Commit(&storage.Batch{Thread: id, Create: true, Row: r}, func(error) {})
			}
			if err := commit(s, &storage.Batch{Thread: newThread()}); err != nil {
				b.Fatal(err)
			}
			runtime.GC()
			b.ReportAllocs()
			for b.Loop() {
				page, err := s.Threads(b.Context(), storage.Query{Reader: "alice", Limit: 25})
				if err != nil || len(page.Rows) != 25 {
					b.Fatal(len(page.Rows), err)
				}
			}
		})
	}
}
