package thread

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// keyTable holds the requests with an idempotency key that are in work. Its lock is a
// leaf. What was answered before is in the store.
type keyTable struct {
	mu   sync.Mutex
	work map[keyScope]*keyWork
}

type keyScope struct{ owner, thread, key string }

type keyWork struct {
	hash    []byte
	waiting []func(result []byte, err error)
}

// once runs do, unless the same request was accepted before under its key: then it is
// answered with that result. do gets the key to put into its change (nil: none), and a
// reply to use in place of r.
func once[R any](m *Manager, c Call, thread, key string, r Reply[R], do func(*storage.KeyResult, Reply[R])) {
	if key == "" {
		do(nil, r)
		return
	}
	replay := func(result []byte, err error) {
		var v R
		if err == nil {
			err = json.Unmarshal(result, &v)
		}
		if err == nil {
			if p, ok := any(&v).(interface{ MarkReplayed() }); ok {
				p.MarkReplayed()
			}
		}
		r(v, err)
	}
	scope := keyScope{c.Caller.User, thread, key}
	if !m.keys.claim(scope, c.Hash, replay) {
		return
	}
	stored, err := m.storedKey(c.Context, scope)
	switch {
	case err == nil && bytes.Equal(stored.Hash, c.Hash):
		m.keys.release(scope, stored.Result, nil)
		replay(stored.Result, nil)
		return
	case err == nil:
		err = errKeyMismatch()
		fallthrough
	case !errors.Is(err, storage.ErrNotFound):
		m.keys.release(scope, nil, err)
		var zero R
		r(zero, err)
		return
	}
	k := &storage.KeyResult{Owner: scope.owner, Thread: thread, Key: key, Hash: c.Hash, At: int64(protocol.Now())}
	returned := false
	defer func() {
		if !returned { // it panicked, and will answer nobody
			m.keys.release(scope, nil, errors.New("the request with this idempotencyKey crashed"))
		}
	}()
	do(k, func(result R, err error) {
		var raw []byte
		if err == nil {
			raw, err = protocol.Marshal(result)
		}
		m.keys.release(scope, raw, err)
		r(result, err)
	})
	returned = true
}

func errKeyMismatch() error {
	return protocol.Errorf(protocol.CodeIdempotencyMismatch,
		"the idempotencyKey was used before with other params; use a new key for a new request")
}

// claim makes the request the one in work under its key. False: it is answered
// elsewhere, by replay when the one in work is, or was refused.
func (kt *keyTable) claim(scope keyScope, hash []byte, replay func([]byte, error)) bool {
	kt.mu.Lock()
	w := kt.work[scope]
	switch {
	case w == nil:
		if kt.work == nil {
			kt.work = map[keyScope]*keyWork{}
		}
		kt.work[scope] = &keyWork{hash: hash}
		kt.mu.Unlock()
		return true
	case !bytes.Equal(w.hash, hash):
		kt.mu.Unlock()
		replay(nil, errKeyMismatch())
		return false
	default:
		w.waiting = append(w.waiting, replay)
		kt.mu.Unlock()
		return false
	}
}

// release ends the work under a key and answers those who wait for it.
func (kt *keyTable) release(scope keyScope, result []byte, err error) {
	kt.mu.Lock()
	w := kt.work[scope]
	delete(kt.work, scope)
	kt.mu.Unlock()
	if w == nil {
		return
	}
	for _, answer := range w.waiting {
		answer(result, err)
	}
}

// storedKey looks a key up: with its thread where that is stored, for requests without a
// thread in both stores.
func (m *Manager) storedKey(ctx context.Context, s keyScope) (storage.KeyResult, error) {
	r, err := m.cfg.Store.Key(ctx, s.owner, s.thread, s.key)
	if errors.Is(err, storage.ErrNotFound) {
		r, err = m.cfg.Ephemeral.Key(ctx, s.owner, s.thread, s.key)
	}
	if err == nil || errors.Is(err, storage.ErrNotFound) {
		return r, err
	}
	if errors.Is(err, storage.ErrBadID) {
		return r, storage.ErrNotFound // the look-up of the thread says so
	}
	return r, m.storageError(err)
}

// keep puts the result of the request under its key into the change.
func (x *change) keep(k *storage.KeyResult, result any) {
	if k == nil {
		return
	}
	raw, err := protocol.Marshal(result)
	if err != nil {
		panic("thread: a result cannot be marshalled: " + err.Error())
	}
	k.Result = raw
	x.batch.Key = k
}

// mutate is the way of every request that changes one thread: it honours the idempotency
// key, finds and locks the thread, lets decide change it, and replies after the commit.
// decide must change nothing where it returns an error.
func mutate[R any](m *Manager, c Call, id, key string, r Reply[R], decide func(t *Thread, x *change) (R, error)) {
	mutateTurn(m, c, id, "", key, r, func(t *Thread, x *change, _ protocol.TurnStatus) (R, error) { return decide(t, x) })
}

// mutateTurn is mutate for a request that names a turn, unless that is empty. decide gets the
// turn's state as it was a moment ago; one that the thread never had is refused.
func mutateTurn[R any](m *Manager, c Call, id, turnID, key string, r Reply[R], decide func(t *Thread, x *change, known protocol.TurnStatus) (R, error)) {
	mutateFound(m, c, id, key, r, func() (protocol.TurnStatus, error) { return m.turnStatus(c, id, turnID) }, decide)
}

// errLookAgain: what was looked up was changed before the thread was locked.
var errLookAgain = errors.New("it has changed meanwhile")

// mutateFound is mutate for a request that needs something of the history: find looks it up
// while others may change the thread, and decide gets it. Where it is not true any more
// decide returns errLookAgain, and find is called again. A repeat under a key is answered
// even where find would fail now, as what it looks for is gone since.
func mutateFound[R, F any](m *Manager, c Call, id, key string, r Reply[R], find func() (F, error), decide func(t *Thread, x *change, found F) (R, error)) {
	once(m, c, id, key, r, func(k *storage.KeyResult, r Reply[R]) {
		for again := true; again; {
			found, err := find()
			if err != nil {
				var none R
				r(none, err)
				return
			}
			again = mutateNow(m, c, id, k, r, func(t *Thread, x *change) (R, error) { return decide(t, x, found) })
		}
	})
}

// mutateNow locks the thread, lets decide change it, and replies after the commit. True:
// decide has to be given something newer.
func mutateNow[R any](m *Manager, c Call, id string, k *storage.KeyResult, r Reply[R], decide func(t *Thread, x *change) (R, error)) (again bool) {
	var result R
	t, err := m.lockToChange(c, id)
	if err != nil {
		r(result, err)
		return false
	}
	defer t.mu.Unlock()
	if err := m.refuse(); err != nil {
		r(result, err)
		return false
	}
	x := t.begin()
	x.key = k
	if result, err = decide(t, x); err != nil {
		if errors.Is(err, errLookAgain) {
			return true
		}
		r(result, err)
		return false
	}
	x.keep(k, result)
	x.commit(func(err error) { r(result, err) })
	return false
}
