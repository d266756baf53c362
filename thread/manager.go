package thread

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/turn"
)

// Manager owns all threads. Its methods may be called from any number of goroutines.
type Manager struct {
	cfg    Config
	limits Limits
	log    zerolog.Logger
	agents map[string]*turn.Spec

	mu      sync.Mutex
	threads map[string]*Thread
	loading map[string]*loading // threads that are on their way into memory

	peers    peers
	owners   owners
	asks     askRegistry
	rules    rules
	outlines outlines
	tools    toolOwners
	keys     keyTable
	creating sync.Mutex // one thread/getOrCreate at a time looks and then makes
	fresh    sync.Map   // reuse key -> id of a thread whose first commit is on its way
	failed   atomic.Bool
	stopping atomic.Bool
	stopped  context.Context // ends when the janitor and timers shall
	stop     context.CancelFunc
	spawning sync.Mutex
	closed   bool           // nothing is spawned any more; guarded by spawning
	running  sync.WaitGroup // agents, and short work that must not run under a lock
	work     sync.WaitGroup // janitor, timers
	counters sync.Map       // name -> *atomic.Int64
}

// Open makes a Manager of cfg, brings back what a crash interrupted and starts the turns
// that wait. It returns when all threads that had a turn are in order again.
func Open(ctx context.Context, cfg Config) (*Manager, error) {
	m := &Manager{
		cfg: cfg, limits: cfg.Limits.withDefaults(), log: cfg.Log,
		agents: map[string]*turn.Spec{}, threads: map[string]*Thread{}, loading: map[string]*loading{},
	}
	for i := range cfg.Agents {
		spec := &cfg.Agents[i]
		if m.agents[spec.Name] != nil {
			return nil, fmt.Errorf("two agents are named %q", spec.Name)
		}
		if err := spec.Prepare(); err != nil {
			return nil, err
		}
		m.agents[spec.Name] = spec
	}
	if m.agents[cfg.Default] == nil {
		return nil, fmt.Errorf("the default agent %q is not configured", cfg.Default)
	}
	m.stopped, m.stop = context.WithCancel(context.Background())
	m.owners.init()
	if err := m.rules.load(ctx, cfg.Store); err != nil {
		m.stop()
		return nil, fmt.Errorf("reading the approval rules: %w", err)
	}
	if err := m.recover(ctx); err != nil {
		m.stop()
		return nil, errors.Join(err, m.Shutdown(ctx, 0))
	}
	m.work.Go(m.janitor)
	return m, nil
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	setTime := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.MaxQueued, 1000)
	set(&l.CheckpointBytes, 64<<10)
	if l.MaxItemBytes <= 0 {
		l.MaxItemBytes = 4 << 20
	}
	if l.MaxMessageBytes <= 0 {
		l.MaxMessageBytes = 4 * max(l.MaxItemBytes, 4<<20)
	}
	setTime(&l.InterruptGrace, 5*time.Second)
	setTime(&l.CheckpointInterval, 500*time.Millisecond)
	setTime(&l.IdleUnload, 5*time.Minute)
	setTime(&l.KeyRetention, 48*time.Hour)
	return l
}

// Shutdown stops all work: nothing new starts, running turns get the time of drain, then
// they are cancelled with reason shutdown and get the interrupt grace. It returns when all
// turns have ended and their ends are kept and told; where ctx ends it waits neither for
// agents nor for the store any more. Queued turns stay and run at the next start. The store
// must be open until then.
func (m *Manager) Shutdown(ctx context.Context, drain time.Duration) error {
	m.stopping.Store(true)
	m.spawning.Lock()
	m.closed = true
	m.spawning.Unlock()
	idle := make(chan struct{})
	go func() {
		m.running.Wait()
		close(idle)
	}()
	defer func() {
		for _, t := range m.loaded() {
			t.settle(ctx)
		}
		m.stop()
		m.owners.leaveTimers()
		m.work.Wait()
	}()
	if waitFor(ctx, idle, drain) {
		return nil
	}
	for _, t := range m.loaded() {
		t.shutdown()
	}
	if waitFor(ctx, idle, m.limits.InterruptGrace) {
		return nil
	}
	for _, t := range m.loaded() {
		t.leaveAgent()
	}
	return nil
}

// waitFor waits for done, at most for d and until ctx ends, and reports whether it came.
func waitFor(ctx context.Context, done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
}

// spawn runs f on a goroutine that Shutdown waits for; false: it is too late for that.
func (m *Manager) spawn(f func()) bool {
	m.spawning.Lock()
	defer m.spawning.Unlock()
	if m.closed {
		return false
	}
	m.running.Go(f)
	return true
}

// AcceptingTurns reports whether turns can be accepted: false once the store has failed,
// while the disk is nearly full, and during a shutdown.
func (m *Manager) AcceptingTurns() bool {
	return m.refuseNew() == nil
}

// refuse returns why nothing can be changed now, nil if it can.
func (m *Manager) refuse() error {
	if m.stopping.Load() && !m.failed.Load() {
		e := protocol.Errorf(protocol.CodeServerOverloaded, "the daemon is stopping; try again when it runs")
		e.Data.RetryAfterMs = 1000
		return e
	}
	return m.cannotKeep()
}

// cannotKeep is refuse for what a running turn waits for: while the daemon stops, it still
// gets its answers, so that it can end by itself.
func (m *Manager) cannotKeep() error {
	if m.failed.Load() {
		return m.storageError(storage.ErrFailed)
	}
	return nil
}

// refuseNew is refuse for what brings something that needs room on the disk: threads, turns,
// items and inputs are refused before a write can fail. What ends, frees or answers is not.
func (m *Manager) refuseNew() error {
	if err := m.refuse(); err != nil {
		return err
	}
	if m.cfg.Full != nil && m.cfg.Full() {
		e := protocol.Errorf(protocol.CodeStorageUnavailable, "the disk has less free space than limits.disk_reserve keeps for what runs")
		e.Data.Hint = "free some space and try again; the daemon need not be restarted, and what runs may end"
		return e
	}
	return nil
}

// loaded returns the threads that are in memory.
func (m *Manager) loaded() []*Thread {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.threads))
}

// lock finds a thread that the caller may see and returns it locked, or ThreadNotFound.
func (m *Manager) lock(ctx context.Context, id, user string) (*Thread, error) {
	for {
		t, err := m.load(ctx, id)
		if err != nil {
			return nil, err
		}
		t.mu.Lock()
		if t.gone {
			t.mu.Unlock()
			m.mu.Lock()
			if m.threads[id] == t {
				delete(m.threads, id)
			}
			m.mu.Unlock()
			continue
		}
		if t.deleted || t.st.role(user) == "" {
			t.mu.Unlock()
			return nil, protocol.ThreadNotFound()
		}
		t.touch()
		return t, nil
	}
}

// lockToChange is lock for a request that changes the thread: observers are refused.
func (m *Manager) lockToChange(c Call, id string) (*Thread, error) {
	t, err := m.lock(c.Context, id, c.Caller.User)
	if err != nil {
		return nil, err
	}
	role := t.st.role(c.Caller.User)
	if s := t.subOf(c.Peer); s != nil && s.role == protocol.RoleObserver {
		role = protocol.RoleObserver
	}
	if role == protocol.RoleObserver {
		t.mu.Unlock()
		return nil, protocol.Errorf(protocol.CodeForbidden, "an observer may not run turns or change the thread")
	}
	return t, nil
}

// count adds one to a counter of Stats.
func (m *Manager) count(name string) {
	c, ok := m.counters.Load(name)
	if !ok {
		c, _ = m.counters.LoadOrStore(name, new(atomic.Int64))
	}
	c.(*atomic.Int64).Add(1)
}

// LateAnswer counts an answer that came when the request had been withdrawn.
func (m *Manager) LateAnswer() { m.count("answers.late") }

// Stats counts what the threads do.
type Stats struct {
	LoadedThreads, RunningTurns, QueuedTurns, Subscriptions int
	Counters                                                map[string]int64 // since Open, by name
}

// Stats returns the counts of this moment.
func (m *Manager) Stats() Stats {
	s := Stats{Subscriptions: m.peers.count(nil), Counters: map[string]int64{}}
	for _, t := range m.loaded() {
		t.mu.Lock()
		s.QueuedTurns += len(t.st.Queue.Waiting)
		if t.run != nil {
			s.RunningTurns++
		}
		t.mu.Unlock()
		s.LoadedThreads++
	}
	for name, c := range m.counters.Range {
		s.Counters[name.(string)] = c.(*atomic.Int64).Load()
	}
	return s
}

// Subscriptions returns how many threads a connection is subscribed to.
func (m *Manager) Subscriptions(p Peer) int { return m.peers.count(p) }

// Agents describes the configured agents, in the order of their names.
func (m *Manager) Agents() []protocol.AgentInfo {
	infos := make([]protocol.AgentInfo, 0, len(m.agents))
	for _, name := range sortedKeys(m.agents) {
		infos = append(infos, m.agents[name].Info(name == m.cfg.Default))
	}
	return infos
}
