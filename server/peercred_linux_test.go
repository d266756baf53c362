package server

import "testing"

func TestOnlyTheSameUserAndRootMayConnect(t *testing.T) {
	for _, tc := range []struct {
		uid uint32
		ok  bool
	}{{1000, true}, {0, true}, {1001, false}, {^uint32(0), false}} {
		if err := allowUser(tc.uid, 1000); (err == nil) != tc.ok {
			t.Errorf("user %d: %v", tc.uid, err)
		}
	}
}
