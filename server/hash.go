package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"reflect"

	"github.com/spoolhq/spool/protocol"
)

// keyed is implemented by the params of requests that take an idempotency key.
type keyed interface{ Key() string }

// hash identifies a method and its params, without the idempotency key. Params that mean
// the same have the same hash however they were written. It is nil without a key, as
// nobody asks for it then.
func hash[P any](name string, p P) ([]byte, error) {
	if k, ok := any(p).(keyed); !ok || k.Key() == "" {
		return nil, nil
	}
	reflect.ValueOf(&p).Elem().FieldByName("IdempotencyKey").SetString("")
	raw, err := protocol.Marshal(p)
	if err != nil {
		return nil, err
	}
	// Once more through maps, so that the order of members does not count, also where
	// params hold JSON as it came.
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if raw, err = protocol.Marshal(v); err != nil {
		return nil, err
	}
	h := sha256.New()
	h.Write([]byte(name))
	h.Write([]byte{0})
	h.Write(raw)
	return h.Sum(nil), nil
}
