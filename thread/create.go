package thread

import (
	"context"
	"errors"
	"strings"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// Start begins a thread.
func (m *Manager) Start(c Call, p protocol.ThreadStartParams, r Reply[protocol.ThreadResult]) {
	r = claiming(m, c, r, func(res protocol.ThreadResult) (claim, bool) {
		return claim{thread: res.Thread.ID, follow: wants(p.Subscribe), own: true, tools: p.Tools}, res.Replayed
	})
	once(m, c, "", p.IdempotencyKey, r, func(k *storage.KeyResult, r Reply[protocol.ThreadResult]) {
		t, err := m.create(c, p.ThreadOptions, nil)
		if err != nil {
			r(protocol.ThreadResult{}, err)
			return
		}
		defer t.mu.Unlock()
		x := t.begin()
		x.started(c, wants(p.Subscribe))
		x.bindNamed(c, p.Tools)
		res := protocol.ThreadResult{Thread: t.header()}
		x.keep(k, res)
		x.commit(func(err error) { r(res, err) })
	})
}

func wants(subscribe *bool) bool { return subscribe == nil || *subscribe }

// create checks the options and makes the thread in memory, known to all and locked. Its
// first commit is the caller's to make.
func (m *Manager) create(c Call, o protocol.ThreadOptions, from *protocol.ForkedFrom) (*Thread, error) {
	if err := m.refuseNew(); err != nil {
		return nil, err
	}
	h, err := m.newHeader(c, o)
	if err != nil {
		return nil, err
	}
	h.ForkedFrom = from
	if o.ThreadID != "" {
		if err := m.mustBeUnused(c.Context, o.ThreadID); err != nil {
			return nil, err
		}
		h.ID = o.ThreadID
	}
	return m.adopt(h)
}

// adopt makes a new thread with this header known, and locks it.
func (m *Manager) adopt(h protocol.ThreadHeader) (*Thread, error) {
	t := newThread(m, h.ID)
	t.st.Thread = h
	t.st.share(h.ID)
	t.ephemeral = h.Lifetime.Mode == protocol.LifetimeEphemeral
	t.mu.Lock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.threads[h.ID] != nil || m.loading[h.ID] != nil {
		t.mu.Unlock()
		return nil, m.storageError(storage.ErrExists)
	}
	m.threads[h.ID] = t
	return t, nil
}

// mustBeUnused refuses an id that a client chose and that is, or was, in use by anyone.
func (m *Manager) mustBeUnused(ctx context.Context, id string) error {
	if !protocol.ValidID(protocol.PrefixThread, id) {
		return protocol.InvalidParams("threadId", "must be thr_ and a new ULID in capital letters; leave it out to get one")
	}
	for _, s := range []storage.Store{m.cfg.Store, m.cfg.Ephemeral} {
		_, err := s.Thread(ctx, id)
		switch {
		case err == nil || errors.Is(err, storage.ErrDeleted):
			return m.storageError(storage.ErrExists)
		case !errors.Is(err, storage.ErrNotFound):
			return m.storageError(err)
		}
	}
	return nil
}

// newHeader checks the options of a new thread and makes its header.
func (m *Manager) newHeader(c Call, o protocol.ThreadOptions) (protocol.ThreadHeader, error) {
	var none protocol.ThreadHeader
	name := o.Agent
	if name == "" {
		name = m.cfg.Default
	}
	spec := m.agents[name]
	if spec == nil {
		return none, protocol.Errorf(protocol.CodeAgentNotFound, "there is no agent %s; agent/list names those there are: %s", quote(name), strings.Join(sortedKeys(m.agents), ", "))
	}
	conf, err := spec.CheckConfig(spec.Effective(o.Config))
	if err != nil {
		return none, err
	}
	if err := checkMode(spec, conf, o.Mode); err != nil {
		return none, err
	}
	if err := checkTitle(o.Title); err != nil {
		return none, err
	}
	if _, err := c.offers(o.Tools); err != nil {
		return none, err
	}
	if id := o.Identity; id != nil {
		if id.Channel == "" {
			return none, protocol.InvalidParams("identity.channel", "must not be empty")
		}
		if id.User != "" && id.User != c.Caller.User && !c.Caller.Admin {
			return none, protocol.Errorf(protocol.CodeForbidden, "identity.user may not be another user than yourself")
		}
	}
	lifetime, err := newLifetime(o.Lifetime)
	if err != nil {
		return none, err
	}
	now := protocol.Now()
	h := protocol.ThreadHeader{
		ID: protocol.NewID(protocol.PrefixThread), Agent: name, Status: protocol.StatusActive, Title: o.Title,
		Owner: c.Caller.User, Identity: o.Identity, CreatedAt: now, UpdatedAt: now, LastActiveAt: now,
		Lifetime: lifetime, QueuePolicy: newPolicy(o.QueuePolicy), Mode: o.Mode,
		Config: protocol.Object{}.Merge(o.Config), Metadata: protocol.Object{}.Merge(o.Metadata), Generation: 1,
	}
	return h, m.checkHeaderSize(&h)
}

// newLifetime fills in what is absent.
func newLifetime(l *protocol.Lifetime) (protocol.Lifetime, error) {
	out := protocol.Lifetime{Mode: protocol.LifetimeDurable, OnDisconnect: protocol.DisconnectContinue}
	if l == nil {
		return out, nil
	}
	if l.GraceMs < 0 {
		return out, protocol.InvalidParams("lifetime.graceMs", "must not be negative")
	}
	if l.Mode != "" {
		out.Mode = l.Mode
	}
	if l.OnDisconnect != "" {
		out.OnDisconnect = l.OnDisconnect
	}
	out.GraceMs = l.GraceMs
	return out, nil
}

func newPolicy(p *protocol.QueuePolicy) protocol.QueuePolicy {
	out := protocol.QueuePolicy{OnFailed: protocol.QueuePause, OnCancelled: protocol.QueuePause}
	if p != nil && p.OnFailed != "" {
		out.OnFailed = p.OnFailed
	}
	if p != nil && p.OnCancelled != "" {
		out.OnCancelled = p.OnCancelled
	}
	return out
}

// started begins the journal: the first event, the owner, the caller's subscription.
func (x *change) started(c Call, subscribe bool) {
	t := x.t
	x.batch.Create, x.row, x.quiet = true, true, true
	x.own(c.Caller)
	if subscribe {
		x.join(c)
	}
	h := x.next("", "", "")
	emit(x, protocol.EventThreadStarted, protocol.ThreadStartedEvent{Header: h, Thread: t.header()})
}

// GetOrCreate finds the newest active or paused thread of the caller with this identity
// and agent, or begins one. However many ask at once, one thread is made.
func (m *Manager) GetOrCreate(c Call, p protocol.ThreadStartParams, r Reply[protocol.ThreadGetOrCreateResult]) {
	r = claiming(m, c, r, func(res protocol.ThreadGetOrCreateResult) (claim, bool) {
		g := claim{thread: res.Thread.ID, follow: wants(p.Subscribe), own: true, tools: p.Tools}
		if res.Resumed {
			g.after = res.Thread.HeadSeq
		}
		return g, res.Replayed
	})
	once(m, c, "", p.IdempotencyKey, r, func(k *storage.KeyResult, r Reply[protocol.ThreadGetOrCreateResult]) {
		t, created, err := m.findOrCreate(c, p)
		if err != nil {
			r(protocol.ThreadGetOrCreateResult{}, err)
			return
		}
		defer t.mu.Unlock()
		x := t.begin()
		if created {
			x.started(c, wants(p.Subscribe))
		} else {
			x.takenUp(c, wants(p.Subscribe))
		}
		x.bindNamed(c, p.Tools)
		res := protocol.ThreadGetOrCreateResult{Thread: t.header(), Created: created, Resumed: !created}
		x.startNext()
		x.keep(k, res)
		key := reuseKey(t.st.Thread.Owner, *p.Identity, t.st.Thread.Agent)
		x.commit(func(err error) {
			m.fresh.CompareAndDelete(key, t.id)
			r(res, err)
		})
	})
}

// findOrCreate returns the thread locked.
func (m *Manager) findOrCreate(c Call, p protocol.ThreadStartParams) (t *Thread, created bool, err error) {
	if p.Identity == nil {
		return nil, false, protocol.InvalidParams("identity", "is required")
	}
	h, err := m.newHeader(c, p.ThreadOptions)
	if err != nil {
		return nil, false, err
	}
	key := reuseKey(c.Caller.User, *p.Identity, h.Agent)
	m.creating.Lock()
	defer m.creating.Unlock()
	t, err = m.findReusable(c, key)
	if err != nil {
		return nil, false, err
	}
	if t != nil {
		if p.Lifetime != nil && h.Lifetime != t.st.Thread.Lifetime {
			t.mu.Unlock()
			return nil, false, protocol.InvalidConfig("lifetime", "is fixed when a thread is made; the thread of this identity has another one")
		}
		return t, false, nil
	}
	t, err = m.create(c, p.ThreadOptions, nil)
	if err == nil {
		m.fresh.Store(key, t.id)
	}
	return t, true, err
}

// findReusable returns the thread that is under the key, locked, or nil.
func (m *Manager) findReusable(c Call, key string) (*Thread, error) {
	id := ""
	if v, ok := m.fresh.Load(key); ok {
		id = v.(string)
	} else {
		for _, s := range []storage.Store{m.cfg.Store, m.cfg.Ephemeral} {
			row, err := s.Reusable(c.Context, key)
			if err == nil && row.ID > id {
				id = row.ID
			}
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				return nil, m.storageError(err)
			}
		}
	}
	if id == "" {
		return nil, nil
	}
	t, err := m.lock(c.Context, id, c.Caller.User)
	if errors.Is(err, &protocol.Error{Code: protocol.CodeThreadNotFound}) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if s := t.st.Thread.Status; s != protocol.StatusActive && s != protocol.StatusPaused {
		t.mu.Unlock()
		return nil, nil
	}
	return t, nil
}

// takenUp makes the caller the owner of a thread that exists, wakes it where it is paused
// and subscribes the caller.
func (x *change) takenUp(c Call, subscribe bool) {
	t := x.t
	x.own(c.Caller)
	if t.st.Thread.Status == protocol.StatusPaused {
		x.setStatus(protocol.StatusActive)
	}
	x.notLater("pause")
	if subscribe {
		x.join(c)
	}
}
