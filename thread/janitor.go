package thread

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// janitor unloads idle threads and forgets old idempotency keys, until the Manager stops.
func (m *Manager) janitor() {
	unload := time.NewTicker(max(m.limits.IdleUnload/4, time.Second))
	defer unload.Stop()
	prune := time.NewTicker(time.Hour)
	defer prune.Stop()
	for {
		select {
		case <-m.stopped.Done():
			return
		case <-unload.C:
			m.unloadIdle()
		case <-prune.C:
			before := time.Now().Add(-m.limits.KeyRetention).UnixMilli()
			for _, s := range []storage.Store{m.cfg.Store, m.cfg.Ephemeral} {
				if _, err := s.PruneKeys(m.stopped, before); err != nil && m.stopped.Err() == nil {
					m.log.Warn().Err(err).Msg("old idempotency keys could not be removed")
				}
			}
		}
	}
}

func (m *Manager) unloadIdle() {
	limit := protocol.Time(time.Now().Add(-m.limits.IdleUnload).UnixMilli())
	for _, t := range m.loaded() {
		m.mu.Lock()
		t.mu.Lock()
		if m.threads[t.id] == t && t.idle() && t.lastUse < limit {
			t.gone = true
			delete(m.threads, t.id)
		}
		t.mu.Unlock()
		m.mu.Unlock()
	}
}

// idle reports whether nothing would be lost if the thread left memory. t.mu is held.
func (t *Thread) idle() bool {
	return t.run == nil && len(t.subs) == 0 && len(t.toTell()) == 0 && len(t.waiters) == 0 && !t.bound()
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
