package thread_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage/mem"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
)

// A thread that was loaded and that nobody uses holds little memory.
func TestIdleThreadIsSmall(t *testing.T) {
	const threads, most = 1000, 1024
	store := mem.New()
	open := func() *thread.Manager {
		m, err := thread.Open(context.Background(), thread.Config{
			Store: store, Ephemeral: mem.New(), Default: "test", Log: zerolog.Nop(),
			Agents: []turn.Spec{{Name: "test", Kind: "test", Agent: lister{1}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	stop := func(m *thread.Manager) {
		if err := m.Shutdown(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
	}
	m, ids := open(), make([]string, threads)
	for i := range ids {
		ids[i] = (<-send(m.Start, ann, protocol.ThreadStartParams{})).result.Thread.ID
		p := input(ids[i], "hello", "")
		p.Wait = true
		if a := <-send(m.TurnRun, ann, p); a.err != nil {
			t.Fatal(a.err)
		}
	}
	stop(m)
	m = open()
	defer stop(m)
	before := liveBytes()
	for _, id := range ids {
		if _, err := try(m.Read, ann, protocol.ThreadReadParams{ThreadID: id}); err != nil {
			t.Fatal(err)
		}
	}
	each := (liveBytes() - before) / threads
	t.Logf("%d bytes for a thread", each)
	if each > most {
		t.Errorf("a thread that nobody uses holds %d bytes, at most %d are allowed", each, most)
	}
	runtime.KeepAlive(m)
}

// liveBytes is the size of what is on the heap and in use.
func liveBytes() int64 {
	var s runtime.MemStats
	for range 2 { // the second takes what pools kept over the first
		runtime.GC()
	}
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}
