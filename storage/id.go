package storage

import (
	"fmt"

	"github.com/oklog/ulid/v2"
)

// maxPrefix is the longest prefix an id may have, in bytes.
const maxPrefix = 16

// ParseID splits an id such as thr_01JD3Z… into its prefix, without the underscore,
// and the 16 bytes of its ULID, which sort as the ULIDs do. The prefix is 1 to 16
// small letters, the ULID is written in capitals and not all zeros. Anything else is
// ErrBadID.
//
// The ULID alone is what a thing is known by: two ids that differ in the prefix only
// are the same thing to a store, and it gives back the one it was given last.
func ParseID(id string) (prefix string, key [16]byte, err error) {
	n := len(id) - ulid.EncodedSize - 1
	if n < 1 || n > maxPrefix || id[n] != '_' {
		return "", key, fmt.Errorf("%w: %.60q", ErrBadID, id)
	}
	for i := range n {
		if id[i] < 'a' || id[i] > 'z' {
			return "", key, fmt.Errorf("%w: %.60q", ErrBadID, id)
		}
	}
	for i := n + 1; i < len(id); i++ {
		if id[i] >= 'a' { // the decoder below would take small letters as well
			return "", key, fmt.Errorf("%w: %.60q", ErrBadID, id)
		}
	}
	u, err := ulid.ParseStrict(id[n+1:])
	if err != nil {
		return "", key, fmt.Errorf("%w: %.60q: %w", ErrBadID, id, err)
	}
	if u.IsZero() {
		return "", key, fmt.Errorf("%w: %.60q is all zeros", ErrBadID, id)
	}
	return id[:n], u, nil
}

// FormatID is the inverse of ParseID.
func FormatID(prefix string, key [16]byte) string {
	b := make([]byte, len(prefix)+1+ulid.EncodedSize)
	copy(b, prefix)
	b[len(prefix)] = '_'
	// It fails for a buffer of another size only.
	_ = ulid.ULID(key).MarshalTextTo(b[len(prefix)+1:])
	return string(b)
}
