package scenario_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The invariants, checked over the transcript of every client there ever was, the journal
// (a subscription from 0), and what the lists and reads return:
//
//	I1  never two running turns of one thread
//	I2  each accepted turn has exactly one terminal event, and it is the turn's last
//	I3  a subscriber gets seq n+1, n+2 …; the same seq is the same bytes for everyone; the
//	    offset of a delta is the length of the text that its receiver holds
//	I4  item/started < deltas < item/completed
//	I5  a response precedes the notifications that its request causes
//	I6  what the events build up equals what is read and listed, and a fresh snapshot
//	I7  nothing is left when the last connection is closed and the daemon is idle
//
// I1, I2 and I6 are in harness_journal_test.go, I3 to I5 in harness_stream_test.go.

// Check checks I1 to I6 now. Nothing may be streaming.
func (d *daemon) Check() {
	d.t.Helper()
	clients := slices.Clone(d.clients)
	books := map[string]*book{}
	for _, id := range threadsOf(clients) {
		books[id] = d.readBook(id)
	}
	for _, c := range clients {
		c.awaitHeads(books)
	}
	for _, c := range clients {
		newStreams(d.t, c, books).check()
	}
	for _, b := range books {
		b.checkJournal(d.t)
		b.checkAcknowledged(d.t, clients)
	}
}

// threadsOf returns the ids of the threads that clients heard of.
func threadsOf(clients []*client) []string {
	var ids []string
	add := func(id string) {
		if strings.HasPrefix(id, "thr_") && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for _, c := range clients {
		for _, m := range c.messages() {
			switch {
			case !m.out && m.method != "":
				add(m.ThreadID)
			case !m.out && m.to != nil && m.err == nil && strings.HasPrefix(m.to.method, "thread/"):
				add(m.Body().Str("thread.id"))
			}
		}
	}
	return ids
}

// book is all that is known of one thread.
type book struct {
	id      string
	deleted bool              // it cannot be read any more
	frames  map[uint64][]byte // durable events, of everybody
	journal []*message        // what a subscription from 0 gets
	open    map[string]string // text of items in progress, as that subscription was told
	head    uint64

	read     value // thread/read with turns
	queue    value // turn/queue/list
	snapshot value // thread/subscribe without afterSeq
	moves    bool  // it is not at rest: what is told may be newer than the book
	turns    []value
	items    []value
}

// readBook reads a thread in every way there is, at one moment of it.
func (d *daemon) readBook(id string) *book {
	d.t.Helper()
	until := time.Now().Add(patience)
	for {
		if b := d.tryReadBook(id); b != nil {
			return b
		}
		if time.Now().After(until) {
			d.t.Fatalf("thread %s does not come to rest", id)
		}
	}
}

// tryReadBook returns nil if the thread changed meanwhile.
func (d *daemon) tryReadBook(id string) *book {
	d.t.Helper()
	b := &book{id: id, frames: map[uint64][]byte{}, open: map[string]string{}}
	c := d.Dial("unix", named("reader"))
	defer c.Close()
	read, err := c.Do("thread/read", p{"threadId": id, "includeTurns": true})
	if we, ok := errors.AsType[*wireError](err); ok && we.Code == -32010 {
		b.deleted = true
		return b
	} else if err != nil {
		d.t.Fatalf("thread/read of %s: %v", id, err)
	}
	b.read, b.head = read, uint64(read.Int("thread.headSeq"))
	b.queue = c.Call("turn/queue/list", p{"threadId": id})
	b.snapshot = c.Call("thread/subscribe", p{"threadId": id})
	b.turns = c.list("thread/turns/list", p{"threadId": id, "limit": 7})
	b.items = c.list("thread/items/list", p{"threadId": id, "limit": 7})
	c.Call("thread/unsubscribe", p{"threadId": id})

	mark := c.Mark()
	r := c.Call("thread/subscribe", p{"threadId": id, "afterSeq": 0})
	if uint64(r.Int("headSeq")) != b.head {
		return nil
	}
	if _, err := c.find(mark, func(m *message) bool { return m.ThreadID == id && m.Seq >= b.head }); err != nil {
		d.t.Fatalf("the replay of %s does not reach %d: %v", id, b.head, err)
	}
	open := openItems(read)
	for item := range open {
		// Where the item ends before the subscription is live there is no text of it to be told.
		if _, err := c.find(mark, func(m *message) bool {
			return m.is("item/updated", p{"itemId": item}) || m.ThreadID == id && m.Seq > b.head
		}); err != nil {
			d.t.Fatalf("the text of %s in %s is not told: %v", item, id, err)
		}
	}
	if again := c.Call("thread/read", p{"threadId": id, "includeTurns": true}); again.String() != read.String() {
		return nil
	}
	for _, m := range c.messages()[mark:] {
		switch {
		case m.ThreadID == id && m.Seq > 0:
			b.journal = append(b.journal, m)
			b.frames[m.Seq] = m.raw
		case m.method == "item/updated":
			b.open[m.ItemID] = itemText(m.Body().At("item"))
		}
	}
	return b
}

// openItems returns the text of the items in progress of a read thread.
func openItems(read value) map[string]string {
	open := map[string]string{}
	for _, it := range read.List("activeTurn.items") {
		if it.Str("status") == "inProgress" {
			open[it.Str("id")] = itemText(it)
		}
	}
	return open
}

// itemText returns the text of an item that deltas build.
func itemText(item value) string {
	switch item.Str("type") {
	case "commandExecution":
		return item.Str("output")
	case "toolCall":
		if item.Has("arguments") {
			return item.At("arguments").String()
		}
		return ""
	default:
		return item.Str("text")
	}
}

// list reads all pages of a list.
func (c *client) list(method string, params p) []value {
	c.t.Helper()
	var all []value
	for {
		r := c.Call(method, params)
		all = append(all, r.List("data")...)
		next := r.Str("nextCursor")
		if next == "" {
			return all
		}
		params["cursor"] = next
	}
}

// note remembers a durable event and compares it with what others were told.
func (b *book) note(t testing.TB, who string, m *message) {
	t.Helper()
	known, ok := b.frames[m.Seq]
	switch {
	case b.moves && m.Seq > b.head:
	case !ok && !b.deleted && len(b.journal) > 0 && m.Seq > b.journal[0].Seq:
		t.Errorf("I3: %s was told %s, which is not in the journal", who, m.raw)
	case !ok:
		b.frames[m.Seq] = m.raw
	case !bytes.Equal(known, m.raw):
		t.Errorf("I3: seq %d of %s is not the same bytes for everyone:\n%s\n%s: %s", m.Seq, b.id, known, who, m.raw)
	}
}

// stats returns server/stats when the least goroutines are seen in some calls.
func (c *client) stats() value {
	c.t.Helper()
	least := c.Call("server/stats", nil)
	for range 8 {
		if s := c.Call("server/stats", nil); s.Int("goroutines") < least.Int("goroutines") {
			least = s
		}
	}
	return least
}

// checkLeaks checks I7: it stops what still runs, closes all connections and compares the
// daemon with how it was when it had just started.
func (d *daemon) checkLeaks() {
	d.t.Helper()
	probe := d.Dial("unix", named("probe"))
	for _, id := range threadsOf(d.clients) {
		if _, err := probe.Do("turn/interrupt", p{"threadId": id, "queue": "clear"}); err != nil {
			if we, ok := errors.AsType[*wireError](err); !ok || we.Code != -32010 {
				d.t.Errorf("turn/interrupt of %s: %v", id, err)
			}
		}
	}
	for _, c := range d.clients {
		if c != probe {
			c.Close()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		left := d.left(probe.Call("server/stats", nil))
		if left == "" {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			d.t.Errorf("I7: with one connection and nothing to do the daemon still has %s", left)
			return
		}
	}
	probe.Close()
}

// left says what an idle daemon has beyond what it had at its start; "" is nothing.
func (d *daemon) left(now value) string {
	var left []string
	for name, allowed := range map[string]int{
		"connections": 1, "subscriptions": 0, "runningTurns": 0,
		"goroutines": d.first.Int("goroutines") + d.leaves, "openFiles": d.first.Int("openFiles"),
	} {
		if n := now.Int(name); n > allowed {
			left = append(left, fmt.Sprintf("%d %s (allowed %d)", n, name, allowed))
		}
	}
	slices.Sort(left)
	return strings.Join(left, ", ")
}
