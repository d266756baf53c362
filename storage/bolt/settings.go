package bolt

import (
	"bytes"
	"context"

	"go.etcd.io/bbolt"

	"github.com/spoolhq/spool/storage"
)

// Settings implements storage.Store.
func (s *Store) Settings(ctx context.Context, prefix string) (list []storage.Setting, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		c := values.in(tx).Cursor()
		for k, v := c.Seek([]byte(prefix)); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
			value, ok := unseal(k, v)
			if !ok {
				return s.damage("setting %q", k)
			}
			list = append(list, storage.Setting{Key: string(k), Value: bytes.Clone(value)})
		}
		return nil
	})
	return list, err
}

func (w *writer) putSettings(list []storage.Setting) error {
	for _, set := range list {
		key := []byte(set.Key)
		if set.Value == nil {
			if err := w.drop(values, key); err != nil {
				return err
			}
			continue
		}
		v := append(w.store.arena.take(sumSize + len(set.Value))[:sumSize], set.Value...)
		if err := w.put(values, key, seal(key, v)); err != nil {
			return err
		}
	}
	return nil
}
