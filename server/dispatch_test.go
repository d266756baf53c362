package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
)

// TestEveryMethodIsHandled: each method of the contract is in the table, and no other.
func TestEveryMethodIsHandled(t *testing.T) {
	table := methods(&Hub{manager: &thread.Manager{}})
	for _, m := range protocol.ClientRequests() {
		row, offered := table[m.Name]
		if !offered {
			t.Errorf("%s is not handled", m.Name)
		}
		if offered && (row.info.Params != m.Params || row.info.Order != m.Order || row.info.Scope != m.Scope) {
			t.Errorf("%s has another row than the contract", m.Name)
		}
		delete(table, m.Name)
	}
	for name := range table {
		t.Errorf("%s is not in the contract", name)
	}
}

// probe is a method of tests: it answers when the test says so.
type probe struct {
	mu    sync.Mutex
	calls []*probeCall
}

type probeCall struct {
	name  string
	call  thread.Call
	reply func(any, error)
	go_   chan struct{} // the method returns when it is closed
}

type probeParams struct {
	Name string `json:"name"`
	Wait bool   `json:"wait,omitempty"` // the method itself waits, not only its answer
}

func (p *probe) method(name string, order protocol.Order) *method {
	return on(protocol.Request[probeParams, any]{Name: name, Order: order, Scope: protocol.ScopeRead},
		func(c thread.Call, params probeParams, r thread.Reply[any]) {
			pc := &probeCall{params.Name, c, r, make(chan struct{})}
			p.mu.Lock()
			p.calls = append(p.calls, pc)
			p.mu.Unlock()
			if params.Wait {
				<-pc.go_
			}
		})
}

// begun returns the names of the calls that were made, in their order.
func (p *probe) begun() string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	var names []string
	for _, c := range p.calls {
		names = append(names, c.name)
	}
	return strings.Join(names, " ")
}

func (p *probe) find(name string) *probeCall {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		if c.name == name {
			return c
		}
	}
	panic("no call " + name)
}

func (p *probe) install(h *Hub) {
	for name, order := range map[string]protocol.Order{
		"test/now": protocol.OrderNow, "test/ordered": protocol.OrderInOrder, "test/free": protocol.OrderFree,
	} {
		h.methods[name] = p.method(name, order)
	}
}

func probed(t *testing.T, l Limits) (*probe, *client, *Hub) {
	t.Helper()
	h := newHub(t, limits(l))
	p := &probe{}
	p.install(h)
	c := dialLines(t, h)
	c.open()
	return p, c, h
}

func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

func TestInOrderRequestsRunOneAfterAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, c, _ := probed(t, Limits{})
		for i := range 3 {
			c.send(fmt.Sprintf(`{"id":%d,"method":"test/ordered","params":{"name":"o%d","wait":true}}`, i, i))
		}
		c.send(`{"id":8,"method":"test/now","params":{"name":"now"}}`)
		c.send(`{"id":9,"method":"test/free","params":{"name":"free"}}`)
		if got := p.begun(); !strings.Contains(got, "o0") || strings.Contains(got, "o1") || !strings.Contains(got, "now") || !strings.Contains(got, "free") {
			t.Errorf("began: %s", got)
		}
		for i := range 3 {
			if got := p.begun(); strings.Contains(got, fmt.Sprint("o", i+1)) {
				t.Errorf("o%d began before o%d returned", i+1, i)
			}
			pc := p.find(fmt.Sprint("o", i))
			close(pc.go_)
			pc.reply(i, nil)
			p.begun()
		}
		p.find("now").reply("now", nil)
		p.find("free").reply("free", nil)
		if got := c.said(); len(got) != 5 {
			t.Errorf("answers: %q", got)
		}
	})
}

func TestFreeRequestsRunBesideEachOtherWithABound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, c, _ := probed(t, Limits{MaxFree: 2})
		for i := range 5 {
			c.send(fmt.Sprintf(`{"id":%d,"method":"test/free","params":{"name":"f%d","wait":true}}`, i, i))
		}
		for i := range 5 {
			if got, want := len(strings.Fields(p.begun())), min(i+2, 5); got != want {
				t.Errorf("%d have begun after %d returned, want %d", got, i, want)
			}
			pc := p.calls[i]
			close(pc.go_)
			pc.reply(i, nil)
		}
		if got := c.said(); len(got) != 5 {
			t.Errorf("answers: %q", got)
		}
	})
}

func TestNoMoreIsReadThanMayBeInWork(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, c, _ := probed(t, Limits{MaxInFlight: 3})
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for i := range 5 {
				c.send(fmt.Sprintf(`{"id":%d,"method":"test/now","params":{"name":"n%d"}}`, i, i))
			}
		}()
		if got := p.begun(); got != "n0 n1 n2" {
			t.Errorf("began: %s", got)
		}
		if err := p.find("n1").call.Park(); err != nil { // it waits for a turn and is not in work any more
			t.Error(err)
		}
		if got := p.begun(); got != "n0 n1 n2 n3" {
			t.Errorf("began after one was parked: %s", got)
		}
		p.find("n0").reply(0, nil)
		if got := p.begun(); got != "n0 n1 n2 n3 n4" {
			t.Errorf("began after one was answered: %s", got)
		}
		<-sent
		for i := 1; i < 5; i++ {
			p.find(fmt.Sprint("n", i)).reply(i, nil)
		}
		if got := c.said(); len(got) != 5 {
			t.Errorf("answers: %q", got)
		}
	})
}

func TestParkedRequestsHaveABound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, c, h := probed(t, Limits{MaxParked: 2})
		for i := range 3 {
			c.send(fmt.Sprintf(`{"id":%d,"method":"test/free","params":{"name":"f%d"}}`, i, i))
			p.begun()
		}
		for i := range 2 {
			if err := p.find(fmt.Sprint("f", i)).call.Park(); err != nil {
				t.Fatal(err)
			}
		}
		err := p.find("f2").call.Park()
		if e := protocol.AsError(err); e.Code != protocol.CodeServerOverloaded || e.Data.RetryAfterMs == 0 {
			t.Errorf("park beyond the bound: %+v", e)
		}
		p.find("f2").reply(nil, err)
		if got := code(t, one(t, c.said())); got != protocol.CodeServerOverloaded {
			t.Errorf("answered with %d", got)
		}
		p.find("f0").reply(nil, nil)
		c.said()
		c.send(`{"id":3,"method":"test/free","params":{"name":"f3"}}`)
		p.begun()
		if err := p.find("f3").call.Park(); err != nil {
			t.Error("a place was not given back:", err)
		}
		p.find("f3").reply(nil, nil)
		p.find("f1").reply(nil, nil)
		if n := h.counters.overloaded.Load(); n != 1 {
			t.Errorf("%d were counted", n)
		}
	})
}

func TestCancelRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, c, _ := probed(t, Limits{})
		c.send(`{"id":1,"method":"test/ordered","params":{"name":"first","wait":true}}`)
		c.send(`{"id":"1","method":"test/ordered","params":{"name":"second"}}`)
		c.send(`{"id":3,"method":"test/ordered","params":{"name":"third"}}`)
		p.begun()

		// One that has not begun is refused and never begins.
		c.send(`{"method":"$/cancelRequest","params":{"id":"\u0031"}}`)
		got := one(t, c.said())
		if code(t, got) != protocol.CodeRequestCancelled || !strings.Contains(got, `"id":"1"`) {
			t.Errorf("got %s", got)
		}
		// The context of one that runs ends.
		first := p.find("first")
		if first.call.Context.Err() != nil {
			t.Error("the wrong request was cancelled")
		}
		c.send(`{"method":"$/cancelRequest","params":{"id":1}}`)
		synctest.Wait()
		if err := context.Cause(first.call.Context); protocol.AsError(err).Code != protocol.CodeRequestCancelled {
			t.Errorf("cause %v", err)
		}
		close(first.go_)
		first.reply("accepted", nil)
		if got := one(t, c.said()); code(t, got) != 0 {
			t.Errorf("an accepted request was answered with %s", got)
		}
		if got := p.begun(); got != "first third" {
			t.Errorf("began: %s", got)
		}
		p.find("third").reply(nil, nil)
		// One that is answered already: nothing.
		c.said()
		if got := c.ask(`{"method":"$/cancelRequest","params":{"id":3}}`); len(got) != 0 {
			t.Errorf("got %q", got)
		}
	})
}

func TestAnIDInUseIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, c, _ := probed(t, Limits{})
		c.send(`{"id":"a","method":"test/free","params":{"name":"one"}}`)
		if got := one(t, c.ask(`{"id":"\u0061","method":"test/free","params":{"name":"two"}}`)); code(t, got) != protocol.CodeInvalidRequest {
			t.Errorf("got %s", got)
		}
		p.find("one").reply("x", nil)
		one(t, c.said())
		c.send(`{"id":"a","method":"test/free","params":{"name":"three"}}`)
		if got := p.begun(); got != "one three" {
			t.Errorf("began: %s", got)
		}
		p.find("three").reply("x", nil)
	})
}

// TestOneAnswer: a second one, or one after a panic, is not sent.
func TestOneAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub(t)
		h.methods["test/twice"] = on(protocol.Request[protocol.Empty, any]{Name: "test/twice", Order: protocol.OrderFree},
			func(_ thread.Call, _ protocol.Empty, r thread.Reply[any]) {
				r("one", nil)
				r("two", nil)
				panic("three")
			})
		c := dialLines(t, h)
		c.open()
		if got := one(t, c.ask(`{"id":1,"method":"test/twice"}`)); !strings.Contains(got, `"one"`) {
			t.Errorf("got %s", got)
		}
		one(t, c.ask(`{"id":1,"method":"server/ping"}`))
	})
}

func TestAPanicInAHandlerIsAnInternalError(t *testing.T) {
	overAll(t, func(t *testing.T, dial func(testing.TB, *Hub) *client) {
		h := newHub(t)
		for name, order := range map[string]protocol.Order{"test/now": protocol.OrderNow, "test/ordered": protocol.OrderInOrder, "test/free": protocol.OrderFree} {
			h.methods[name] = local(protocol.Request[protocol.Empty, any]{Name: name, Order: order},
				func(*conn, protocol.Empty) (any, error) { panic("secret") })
		}
		c := dial(t, h)
		c.open()
		for _, name := range []string{"test/now", "test/ordered", "test/free"} {
			got := one(t, c.ask(`{"id":1,"method":%q}`, name))
			if code(t, got) != protocol.CodeInternalError || strings.Contains(got, "secret") {
				t.Errorf("%s: %s", name, got)
			}
		}
		if n := h.counters.panics.Load(); n != 3 {
			t.Errorf("%d panics counted", n)
		}
		one(t, c.ask(`{"id":2,"method":"server/ping"}`))
	})
}

func TestAScopeThatIsMissingIsForbidden(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub(t)
		c := dialAs(t, h, Identity{Transport: "stdio", User: "ann", Scopes: []protocol.Scope{protocol.ScopeRead}})
		c.open()
		for method, want := range map[string]int{
			"server/ping": 0, "thread/start": protocol.CodeForbidden, "server/connections/list": protocol.CodeForbidden, "server/shutdown": protocol.CodeForbidden,
		} {
			if got := one(t, c.ask(`{"id":1,"method":%q}`, method)); code(t, got) != want {
				t.Errorf("%s: %s", method, got)
			}
		}
		if got := one(t, c.ask(`{"id":1,"method":"server/info"}`)); strings.Contains(got, `"pid"`) {
			t.Errorf("only an admin may see %s", got)
		}
	})
}

func TestAnAnswerBeyondTheLimitIsAnError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub(t, limits(Limits{MaxMessageBytes: 4096}))
		big := strings.Repeat("x", 5000)
		for _, mutating := range []bool{false, true} {
			name := fmt.Sprint("test/", mutating)
			h.methods[name] = local(protocol.Request[protocol.Empty, any]{Name: name, Order: protocol.OrderFree, Mutating: mutating},
				func(*conn, protocol.Empty) (any, error) { return big, nil })
		}
		c := dialLines(t, h)
		c.open()
		got := one(t, c.ask(`{"id":1,"method":"test/false"}`))
		if code(t, got) != protocol.CodeInvalidRequest || !strings.Contains(got, `"limit":4096`) {
			t.Errorf("got %s", got)
		}
		if got := one(t, c.ask(`{"id":1,"method":"test/true"}`)); code(t, got) != 0 {
			t.Errorf("a change that was made was answered with %.200s", got)
		}
	})
}

func TestHashIsTheSameForTheSameMeaning(t *testing.T) {
	sum := func(method, params string) string {
		t.Helper()
		var p protocol.TurnRunParams
		if err := protocol.Decode([]byte(params), &p); err != nil {
			t.Fatal(err)
		}
		h, err := hash(method, p)
		if err != nil {
			t.Fatal(err)
		}
		return string(h)
	}
	base := sum("turn/run", `{"threadId":"t","input":"x","config":{"a":{"b":1,"c":2}},"idempotencyKey":"k1"}`)
	if len(base) != 32 {
		t.Fatalf("a hash of %d bytes", len(base))
	}
	for _, same := range []string{
		`{"idempotencyKey":"k2","input":"x","threadId":"t","config":{"a":{"c":2,"b":1}}}`,
		`{"threadId":"t", "input":[{"type":"text","text":"x"}], "config":{"a": {"b":1, "c":2}},"idempotencyKey":"k1","wait":false}`,
	} {
		if sum("turn/run", same) != base {
			t.Errorf("another hash for %s", same)
		}
	}
	for _, other := range []string{
		`{"threadId":"t","input":"y","config":{"a":{"b":1,"c":2}},"idempotencyKey":"k1"}`,
		`{"threadId":"t","input":"x","config":{"a":{"b":1,"c":2.5}},"idempotencyKey":"k1"}`,
		`{"threadId":"t","input":"x","config":{"a":{"b":1,"c":2}},"idempotencyKey":"k1","wait":true}`,
	} {
		if sum("turn/run", other) == base {
			t.Errorf("the same hash for %s", other)
		}
	}
	if sum("turn/start", `{"threadId":"t","input":"x","config":{"a":{"b":1,"c":2}},"idempotencyKey":"k1"}`) == base {
		t.Error("the method does not count")
	}
	if sum("turn/run", `{"threadId":"t","input":"x"}`) != "" {
		t.Error("a hash that nobody needs")
	}
}

// TestRequestsOfTheDaemon: out through the outbox behind the handshake, and the answer back.
func TestRequestsOfTheDaemon(t *testing.T) {
	overAll(t, func(t *testing.T, dial func(testing.TB, *Hub) *client) {
		h := newHub(t)
		client := dial(t, h)
		type answer struct {
			result string
			err    error
		}
		answers := make(chan answer, 3)
		ask := func(x int) (withdraw func()) {
			return h.connections()[0].Request("item/approval/request", map[string]int{"x": x}, func(r json.RawMessage, err error) {
				answers <- answer{string(r), err}
			})
		}
		client.send(`{"id":1,"method":"initialize","params":{"clientInfo":{"name":"test"},"capabilities":{"approvals":true}}}`)
		one(t, client.said())
		c := h.connections()[0]
		if !c.Can("item/approval/request") || c.Can("item/tool/call") {
			t.Error("the client is asked something else than it declared")
		}
		ask(1)
		if got := client.said(); len(got) != 0 {
			t.Errorf("asked before the handshake was over: %q", got)
		}
		client.send(`{"method":"initialized"}`)
		got := one(t, client.said())
		if !strings.Contains(got, `"id":"s1"`) || !strings.Contains(got, `"params":{"x":1}`) {
			t.Errorf("request %s", got)
		}
		client.send(`{"jsonrpc":"2.0","id":"other","result":{}}`)
		client.send(`{"jsonrpc":"2.0","id":"s1","result":{"decision":"accept"}}`)
		if a := <-answers; a.err != nil || a.result != `{"decision":"accept"}` {
			t.Errorf("answer %+v", a)
		}
		withdraw := ask(2)
		one(t, client.said())
		withdraw()
		if got := one(t, client.said()); !strings.Contains(got, `"$/cancelRequest","params":{"id":"s2"}`) {
			t.Errorf("taken back with %s", got)
		}
		ask(3)
		one(t, client.said())
		client.send(`{"id":"s3","error":{"code":-1,"message":"no"}}`)
		if a := <-answers; a.err == nil {
			t.Errorf("answer %+v", a)
		}
		if n := h.counters.unknownResponses.Load(); n != 1 {
			t.Errorf("%d unknown responses counted", n)
		}
	})
}

func TestStatsCount(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub(t, func(c *Config) {
			c.Info = func() Info { return Info{DatabaseBytes: 77, Listeners: []string{"x"}, DataPath: "/d"} }
		})
		c := dialLines(t, h)
		c.open()
		c.start()
		c.ask(`{"method":"what"}`)
		c.ask(`{"id":1,"method":"what"}`)
		c.ask(`{`)
		var s protocol.ServerStatsResult
		if err := json.Unmarshal(c.call("server/stats", `{}`), &s); err != nil {
			t.Fatal(err)
		}
		if s.Connections != 1 || s.LoadedThreads != 1 || s.Subscriptions != 1 || s.ConnectionOwns != 1 || s.DatabaseBytes != 77 || s.Goroutines == 0 || s.HeapBytes == 0 {
			t.Errorf("%+v", s)
		}
		for name, want := range map[string]int64{"connections": 1, "unknownNotifications": 1, "unknownMethods": 1, "invalidMessages": 1, "handlerPanics": 0} {
			if got, ok := s.Counters[name]; !ok || got != want {
				t.Errorf("counter %s is %d, want %d", name, got, want)
			}
		}
		var l protocol.ConnectionsListResult
		if err := json.Unmarshal(c.call("server/connections/list", `{}`), &l); err != nil {
			t.Fatal(err)
		}
		if len(l.Data) != 1 || l.Data[0].Transport != "stdio" || l.Data[0].User != "local" || l.Data[0].Client.Name != "test" || l.Data[0].Subscriptions != 1 {
			t.Errorf("%+v", l)
		}
	})
}
