package scenario_test

import (
	"fmt"
	"strings"
	"testing"
)

// sizeMemory is the most that messages of the limit may cost. One takes up to 50 MiB while it
// is read and the pieces are not collected yet, and the race detector seven times that.
const sizeMemory = 512 << 20

// TestTortureNetworkSize: messages beyond the limit are refused without being kept, and one
// just below it is taken.
func TestTortureNetworkSize(t *testing.T) {
	d := startDaemon(t)
	b := d.bystander()
	const limit = 16 << 20
	huge := 20 << 20
	if *tortureLong {
		huge = 64 << 20
	}
	before := d.memory()
	for _, length := range []uint64{64 << 20, 1 << 62, 1 << 63} {
		t.Run(fmt.Sprintf("%d bytes are announced and none sent", length), func(t *testing.T) {
			for range 20 {
				s := d.webSocketRaw()
				s.greet(true)
				h := append([]byte{opText, 0x80 | 127}, make([]byte, 12)...)
				for i := range 8 {
					h[2+i] = byte(length >> (56 - 8*i))
				}
				s.put(string(h))
				b.Pass(1)
				s.cut(true)
			}
		})
	}
	b.AloneAgain(1)
	d.grewBelow(before, 64<<20, "60 announced messages")
	for _, web := range []bool{false, true} {
		s := d.rawSocket(web)
		s.greet(web)
		head := `{"jsonrpc":"2.0","id":7,"method":"server/ping","params":{}`
		s.send(head+strings.Repeat(" ", limit-len(head)-1)+"}", web)
		if m := s.answer(7, web); !m.Has("result") {
			t.Errorf("WebSocket %v: a message of %d bytes is answered with %.300s", web, limit, m)
		}
		s.cut(true)
	}
	piece := strings.Repeat("x", 1<<20)
	t.Run("a line that is too long", func(t *testing.T) {
		s := d.unixSocket()
		s.greet(false)
		for range huge >> 20 {
			s.put(piece)
		}
		s.put("\n")
		s.send(rpc(8, "server/ping", nil), false)
		raw, err := s.receive(false)
		if m := parse(raw); err != nil || m.Int("error.code") != -32600 || m.Int("error.data.limit") != limit || m.At("id").v != nil {
			t.Errorf("it is answered with %.300s %v", raw, err)
		}
		if m := s.answer(8, false); !m.Has("result") {
			t.Errorf("the next request is answered with %s", m)
		}
		s.cut(true)
	})
	t.Run("a line without an end", func(t *testing.T) {
		s := d.unixSocket()
		s.greet(false)
		for range huge >> 20 {
			s.put(piece)
		}
		s.cut(false)
	})
	for name, send := range map[string]func(*socket){
		"a frame": func(s *socket) {
			s.put(string(append(frameHeader(opText, huge), 0, 0, 0, 0)))
			for range huge >> 20 {
				s.put(piece)
			}
		},
		"fragments": func(s *socket) {
			s.put(frame(opText&0x7f, piece))
			for range huge>>20 - 1 {
				s.put(frame(0, piece))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := d.webSocketRaw()
			s.greet(true)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				send(s)
			}()
			code, _, _ := s.closeCode()
			_ = s.Close()
			<-sent
			if code != 1009 {
				t.Errorf("closed with %d", code)
			}
		})
	}
	b.AloneAgain(1)
	d.grewBelow(before, sizeMemory, "messages of the limit and beyond it")
	b.Undisturbed()
}
