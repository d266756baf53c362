package protocol

import (
	"bytes"
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// Prefixes of ids, one for each kind of thing.
const (
	PrefixThread     = "thr_"
	PrefixTurn       = "trn_"
	PrefixItem       = "itm_"
	PrefixApproval   = "apr_"
	PrefixQuestion   = "qst_"
	PrefixCall       = "call_"
	PrefixConnection = "con_"
	PrefixTrace      = "trc_"
)

var lastID struct {
	sync.Mutex
	id ulid.ULID
}

// NewID returns prefix and a ULID that is greater than every other this process has
// made, so ids of one thread sort in the order in which they were given.
func NewID(prefix string) string {
	lastID.Lock()
	defer lastID.Unlock()
	if ms := uint64(time.Now().UnixMilli()); ms > lastID.id.Time() {
		// A new millisecond: fresh randomness, with the top bit free to count up.
		_ = lastID.id.SetTime(ms)
		_, _ = rand.Read(lastID.id[6:])
		lastID.id[6] &= 0x7f
	} else {
		for i := len(lastID.id) - 1; i >= 0; i-- {
			if lastID.id[i]++; lastID.id[i] != 0 {
				break
			}
		}
	}
	return prefix + lastID.id.String()
}

// tooFarAhead bounds what RaiseIDs believes: beyond it no clock was set back, somebody
// made the id up.
const tooFarAhead = 10 * 365 * 24 * time.Hour

// RaiseIDs makes all later ids greater than id. A thread calls it with the newest id it
// holds, so that order survives a clock that was set back between two runs. What is no id
// of ours, or more than ten years ahead, changes nothing.
func RaiseIDs(id string) {
	_, s, ok := strings.Cut(id, "_")
	if !ok {
		return
	}
	u, err := ulid.ParseStrict(s)
	if err != nil || u.Time() > uint64(time.Now().Add(tooFarAhead).UnixMilli()) {
		return
	}
	lastID.Lock()
	defer lastID.Unlock()
	if bytes.Compare(u[:], lastID.id[:]) > 0 {
		lastID.id = u
	}
}

// ValidID reports whether id is prefix and a ULID in its canonical form.
func ValidID(prefix, id string) bool {
	s, ok := strings.CutPrefix(id, prefix)
	if !ok {
		return false
	}
	u, err := ulid.ParseStrict(s)
	return err == nil && u.String() == s
}
