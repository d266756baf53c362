package main

import (
	"errors"
	"fmt"
	"time"
)

// driven is what turns on several threads, over one connection, came to.
type driven struct {
	turns  int
	deltas int
	took   time.Duration
	each   []time.Duration // from the request to the end of the turn
}

// perSecond is turns a second, all threads together.
func (d driven) perSecond() float64 { return rate(d.turns, d.took) }

// driver keeps one turn running on each of its threads. A connection is all it needs, so it can
// drive a server that has only its standard input and output.
type driver struct {
	c       *client
	d       dialect
	text    string
	begun   map[string]time.Time // by thread
	asked   map[int]string       // threads by the id of the request
	waiting int                  // turns that were not begun
	driven
}

// drive runs turns with a text, so many on each thread.
func drive(c *client, d dialect, threads []string, text string, each int) (driven, error) {
	r := &driver{c: c, d: d, text: text, begun: map[string]time.Time{}, asked: map[int]string{}}
	r.waiting = each * len(threads)
	start := time.Now()
	for _, t := range threads {
		if err := r.begin(t); err != nil {
			return r.driven, err
		}
	}
	for r.turns < each*len(threads) {
		msg, err := c.recv()
		if err == nil {
			err = r.take(msg)
		}
		if err != nil {
			return r.driven, err
		}
	}
	r.took = time.Since(start)
	return r.driven, nil
}

// begin starts the next turn on a thread.
func (r *driver) begin(thread string) error {
	if r.waiting == 0 {
		return nil
	}
	r.waiting--
	r.begun[thread] = time.Now()
	method, params := r.d.turn(thread, r.text)
	id, err := r.c.begin(method, params)
	r.asked[id] = thread
	return err
}

// take looks at a message.
func (r *driver) take(msg []byte) error {
	switch r.d.kind(msg) {
	case kindDelta:
		r.deltas++
	case kindFail:
		return fmt.Errorf("a turn failed: %.500s", msg)
	case kindEnd:
		thread := threadOf(msg)
		begun, ok := r.begun[thread]
		if !ok {
			return fmt.Errorf("a turn ended on a thread where none ran: %.500s", msg)
		}
		delete(r.begun, thread)
		r.turns++
		r.each = append(r.each, time.Since(begun))
		return r.begin(thread)
	case kindLag, kindOther:
		if id, ok := answerID(msg); ok && r.asked[id] != "" {
			delete(r.asked, id)
			return decodeAnswer(msg, nil)
		}
	}
	return nil
}

// makeThreads makes threads and returns how long each took.
func makeThreads(c *client, d dialect, n int) (ids []string, took []time.Duration, err error) {
	for range n {
		start := time.Now()
		id, err := d.startThread(c)
		if err == nil && id == "" {
			err = errors.New("the answer names no thread")
		}
		if err != nil {
			return ids, took, err
		}
		took = append(took, time.Since(start))
		ids = append(ids, id)
	}
	return ids, took, nil
}
