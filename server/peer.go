package server

import (
	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
)

var _ thread.Peer = (*conn)(nil)

// Caller is who is at the other end.
func (c *conn) Caller() thread.Caller { return *c.session.caller.Load() }

// Offer gives a frame to send; see thread.Peer.
func (c *conn) Offer(f protocol.Frame, class thread.Class, key string) bool {
	return c.out.offer(f, class, key)
}

// Crowded reports whether an agent should wait for this client; see thread.Peer.
func (c *conn) Crowded(wake chan<- struct{}) bool { return c.out.crowded(wake) }

// Wants reports whether the client takes notifications of this method.
func (c *conn) Wants(method string) bool { return c.session.wants(method) }

// Behind has s filled by the writer when nothing else waits.
func (c *conn) Behind(s *thread.Subscription) { c.out.fillLater(s) }
