package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// ledger is what somebody knows of a thread who reads its events in order. Two of them are
// equal if and only if they got the same bytes.
type ledger struct {
	head   uint64            // seq of the last durable event
	sum    [sha256.Size]byte // over all of them since the last reset
	ended  map[string]bool   // turns
	pieces map[string][]piece
}

// piece is a delta of an item that is not complete yet.
type piece struct {
	offset int
	text   string
}

// event takes what a subscription yields.
func (g *ledger) event(ev sdk.Event) error {
	switch {
	case ev.Delta != "":
		if g.pieces == nil {
			g.pieces = map[string][]piece{}
		}
		g.pieces[ev.ItemID] = append(g.pieces[ev.ItemID], piece{ev.Offset, ev.Delta})
	case ev.Type == sdk.EventItemCompleted:
		if err := g.complete(ev.Item); err != nil {
			return err
		}
	}
	if ev.Seq == 0 {
		if ev.TurnID != "" && g.ended[ev.TurnID] && ev.Type != sdk.EventThreadRuntimeChanged {
			return fmt.Errorf("something is said about turn %s after its end", ev.TurnID)
		}
		return nil
	}
	return g.durable(ev.Raw, ev.Method, ev.Seq, ev.TurnID)
}

// complete checks that all deltas of an item are where they belong in its text.
func (g *ledger) complete(it *protocol.Item) error {
	pieces := g.pieces[it.ID]
	delete(g.pieces, it.ID)
	text := it.Text
	if it.Type == protocol.ItemToolCall {
		return nil // its deltas are a preview
	}
	for _, p := range pieces {
		if p.offset > len(text) || !strings.HasPrefix(text[p.offset:], p.text) {
			return fmt.Errorf("the delta %q at %d is not in the text of item %s, which has %d bytes", p.text, p.offset, it.ID, len(text))
		}
	}
	return nil
}

// durable takes the next durable event.
func (g *ledger) durable(raw []byte, method string, seq uint64, turn string) error {
	reset := method == protocol.EventThreadReset.Name
	switch {
	case reset && seq > g.head:
		*g = ledger{}
	case seq != g.head+1:
		return fmt.Errorf("seq %d comes after seq %d", seq, g.head)
	}
	if turn != "" && g.ended[turn] && method != protocol.EventItemsChanged.Name {
		return fmt.Errorf("an event of turn %s comes after its end", turn)
	}
	if terminal(method) {
		if g.ended == nil {
			g.ended = map[string]bool{}
		}
		g.ended[turn] = true
	}
	g.head = seq
	g.sum = sha256.Sum256(append(g.sum[:], raw...))
	return nil
}

// terminal tells whether a method is the end of a turn.
func terminal(method string) bool {
	return method == protocol.EventTurnCompleted.Name || method == protocol.EventTurnFailed.Name || method == protocol.EventTurnCancelled.Name
}

// entry is an event of a journal, as far as it matters here.
type entry struct {
	method string
	Seq    uint64         `json:"seq"`
	TurnID string         `json:"turnId"`
	Turn   *protocol.Turn `json:"turn"`
	Item   *protocol.Item `json:"item"`

	Changes []protocol.ItemChange `json:"changes"`
}

func parseEntry(raw []byte) (entry, error) {
	f := protocol.ParseFrame(raw)
	e := entry{method: f.Method}
	return e, json.Unmarshal(f.Params, &e)
}
