package scenario_test

import (
	"bufio"
	"bytes"
	bits "encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The network tortures: connections that are cut at every byte, that hang half open, that
// stop reading or never stop writing, that come by the thousand, send too much, or say
// nothing at all. They go over raw sockets to the built binary. Each has a short version,
// which is part of all tests, and a long one with -torture.long, which prints figures.
//
// In all of them a bystander follows a turn that streams all the time: whatever happens to
// others, it misses nothing, which is checked with the invariants at the end.

var tortureLong = flag.Bool("torture.long", false, "torture thoroughly, which takes long, and print figures")

// socket is a raw connection to the daemon, over its Unix socket or over TCP.
type socket struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

func (d *daemon) socketTo(network, addr string) *socket {
	d.t.Helper()
	conn, err := net.DialTimeout(network, addr, patience)
	if err != nil {
		d.t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	s := &socket{d.t, conn, bufio.NewReader(conn)}
	d.t.Cleanup(func() { _ = conn.Close() })
	return s
}

func (d *daemon) unixSocket() *socket {
	d.t.Helper()
	return d.socketTo("unix", d.socket)
}

// host is where the daemon listens with TCP.
func (d *daemon) host() string {
	return strings.TrimSuffix(strings.TrimPrefix(d.wsURL, "ws://"), "/ws")
}

func (d *daemon) tcpSocket() *socket {
	d.t.Helper()
	return d.socketTo("tcp", d.host())
}

// webSocketRaw is a TCP connection that has been made a WebSocket.
func (d *daemon) webSocketRaw() *socket {
	d.t.Helper()
	s := d.tcpSocket()
	s.put(upgradeRequest)
	if status, _ := s.response(); status != "101" {
		d.t.Fatalf("the upgrade is answered with %s", status)
	}
	return s
}

const upgradeRequest = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// rawSocket is a Unix socket or a WebSocket that nothing was said on.
func (d *daemon) rawSocket(web bool) *socket {
	d.t.Helper()
	if web {
		return d.webSocketRaw()
	}
	return d.unixSocket()
}

// framed is a message on the wire.
func framed(message string, web bool) string {
	if web {
		return frame(opText, message)
	}
	return message + "\n"
}

// send sends a message; that the daemon has closed meanwhile is no failure.
func (s *socket) send(message string, web bool) { s.put(framed(message, web)) }

// receive returns the next message.
func (s *socket) receive(web bool) ([]byte, error) {
	if !web {
		return s.in.ReadBytes('\n')
	}
	for {
		first, payload, err := s.readFrame()
		switch {
		case err != nil:
			return nil, err
		case first == opText:
			return payload, nil
		case first == opClose:
			return nil, fmt.Errorf("closed with %q", payload)
		}
	}
}

// answer returns the answer to a request.
func (s *socket) answer(id int, web bool) value {
	s.t.Helper()
	for {
		raw, err := s.receive(web)
		if err != nil {
			s.t.Fatalf("no answer to request %d: %v", id, err)
		}
		if m := parse(raw); m.Int("id") == id && !m.Has("method") {
			return m
		}
	}
}

// greet makes the handshake.
func (s *socket) greet(web bool) {
	s.t.Helper()
	for _, m := range greeting() {
		s.send(m, web)
	}
	if m := s.answer(1, web); !m.Has("result") {
		s.t.Fatalf("initialize is answered with %s", m)
	}
}

// put writes bytes; that the daemon has closed meanwhile is no failure.
func (s *socket) put(b string) { _, _ = io.WriteString(s, b) }

// response reads an HTTP response without a body, or with one that has a length.
func (s *socket) response() (status, body string) {
	s.t.Helper()
	line, err := s.in.ReadString('\n')
	if err != nil {
		return "", err.Error()
	}
	length := 0
	for {
		h, err := s.in.ReadString('\n')
		if err != nil || strings.TrimSpace(h) == "" {
			break
		}
		if name, value, _ := strings.Cut(h, ":"); strings.EqualFold(name, "Content-Length") {
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		}
	}
	b := make([]byte, length)
	n, _ := io.ReadFull(s.in, b)
	_, status, _ = strings.Cut(line, " ")
	status, _, _ = strings.Cut(status, " ")
	return status, string(b[:n])
}

// cut ends the connection: with FIN behind what was sent, after which all that the daemon
// still says is read, or at once, with RST.
func (s *socket) cut(reset bool) {
	s.t.Helper()
	if tcp, ok := s.Conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok && !reset {
		_ = half.CloseWrite()
		if _, err := io.Copy(io.Discard, s.in); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			s.t.Errorf("the daemon does not close behind the end of its client: %v", err)
		}
	}
	_ = s.Close()
}

// ended waits for the end of what the daemon sends, and returns what came before.
func (s *socket) ended() string {
	s.t.Helper()
	_ = s.SetReadDeadline(time.Now().Add(patience))
	rest, err := io.ReadAll(s.in)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.t.Errorf("the daemon does not end the connection; it said %.300q", rest)
	}
	return string(rest)
}

// The opcodes of WebSocket frames, with FIN.
const (
	opText   = 0x81
	opBinary = 0x82
	opClose  = 0x88
	opPing   = 0x89
)

// frame is a masked WebSocket frame.
func frame(first byte, payload string) string {
	key := [4]byte{0x12, 0x34, 0x56, 0x78}
	b := append(frameHeader(first, len(payload)), key[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return string(b)
}

// frameHeader is the header of a frame without its key.
func frameHeader(first byte, length int) []byte {
	const masked = 0x80
	switch {
	case length < 126:
		return []byte{first, masked | byte(length)}
	case length < 1<<16:
		return bits.BigEndian.AppendUint16([]byte{first, masked | 126}, uint16(length))
	default:
		return bits.BigEndian.AppendUint64([]byte{first, masked | 127}, uint64(length))
	}
}

// readFrame reads a frame of the daemon.
func (s *socket) readFrame() (first byte, payload []byte, err error) {
	var h [2]byte
	if _, err := io.ReadFull(s.in, h[:]); err != nil {
		return 0, nil, err
	}
	length := uint64(h[1])
	var ext []byte
	switch h[1] {
	case 126:
		ext = make([]byte, 2)
	case 127:
		ext = make([]byte, 8)
	}
	if ext != nil {
		if _, err := io.ReadFull(s.in, ext); err != nil {
			return 0, nil, err
		}
		length = bits.BigEndian.Uint64(append(make([]byte, 8-len(ext)), ext...))
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(s.in, payload)
	return h[0], payload, err
}

// closeCode reads to the daemon's close frame and the end of the connection, and returns
// the code, 0 if there was none, and the messages before it.
func (s *socket) closeCode() (code int, reason string, said []string) {
	s.t.Helper()
	_ = s.SetReadDeadline(time.Now().Add(patience))
	for {
		first, payload, err := s.readFrame()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.t.Error("the daemon does not end the connection")
			return code, reason, said
		case err != nil:
			return code, reason, said
		case first == opClose && len(payload) >= 2:
			code, reason = int(bits.BigEndian.Uint16(payload)), string(payload[2:])
			s.put(frame(opClose, string(payload[:2])))
		case first == opText:
			said = append(said, string(payload))
		}
	}
}

// message makes a request of JSON-RPC; without an id it is a notification.
func rpc(id int, method string, params p) string {
	m := p{"jsonrpc": "2.0", "method": method, "params": orEmpty(params)}
	if id > 0 {
		m["id"] = id
	}
	return of(m).String()
}

// greeting is the handshake of a raw client.
func greeting() []string {
	return []string{
		rpc(1, "initialize", p{"clientInfo": p{"name": "raw"}, "capabilities": p{"approvals": true}}),
		rpc(0, "initialized", nil),
	}
}

// bystander follows a turn that streams all the time.
type bystander struct {
	*client
	thread, turn string
}

func (d *daemon) bystander() *bystander {
	d.t.Helper()
	c := d.Dial("unix", named("bystander"))
	b := &bystander{client: c, thread: c.StartThread(nil)}
	b.turn = b.Run(b.thread, "/deltas 100000 10 5ms")
	b.Await("item/agentMessage/delta", p{"turnId": b.turn})
	return b
}

// Undisturbed ends the turn and requires that all of it came, and came live.
func (b *bystander) Undisturbed() {
	b.t.Helper()
	mark := b.Mark()
	b.AwaitFrom(mark, "item/agentMessage/delta", p{"turnId": b.turn})
	// Later it may: the whole item and the whole turn may be more than an outbox holds.
	b.Never("thread/subscription/lagged", nil)
	b.Call("turn/interrupt", p{"threadId": b.thread, "turnId": b.turn})
	end := b.Await("turn/cancelled", p{"turnId": b.turn})
	var text bytes.Buffer
	for _, m := range b.Seen("item/agentMessage/delta", p{"turnId": b.turn}) {
		if m.Offset != text.Len() {
			b.t.Errorf("the bystander has %d bytes, and the next delta is for offset %d", text.Len(), m.Offset)
		}
		text.WriteString(m.Delta)
	}
	if said := end.Body().Str("turn.text"); said != text.String() {
		b.t.Errorf("the bystander got %d bytes, the turn has %d", text.Len(), len(said))
	}
	if !b.open() {
		b.t.Error("the bystander has lost its connection")
	}
}

// AloneAgain waits until the daemon has no other connections than n.
func (b *bystander) AloneAgain(n int) {
	b.t.Helper()
	poll(b.client, "that the connections of others are gone", func() bool {
		return b.Call("server/stats", nil).Int("connections") == n
	})
}

// memory is what a process takes.
type memory struct{ rss, peak int64 }

// memory reads what the daemon takes; the test is skipped where the system does not tell.
func (d *daemon) memory() memory {
	d.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		d.t.Skip("the system does not tell the memory of a process: ", err)
	}
	var m memory
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			m.rss = n << 10
		case "VmHWM":
			m.peak = n << 10
		}
	}
	return m
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// grewBelow requires that what the daemon takes, at its peak, grew by less than most since
// before, and says how much it was.
func (d *daemon) grewBelow(before memory, most int64, what string) {
	d.t.Helper()
	now := d.memory()
	d.t.Logf("%s: resident %s, before %s; peak grew by %s", what, mib(now.rss), mib(before.rss), mib(now.peak-before.peak))
	if grown := now.peak - max(before.peak, before.rss); grown > most {
		d.t.Errorf("%s: memory grew by %s; the most it may is %s", what, mib(grown), mib(most))
	}
}
