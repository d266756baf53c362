package line_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/spoolhq/spool/storage/internal/line"
)

func TestOrder(t *testing.T) {
	const n = 10_000
	var got []int
	l := line.New(func(v []int) { got = append(got, v...) }, func(int) { t.Error("refused") })
	for i := range n {
		l.Add(i)
	}
	l.Close()
	if len(got) != n || !slices.IsSorted(got) {
		t.Errorf("%d of %d came, in order: %v", len(got), n, slices.IsSorted(got))
	}
}

// TestTogether checks that what waits is given at once, and that a line at rest has no
// goroutine: a bubble does not end while it has any.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		var sizes []int
		l := line.New(func(v []int) {
			sizes = append(sizes, len(v))
			<-hold
		}, func(int) {})
		l.Add(1)
		synctest.Wait()
		for i := range 5 {
			l.Add(i)
		}
		close(hold)
		synctest.Wait()
		l.Add(1)
		synctest.Wait()
		if !slices.Equal(sizes, []int{1, 5, 1}) {
			t.Errorf("came in portions of %v", sizes)
		}
	})
}

// TestOneAtATime adds from many goroutines while others close.
func TestOneAtATime(t *testing.T) {
	var busy atomic.Int32
	var worked, refused atomic.Int32
	enter := func(n int, count *atomic.Int32) {
		if busy.Add(1) != 1 {
			t.Error("two at a time")
		}
		count.Add(int32(n))
		busy.Add(-1)
	}
	l := line.New(func(v []int) { enter(len(v), &worked) }, func(int) { enter(1, &refused) })
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 500 {
				l.Add(i)
			}
			l.Close()
			if worked.Load() == 0 {
				t.Error("Close returned before any work was done")
			}
		})
	}
	all.Wait()
	l.Close()
	if n := worked.Load() + refused.Load(); n != 8*500 {
		t.Errorf("%d were worked on and %d refused", worked.Load(), refused.Load())
	}
}

// TestLate checks that what comes after Close is refused, in order.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late []int
		l := line.New(func([]int) { t.Error("worked on") }, func(v int) { late = append(late, v) })
		l.Close()
		for i := range 9 {
			l.Add(i)
		}
		synctest.Wait()
		if len(late) != 9 || !slices.IsSorted(late) {
			t.Errorf("refused %v", late)
		}
	})
}
