package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// streamed is what one client got of one turn, or of one run of a limit.
type streamed struct {
	deltas int // that came
	lagged int // how often it was told that deltas were left out
	bytes  int // of the deltas, without what the transport adds

	first, last time.Time     // when the first delta came, and a late one
	timed       int           // how many had come at last
	took        time.Duration // from sending the input to the end of the turn
}

// rate is deltas a second.
func (s streamed) rate() float64 { return rate(s.timed-1, s.last.Sub(s.first)) }

// delta notes that one came. It looks at the clock now and then only.
func (s *streamed) delta(msg []byte) {
	s.deltas++
	s.bytes += len(msg)
	if s.deltas%32 != 1 {
		return
	}
	s.last, s.timed = time.Now(), s.deltas
	if s.deltas == 1 {
		s.first = s.last
	}
}

// streamTurn runs a turn and reads until it is over. Each message is shown to look, which may
// be nil.
func streamTurn(c *client, d dialect, thread, text string, look func(msg []byte) error) (streamed, error) {
	var s streamed
	start := time.Now()
	method, params := d.turn(thread, text)
	id, err := c.begin(method, params)
	if err != nil {
		return s, err
	}
	over, answered := false, false
	for !over || !answered {
		msg, err := c.recv()
		if err == nil && look != nil {
			err = look(msg)
		}
		if err != nil {
			return s, err
		}
		switch d.kind(msg) {
		case kindDelta:
			s.delta(msg)
		case kindEnd:
			over = true
		case kindLag:
			s.lagged++
		case kindFail:
			return s, fmt.Errorf("the turn failed: %.500s", msg)
		case kindOther:
			if got, ok := answerID(msg); ok && got == id {
				answered = true
				err = decodeAnswer(msg, nil)
			}
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", method, err)
		}
	}
	s.took = time.Since(start)
	return s, nil
}

// streamFrames orders n frames of a limit and reads them in the same way.
func streamFrames(l link, n int, look func(msg []byte) error) (streamed, error) {
	return readFrames(l, strconv.Itoa(n), look)
}

// readFrames sends an order to a limit, unless it is empty, and reads what comes.
func readFrames(l link, order string, look func(msg []byte) error) (streamed, error) {
	var s streamed
	start := time.Now()
	if order != "" {
		if err := l.send([]byte(order)); err != nil {
			return s, err
		}
	}
	for {
		msg, err := l.recv()
		if err == nil && look != nil {
			err = look(msg)
		}
		if err != nil {
			return s, err
		}
		switch (spoolDialect{}).kind(msg) {
		case kindDelta:
			s.delta(msg)
		case kindEnd:
			s.took = time.Since(start)
			return s, nil
		default:
		}
	}
}

// decodeEach is a look that decodes each message, as a plain client does.
func decodeEach(msg []byte) error {
	var m struct {
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
		ID     json.RawMessage `json:"id"`
	}
	return json.Unmarshal(msg, &m)
}
