package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/spoolhq/spool/protocol"
)

func TestClosingTheHub(t *testing.T) {
	overAll(t, func(t *testing.T, dial func(testing.TB, *Hub) *client) {
		h := newHub(t)
		c, quiet, fresh := dial(t, h), dial(t, h), dial(t, h)
		c.open()
		quiet.open(`"capabilities":{"optOutNotificationMethods":["server/shuttingDown"]}`)
		deadline := time.Now().Add(time.Minute)
		h.Announce(deadline)
		got := one(t, c.said())
		if !strings.Contains(got, `"server/shuttingDown"`) || !strings.Contains(got, deadline.UTC().Format("2006-01-02T15:04")) {
			t.Errorf("got %s", got)
		}
		if got := append(quiet.said(), fresh.said()...); len(got) != 0 {
			t.Errorf("told to those who do not want it or are not ready: %q", got)
		}
		if err := h.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for _, c := range []*client{c, quiet, fresh} {
			<-c.ended
			if s := websocket.CloseStatus(c.err); s != -1 && s != websocket.StatusGoingAway {
				t.Errorf("closed with %v", s)
			}
		}
		if err := h.Serve(t.Context(), newGate(), Local("stdio")); !errors.Is(err, ErrClosed) {
			t.Errorf("served after Close: %v", err)
		}
	})
}

// TestClosingTheHubSendsWhatWaits: a client that reads slowly gets all of it, one that
// reads nothing holds the daemon up no longer than the context allows.
func TestClosingTheHubSendsWhatWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub(t)
		send, read := dialStalled(t, h)
		for i := range 50 {
			send(fmt.Sprintf(`{"id":%d,"method":"server/ping"}`, i))
		}
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- h.Close(context.Background()) }()
		for i := range 50 {
			if m := read(); !strings.Contains(m, fmt.Sprintf(`"id":%d,`, i)) {
				t.Errorf("got %s", m)
			}
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
	bubble(t, func(t *testing.T) {
		h := newHub(t)
		send, _ := dialStalled(t, h)
		send(`{"id":1,"method":"server/ping"}`)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := h.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close: %v", err)
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

func TestShutdownIsAnsweredFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		drains := make(chan bool, 2)
		var h *Hub
		h = newHub(t, func(c *Config) {
			c.Shutdown = func(drain bool) {
				h.Announce(time.Now())
				drains <- drain
			}
		})
		c := dialLines(t, h)
		c.open()
		got := c.ask(`{"id":1,"method":"server/shutdown"}`)
		if len(got) != 2 || !strings.Contains(got[0], `"id":1,"result":{}`) || !strings.Contains(got[1], "server/shuttingDown") {
			t.Errorf("got %q", got)
		}
		c.ask(`{"id":2,"method":"server/shutdown","params":{"drain":false}}`)
		if a, b := <-drains, <-drains; !a || b {
			t.Errorf("drain %v, %v", a, b)
		}
	})
}

// TestTheEndOfAConnectionEndsWhatItAskedFor: requests that wait are over, its
// subscriptions are gone, turns go on.
func TestTheEndOfAConnectionEndsWhatItAskedFor(t *testing.T) {
	overAll(t, func(t *testing.T, dial func(testing.TB, *Hub) *client) {
		h := newHub(t)
		watch := dialLines(t, h)
		watch.open()
		c := dial(t, h)
		c.open()
		id := c.start()
		c.send(fmt.Sprintf(`{"id":1,"method":"turn/run","params":{"threadId":%q,"input":"/sleep 10s\n/say done","wait":true}}`, id))
		c.said()
		c.close()
		<-c.ended
		watch.said()
		if n := len(h.connections()); n != 1 {
			t.Errorf("%d connections", n)
		}
		if s := h.manager.Stats(); s.Subscriptions != 0 || s.RunningTurns != 1 {
			t.Errorf("%+v", s)
		}
		<-time.After(11 * time.Second)
		var r protocol.ThreadReadResult
		if err := json.Unmarshal(watch.call("thread/read", fmt.Sprintf(`{"threadId":%q,"includeTurns":true}`, id)), &r); err != nil {
			t.Fatal(err)
		}
		if turns := *r.Turns; len(turns) != 1 || turns[0].Status != protocol.TurnCompleted || turns[0].Text != "done" {
			t.Errorf("turns %+v", turns)
		}
	})
}

// TestServeEndsWithItsContext: as when stdio is served and the daemon stops.
func TestServeEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub(t)
		ctx, cancel := context.WithCancel(t.Context())
		g := newGate()
		served := make(chan error, 1)
		b := &blockingTransport{gate: g, end: make(chan struct{})}
		go func() { served <- h.Serve(ctx, b, Local("stdio")) }()
		synctest.Wait()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if b.code != CloseGoingAway {
			t.Errorf("closed with %d", b.code)
		}
	})
}

// blockingTransport has nothing to read until it is closed.
type blockingTransport struct {
	*gate
	end  chan struct{}
	code Code
}

func (b *blockingTransport) Read() ([]byte, error) { <-b.end; return nil, errGone }
func (b *blockingTransport) Close(code Code, _ string) error {
	b.code = code
	close(b.end)
	return nil
}
