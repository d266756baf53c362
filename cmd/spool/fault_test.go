//go:build spoolfault

package main

import (
	"testing"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

func batch(t *testing.T, names ...string) *storage.Batch {
	t.Helper()
	b := &storage.Batch{}
	for _, name := range names {
		f, err := protocol.Encode(protocol.Notification[protocol.Empty]{Name: name}, protocol.Empty{})
		if err != nil {
			t.Fatal(err)
		}
		b.Events = append(b.Events, storage.Event{Frame: f})
	}
	return b
}

func TestFaults(t *testing.T) {
	both, one, none := batch(t, "turn/completed", "turn/started"), batch(t, "turn/started"), batch(t)
	one.Key, none.Checkpoints = &storage.KeyResult{}, make([]storage.Checkpoint, 1)
	for _, tt := range []struct {
		text string
		want []bool // of both, one, none, one
	}{
		{"kill-before:turn/completed+turn/started", []bool{true, false, false, false}},
		{"kill-after:turn/started:2", []bool{false, true, false, false}},
		{"delay:turn/started:1ms", []bool{true, true, false, true}},
		{"delay:turn/started:1ms:3", []bool{false, false, false, true}},
		{"fail:nth:3", []bool{false, false, true, false}},
		{"kill-at:written:turn/started:3", []bool{false, false, false, true}},
		{"kill-at:told:turn/started+key", []bool{false, true, false, false}},
		{"kill-at:begin:checkpoint", []bool{false, false, true, false}},
	} {
		faults, err := parseFaults(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range []*storage.Batch{both, one, none, one} {
			if got := faults[0].matches(b); got != tt.want[i] {
				t.Errorf("%s, commit %d: %t, want %t", tt.text, i+1, got, tt.want[i])
			}
		}
	}
	faults, err := parseFaults("delay:turn/started:300ms, fail:nth:5")
	if err != nil || len(faults) != 2 || faults[0].delay != 300*time.Millisecond || faults[1].nth != 5 || faults[1].strike() == nil {
		t.Errorf("%+v, %v", faults, err)
	}
	for _, text := range []string{"", "kill", "kill-before", "kill-before:", "fail:nth:0", "delay:turn/started", "delay:turn/started:x", "fail:turn/strated", "fail:item/usage/delta", "fail:nth:1:2", "kill-at:nth", "kill-at:there:nth", "kill-at:told", "early-ack:nth"} {
		if _, err := parseFaults(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
