package scenario_test

import (
	"slices"
	"testing"
)

// TestTortureNetworkHalfOpen: a client vanishes without a FIN. The pings notice, whatever
// else is sent to it, and all that hangs on the connection ends with it.
func TestTortureNetworkHalfOpen(t *testing.T) {
	for name, noise := range map[string]string{
		"nothing is sent to it":  "/hold",
		"a little is, for hours": "/deltas 100000 5 100ms",
		"more than it can take":  "/deltas 1500 1000",
	} {
		if noise != "/deltas 100000 5 100ms" && !*tortureLong {
			continue
		}
		t.Run(name, func(t *testing.T) {
			d := startDaemon(t, config("limits.ping_interval = \"2s\"\nlimits.slow_consumer_timeout = \"2s\""))
			b, c, x := d.bystander(), d.Dial("unix", named("control")), d.proxy("tcp")
			a := x.Dial(able("tools"), named("half-open"))
			own := a.StartThread(p{"lifetime": p{"onDisconnect": "interrupt", "graceMs": 1}})
			held := a.Hold(own, "/say never")
			shared := c.StartThread(p{"config": p{"toolReconnectMs": 100}})
			a.Call("thread/subscribe", p{"threadId": shared})
			a.Register(shared, tool("look"))
			loud := c.StartThread(nil)
			a.Call("thread/subscribe", p{"threadId": loud})
			for _, thr := range []string{own, shared} {
				c.Call("thread/subscribe", p{"threadId": thr})
			}
			x.Freeze()

			turn := c.Run(shared, "/tool look {}")
			noisy := c.Run(loud, noise)
			c.Await("turn/cancelled", p{"turnId": held, "turn.cancelReason": "clientDisconnected"})
			poll(c, "that the half-open client has left", func() bool {
				return !slices.Contains(c.Call("server/connections/list", nil).Each("data", "connectionId"), a.ID) &&
					!slices.Contains(c.Call("thread/presence/list", p{"threadId": shared}).Each("data", "connectionId"), a.ID)
			})
			c.AwaitFrom(0, "thread/presence/changed", p{"threadId": shared, "left.0.connectionId": a.ID})
			c.End(shared, turn)
			if it := c.Await("item/completed", p{"turnId": turn, "item.type": "toolCall"}).Body(); it.Str("item.error.code") != "ToolUnavailable" {
				t.Errorf("the tool call of the client that vanished ended as %s", it)
			}
			c.Call("turn/interrupt", p{"threadId": loud, "turnId": noisy})
			c.End(loud, noisy)
			x.Close()
			<-a.gone
			b.AloneAgain(2)
			b.Undisturbed()
		})
	}
}
