package main

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// lineTo is how one client reaches the daemon: a connection that can be cut, and read
// slowly.
type lineTo struct {
	socket string

	mu   sync.Mutex
	conn net.Conn
	slow time.Duration // pause before each read of at most slowRead bytes; 0: none
	free chan struct{} // closed when reading is fast again
}

// slowRead is what a slow reader takes at a time.
const slowRead = 4 << 10

// dial connects, in the place of the connection that was lost.
func (l *lineTo) dial(ctx context.Context) (io.ReadWriteCloser, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", l.socket)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = conn
	return &reader{Conn: conn, line: l}, nil
}

// cut ends the connection under its client.
func (l *lineTo) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		_ = l.conn.Close()
	}
}

// slowDown makes the client read slowly.
func (l *lineTo) slowDown(pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow, l.free = pause, make(chan struct{})
}

// speedUp undoes slowDown.
func (l *lineTo) speedUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.slow > 0 {
		l.slow = 0
		close(l.free)
	}
}

// reader is a connection that reads as slowly as its line says.
type reader struct {
	net.Conn
	line *lineTo
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	r.line.mu.Lock()
	slow, free := r.line.slow, r.line.free
	r.line.mu.Unlock()
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-free:
		}
		p = p[:min(len(p), slowRead)]
	}
	return r.Conn.Read(p)
}

// connect makes a client over a line, which answers whatever it is asked.
func (l *lineTo) connect(ctx context.Context, name string) (*sdk.Client, error) {
	return sdk.Connect(ctx, "unix://"+l.socket, &sdk.Options{
		ClientInfo: protocol.ClientInfo{Name: name},
		Dial:       l.dial,
		Backoff:    sdk.Backoff{Min: 10 * time.Millisecond, Max: time.Second},
		OnApproval: func(context.Context, protocol.ApprovalRequestParams) (protocol.ApprovalRequestResult, error) {
			return protocol.ApprovalRequestResult{Decision: protocol.DecisionAccept}, nil
		},
		OnQuestion: func(_ context.Context, p protocol.QuestionRequestParams) (map[string]protocol.Answer, error) {
			answers := map[string]protocol.Answer{}
			for _, q := range p.Questions {
				answers[q.ID] = protocol.Answer{Answers: []string{q.Options[0].Label}}
			}
			return answers, nil
		},
		OffersTools: true,
	})
}
