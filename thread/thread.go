package thread

import (
	"sync"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// Thread is one conversation in memory. All its fields are guarded by mu, but for those
// above it, which never change.
type Thread struct {
	m     *Manager
	id    string
	store storage.Store
	ready chan struct{} // closed when it was loaded, or loadErr set
	// loadErr is why it could not be loaded; read it after ready.
	loadErr error

	mu      sync.Mutex
	gone    bool // unloaded, removed or failed: look it up again
	deleted bool // it is being removed: nobody finds it any more
	st      state
	queued  map[string]*protocol.Turn    // the waiting turns
	entries map[string]storage.TurnEntry // and where they are in the journal
	run     *run                         // the running turn
	ended   map[string]protocol.Turn     // turns whose end is not told yet
	touched map[string]uint64            // items with a change that is not told yet, and its seq
	latest  map[string]protocol.Item     // and what they are by it
	waiters map[string][]*waiter         // by turn

	effects     []effect
	backlog     int           // about what the effects take in memory, in bytes
	room        chan struct{} // closed when there is room for more; nil: no agent waits for that
	said        int           // bytes told to subscribers since the last look at how they keep up
	lost        bool          // a commit failed: nothing is told any more
	flushing    bool
	flushed     uint64           // seq of the newest durable event that was told
	lastRuntime protocol.Runtime // as last told
	subs        []*Subscription
	tools       map[string]*boundTool // by name

	lastUse time.Time
}

// touch notes that somebody used the thread. t.mu is held.
func (t *Thread) touch() { t.lastUse = time.Now() }

// newID returns a new id for something in this thread, greater than all before.
func (t *Thread) newTurnID() string {
	id := protocol.NewID(protocol.PrefixTurn)
	t.st.LastID = id
	return id
}
