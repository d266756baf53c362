package scenario_test

import (
	"testing"
	"time"
)

// What an idle WebSocket may cost: it is about 40 KiB, most of it heap that is not collected
// yet, and the race detector takes eight times that.
const (
	idleMemory = 400 << 10
	idleHeap   = 48 << 10
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
	before, heap := d.memory(), b.Call("server/stats", nil).Int("heapBytes")
	var idle []*socket
	for range connections {
		s := d.webSocketRaw()
		s.greet(true)
		idle = append(idle, s)
	}
	b.AloneAgain(connections + 1)
	now := d.memory()
	held := int64(b.Call("server/stats", nil).Int("heapBytes") - heap)
	t.Logf("%d idle WebSockets take %s, %.1f KiB each (with the race detector); of the heap %.1f KiB each", connections,
		mib(now.rss-before.rss), float64(now.rss-before.rss)/1024/float64(connections), float64(held)/1024/float64(connections))
	if most := int64(32<<20 + connections*idleMemory); now.rss-before.rss > most {
		t.Errorf("%d idle WebSockets take %s", connections, mib(now.rss-before.rss))
	}
	if most := int64(8<<20 + connections*idleHeap); held > most {
		t.Errorf("%d idle WebSockets take %s of the heap", connections, mib(held))
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
