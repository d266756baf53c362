package sdk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/spoolhq/spool/protocol"
)

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	goleak.VerifyTestMain(m)
}

// fake is a daemon that does what the test says, message by message.
type fake struct {
	t     *testing.T
	dials chan *peer  // one for every connection a client asks for
	down  atomic.Bool // refuses connections
}

// peer is the daemon's end of one connection.
type peer struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Scanner
}

// request is a message of the client, whole and in parts.
type request struct {
	protocol.Envelope
	raw string
}

func newFake(t *testing.T) *fake { return &fake{t: t, dials: make(chan *peer, 100)} }

func (f *fake) options(o Options) *Options {
	o.Dial = func(context.Context) (io.ReadWriteCloser, error) {
		if f.down.Load() {
			return nil, errors.New("nobody is there")
		}
		ours, theirs := net.Pipe()
		f.dials <- newPeer(f.t, theirs)
		return ours, nil
	}
	return &o
}

func newPeer(t *testing.T, conn net.Conn) *peer {
	in := bufio.NewScanner(conn)
	in.Buffer(nil, 64<<20)
	return &peer{t, conn, in}
}

// connect makes a client and returns it with the other end of its connection.
func (f *fake) connect(o Options) (*Client, *peer) {
	f.t.Helper()
	var p *peer
	done := make(chan struct{})
	go func() {
		defer close(done)
		p = f.accept()
	}()
	c, err := Connect(f.t.Context(), "fake:", f.options(o))
	if err != nil {
		f.t.Fatal(err)
	}
	<-done
	return c, p
}

// accept takes the next connection and makes the handshake.
func (f *fake) accept() *peer {
	p := <-f.dials
	p.handshake()
	return p
}

func (p *peer) handshake() request {
	r := p.expect("initialize")
	p.answer(r, `{"serverInfo":{"name":"fake","version":"1","protocolVersion":"1"},"connectionId":"con_1","user":"local","scopes":["read"],"limits":{"maxMessageBytes":100000},"capabilities":{}}`)
	p.expect("initialized")
	return r
}

func (p *peer) read() (request, error) {
	if !p.in.Scan() {
		return request{}, errors.Join(io.EOF, p.in.Err())
	}
	raw := p.in.Text()
	return request{protocol.ParseFrame([]byte(raw)), raw}, nil
}

// ignore reads one message, or waits for the end of the connection.
func (p *peer) ignore() { _, _ = p.read() }

// expect reads the next message, which must be of that method.
func (p *peer) expect(method string) request {
	p.t.Helper()
	r, err := p.read()
	if err != nil {
		p.t.Errorf("waiting for %s: %v", method, err)
		return r
	}
	if r.Method != method {
		p.t.Errorf("the client sent %s, want %s", r.raw, method)
	}
	return r
}

// quiet checks that the client has nothing to say. It needs a synctest bubble.
func (p *peer) quiet() {
	p.t.Helper()
	got := make(chan request, 1)
	go func() {
		if r, err := p.read(); err == nil {
			got <- r
		}
	}()
	synctest.Wait()
	select {
	case r := <-got:
		p.t.Errorf("the client sent %s, want nothing", r.raw)
	default:
	}
}

func (p *peer) send(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.conn, format+"\n", args...); err != nil {
		p.t.Logf("sending to the client: %v", err)
	}
}

func (p *peer) answer(r request, result string) {
	p.t.Helper()
	p.send(`{"jsonrpc":"2.0","id":%s,"result":%s}`, r.ID, result)
}

func (p *peer) refuse(r request, err *protocol.Error) {
	p.t.Helper()
	p.send("%s", protocol.EncodeError(protocol.RawID(r.ID), err))
}

func (p *peer) event(method, params string) {
	p.t.Helper()
	p.send(`{"jsonrpc":"2.0","method":%q,"params":%s}`, method, params)
}

func (p *peer) cut() { p.conn.Close() }

// field returns a member of the request's params as text.
func (r request) field(name string) string {
	return strings.Trim(string(protocol.Member(r.Params, name)), `"`)
}

// turnJSON is a turn of thread thr_1.
func turnJSON(id, status, more string) string {
	if more != "" {
		more = "," + more
	}
	return fmt.Sprintf(`{"id":%q,"threadId":"thr_1","status":%q,"input":[],"traceId":"trc_1","agent":"script","config":{},"attempt":1,"createdAt":"2026-01-01T00:00:00.000Z"%s}`, id, status, more)
}

func turnEvent(seq int, turnID, status, more string) string {
	return fmt.Sprintf(`{"threadId":"thr_1","turnId":%q,"traceId":"trc_1","seq":%d,"at":"2026-01-01T00:00:00.000Z","turn":%s}`, turnID, seq, turnJSON(turnID, status, more))
}

func itemEvent(seq int, turnID, itemID, status, text string) string {
	s := ""
	if seq > 0 {
		s = fmt.Sprintf(`"seq":%d,`, seq)
	}
	return fmt.Sprintf(`{"threadId":"thr_1","turnId":%q,"itemId":%q,%s"at":"2026-01-01T00:00:00.000Z","item":{"id":%q,"turnId":%q,"type":"agentMessage","status":%q,"createdAt":"2026-01-01T00:00:00.000Z","revision":1,"origin":"turn","text":%q}}`,
		turnID, itemID, s, itemID, turnID, status, text)
}

func deltaEvent(turnID, itemID string, offset int, delta string) string {
	return fmt.Sprintf(`{"threadId":"thr_1","turnId":%q,"itemId":%q,"at":"2026-01-01T00:00:00.000Z","offset":%d,"delta":%q}`, turnID, itemID, offset, delta)
}

func threadJSON(head int) string {
	return fmt.Sprintf(`{"id":"thr_1","agent":"script","status":"active","owner":"local","createdAt":"2026-01-01T00:00:00.000Z","updatedAt":"2026-01-01T00:00:00.000Z","lastActiveAt":"2026-01-01T00:00:00.000Z","lifetime":{},"queuePolicy":{},"config":{},"metadata":{},"generation":1,"headSeq":%d,"usage":{"inputTokens":0,"outputTokens":0},"runtime":{"busy":false,"waitingOn":[],"interrupting":false,"queueLength":0,"queueRevision":0,"queuePaused":false,"pendingItems":0}}`, head)
}

// subscribed answers thread/subscribe.
func (p *peer) subscribed(head int) request {
	p.t.Helper()
	r := p.expect("thread/subscribe")
	p.answer(r, fmt.Sprintf(`{"thread":%s,"headSeq":%d,"pending":[]}`, threadJSON(head), head))
	return r
}

// started answers turn/run with a turn that runs, and reads the turn/wait that follows.
func (p *peer) started(turnID string) (run, wait request) {
	p.t.Helper()
	run = p.expect("turn/run")
	p.answer(run, fmt.Sprintf(`{"disposition":"started","turn":%s}`, turnJSON(turnID, "running", "")))
	return run, p.expect("turn/wait")
}

// bubble runs a test with a fake clock, in which everything that happens is waited for.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func toJSON(v any) string { return string(must(json.Marshal(v))) }
