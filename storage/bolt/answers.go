package bolt

import (
	"bytes"
	"context"

	"go.etcd.io/bbolt"

	"github.com/spoolhq/spool/storage"
)

// answerKey is where the answer to a request with an idempotency key is kept. It fails
// for a thread that is no id.
func answerKey(b []byte, owner, thread, key string) ([]byte, error) {
	var t id // zeros for requests that name no thread
	if thread != "" {
		var err error
		if _, t, err = storage.ParseID(thread); err != nil {
			return nil, err
		}
	}
	h := hashOf(owner, key)
	return append(append(b, t[:]...), h[:]...), nil
}

// Key implements storage.Store.
func (s *Store) Key(ctx context.Context, owner, thread, key string) (r storage.KeyResult, err error) {
	k, err := answerKey(nil, owner, thread, key)
	if err != nil {
		return r, err
	}
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		v := idempotency.in(tx).Get(k)
		if v == nil {
			return storage.ErrNotFound
		}
		b, ok := unseal(k, v)
		if ok {
			r, ok = parseAnswer(b)
		}
		if !ok {
			return s.damage("answer to the idempotency key %q of %q", key, owner)
		}
		return nil
	})
	return r, err
}

func (w *writer) putAnswer(r *storage.KeyResult) error {
	key, err := answerKey(nil, r.Owner, r.Thread, r.Key)
	if err != nil {
		return err
	}
	if err := w.forgetTime(key, w.in(idempotency).Get(key)); err != nil {
		return err
	}
	n := sumSize + 64 + len(r.Owner) + len(r.Thread) + len(r.Key) + len(r.Hash) + len(r.Result)
	v := appendAnswer(w.store.arena.take(n)[:sumSize], r)
	if err := w.put(idempotency, key, seal(key, v)); err != nil {
		return err
	}
	return w.put(keysByTime, append(appendTime(w.key[:0], r.At), key...), nothing)
}

// forgetTime takes an answer, nil for none, out of the index by time. Of a damaged one
// it leaves the entry to PruneKeys.
func (w *writer) forgetTime(key, value []byte) error {
	b, ok := unseal(key, value)
	if !ok {
		return nil
	}
	r, ok := parseAnswer(b)
	if !ok {
		return nil
	}
	return w.drop(keysByTime, append(appendTime(w.key[:0], r.At), key...))
}

// dropAnswers removes the answers to requests that named a thread.
func (w *writer) dropAnswers(thread id) error {
	c := w.in(idempotency).Cursor()
	for k, v := c.Seek(thread[:]); bytes.HasPrefix(k, thread[:]); k, v = c.Next() {
		if err := w.forgetTime(k, v); err != nil {
			return err
		}
	}
	return w.dropRange(idempotency, thread[:], nil)
}

// pruneStep is how many keys one transaction forgets, so that batches do not wait.
const pruneStep = 1024

// PruneKeys implements storage.Store. It takes several transactions for many keys; an
// end of ctx stops it between them.
func (s *Store) PruneKeys(ctx context.Context, before int64) (int, error) {
	total := 0
	for {
		n := 0
		err := s.do(ctx, func(w *writer) (err error) {
			n, err = w.prune(before)
			return err
		})
		if err != nil {
			return total, err
		}
		if total += n; n < pruneStep {
			return total, nil
		}
	}
}

func (w *writer) prune(before int64) (int, error) {
	end := appendTime(nil, before)
	var old [][]byte
	c := w.in(keysByTime).Cursor()
	for k, _ := c.First(); k != nil && bytes.Compare(k, end) < 0 && len(old) < pruneStep; k, _ = c.Next() {
		old = append(old, k)
	}
	for _, k := range old {
		if err := w.drop(idempotency, k[len(end):]); err != nil {
			return 0, err
		}
		if err := w.drop(keysByTime, k); err != nil {
			return 0, err
		}
	}
	return len(old), nil
}
