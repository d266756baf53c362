package scenario_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// client is one raw connection: it writes JSON and keeps everything it reads, in order. Its
// methods may be used from several goroutines, but those that fail the test only from that
// of the test.
type client struct {
	t         testing.TB
	d         *daemon
	name      string
	transport string
	wire      wire
	hello     p
	header    http.Header
	bare      bool

	ID string // its connectionId

	valve   // of its reader
	mu      sync.Mutex
	log     []*message
	changed chan struct{} // closed at the next message
	nextID  int
	answers map[string]*answer
	dropped bool
	ended   error // why the connection ended

	gone chan struct{} // closed when nothing more will be read
}

// message is one message of a transcript.
type message struct {
	n      int // place in the transcript
	out    bool
	raw    []byte
	id     string // of a request or response, as JSON
	method string // of a request or notification
	params json.RawMessage
	result json.RawMessage
	err    *wireError
	to     *message // the request that a response answers

	header
	once sync.Once
	body value
}

// header is what most notifications have.
type header struct {
	ThreadID string `json:"threadId"`
	TurnID   string `json:"turnId"`
	ItemID   string `json:"itemId"`
	Seq      uint64 `json:"seq"`
	Offset   int    `json:"offset"`
	Delta    string `json:"delta"`
}

// Body returns the params, or the result of a response.
func (m *message) Body() value {
	m.once.Do(func() {
		raw := m.params
		if m.result != nil {
			raw = m.result
		}
		if raw != nil {
			m.body = parse(raw)
		}
	})
	return m.body
}

// wireError is an error response.
type wireError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data"`
}

func (e *wireError) Error() string { return fmt.Sprintf("%d %s %v", e.Code, e.Message, e.Data) }

// At returns a member of the error's data.
func (e *wireError) At(path string) value { return of(e.Data).At(path) }

// Want requires a code and its name.
func (e *wireError) Want(t testing.TB, code int, name string) {
	t.Helper()
	if e.Code != code || e.At("name").Str("") != name {
		t.Errorf("error %v; want %d %s", e, code, name)
	}
}

// dialOption changes how a client connects.
type dialOption func(*client)

// named gives the client a name for failures; c1, c2 … without.
func named(name string) dialOption { return func(c *client) { c.name = name } }

// hello sets members of the params of initialize.
func hello(params p) dialOption { return func(c *client) { maps.Copy(c.hello, params) } }

// Dial connects a client by "unix", "ws" or "stdio".
func (d *daemon) Dial(transport string, opts ...dialOption) *client {
	d.t.Helper()
	c, err := d.TryDial(transport, opts...)
	if err != nil {
		d.t.Fatalf("%s over %s: %v", c.name, transport, err)
	}
	if c.bare {
		return c
	}
	c.ID = c.Call("initialize", c.hello).Str("connectionId")
	c.Notify("initialized", nil)
	return c
}

// TryDial connects without a handshake; the error is the transport's.
func (d *daemon) TryDial(transport string, opts ...dialOption) (*client, error) {
	c := &client{
		t: d.t, d: d, transport: transport, name: "c" + strconv.Itoa(len(d.clients)),
		hello: p{"clientInfo": p{"name": "scenario"}}, changed: make(chan struct{}),
		answers: map[string]*answer{}, gone: make(chan struct{}),
	}
	for _, o := range opts {
		o(c)
	}
	ctx, cancel := withTimeout()
	defer cancel()
	var err error
	switch transport {
	case "unix":
		c.wire, err = dialUnix(ctx, d.socket)
	case "ws":
		c.wire, err = dialWebSocket(ctx, d.wsURL, c.header)
	case "stdio":
		c.wire, err = dialStdio(d.env)
	default:
		err = fmt.Errorf("there is no transport %q", transport)
	}
	if err != nil {
		return c, err
	}
	d.clients = append(d.clients, c)
	go c.read()
	return c, nil
}

// read keeps what comes until the connection ends.
func (c *client) read() {
	defer close(c.gone)
	for {
		raw, err := c.wire.Receive()
		if err == nil && !c.waitHalt() {
			err = errDropped
		}
		if err == nil {
			err = c.received(raw)
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

var errDropped = errors.New("dropped by the test")

// waitHalt waits while reading is paused; false: the connection was dropped meanwhile, and
// what was read last counts as lost.
func (c *client) waitHalt() bool {
	c.pass()
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.dropped
}

func (c *client) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = err
	for _, a := range c.answers {
		close(a.done)
	}
	c.answers = nil
	close(c.changed)
	c.changed = make(chan struct{})
}

// envelope is any message.
type envelope struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *wireError      `json:"error"`
}

func (c *client) received(raw []byte) error {
	var e envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		return fmt.Errorf("the daemon sent %.200q: %w", raw, err)
	}
	m := &message{raw: raw, id: string(e.ID), method: e.Method, params: e.Params, result: e.Result, err: e.Error}
	if m.params != nil {
		if err := json.Unmarshal(m.params, &m.header); err != nil {
			return fmt.Errorf("the daemon sent %.200q: %w", raw, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.method == "" {
		if a := c.answers[m.id]; a != nil {
			delete(c.answers, m.id)
			m.to, a.m = a.request, m
			defer close(a.done)
		}
	}
	c.keep(m)
	return nil
}

// keep adds a message to the transcript. c.mu is held.
func (c *client) keep(m *message) {
	m.n = len(c.log)
	c.log = append(c.log, m)
	close(c.changed)
	c.changed = make(chan struct{})
}

// SendRaw sends bytes as one message.
func (c *client) SendRaw(raw string) {
	c.t.Helper()
	if err := c.wire.Send([]byte(raw)); err != nil {
		c.t.Errorf("%s cannot send: %v", c.name, err)
	}
}

// Notify sends a notification.
func (c *client) Notify(method string, params p) {
	c.t.Helper()
	c.SendRaw(of(p{"jsonrpc": "2.0", "method": method, "params": orEmpty(params)}).String())
}

// Reply answers a request of the daemon.
func (c *client) Reply(request *message, result any) {
	c.t.Helper()
	c.SendRaw(of(p{"jsonrpc": "2.0", "id": json.RawMessage(request.id), "result": result}).String())
}

func orEmpty(params p) p {
	if params == nil {
		return p{}
	}
	return params
}

// answer is a request under way.
type answer struct {
	c       *client
	request *message
	done    chan struct{}
	m       *message // nil if the connection ended before
}

// Go sends a request and does not wait for its answer. It may be called on any goroutine.
func (c *client) Go(method string, params p) *answer {
	a := c.prepare(method, params)
	_ = c.wire.Send(a.request.raw) // an error ends the reading side too
	return a
}

// prepare makes a request that is about to be sent.
func (c *client) prepare(method string, params p) *answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nextID++
	id := strconv.Itoa(c.nextID)
	raw, err := json.Marshal(params)
	if err != nil {
		panic(err)
	}
	if params == nil {
		raw = []byte("{}")
	}
	a := &answer{c: c, done: make(chan struct{}), request: &message{out: true, id: id, method: method, params: raw}}
	a.request.raw = fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"method":%q,"params":%s}`, id, method, raw)
	_ = json.Unmarshal(raw, &a.request.header)
	if c.answers == nil { // ended
		close(a.done)
		return a
	}
	c.answers[id] = a
	c.keep(a.request)
	return a
}

// Wait returns the result, or a *wireError, or why the connection ended.
func (a *answer) Wait() (value, error) {
	ctx, cancel := withTimeout()
	defer cancel()
	select {
	case <-a.done:
	case <-ctx.Done():
		return value{}, fmt.Errorf("%s: no answer to %s", a.c.name, a.request.raw)
	}
	switch {
	case a.m == nil:
		a.c.mu.Lock()
		defer a.c.mu.Unlock()
		return value{}, fmt.Errorf("%s: the connection ended before the answer to %s: %w", a.c.name, a.request.raw, a.c.ended)
	case a.m.err != nil:
		return value{}, a.m.err
	default:
		return parse(a.m.result), nil
	}
}

// Result returns the result; anything else fails the test.
func (a *answer) Result() value {
	a.c.t.Helper()
	v, err := a.Wait()
	if err != nil {
		a.c.t.Fatalf("%s: %.300s: %v", a.c.name, a.request.raw, err)
	}
	return v
}

// Refused returns the error of the answer; anything else fails the test.
func (a *answer) Refused() *wireError {
	a.c.t.Helper()
	v, err := a.Wait()
	we, ok := err.(*wireError) //nolint:errorlint // Wait returns it as it is
	if !ok {
		a.c.t.Fatalf("%s: %.300s: %v %v; want an error", a.c.name, a.request.raw, v, err)
	}
	return we
}

// Do sends a request and waits for what comes of it.
func (c *client) Do(method string, params p) (value, error) { return c.Go(method, params).Wait() }

// Call sends a request and returns its result; anything else fails the test.
func (c *client) Call(method string, params p) value {
	c.t.Helper()
	return c.Go(method, params).Result()
}

// Refused sends a request and returns its error; anything else fails the test.
func (c *client) Refused(method string, params p) *wireError {
	c.t.Helper()
	return c.Go(method, params).Refused()
}

// Mark returns the place in the transcript where the next message will be.
func (c *client) Mark() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.log)
}

// Await returns the first notification or request of the daemon, of all that came and will
// come, that has the method and the given values at the given paths of its params.
func (c *client) Await(method string, where p) *message {
	c.t.Helper()
	return c.AwaitFrom(0, method, where)
}

// AwaitFrom is Await from a Mark on.
func (c *client) AwaitFrom(mark int, method string, where p) *message {
	c.t.Helper()
	m, err := c.find(mark, func(m *message) bool { return m.is(method, where) })
	if err != nil {
		c.t.Fatalf("%s: %s %v does not come: %v", c.name, method, where, err)
	}
	return m
}

// is tells whether a message is a notification or request of the daemon that fits.
func (m *message) is(method string, where p) bool {
	return !m.out && m.method == method && (len(where) == 0 || m.quickly(where) && m.Body().fits(where))
}

// quickly rules most messages out without decoding them.
func (m *message) quickly(where p) bool {
	for path, have := range map[string]string{"threadId": m.ThreadID, "turnId": m.TurnID, "itemId": m.ItemID} {
		if want, ok := where[path].(string); ok && want != have {
			return false
		}
	}
	return true
}

// find returns the first message from a mark on that fits. It may be called on any goroutine.
func (c *client) find(mark int, fits func(*message) bool) (*message, error) {
	ctx, cancel := withTimeout()
	defer cancel()
	for i := mark; ; {
		c.mu.Lock()
		for ; i < len(c.log); i++ {
			if fits(c.log[i]) {
				m := c.log[i]
				c.mu.Unlock()
				return m, nil
			}
		}
		changed, ended := c.changed, c.ended
		c.mu.Unlock()
		if ended != nil {
			return nil, fmt.Errorf("the connection ended: %w", ended)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("not within %s", patience)
		}
	}
}

// Seen returns the notifications and requests of the daemon that came so far and fit.
func (c *client) Seen(method string, where p) []*message {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []*message
	for _, m := range c.log {
		if m.is(method, where) {
			found = append(found, m)
		}
	}
	return found
}

// Never fails the test if such a notification came.
func (c *client) Never(method string, where p) {
	c.t.Helper()
	for _, m := range c.Seen(method, where) {
		c.t.Errorf("%s received %s", c.name, m.raw)
	}
}

// Sync returns when all that was said about a thread before has arrived, with the result
// of thread/read.
func (c *client) Sync(thread string) value {
	c.t.Helper()
	return c.Call("thread/read", p{"threadId": thread})
}

// ReadAll is thread/read with all turns.
func (c *client) ReadAll(thread string) value {
	c.t.Helper()
	return c.Call("thread/read", p{"threadId": thread, "includeTurns": true})
}

// StartThread starts a thread with the given options and returns its id.
func (c *client) StartThread(options p) string {
	c.t.Helper()
	return c.Call("thread/start", options).Str("thread.id")
}

// Run runs an input and returns the turn's id.
func (c *client) Run(thread, input string) string {
	c.t.Helper()
	return c.Call("turn/run", p{"threadId": thread, "input": input}).Str("turn.id")
}

// Enqueue enqueues an input and returns the turn's id.
func (c *client) Enqueue(thread, input string) string {
	c.t.Helper()
	return c.Call("turn/enqueue", p{"threadId": thread, "input": input}).Str("turn.id")
}

// Hold starts a turn that does then when it is released, and returns when it holds: its
// user message is there and its agent has been called.
func (c *client) Hold(thread, then string) string {
	c.t.Helper()
	id := c.Run(thread, "/hold\n"+then)
	c.Await("item/completed", p{"turnId": id, "item.type": "userMessage"})
	return id
}

// Release lets a turn that holds go on.
func (c *client) Release(thread, turn string) {
	c.t.Helper()
	if r := c.Call("turn/steer", p{"threadId": thread, "expectedTurnId": turn, "input": "release"}); r.Str("disposition") != "steered" {
		c.t.Fatalf("%s: the release was not steered: %s", c.name, r)
	}
}

// End waits for the end of a turn and returns the turn.
func (c *client) End(thread, turn string) value {
	c.t.Helper()
	return c.Call("turn/wait", p{"threadId": thread, "turnId": turn}).At("turn")
}

// Close ends the connection in the friendly way. It may be repeated.
func (c *client) Close() {
	c.ResumeReading()
	_ = c.wire.Close()
	<-c.gone
}

// Drop ends the connection as a crash of the client would: a reset, a killed bridge. What
// arrives behind PauseReading is lost.
func (c *client) Drop() {
	c.mu.Lock()
	c.dropped = true
	c.mu.Unlock()
	_ = c.wire.Drop()
	c.ResumeReading()
	<-c.gone
}

// open tells whether the connection lives.
func (c *client) open() bool {
	select {
	case <-c.gone:
		return false
	default:
		return true
	}
}

// messages returns the transcript so far.
func (c *client) messages() []*message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log[:len(c.log):len(c.log)]
}

// transcript returns the last messages for people.
func (c *client) transcript(last int) string {
	var b strings.Builder
	log := c.messages()
	fmt.Fprintf(&b, "%s (%s, %s), %d messages, the last:", c.name, c.transport, c.ID, len(log))
	for _, m := range log[max(0, len(log)-last):] {
		arrow := "←"
		if m.out {
			arrow = "→"
		}
		fmt.Fprintf(&b, "\n  %s %.400s", arrow, m.raw)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		fmt.Fprintf(&b, "\n  end: %v", c.ended)
	}
	return b.String()
}
