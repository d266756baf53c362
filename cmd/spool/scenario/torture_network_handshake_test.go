package scenario_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestTortureNetworkHandshake: clients that never finish their handshake, some of whom send
// a byte now and then, are ended and keep nobody out.
func TestTortureNetworkHandshake(t *testing.T) {
	crowd := 4
	if *tortureLong {
		crowd = 100
	}
	d := startDaemon(t, config("limits.handshake_timeout = \"4s\"\nlimits.max_newcomers = 1000"))
	b := d.bystander()
	line := rpc(1, "initialize", p{"clientInfo": p{"name": "slow"}})
	slow := []struct {
		name, network, drip string
		first               string
	}{
		{name: "TCP and nothing", network: "tcp"},
		{name: "an upgrade by bytes", network: "tcp", drip: upgradeRequest},
		{name: "a WebSocket and nothing", network: "tcp", first: upgradeRequest},
		{name: "a WebSocket, initialize by bytes", network: "tcp", first: upgradeRequest, drip: frame(opText, line)},
		{name: "Unix and nothing", network: "unix"},
		{name: "Unix, initialize by bytes", network: "unix", drip: line},
		{name: "Unix, other requests", network: "unix", drip: strings.Repeat("{}\n", 100)},
	}
	var all sync.WaitGroup
	for _, how := range slow {
		for range crowd {
			s := d.tcpOrUnix(how.network)
			s.put(how.first)
			all.Go(func() { s.drip(how.drip) })
		}
	}
	// Meanwhile others connect as ever.
	for _, transport := range []string{"unix", "ws"} {
		c := d.Dial(transport)
		c.Call("server/ping", nil)
		c.Close()
	}
	all.Wait()
	b.AloneAgain(1)
	b.Undisturbed()
}

func (d *daemon) tcpOrUnix(network string) *socket {
	d.t.Helper()
	if network == "unix" {
		return d.unixSocket()
	}
	return d.tcpSocket()
}

// drip sends a byte every 100 ms until the daemon ends the connection, which it must.
func (s *socket) drip(text string) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.ended()
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			_ = s.Close()
			return
		case <-tick.C:
			if text != "" {
				s.put(text[:1])
				text = text[1:]
			}
		}
	}
}

// TestTortureNetworkCrowd: more silent sockets than there may be, of any kind. The oldest
// make room, so a client that does say initialize gets in.
func TestTortureNetworkCrowd(t *testing.T) {
	d := startDaemon(t, config("limits.max_newcomers = 20\nlimits.max_connections = 25"))
	b := d.bystander()
	var left []string
	for i := range 120 {
		switch i % 4 {
		case 0:
			d.unixSocket()
		case 1:
			d.tcpSocket().put(upgradeRequest[:40])
		case 2:
			d.tcpSocket().put(upgradeRequest)
		default:
			d.unixSocket().put(`{"id":1,"method":"init`)
		}
		if i%20 == 19 {
			for _, transport := range []string{"unix", "ws"} {
				c := d.Dial(transport)
				c.Call("server/ping", nil)
				c.Close()
				left = append(left, c.ID)
			}
		}
	}
	poll(b.client, "that the daemon closes what made room", func() bool {
		return b.Call("server/stats", nil).Int("openFiles") <= d.first.Int("openFiles")+30
	})
	poll(b.client, "that those who left are gone", func() bool {
		there := b.Call("server/connections/list", nil).Each("data", "connectionId")
		return !slices.ContainsFunc(left, func(id string) bool { return slices.Contains(there, id) })
	})
	// Those that said initialize are not dropped for others.
	var in []*client
	for range 24 {
		in = append(in, d.Dial("unix"))
	}
	s := d.unixSocket()
	if raw, err := s.receive(false); err != nil || parse(raw).Int("error.code") != -32001 || parse(raw).Int("error.data.retryAfterMs") == 0 {
		t.Errorf("one connection too many is told %s %v", raw, err)
	}
	s.cut(true)
	s = d.tcpSocket()
	s.put(upgradeRequest)
	if status, body := s.response(); status != "503" {
		t.Errorf("one WebSocket too many is told %s %s", status, body)
	}
	s.cut(true)
	for _, c := range in {
		c.Call("server/ping", nil)
		c.Close()
	}
	b.Undisturbed()
}

// TestTortureNetworkGarbage: what is no message, no frame and no request for a WebSocket.
func TestTortureNetworkGarbage(t *testing.T) {
	d := startDaemon(t)
	b := d.bystander()
	rounds := 20
	if *tortureLong {
		rounds = 2000
	}
	before := d.memory()
	for name, bad := range map[string]struct {
		frame string
		code  int // of the close; 0: the connection stays
	}{
		"not masked":             {"\x81\x02{}", 1002},
		"reserved bit":           {frame(opText|0x40, "{}"), 1002},
		"reserved opcode":        {frame(0x83, "{}"), 1002},
		"long ping":              {frame(opPing, strings.Repeat("x", 126)), 1002},
		"ping in pieces":         {frame(opPing&0x7f, "x"), 1002},
		"continues nothing":      {frame(0x80, "{}"), 1002},
		"binary":                 {frame(opBinary, "{}"), 1003},
		"much behind it":         {"\x81\x02{}" + strings.Repeat("x", 512<<10), 1002},
		"bad UTF-8":              {frame(opText, "{\"\xff\":1}"), 0},
		"no JSON":                {frame(opText, "{"), 0},
		"a list":                 {frame(opText, "[]"), 0},
		"no object":              {frame(opText, "17"), 0},
		"params of a wrong type": {frame(opText, `{"id":3,"method":"turn/run","params":[1]}`), 0},
		"id of a wrong type":     {frame(opText, `{"id":{},"method":"server/ping"}`), 0},
		"no method":              {frame(opText, `{"id":3}`), 0},
	} {
		s := d.webSocketRaw()
		s.greet(true)
		s.put(bad.frame)
		if bad.code == 0 {
			if m, err := s.receive(true); err != nil || !parse(m).Has("error.code") {
				t.Errorf("%s: answered with %s %v", name, m, err)
			}
			s.send(rpc(9, "server/ping", nil), true)
			s.answer(9, true)
			s.cut(true)
		} else if code, reason, _ := s.closeCode(); code != bad.code {
			t.Errorf("%s: closed with %d %q, want %d", name, code, reason, bad.code)
		}
	}
	for request, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n":                         "404",
		"POST /ws HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n": "405",
		"GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n":                       "426",
		"GET /ws HTTP/1.1\r\nHost: example.com\r\n\r\n":                     "403",
		"GET /ws HTTP/1.1\r\n\r\n":                                          "400",
		"\x16\x03\x01\x02\x00\r\n\r\n":                                      "400",
	} {
		s := d.tcpSocket()
		s.put(request)
		if status, body := s.response(); status != want {
			t.Errorf("%q is answered with %s %q, want %s", request, status, body, want)
		}
		s.cut(false)
	}
	for i := range rounds {
		random := make([]byte, 1+rand.N(4096))
		for j := range random {
			random[j] = byte(rand.Uint32())
		}
		s := d.rawSocket(i%3 == 0)
		if i%2 == 0 {
			s.greet(i%3 == 0)
		}
		s.put(string(random))
		s.cut(i%4 > 1)
	}
	b.AloneAgain(1)
	d.grewBelow(before, 64<<20, "garbage")
	b.Undisturbed()
}
