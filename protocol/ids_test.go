package protocol

import (
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
)

func TestNewIDGrows(t *testing.T) {
	last := ""
	for range 10000 {
		id := NewID(PrefixItem)
		if id <= last || !ValidID(PrefixItem, id) {
			t.Fatalf("%s after %s", id, last)
		}
		last = id
	}
}

func TestNewIDUniqueBesideOthers(t *testing.T) {
	const workers, each = 8, 2000
	var wg sync.WaitGroup
	made := make([][]string, workers)
	for w := range workers {
		wg.Go(func() {
			for range each {
				made[w] = append(made[w], NewID(PrefixTurn))
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, ids := range made {
		last := ""
		for _, id := range ids {
			if id <= last {
				t.Fatalf("%s after %s in one goroutine", id, last)
			}
			last = id
			seen[id] = true
		}
	}
	if len(seen) != workers*each {
		t.Errorf("%d different ids of %d", len(seen), workers*each)
	}
}

func idAt(at time.Time, entropy byte) ulid.ULID {
	var u ulid.ULID
	_ = u.SetTime(uint64(at.UnixMilli()))
	for i := 6; i < len(u); i++ {
		u[i] = entropy
	}
	return u
}

func TestRaiseIDs(t *testing.T) {
	lastID.Lock()
	before := lastID.id
	lastID.Unlock()
	defer func() {
		lastID.Lock()
		lastID.id = before
		lastID.Unlock()
	}()

	for _, ignored := range []string{
		"", "thr_", "nonsense", "thr_nonsense", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "thr_7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "thr_00000000000000000000000000",
		"itm_" + idAt(time.Now().Add(20*365*24*time.Hour), 0).String(),
	} {
		RaiseIDs(ignored)
		if id := NewID(""); id > idAt(time.Now().Add(time.Minute), 0).String() {
			t.Fatalf("after RaiseIDs(%s): %s", ignored, id)
		}
	}
	// A clock that was ahead by an hour, and all random bits set: counting up carries on.
	ahead := PrefixItem + idAt(time.Now().Add(time.Hour), 0xff).String()
	RaiseIDs(ahead)
	last := ahead
	for range 100 {
		id := NewID(PrefixItem)
		if id <= last {
			t.Fatalf("%s after %s", id, last)
		}
		last = id
	}
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{
		NewID(PrefixThread):               true,
		"thr_01JZ0000000000000000000000":  true,
		"thr_01jz0000000000000000000000":  false,
		"thr_8ZZZZZZZZZZZZZZZZZZZZZZZZZ":  false,
		"thr_01JZ000000000000000000000":   false,
		"thr_01JZ00000000000000000000000": false,
		"thr_01JZ00000000000000000000I0":  false,
		"trn_01JZ0000000000000000000000":  false,
		"01JZ0000000000000000000000":      false,
		"thr_":                            false,
		"":                                false,
	} {
		if got := ValidID(PrefixThread, id); got != want {
			t.Errorf("ValidID(%q) = %v", id, got)
		}
	}
}
