package thread_test

import (
	"sync"
	"testing/synctest"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/faulty"
)

// gate holds commits up, as a slow disk does.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while commits pass
	one  chan struct{} // lets one pass
}

func newGate() *gate {
	g := &gate{open: make(chan struct{}), one: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) hooks() faulty.Hooks {
	return faulty.Hooks{BeforeCommit: func(*storage.Batch) error {
		g.mu.Lock()
		open := g.open
		g.mu.Unlock()
		select {
		case <-open:
		case <-g.one:
		}
		return nil
	}}
}

// shut lets nothing pass from now on.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		g.open = make(chan struct{})
	default:
	}
}

// pass lets one commit through, if one waits.
func (g *gate) pass() {
	synctest.Wait()
	select {
	case g.one <- struct{}{}:
	default:
	}
	synctest.Wait()
}

// lift lets everything pass.
func (g *gate) lift() {
	g.mu.Lock()
	select {
	case <-g.open:
	default:
		close(g.open)
	}
	g.mu.Unlock()
	synctest.Wait()
}
