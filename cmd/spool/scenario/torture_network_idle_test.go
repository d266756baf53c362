package scenario_test

import (
	"testing"
	"time"
)

// TestTortureNetworkIdle: very many WebSockets that are idle. Each costs little, and one
// more client works as if they were not there.
func TestTortureNetworkIdle(t *testing.T) {
	connections := 150
	if *tortureLong {
		connections = 2000
	}
	d := startDaemon(t)
	b := d.bystander()
	before := d.memory()
	var idle []*socket
	for range connections {
		s := d.webSocketRaw()
		s.greet(true)
		idle = append(idle, s)
	}
	if n := b.Call("server/stats", nil).Int("connections"); n != connections+1 {
		t.Errorf("%d connections are open, want %d", n, connections+1)
	}
	now := d.memory()
	t.Logf("%d idle WebSockets take %s, %.1f KiB each (with the race detector)",
		connections, mib(now.rss-before.rss), float64(now.rss-before.rss)/1024/float64(connections))
	if most := int64(32<<20 + connections*128<<10); now.rss-before.rss > most {
		t.Errorf("%d idle WebSockets take %s", connections, mib(now.rss-before.rss))
	}
	began := time.Now()
	c := d.Dial("ws")
	thr := c.StartThread(nil)
	for range 20 {
		c.End(thr, c.Run(thr, "/say one more"))
	}
	t.Logf("one more client ran 20 turns in %v", time.Since(began))
	for i, s := range idle {
		s.cut(i%2 == 0)
	}
	b.AloneAgain(2)
	b.Undisturbed()
}
