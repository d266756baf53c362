package sdk

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/spoolhq/spool/protocol"
)

type (
	approvalHandler = func(context.Context, protocol.ApprovalRequestParams) (protocol.ApprovalRequestResult, error)
)

func decide(d protocol.Decision) approvalHandler {
	return func(context.Context, protocol.ApprovalRequestParams) (protocol.ApprovalRequestResult, error) {
		return protocol.ApprovalRequestResult{Decision: d}, nil
	}
}

// line makes options whose present connection cut cuts.
func (d *daemon) line(o Options) (opts *Options, cut func()) {
	opts = d.options(o)
	var present io.Closer
	dial := opts.Dial
	opts.Dial = func(ctx context.Context) (io.ReadWriteCloser, error) {
		conn, err := dial(ctx)
		present = conn
		return conn, err
	}
	return opts, func() { present.Close() }
}

func listed[T any](t *testing.T, seq func(func(T, error) bool)) []T {
	t.Helper()
	var all []T
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

func TestHubApproval(t *testing.T) {
	withDaemon(t, func(t *testing.T, d *daemon, _ *Client) {
		var asked protocol.ApprovalRequestParams
		c := d.connect(Options{OnApproval: func(ctx context.Context, p protocol.ApprovalRequestParams) (protocol.ApprovalRequestResult, error) {
			asked = p
			return protocol.ApprovalRequestResult{Decision: protocol.DecisionAccept, Note: "fine"}, nil
		}})
		defer c.Close()
		th := startThread(t, c)
		res := must(th.Run(t.Context(), Text("/approve command rm build"), nil))
		if res.Text != "accepted" || asked.Operation != "rm build" || asked.Kind != "command" || asked.ThreadID != th.ID() {
			t.Errorf("%q after %s", res.Text, toJSON(asked))
		}
	})
}

// S25: without a handler nothing is asked and nothing is accepted.
func TestHubNoHandlerS25(t *testing.T) {
	withDaemon(t, func(t *testing.T, d *daemon, c *Client) {
		th := startThread(t, c)
		turn := must(th.Enqueue(t.Context(), Text("/approve command rm build"), nil))
		synctest.Wait()
		open := listed(t, c.Approvals().List(t.Context()))
		if len(open) != 1 || open[0].ThreadID != th.ID() || len(listed(t, th.Approvals().List(t.Context()))) != 1 {
			t.Fatalf("open are %s", toJSON(open))
		}
		id := open[0].Item.ApprovalID
		item := must(c.Approvals().Respond(t.Context(), id, protocol.DecisionAcceptAlways, "go on"))
		if item.Decision != "acceptAlways" {
			t.Errorf("resolved as %s", toJSON(item))
		}
		if _, err := c.Approvals().Respond(t.Context(), id, protocol.DecisionDecline, ""); !errors.Is(err, &protocol.Error{Code: protocol.CodeAlreadyResolved}) {
			t.Errorf("answered again: %v", err)
		}
		if r := must(th.Wait(t.Context(), turn.TurnID)); r.Text != "accepted" {
			t.Errorf("the agent says %q", r.Text)
		}
		rules := listed(t, c.Rules().List(t.Context()))
		if len(rules) != 1 || rules[0].ScopeKey != item.ScopeKey {
			t.Fatalf("rules %s", toJSON(rules))
		}
		if !must(c.Rules().Remove(t.Context(), rules[0].ID)) || must(c.Rules().Remove(t.Context(), rules[0].ID)) {
			t.Error("the rule is not removed once")
		}
	})
}

func TestCapabilities(t *testing.T) {
	question := func(context.Context, protocol.QuestionRequestParams) (map[string]protocol.Answer, error) {
		return nil, nil
	}
	for _, tt := range []struct {
		o    Options
		want string
	}{
		{Options{}, `{}`},
		{Options{OnApproval: decide("accept")}, `{"approvals":true}`},
		{Options{OnQuestion: question}, `{"questions":true}`},
		{Options{OffersTools: true}, `{"tools":true}`},
		{Options{Tools: []Tool{{Handle: echo}}}, `{"tools":true}`},
	} {
		o := tt.o.withDefaults()
		if got := toJSON(o.initializeParams("", nil).Capabilities); got != tt.want {
			t.Errorf("declared %s, want %s", got, tt.want)
		}
	}
}

// A handler that fails, panics or decides nothing answers nothing.
func TestHubHandlerFails(t *testing.T) {
	for name, handle := range map[string]approvalHandler{
		"error": func(context.Context, protocol.ApprovalRequestParams) (protocol.ApprovalRequestResult, error) {
			return protocol.ApprovalRequestResult{Decision: protocol.DecisionAccept}, errors.New("no idea")
		},
		"panic": func(context.Context, protocol.ApprovalRequestParams) (protocol.ApprovalRequestResult, error) {
			panic("boom")
		},
		"nothing":  decide(""),
		"nonsense": decide("yes"),
	} {
		t.Run(name, func(t *testing.T) {
			withDaemon(t, func(t *testing.T, d *daemon, c *Client) {
				var log strings.Builder
				bad := d.connect(Options{OnApproval: handle, Logger: func(s string) { log.WriteString(s) }})
				defer bad.Close()
				th := startThread(t, bad)
				done := make(chan outcome, 1)
				go func() {
					res, err := th.Run(t.Context(), Text("/approve command rm build"), nil)
					done <- outcome{res, err}
				}()
				synctest.Wait()
				open := listed(t, c.Approvals().List(t.Context()))
				if len(open) != 1 {
					t.Fatal("it is not open any more")
				}
				must(c.Approvals().Respond(t.Context(), open[0].Item.ApprovalID, protocol.DecisionDecline, ""))
				if o := <-done; o.err != nil || o.res.Text != "declined" {
					t.Errorf("%v, %v", o.res, o.err)
				}
				if name == "panic" && !strings.Contains(log.String(), "boom") {
					t.Errorf("the log says %q", log.String())
				}
			})
		})
	}
}

// S24: the handler of the slower client is told.
func TestHubWithdrawnS24(t *testing.T) {
	withDaemon(t, func(t *testing.T, d *daemon, c *Client) {
		began, ended := make(chan struct{}), make(chan error, 1)
		slow := d.connect(Options{OnApproval: func(ctx context.Context, _ protocol.ApprovalRequestParams) (protocol.ApprovalRequestResult, error) {
			close(began)
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return protocol.ApprovalRequestResult{Decision: protocol.DecisionAccept}, nil // too late
		}})
		defer slow.Close()
		th := startThread(t, slow)
		sub := must(th.Listen(t.Context(), nil))
		defer sub.Close()
		turn := must(th.Enqueue(t.Context(), Text("/approve command rm build"), nil))
		<-began
		open := listed(t, c.Approvals().List(t.Context()))
		must(c.Approvals().Respond(t.Context(), open[0].Item.ApprovalID, protocol.DecisionDecline, ""))
		if err := <-ended; !errors.Is(err, errWithdrawn) {
			t.Errorf("the context ended with %v", err)
		}
		if r := must(th.Wait(t.Context(), turn.TurnID)); r.Text != "declined" {
			t.Errorf("the agent says %q", r.Text)
		}
		synctest.Wait()
		if len(slow.persons) != 0 || slow.people.running != 0 {
			t.Error("something is left of the request")
		}
	})
}

// S23: what is open is asked again on the next connection.
func TestHubAskedAgainS23(t *testing.T) {
	withDaemon(t, func(t *testing.T, d *daemon, _ *Client) {
		asked := make(chan string)
		causes := make(chan error, 1)
		var times atomic.Int32
		opts, cut := d.line(Options{OnApproval: func(ctx context.Context, p protocol.ApprovalRequestParams) (protocol.ApprovalRequestResult, error) {
			asked <- p.ApprovalID
			if times.Add(1) == 1 {
				<-ctx.Done()
				causes <- context.Cause(ctx)
			}
			return protocol.ApprovalRequestResult{Decision: protocol.DecisionAccept}, nil
		}})
		c := must(Connect(t.Context(), "", opts))
		defer c.Close()
		th := startThread(t, c)
		done := make(chan outcome, 1)
		go func() {
			res, err := th.Run(t.Context(), Text("/approve command rm build"), nil)
			done <- outcome{res, err}
		}()
		first := <-asked
		cut()
		if err := <-causes; !errors.Is(err, errLost) {
			t.Errorf("the context ended with %v", err)
		}
		if again := <-asked; again != first {
			t.Errorf("asked for %s, then for %s", first, again)
		}
		if o := <-done; o.err != nil || o.res.Text != "accepted" {
			t.Errorf("%v, %v", o.res, o.err)
		}
	})
}

func TestHubQuestionS38(t *testing.T) {
	withDaemon(t, func(t *testing.T, d *daemon, c *Client) {
		answer := func(p protocol.QuestionRequestParams, text string) map[string]protocol.Answer {
			return map[string]protocol.Answer{p.Questions[0].ID: {Answers: []string{text}}}
		}
		q := d.connect(Options{OnQuestion: func(_ context.Context, p protocol.QuestionRequestParams) (map[string]protocol.Answer, error) {
			return answer(p, p.Questions[0].Options[1].Label), nil
		}})
		defer q.Close()
		res := must(startThread(t, q).Run(t.Context(), Text("/ask Where to? | staging | production"), nil))
		if !strings.Contains(res.Text, "production") {
			t.Errorf("the agent says %q", res.Text)
		}

		th := startThread(t, c)
		turn := must(th.Enqueue(t.Context(), Text("/ask Where to? | staging | production"), nil))
		synctest.Wait()
		open := listed(t, c.Questions().List(t.Context()))
		if len(open) != 1 || len(listed(t, th.Questions().List(t.Context()))) != 1 {
			t.Fatalf("open are %s", toJSON(open))
		}
		it := open[0].Item
		answers := answer(protocol.QuestionRequestParams{Questions: it.Questions}, "staging")
		if got := must(c.Questions().Respond(t.Context(), it.RequestID, answers)); got.Outcome != "answered" {
			t.Errorf("resolved as %s", toJSON(got))
		}
		if r := must(th.Wait(t.Context(), turn.TurnID)); !strings.Contains(r.Text, "staging") {
			t.Errorf("the agent says %q", r.Text)
		}
	})
}

// Close ends the contexts of handlers and waits for them.
func TestHubCloseEndsHandlers(t *testing.T) {
	withDaemon(t, func(t *testing.T, d *daemon, other *Client) {
		began := make(chan struct{})
		var returned atomic.Bool
		c := d.connect(Options{OnApproval: func(ctx context.Context, _ protocol.ApprovalRequestParams) (protocol.ApprovalRequestResult, error) {
			close(began)
			<-ctx.Done()
			returned.Store(true)
			return protocol.ApprovalRequestResult{}, ctx.Err()
		}})
		th := startThread(t, c)
		sub := must(th.Listen(t.Context(), nil))
		must(th.Enqueue(t.Context(), Text("/approve command rm build"), nil))
		<-began
		sub.Close()
		c.Close()
		if !returned.Load() {
			t.Error("Close did not wait")
		}
		if len(listed(t, other.Approvals().List(t.Context()))) != 1 {
			t.Error("closing the client answered the approval")
		}
	})
}

// No more than MaxHandlers run at a time; all get their turn.
func TestHubMaxHandlers(t *testing.T) {
	withDaemon(t, func(t *testing.T, d *daemon, _ *Client) {
		var now, most atomic.Int32
		gate := make(chan struct{})
		c := d.connect(Options{MaxHandlers: 2, OnApproval: func(context.Context, protocol.ApprovalRequestParams) (protocol.ApprovalRequestResult, error) {
			most.Store(max(most.Load(), now.Add(1)))
			<-gate
			now.Add(-1)
			return protocol.ApprovalRequestResult{Decision: protocol.DecisionAccept}, nil
		}})
		defer c.Close()
		results := make(chan outcome)
		const n = 5
		for range n {
			th := startThread(t, c)
			go func() {
				res, err := th.Run(t.Context(), Text("/approve command rm build"), nil)
				results <- outcome{res, err}
			}()
		}
		synctest.Wait()
		if now.Load() != 2 || len(c.people.waiting) != n-2 {
			t.Errorf("%d run, %d wait", now.Load(), len(c.people.waiting))
		}
		close(gate)
		for range n {
			if o := <-results; o.err != nil || o.res.Text != "accepted" {
				t.Errorf("%v, %v", o.res, o.err)
			}
		}
		if most.Load() != 2 {
			t.Errorf("%d ran at a time", most.Load())
		}
	})
}

// What nobody set a handler for is refused.
func TestRequestWithoutHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		c, p := f.connect(Options{})
		for _, method := range []string{"item/approval/request", "item/question/request", "item/tool/call", "item/other"} {
			p.send(`{"jsonrpc":"2.0","id":"s1","method":"` + method + `","params":{}}`)
			if r := must(p.read()); !strings.Contains(string(r.Error), "-32601") {
				t.Errorf("%s is answered with %s", method, r.raw)
			}
		}
		go p.ignore()
		c.Close()
	})
}

func TestRequestNonsense(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		handler := func(context.Context, protocol.QuestionRequestParams) (map[string]protocol.Answer, error) {
			t.Error("the handler was called")
			return nil, nil
		}
		c, p := f.connect(Options{OnApproval: decide("accept"), OnQuestion: handler, OffersTools: true})
		for _, method := range []string{"item/approval/request", "item/question/request", "item/tool/call"} {
			p.send(`{"jsonrpc":"2.0","id":7,"method":"` + method + `","params":{"threadId":3}}`)
			if r := must(p.read()); !strings.Contains(string(r.Error), "-32602") || string(r.ID) != "7" {
				t.Errorf("%s is answered with %s", method, r.raw)
			}
		}
		go p.ignore()
		c.Close()
	})
}

func names(tools []protocol.Tool) []string {
	var list []string
	for _, t := range tools {
		list = append(list, toolKey(t.Namespace, t.Name))
	}
	slices.Sort(list)
	return list
}
