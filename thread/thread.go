package thread

import (
	"sync"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// Thread is one conversation in memory. All its fields are guarded by mu, but for the first
// three, which never change. A daemon may hold very many that nobody uses: what is there only
// while something goes on is made when it begins.
type Thread struct {
	m         *Manager
	id        string
	ephemeral bool // kept in memory only

	gone    bool // unloaded, removed or failed: look it up again
	deleted bool // it is being removed: nobody finds it any more
	lost    bool // a commit failed: nothing is told any more

	mu      sync.Mutex
	st      state
	lastUse protocol.Time
	queued  map[string]*protocol.Turn    // the waiting turns
	entries map[string]storage.TurnEntry // and where they are in the journal
	run     *run                         // the running turn
	ended   map[string]protocol.Turn     // turns whose end is not told yet
	touched map[string]touchedItem       // items with a change that is not told yet
	waiters map[string][]*waiter         // by turn
	out     *outlet                      // what is to be told; nil: nothing, and no turn runs
	flushed uint64                       // seq of the newest durable event that was told
	subs    []*Subscription
	tools   map[string]*boundTool // by name
}

func newThread(m *Manager, id string) *Thread {
	t := &Thread{m: m, id: id}
	t.touch()
	return t
}

// store is where the thread is kept.
func (t *Thread) store() storage.Store {
	if t.ephemeral {
		return t.m.cfg.Ephemeral
	}
	return t.m.cfg.Store
}

// hold keeps a waiting turn in memory. t.mu is held.
func (t *Thread) hold(tn *protocol.Turn, entry storage.TurnEntry) {
	if t.queued == nil {
		t.queued, t.entries = map[string]*protocol.Turn{}, map[string]storage.TurnEntry{}
	}
	t.queued[tn.ID], t.entries[tn.ID] = tn, entry
}

// touch notes that somebody used the thread. t.mu is held.
func (t *Thread) touch() { t.lastUse = protocol.Now() }

// newID returns a new id for something in this thread, greater than all before.
func (t *Thread) newTurnID() string {
	id := protocol.NewID(protocol.PrefixTurn)
	t.st.LastID = id
	return id
}
