package thread_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
)

// peer is a connection that records what it is given. Its queue has room for so many
// frames; read plays the writer and the client behind it.
type peer struct {
	who    thread.Caller
	optOut map[string]bool

	mu     sync.Mutex
	room   int // frames that may wait; 0: any number
	crowd  int // from so many that wait on it is crowded; 0: never
	wake   chan<- struct{}
	queue  []protocol.Frame
	behind []*thread.Subscription
	got    []protocol.Frame // what the client has read of its subscriptions, and marks
	state  []protocol.Frame // news of which the latest counts
	dead   bool
}

var _ thread.Peer = (*peer)(nil)

func (p *peer) Caller() thread.Caller { return p.who }

func (p *peer) Wants(method string) bool { return !p.optOut[method] }

func (p *peer) Can(string) bool { return false }

func (p *peer) Request(string, any, func(json.RawMessage, error)) func() { return func() {} }

func (p *peer) Offer(f protocol.Frame, class thread.Class, _ string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.dead:
	case class == thread.ClassState || class == thread.ClassLast:
		p.state = append(p.state, f)
	case class == thread.ClassStream && p.room > 0 && len(p.queue) >= p.room:
		return false
	default:
		p.queue = append(p.queue, f)
	}
	return true
}

func (p *peer) Crowded(wake chan<- struct{}) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.crowd == 0 || len(p.queue) < p.crowd {
		return false
	}
	p.wake = wake
	return true
}

func (p *peer) Behind(s *thread.Subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.behind = append(p.behind, s)
}

// mark puts a note into the stream, such as for an answer.
func (p *peer) mark(note string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, protocol.Frame(note))
}

// read takes up to n frames of the queue or, where that is empty, one page of a
// subscription that is behind. It reports whether there was anything.
func (p *peer) read(t tb, n int) bool {
	t.Helper()
	p.mu.Lock()
	if n = min(n, len(p.queue)); n > 0 {
		p.got = append(p.got, p.queue[:n]...)
		p.queue = p.queue[n:]
		if p.wake != nil && len(p.queue) < p.crowd {
			select {
			case p.wake <- struct{}{}:
			default:
			}
			p.wake = nil
		}
		p.mu.Unlock()
		return true
	}
	if len(p.behind) == 0 {
		p.mu.Unlock()
		return false
	}
	s := p.behind[0]
	p.behind = p.behind[1:]
	p.mu.Unlock()
	frames, more, err := s.Fill(context.Background())
	if err != nil {
		t.Fatalf("Fill: %v", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, frames...)
	if more {
		p.behind = append(p.behind, s)
	}
	return true
}

// drain reads all there is.
func (p *peer) drain(t tb) {
	t.Helper()
	for range 1_000_000 {
		if !p.read(t, 1<<20) {
			return
		}
	}
	t.Fatalf("a peer is never done reading")
}

// take drains and gives what was read since the last take.
func (p *peer) take(t tb) []protocol.Frame {
	t.Helper()
	p.drain(t)
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

// knowsRuntime checks that the newest that was told of the runtime of a thread is what it is, and
// that nothing was told twice.
func (p *peer) knowsRuntime(t tb, of protocol.Thread) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	var told []string
	for _, f := range p.state {
		env := protocol.ParseFrame(f)
		var e protocol.RuntimeChangedEvent
		if err := json.Unmarshal(env.Params, &e); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		if env.Method == protocol.EventRuntimeChanged.Name && e.ThreadID == of.ID {
			told = append(told, string(protocol.Member(env.Params, "runtime")))
		}
	}
	if again := slices.Compact(slices.Clone(told)); len(again) < len(told) {
		t.Fatalf("the runtime was told twice: %s", told)
	}
	if n := len(told); n > 0 {
		same(t, "thread/runtimeChanged", json.RawMessage(told[n-1]), of.Runtime)
	}
}

// methods names frames.
func methods(frames []protocol.Frame) []string {
	names := make([]string, len(frames))
	for i, f := range frames {
		if names[i] = f.Method(); names[i] == "" {
			names[i] = string(f)
		}
	}
	return names
}
