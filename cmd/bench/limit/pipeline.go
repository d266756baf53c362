package limit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// stamped is a delta that says when it was made.
type stamped struct {
	ThreadID string `json:"threadId"`
	TurnID   string `json:"turnId"`
	ItemID   string `json:"itemId"`
	Seq      int    `json:"seq"`
	Delta    string `json:"delta"`
}

// Stamp is the text of a delta made at a time.
func Stamp(t time.Time) string { return fmt.Sprintf("@%019d;", t.UnixNano()) }

// ReadStamp returns the time of the stamp in a message; false where it has none.
func ReadStamp(msg []byte) (time.Time, bool) {
	_, rest, ok := strings.Cut(string(msg), "@")
	digits, _, ok2 := strings.Cut(rest, ";")
	if !ok || !ok2 || len(digits) != 19 {
		return time.Time{}, false
	}
	var ns int64
	for _, d := range []byte(digits) {
		if d < '0' || d > '9' {
			return time.Time{}, false
		}
		ns = ns*10 + int64(d-'0')
	}
	return time.Unix(0, ns), true
}

// Pipeline serves WebSockets: whoever sends a number of milliseconds gets stamped deltas, made
// that far apart by a goroutine of its own, encoded, queued and written, until it leaves. That
// is the way of a delta from agent to client in memory.
func Pipeline(in io.Reader, out io.Writer) error {
	return serve(in, out, func(ctx context.Context, p peer) {
		apart, err := readNumber(ctx, p)
		if err != nil {
			return
		}
		ctx = p.CloseRead(ctx)
		queue := make(chan []byte, queueFrames)
		var agent sync.WaitGroup
		agent.Go(func() { speak(ctx, time.Duration(apart)*time.Millisecond, queue) })
		drain(ctx, p, queue)
		agent.Wait()
	})
}

// speak makes stamped deltas until ctx ends.
func speak(ctx context.Context, apart time.Duration, queue chan<- []byte) {
	id := strings.Repeat("0", 26)
	beat := time.NewTicker(apart)
	defer beat.Stop()
	for seq := 1; ; seq++ {
		select {
		case <-beat.C:
		case <-ctx.Done():
			return
		}
		body, err := json.Marshal(stamped{id, id, "item_12", seq, Stamp(time.Now())})
		if err != nil {
			panic(err) // strings and a number
		}
		frame := append([]byte(`{"jsonrpc":"2.0","method":"item/agentMessage/delta","params":`), body...)
		select {
		case queue <- append(frame, '}'):
		case <-ctx.Done():
			return
		}
	}
}
