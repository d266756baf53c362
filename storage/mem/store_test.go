package mem_test

import (
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/mem"
	"github.com/spoolhq/spool/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	storagetest.Run(t, storagetest.Config{Open: func(t *testing.T) storage.Store {
		s := mem.New()
		t.Cleanup(func() { _ = s.Close() })
		return s
	}})
}

// TestBubble checks that a store can live and be left behind in a synctest bubble.
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mem.New()
		done := false
		s.Commit(&storage.Batch{Thread: "thr_01JD3Z00000000000000000000"}, func(err error) { done = err == nil })
		synctest.Wait()
		if !done {
			t.Error("the commit is not done")
		}
	})
}
