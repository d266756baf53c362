package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
)

// A seed is a thread that a daemon has made, with one turn or none. Copies of it are written to
// the store without a daemon, which would need minutes for a million of them: the same events
// under other ids, and where many turns are wanted the events of the turn again and again. What
// comes out is what the daemon would have written; spool verify finds nothing wrong with it.
type seed struct {
	row    storage.Row
	events []storage.Event
	turns  []storage.TurnEntry
	own    [][]byte // ids that belong to the turn, in the order of their making
}

// openStore opens the data of a daemon that is not running.
func openStore(ctx context.Context, data string) (*bolt.Store, error) {
	return bolt.Open(ctx, bolt.Options{Path: filepath.Join(data, "spool.db")})
}

// seedOf has a daemon make a thread, with a turn if a text is given for it, and takes it out of
// the store. The daemon has stopped when it returns.
func (b *bench) seedOf(ctx context.Context, data, text string) (*seed, error) {
	thread, err := b.seedThread(ctx, data, text)
	if err != nil {
		return nil, err
	}
	s, err := openStore(ctx, data)
	if err != nil {
		return nil, err
	}
	var of seed
	of.row, err = s.Thread(ctx, thread)
	if err == nil {
		of.events, err = s.Events(ctx, thread, 0, 0, 16<<20)
	}
	if err == nil {
		of.turns, err = s.Turns(ctx, thread, storage.TurnQuery{Limit: 2})
	}
	if err == nil && text != "" && len(of.turns) != 1 {
		err = fmt.Errorf("the thread has %d turns, want one", len(of.turns))
	}
	of.findOwn()
	return &of, errors.Join(err, s.Close())
}

func (b *bench) seedThread(ctx context.Context, data, text string) (thread string, err error) {
	d, err := b.start(ctx, startOptions{data: data, noWS: true})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	c, err := d.dial(ctx, "unix")
	if err != nil {
		return "", err
	}
	defer c.Close()
	if thread, err = c.newThread(); err != nil || text == "" {
		return thread, err
	}
	return thread, c.call("turn/run", p{"threadId": thread, "input": text, "wait": true}, nil)
}

// ownID is an id that belongs to one turn.
var ownID = regexp.MustCompile(`\b(trn|itm|trc)_[0-9A-Z]{26}\b`)

// findOwn looks for the ids of the turn.
func (s *seed) findOwn() {
	begin, end := s.span()
	for _, e := range s.events[begin:end] {
		s.own = append(s.own, ownID.FindAll(e.Frame, -1)...)
	}
	slices.SortFunc(s.own, func(a, b []byte) int { return bytes.Compare(a[len(a)-ulidSize:], b[len(b)-ulidSize:]) })
	s.own = slices.CompactFunc(s.own, bytes.Equal)
}

// ulidSize is the length of an id without its prefix.
const ulidSize = 26

// batch is a copy with so many turns, and the ids of its turns.
func (s *seed) batch(turns int) (*storage.Batch, []string, error) {
	c := copied{seed: s, thread: protocol.NewID(protocol.PrefixThread)}
	begin, end := s.span()
	for _, e := range s.events[:begin] {
		c.add(e)
	}
	for range turns {
		c.turn(s.events[begin:end])
	}
	for _, e := range s.events[end:] {
		c.add(e)
	}
	row := s.row
	row.ID = c.thread
	data, err := c.state(turns)
	row.Data = data
	return &storage.Batch{Thread: c.thread, Create: true, Events: c.events, Row: &row, Turns: c.turns}, c.ids, err
}

// span says which events are those of the turn.
func (s *seed) span() (begin, end int) {
	if len(s.turns) == 0 {
		return len(s.events), len(s.events)
	}
	return int(s.turns[0].Accepted) - 1, int(s.turns[0].Ended)
}

// copied is a copy in the making.
type copied struct {
	*seed
	thread string
	events []storage.Event
	turns  []storage.TurnEntry
	ids    []string // of its turns
}

// add puts an event behind the others.
func (c *copied) add(e storage.Event) {
	seq := uint64(len(c.events) + 1)
	frame := bytes.ReplaceAll(e.Frame, []byte(c.row.ID), []byte(c.thread))
	frame = bytes.Replace(frame, fmt.Appendf(nil, `"seq":%d,`, e.Seq), fmt.Appendf(nil, `"seq":%d,`, seq), 1)
	c.events = append(c.events, storage.Event{Seq: seq, Frame: frame})
}

// turn puts the events of the turn behind the others, once more, with ids of their own.
func (c *copied) turn(events []storage.Event) {
	first := uint64(len(c.events)) + 1 - c.seed.turns[0].Accepted
	own := map[string][]byte{}
	for _, id := range c.own {
		prefix, _, _ := bytes.Cut(id, []byte("_"))
		own[string(id)] = []byte(protocol.NewID(string(prefix) + "_"))
	}
	for _, e := range events {
		for _, id := range c.own {
			e.Frame = bytes.ReplaceAll(e.Frame, id, own[string(id)])
		}
		c.add(e)
	}
	entry := c.seed.turns[0]
	entry.ID = string(own[entry.ID])
	entry.Accepted, entry.Started, entry.Ended = entry.Accepted+first, entry.Started+first, entry.Ended+first
	c.turns, c.ids = append(c.turns, entry), append(c.ids, entry.ID)
}

// state is what is stored beside the journal, for so many turns.
func (c *copied) state(turns int) ([]byte, error) {
	data := bytes.ReplaceAll(c.row.Data, []byte(c.row.ID), []byte(c.thread))
	if turns == 0 {
		return data, nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	all["turns"] = strconv.AppendInt(nil, int64(turns), 10)
	all["lastId"] = strconv.AppendQuote(nil, c.ids[turns-1])
	return json.Marshal(all)
}

// plant writes copies of a seed, each with so many turns, until so many threads or so many bytes
// are written, whatever comes first, and returns the ids of the threads. 0 is no bound.
func plant(ctx context.Context, data string, of *seed, turns, threads, size int) (ids []string, err error) {
	s, err := openStore(ctx, data)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	sample, _, err := of.batch(turns)
	if err != nil {
		return nil, err
	}
	waiting := min(8192, 1+(48<<20)/sample.Size()) // so that every transaction is a large one
	slots, failed := make(chan error, waiting), error(nil)
	for range waiting {
		slots <- nil
	}
	for written := 0; failed == nil && ctx.Err() == nil && (threads == 0 || len(ids) < threads) && (size == 0 || written < size); {
		failed = <-slots
		b, _, err := of.batch(turns)
		if failed = errors.Join(failed, err); failed != nil {
			slots <- nil
			break
		}
		ids, written = append(ids, b.Thread), written+b.Size()
		s.Commit(b, func(err error) { slots <- err })
	}
	for range waiting {
		failed = errors.Join(failed, <-slots)
	}
	return ids, errors.Join(failed, ctx.Err())
}
