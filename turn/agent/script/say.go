package script

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spoolhq/spool/protocol"
)

// Bounds of /deltas, so that a typo cannot fill the memory.
const (
	maxDeltas     = 10_000_000
	maxDeltaBytes = 16 << 20
)

func say(ctx context.Context, r *run, text string) error {
	return r.stream(ctx, protocol.ItemAgentMessage, text)
}

func think(ctx context.Context, r *run, text string) error {
	return r.stream(ctx, protocol.ItemReasoning, text)
}

// stream says text in an item of its own, a delta for each word.
func (r *run) stream(ctx context.Context, t protocol.ItemType, text string) error {
	if text == "" {
		return misuse("needs a text")
	}
	item := r.out.Begin(protocol.Item{Type: t})
	for text != "" {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := wordLen(text)
		item.Append(text[:n])
		text = text[n:]
	}
	item.Complete(nil)
	return nil
}

// wordLen returns the length in bytes of the first word of text, with the space before
// it; what follows the last word belongs to it.
func wordLen(text string) int {
	start := strings.IndexFunc(text, func(c rune) bool { return !unicode.IsSpace(c) })
	if start < 0 {
		return len(text)
	}
	end := strings.IndexFunc(text[start:], unicode.IsSpace)
	if end < 0 || strings.TrimSpace(text[start+end:]) == "" {
		return len(text)
	}
	return start + end
}

// deltas says the digits 0 to 9 over and over, cut into pieces of equal size.
func deltas(ctx context.Context, r *run, arg string) error {
	n, size, delay, err := deltaArgs(strings.Fields(arg))
	if err != nil {
		return err
	}
	// Each delta is a piece of this text, so that none has to be made.
	digits := strings.Repeat("0123456789", size/10+2)
	pause := pacer(delay)
	defer pause.stop()
	item := r.out.Begin(protocol.Item{Type: protocol.ItemAgentMessage})
	for i, at := 0, 0; i < n; i++ {
		if i > 0 {
			pause.wait(ctx)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		item.Append(digits[at : at+size])
		at = (at + size) % 10
	}
	item.Complete(nil)
	return nil
}

func deltaArgs(args []string) (n, size int, delay time.Duration, err error) {
	if len(args) != 2 && len(args) != 3 {
		return 0, 0, 0, misuse("needs a number of deltas and their size in bytes")
	}
	if n, err = strconv.Atoi(args[0]); err != nil || n < 1 || n > maxDeltas {
		return 0, 0, 0, misuse("needs a number of deltas between 1 and " + strconv.Itoa(maxDeltas))
	}
	if size, err = strconv.Atoi(args[1]); err != nil || size < 1 || size > maxDeltaBytes {
		return 0, 0, 0, misuse("needs a size in bytes between 1 and " + strconv.Itoa(maxDeltaBytes))
	}
	if len(args) == 3 {
		delay, err = duration(args[2])
	}
	return n, size, delay, err
}
