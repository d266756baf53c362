package scenario_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/spoolhq/spool/sdk"
)

// sdk connects with package sdk over the Unix socket. What goes over the connection is
// kept in the recorder. The client is closed at the end of the test.
func (d *daemon) sdk(o *sdk.Options) (*sdk.Client, *recorder) {
	d.t.Helper()
	if o == nil {
		o = &sdk.Options{}
	}
	rec := &recorder{changed: make(chan struct{})}
	o.Dial = func(ctx context.Context) (io.ReadWriteCloser, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", d.socket)
		if err != nil {
			return nil, err
		}
		return &recorded{conn, rec}, nil
	}
	ctx, cancel := withTimeout()
	defer cancel()
	c, err := sdk.Connect(ctx, "", o)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = c.Close() })
	return c, rec
}

// recorder keeps the messages of a connection of the sdk, or of several, one after the
// other.
type recorder struct {
	valve   // of what the sdk reads
	mu      sync.Mutex
	out, in bytes.Buffer
	changed chan struct{}
	before  func(line []byte) // sees what is about to be sent
}

// recorded is a stream that is recorded.
type recorded struct {
	net.Conn
	rec *recorder
}

func (r *recorded) Write(b []byte) (int, error) {
	r.rec.note(&r.rec.out, b)
	return r.Conn.Write(b)
}

func (r *recorded) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.rec.note(&r.rec.in, b[:n])
	r.rec.pass()
	return n, err
}

func (r *recorder) note(to *bytes.Buffer, b []byte) {
	r.mu.Lock()
	before := r.before
	r.mu.Unlock()
	if to == &r.out && before != nil {
		before(b)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	to.Write(b)
	close(r.changed)
	r.changed = make(chan struct{})
}

// BeforeWrite has f see what is about to be sent, on the goroutine that sends it.
func (r *recorder) BeforeWrite(f func(line []byte)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = f
}

// Sent returns the requests and notifications of a method that were sent so far.
func (r *recorder) Sent(method string) []value {
	r.mu.Lock()
	defer r.mu.Unlock()
	return linesOf(r.out.Bytes(), func(v value) bool { return v.Str("method") == method })
}

// AnswerTo returns the answer to a message that was sent, when it has come.
func (r *recorder) AnswerTo(request value) (value, error) {
	id := request.At("id").String()
	return r.await(0, func() []value {
		return linesOf(r.in.Bytes(), func(v value) bool { return !v.Has("method") && v.At("id").String() == id })
	})
}

// AwaitSent returns the request or notification of a method that is sent after n others.
func (r *recorder) AwaitSent(method string, n int) (value, error) {
	return r.await(n, func() []value {
		return linesOf(r.out.Bytes(), func(v value) bool { return v.Str("method") == method })
	})
}

func (r *recorder) await(n int, look func() []value) (value, error) {
	ctx, cancel := withTimeout()
	defer cancel()
	for {
		r.mu.Lock()
		found, changed := look(), r.changed
		r.mu.Unlock()
		if len(found) > n {
			return found[n], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return value{}, errors.New("it does not come")
		}
	}
}

// linesOf returns the whole lines that fit.
func linesOf(text []byte, fits func(value) bool) []value {
	var found []value
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		if v := parse(line); fits(v) {
			found = append(found, v)
		}
	}
	return found
}

// Pass lets a little time pass: that of n round trips.
func (c *client) Pass(n int) {
	c.t.Helper()
	for range n {
		c.Call("server/ping", nil)
	}
}

// poll asks until the answer is yes, and leaves the daemon some time in between.
func poll(c *client, what string, yes func() bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, fmt.Errorf("%s does not happen", what))
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.t.Fatal(context.Cause(ctx))
		}
	}
}
