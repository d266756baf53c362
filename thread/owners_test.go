package thread

import (
	"context"
	"testing"

	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage/mem"
	"github.com/spoolhq/spool/turn"
)

type silent struct{}

func (silent) Run(context.Context, turn.Input, turn.Emitter) error { return nil }

// The grace time has passed and somebody takes the thread in the same moment: it stays.
func TestTakenInTheLastMoment(t *testing.T) {
	ctx := context.Background()
	m, err := Open(ctx, Config{
		Store: mem.New(), Ephemeral: mem.New(), Default: "a", Log: zerolog.Nop(),
		Agents: []turn.Spec{{Name: "a", Kind: "test", Agent: silent{}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Shutdown(ctx, 0) }()
	c := Call{Context: ctx, Caller: Caller{User: "ann", ConnectionID: "con_1"}}
	started := make(chan protocol.Thread, 1)
	m.Start(c, protocol.ThreadStartParams{ThreadOptions: protocol.ThreadOptions{
		Lifetime: &protocol.Lifetime{Mode: protocol.LifetimeConnection},
	}}, func(r protocol.ThreadResult, _ error) { started <- r.Thread })
	id := (<-started).ID
	status := func() protocol.ThreadStatus {
		th, err := m.lock(ctx, id, "ann")
		if err != nil {
			t.Fatal(err)
		}
		defer th.mu.Unlock()
		return th.st.Thread.Status
	}
	m.disconnected(id, "ann")
	if s := status(); s != protocol.StatusActive {
		t.Errorf("a thread that belongs to a connection is %s", s)
	}
	m.owners.leave("con_1")
	m.disconnected(id, "ann")
	if s := status(); s != protocol.StatusEnded {
		t.Errorf("a thread that belongs to nobody is %s", s)
	}
}
