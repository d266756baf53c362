package limit

import (
	"context"
	"io"
	"strconv"
)

// corkedFrames is how many frames one flush sends; more gain nothing.
const corkedFrames = 32

// Stream serves WebSockets: whoever sends a number gets so many frames, as fast as one
// goroutine can write them, and then one that says that these were all.
func Stream(in io.Reader, out io.Writer) error {
	return serve(in, out, func(ctx context.Context, p peer) {
		for {
			n, err := readNumber(ctx, p)
			if err != nil {
				return
			}
			flush := make([][]byte, 0, corkedFrames)
			for ; n > 0; n -= len(flush) {
				flush = flush[:0]
				for range min(n, corkedFrames) {
					flush = append(flush, Frame)
				}
				if p.send(ctx, flush...) != nil {
					return
				}
			}
			if p.send(ctx, last) != nil {
				return
			}
		}
	})
}

func readNumber(ctx context.Context, p peer) (int, error) {
	_, text, err := p.Read(ctx)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(text))
}
