package server

import (
	"container/list"
	"sync"
)

// newcomers are the connections over sockets whose clients have not said initialize yet,
// the one that came first in front. There is a bound for them of their own, so that clients
// that connect and say nothing keep nobody out: when there are too many, or no place for a
// connection is left, the one that has had the most time is dropped for the one that comes.
type newcomers struct {
	most    int
	dropped func() // called for each that is dropped

	mu   sync.Mutex
	list list.List // of *newcomer
}

// newcomer is one of them. The methods of nil do nothing: that is a client that need not
// say initialize soon, such as one on stdio.
type newcomer struct {
	all   *newcomers
	place *list.Element // nil: it is none any more
	drop  func()        // closes the socket
	conn  *conn         // nil: it has none of the places for connections yet
}

// enter counts a socket in. drop closes it and does not wait.
func (n *newcomers) enter(drop func()) *newcomer {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.list.Len() >= n.most {
		n.expel(n.list.Front())
	}
	c := &newcomer{all: n, drop: drop}
	c.place = n.list.PushBack(c)
	return c
}

// expel drops the newcomer at a place. n.mu is held.
func (n *newcomers) expel(e *list.Element) *newcomer {
	c := n.list.Remove(e).(*newcomer)
	c.place = nil
	n.dropped()
	c.drop()
	return c
}

// settle notes that a newcomer has one of the places for connections.
func (c *newcomer) settle(conn *conn) {
	if c == nil {
		return
	}
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	c.conn = conn
}

// settled returns the oldest that has one of the places for connections, nil if none has.
// n.mu is held.
func (n *newcomers) settled() *list.Element {
	for e := n.list.Front(); e != nil; e = e.Next() {
		if e.Value.(*newcomer).conn != nil {
			return e
		}
	}
	return nil
}

// canYield reports whether yield would find one.
func (n *newcomers) canYield() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.settled() != nil
}

// yield drops the oldest that has one of the places for connections and returns its
// connection, nil if there is none.
func (n *newcomers) yield() *conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.settled(); e != nil {
		return n.expel(e).conn
	}
	return nil
}

// leave counts it out: it said initialize, or its connection has ended. It may be repeated.
func (c *newcomer) leave() {
	if c == nil {
		return
	}
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	if c.place != nil {
		c.all.list.Remove(c.place)
		c.place = nil
	}
}
