package limit

import (
	"context"
	"io"
	"sync"
)

// queueFrames is how many frames wait for one connection at most.
const queueFrames = 256

// Fanout serves WebSockets: when one client sends a number, every connected client gets so many
// frames, each over its own queue and writer, which sends all that waits with one flush. A
// queue that is full makes the producer wait, so nothing is lost.
func Fanout(in io.Reader, out io.Writer) error {
	var f fanout
	return serve(in, out, f.client)
}

type fanout struct {
	mu     sync.Mutex
	queues map[chan []byte]struct{}
}

// client serves one connection: a writer, and a reader that takes orders.
func (f *fanout) client(ctx context.Context, p peer) {
	ctx, cancel := context.WithCancel(ctx)
	queue := make(chan []byte, queueFrames)
	f.mu.Lock()
	if f.queues == nil {
		f.queues = map[chan []byte]struct{}{}
	}
	f.queues[queue] = struct{}{}
	f.mu.Unlock()
	var writer sync.WaitGroup
	writer.Go(func() { drain(ctx, p, queue) })
	for {
		n, err := readNumber(ctx, p)
		if err != nil {
			break
		}
		f.all(ctx, n)
	}
	cancel()
	f.mu.Lock()
	delete(f.queues, queue)
	f.mu.Unlock()
	writer.Wait()
}

// all gives every queue n frames, and one that says that these were all.
func (f *fanout) all(ctx context.Context, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range n + 1 {
		frame := Frame
		if i == n {
			frame = last
		}
		for q := range f.queues {
			select {
			case q <- frame:
			case <-ctx.Done():
				return
			}
		}
	}
}

// drain sends what waits in a queue, all of it with one flush.
func drain(ctx context.Context, p peer, queue <-chan []byte) {
	var waiting [][]byte
	for {
		select {
		case b := <-queue:
			waiting = append(waiting[:0], b)
		case <-ctx.Done():
			return
		}
		for len(queue) > 0 {
			waiting = append(waiting, <-queue)
		}
		if p.send(ctx, waiting...) != nil {
			return
		}
	}
}
