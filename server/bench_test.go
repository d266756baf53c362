package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
)

// benchServer listens for WebSockets on a real socket.
func benchServer(b *testing.B, h *Hub) net.Addr {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	w := h.serveWebSocket(l, nil)
	served := make(chan error, 1)
	go func() { served <- w.Serve() }()
	b.Cleanup(func() {
		w.Close()
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	return l.Addr()
}

// rawSocket upgrades by hand, so that the client costs nearly nothing.
func rawSocket(b *testing.B, addr net.Addr) net.Conn {
	b.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", addr)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		b.Fatal(res, err)
	}
	res.Body.Close()
	return c
}

// sendRaw sends a short text frame, masked with zeros.
func sendRaw(b *testing.B, c net.Conn, text string) {
	b.Helper()
	head := []byte{0x81, 0x80 | 126, byte(len(text) >> 8), byte(len(text)), 0, 0, 0, 0}
	if _, err := c.Write(append(head, text...)); err != nil {
		b.Fatal(err)
	}
}

const benchHello = `{"id":1,"method":"initialize","params":{"clientInfo":{"name":"bench"}}}`

// openRaw connects and does the handshake.
func openRaw(b *testing.B, h *Hub, addr net.Addr) (net.Conn, *conn) {
	c := rawSocket(b, addr)
	sendRaw(b, c, benchHello)
	if _, err := c.Read(make([]byte, 1000)); err != nil {
		b.Fatal(err)
	}
	sendRaw(b, c, `{"method":"initialized"}`)
	all := h.connections()
	mine := all[len(all)-1]
	for mine.session.at() != stateActive {
		runtime.Gosched()
	}
	return c, mine
}

var benchFrame = protocol.Frame(`{"jsonrpc":"2.0","method":"item/agentMessage/delta","params":{"threadId":"thr_01ARZ3NDEKTSV4RRFFQ69G5FAV","turnId":"trn_01ARZ3NDEKTSV4RRFFQ69G5FAV","itemId":"itm_01ARZ3NDEKTSV4RRFFQ69G5FAV","at":"2026-11-21T00:00:00.000Z","offset":0,"delta":"x"}}`)

// BenchmarkFanOut sends ready frames to connections as threads do; an op is one delivery.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 32, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := newHub(b)
			addr := benchServer(b, h)
			var peers []*conn
			var readers sync.WaitGroup
			each := int64(b.N/n+1) * int64(len(benchFrame)+4)
			for range n {
				c, peer := openRaw(b, h, addr)
				peers = append(peers, peer)
				readers.Go(func() { _, _ = io.CopyN(io.Discard, c, each) })
			}
			b.ResetTimer()
			for range b.N/n + 1 {
				for _, p := range peers {
					for !p.Offer(benchFrame, thread.ClassStream, "") {
						waitBelow(p.out, p.out.limit/2)
					}
				}
			}
			readers.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}

// BenchmarkRequest is a request and its answer, one at a time.
func BenchmarkRequest(b *testing.B) {
	h := newHub(b)
	c, _ := openRaw(b, h, benchServer(b, h))
	r := bufio.NewReader(c)
	for b.Loop() {
		sendRaw(b, c, `{"id":1,"method":"server/ping","params":{}}`)
		if _, err := r.ReadBytes('}'); err != nil {
			b.Fatal(err)
		}
		_, _ = r.Discard(r.Buffered())
	}
}

// BenchmarkReadObject is the cost of taking a request off the stream.
func BenchmarkReadObject(b *testing.B) {
	line := `{"jsonrpc":"2.0","id":17,"method":"turn/run","params":{"threadId":"thr_01ARZ3NDEKTSV4RRFFQ69G5FAV","input":"` + strings.Repeat("x", 80) + `","ifBusy":"enqueue"}}` + "\n"
	h := &Hub{limits: Limits{}.withDefaults()}
	c := newConn(context.Background(), h, Lines(inOut{&repeat{line: line}, io.Discard}, 1<<20), Local("stdio"))
	s := &stream{c: c, ended: make(chan struct{})}
	var v standInReader
	b.ReportAllocs()
	for b.Loop() {
		if err := s.ReadObject(&v); err != nil {
			b.Fatal(err)
		}
	}
}

type standInReader struct {
	Method string `json:"method"`
}

type repeat struct {
	line string
	rest string
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.rest == "" {
		r.rest = r.line
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// BenchmarkIdleConnection reports what an idle WebSocket costs the process, its client's
// socket in the same process included.
func BenchmarkIdleConnection(b *testing.B) {
	const n = 500
	h := newHub(b)
	addr := benchServer(b, h)
	before, goroutines := memory(), runtime.NumGoroutine()
	for range n {
		openRaw(b, h, addr)
	}
	for b.Loop() { // it is not the time that counts
	}
	b.ReportMetric(float64(memory()-before)/n/1024, "KiB/conn")
	b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/n, "goroutines/conn")
}

// memory is what objects and stacks take now.
func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
