package server

import (
	"cmp"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// Limits are the bounds of connections. A zero is its default.
type Limits struct {
	MaxMessageBytes int64         // of one message, both ways; 16 MiB
	MaxInFlight     int           // requests of a connection in work; more are not read; 64
	MaxParked       int           // requests of a connection that wait for a turn; 1024
	MaxFree         int           // reads of a connection that run at once; 8
	OutboxBytes     int           // waiting to be sent on a connection; 1 MiB
	SlowConsumer    time.Duration // until a connection that takes nothing is closed; 30 s
	Ping            time.Duration // between two pings of a WebSocket; 30 s
	MaxConnections  int           // at once, over all listeners; 4096
	MaxNewcomers    int           // of sockets that did not say initialize yet; 1024
	Handshake       time.Duration // that a socket has to say initialize; 30 s
	Closing         time.Duration // that the client of a WebSocket has to answer a close; 2 s

	// MaxItemBytes and MaxQueued are only announced; package thread enforces them.
	MaxItemBytes int64 // 4 MiB
	MaxQueued    int   // 1000
}

func (l Limits) withDefaults() Limits {
	l.MaxMessageBytes = cmp.Or(l.MaxMessageBytes, 16<<20)
	l.MaxInFlight = cmp.Or(l.MaxInFlight, 64)
	l.MaxParked = cmp.Or(l.MaxParked, 1024)
	l.MaxFree = cmp.Or(l.MaxFree, 8)
	l.OutboxBytes = cmp.Or(l.OutboxBytes, 1<<20)
	l.SlowConsumer = cmp.Or(l.SlowConsumer, 30*time.Second)
	l.Ping = cmp.Or(l.Ping, 30*time.Second)
	l.MaxConnections = cmp.Or(l.MaxConnections, 4096)
	l.MaxNewcomers = cmp.Or(l.MaxNewcomers, 1024)
	l.Handshake = cmp.Or(l.Handshake, 30*time.Second)
	l.Closing = cmp.Or(l.Closing, 2*time.Second)
	l.MaxItemBytes = cmp.Or(l.MaxItemBytes, 4<<20)
	l.MaxQueued = cmp.Or(l.MaxQueued, 1000)
	return l
}

// announced returns the limits that a client should know.
func (l Limits) announced() protocol.Limits {
	return protocol.Limits{
		MaxMessageBytes: l.MaxMessageBytes, MaxItemBytes: l.MaxItemBytes, MaxQueued: l.MaxQueued,
		MaxInFlight: l.MaxInFlight, MaxParked: l.MaxParked,
	}
}
