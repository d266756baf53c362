package server

import (
	"maps"
	"os"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
)

func (c *conn) agentList(protocol.Empty) (protocol.AgentListResult, error) {
	return protocol.AgentListResult{Data: c.hub.manager.Agents()}, nil
}

func (c *conn) agentRead(p protocol.AgentReadParams) (protocol.AgentReadResult, error) {
	for _, a := range c.hub.manager.Agents() {
		if a.Name == p.Agent {
			return protocol.AgentReadResult{Agent: a}, nil
		}
	}
	return protocol.AgentReadResult{}, protocol.Errorf(protocol.CodeAgentNotFound, "no agent is named %.100q; agent/list has them", p.Agent)
}

func (c *conn) ping(protocol.Empty) (protocol.PingResult, error) {
	return protocol.PingResult{At: protocol.Now()}, nil
}

func (c *conn) info(protocol.Empty) (protocol.ServerInfoResult, error) {
	r := protocol.ServerInfoResult{
		ServerInfo: c.hub.serverInfo(), StartedAt: protocol.Time(c.hub.started.UnixMilli()),
		Limits: c.hub.limits.announced(), Capabilities: capabilities,
	}
	if c.Caller().Admin {
		i := c.hub.info()
		r.Listeners, r.DataPath, r.PID = i.Listeners, i.DataPath, os.Getpid()
	}
	return r, nil
}

func (c *conn) stats(protocol.Empty) (protocol.ServerStatsResult, error) {
	s := c.hub.manager.Stats()
	counters := maps.Clone(s.Counters)
	if counters == nil {
		counters = map[string]int64{}
	}
	c.hub.counters.snapshot(counters)
	return protocol.ServerStatsResult{
		UptimeMs: time.Since(c.hub.started).Milliseconds(), Connections: len(c.hub.connections()),
		LoadedThreads: s.LoadedThreads, RunningTurns: s.RunningTurns, QueuedTurns: s.QueuedTurns,
		Subscriptions: s.Subscriptions, Goroutines: runtime.NumGoroutine(), HeapBytes: heapBytes(),
		OpenFiles: openFiles(), Counters: counters, DatabaseBytes: c.hub.info().DatabaseBytes,
		ConnectionOwns: c.hub.manager.Owned(c.id),
	}, nil
}

// heapBytes is the memory of live and not yet swept objects. Unlike runtime.ReadMemStats
// it stops nobody.
func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}

// openFiles counts the descriptors of the process, 0 where the system does not tell.
func openFiles() int {
	d, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0
	}
	defer func() { _ = d.Close() }()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return 0
	}
	return len(names) - 1 // without d itself
}

func (c *conn) connectionsList(protocol.Empty) (protocol.ConnectionsListResult, error) {
	r := protocol.ConnectionsListResult{Data: []protocol.ConnectionInfo{}}
	for _, o := range c.hub.connections() {
		info := protocol.ConnectionInfo{
			ConnectionID: o.id, Transport: o.who.Transport, User: o.who.User, Since: o.since, QueuedBytes: o.out.queued(),
		}
		if o.session.at() != stateNew {
			info.Client, info.Subscriptions = o.session.client, c.hub.manager.Subscriptions(o)
		}
		r.Data = append(r.Data, info)
	}
	return r, nil
}

// shut answers before the daemon begins to stop, so that the answer comes first.
func (h *Hub) shut(_ thread.Call, p protocol.ServerShutdownParams, r thread.Reply[protocol.Empty]) {
	if h.shutdown == nil {
		r(protocol.Empty{}, protocol.Errorf(protocol.CodeForbidden, "this daemon is not stopped by its clients"))
		return
	}
	r(protocol.Empty{}, nil)
	h.shutdown(p.Drain == nil || *p.Drain)
}
