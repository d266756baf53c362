package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// tool makes a tool that takes any object.
func tool(name string, handle toolHandler) Tool {
	return Tool{protocol.Tool{Name: name, Description: name, InputSchema: json.RawMessage(`{"type":"object"}`)}, handle}
}

func echo(_ context.Context, call protocol.ToolCallParams) (protocol.ToolCallResult, error) {
	return ToolText("got " + string(call.Arguments)), nil
}

// failure returns why the only tool call of a turn failed.
func failure(t *testing.T, res *Result) protocol.ItemFailure {
	t.Helper()
	for _, it := range res.Items {
		if it.Type == protocol.ItemToolCall && it.Error != nil {
			return *it.Error
		}
	}
	t.Errorf("no tool has failed: %s", toJSON(res.Items))
	return protocol.ItemFailure{}
}

func TestHubTools(t *testing.T) {
	withDaemon(t, func(t *testing.T, d *daemon, plain *Client) {
		var log strings.Builder
		c := d.connect(Options{OffersTools: true, Logger: func(s string) { log.WriteString(s) }})
		defer c.Close()
		th := startThread(t, c)
		spaced := tool("now", echo)
		spaced.Namespace = "clock"
		must(th.Tools().Register(t.Context(), tool("echo", echo), spaced,
			tool("fails", func(context.Context, protocol.ToolCallParams) (protocol.ToolCallResult, error) {
				return protocol.ToolCallResult{}, errors.New("no luck")
			}),
			tool("panics", func(context.Context, protocol.ToolCallParams) (protocol.ToolCallResult, error) { panic("boom") }),
			tool("broken", func(context.Context, protocol.ToolCallParams) (protocol.ToolCallResult, error) {
				return protocol.ToolCallResult{Success: true, Structured: json.RawMessage(`{`)}, nil
			})))
		list := must(th.Tools().List(t.Context()))
		if got := names(list.Data); !slices.Equal(got, []string{"broken", "clock/now", "echo", "fails", "panics"}) {
			t.Errorf("offered are %v", got)
		}
		run := func(text string) *Result { return must(th.Run(t.Context(), Text(text), nil)) }
		if res := run(`/tool echo {"a":1}`); res.Text != `got {"a":1}` {
			t.Errorf("echo: %s", toJSON(res))
		}
		if res := run(`/tool clock/now {}`); res.Text != `got {}` {
			t.Errorf("clock/now: %s", toJSON(res))
		}
		for name, want := range map[string]string{"fails": "no luck", "panics": "panicked", "broken": "cannot be written"} {
			if f := failure(t, run("/tool "+name+" {}")); f.Code != protocol.ToolErrFailed || !strings.Contains(f.Message, want) {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if !strings.Contains(log.String(), "boom") {
			t.Errorf("the log says %q", log.String())
		}
		must(th.Tools().Unregister(t.Context(), "clock/now"))
		must(th.Tools().Unregister(t.Context(), "fails", "panics", "broken"))
		if got := names(must(th.Tools().List(t.Context())).Data); !slices.Equal(got, []string{"echo"}) {
			t.Errorf("offered are %v", got)
		}
		must(th.Tools().Unregister(t.Context()))
		if f := failure(t, run("/tool echo {}")); f.Code != protocol.ToolErrUnavailable || len(c.offers) != 0 {
			t.Errorf("afterwards: %+v, %v", f, c.offers)
		}
		if _, err := plain.Threads().Get(th.ID()).Tools().Register(t.Context(), tool("echo", echo)); err == nil || !strings.Contains(err.Error(), "OffersTools") {
			t.Errorf("without the capability: %v", err)
		}
		if _, err := th.Tools().Register(t.Context(), Tool{}); err == nil {
			t.Error("a tool without Handle was taken")
		}
		bad := tool("bad", echo)
		bad.InputSchema = json.RawMessage(`{"type":"nonsense"}`)
		if _, err := th.Tools().Register(t.Context(), bad); !errors.Is(err, &protocol.Error{Code: protocol.CodeInvalidParams}) || len(c.offers) != 0 {
			t.Errorf("a bad schema: %v", err)
		}
	})
}

// Options.Tools are those of every thread of the client; a bad one fails Connect.
func TestHubCommonTools(t *testing.T) {
	withDaemon(t, func(t *testing.T, d *daemon, _ *Client) {
		c := d.connect(Options{Tools: []Tool{tool("echo", echo)}})
		defer c.Close()
		a, b := startThread(t, c), startThread(t, c)
		must(b.Tools().Register(t.Context(), tool("other", echo)))
		if res := must(a.Run(t.Context(), Text(`/tool echo {}`), nil)); res.Text != "got {}" {
			t.Errorf("echo: %s", toJSON(res))
		}
		if got := names(must(b.Tools().List(t.Context())).Data); !slices.Equal(got, []string{"other"}) {
			t.Errorf("offered are %v", got)
		}
		must(a.End(t.Context(), nil))
		synctest.Wait()
		if c.offers[a.ID()] != nil || c.offers[b.ID()] == nil {
			t.Errorf("remembered are %v", c.offers)
		}
		bad := tool("bad", echo)
		bad.InputSchema = json.RawMessage(`7`)
		if _, err := Connect(t.Context(), "", d.options(Options{Tools: []Tool{bad}})); !errors.Is(err, &protocol.Error{Code: protocol.CodeInvalidParams}) {
			t.Errorf("connected with a bad tool: %v", err)
		}
	})
}

// S26: a call outlives its connection, and runs once.
func TestHubToolSurvivesLossS26(t *testing.T) {
	for _, common := range []bool{false, true} {
		t.Run(fmt.Sprintf("common=%v", common), func(t *testing.T) {
			withDaemon(t, func(t *testing.T, d *daemon, watcher *Client) {
				var runs atomic.Int32
				attempts := make(chan int)
				gate := make(chan struct{})
				slow := tool("slow", func(ctx context.Context, call protocol.ToolCallParams) (protocol.ToolCallResult, error) {
					runs.Add(1)
					attempts <- call.Attempt
					select {
					case <-gate:
						return ToolText("72 F"), nil
					case <-ctx.Done():
						return protocol.ToolCallResult{}, ctx.Err()
					}
				})
				o := Options{OffersTools: true}
				if common {
					o.Tools = []Tool{slow}
				}
				opts, cut := d.line(o)
				c := must(Connect(t.Context(), "", opts))
				defer c.Close()
				th := startThread(t, c)
				if !common {
					must(th.Tools().Register(t.Context(), slow))
				}
				// Nothing is subscribed: the tools alone bring the call back.
				turn := must(th.Enqueue(t.Context(), Text(`/tool slow {}`), nil))
				<-attempts
				for range 3 {
					cut()
					must(c.Server().Ping(t.Context()))
					synctest.Wait()
				}
				<-time.After(2 * repeatTimeout)
				close(gate)
				r := must(watcher.Threads().Get(th.ID()).Wait(t.Context(), turn.TurnID))
				if r.Text != "72 F" || runs.Load() != 1 {
					t.Errorf("%q after %d runs", r.Text, runs.Load())
				}
				synctest.Wait()
				if len(c.runs) != 0 || len(c.results.of) != 1 {
					t.Errorf("%d runs, %d results are kept", len(c.runs), len(c.results.of))
				}
				// And they are still there for the next turn.
				go func() { <-attempts }()
				if r := must(th.Run(t.Context(), Text(`/tool slow {}`), nil)); r.Text != "72 F" {
					t.Errorf("the next one says %q", r.Text)
				}
			})
		})
	}
}

// An interrupted turn ends the context of its tool.
func TestHubToolCancelled(t *testing.T) {
	withDaemon(t, func(t *testing.T, d *daemon, _ *Client) {
		began, ended := make(chan struct{}), make(chan error, 1)
		c := d.connect(Options{Tools: []Tool{tool("slow", func(ctx context.Context, _ protocol.ToolCallParams) (protocol.ToolCallResult, error) {
			close(began)
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return protocol.ToolCallResult{}, ctx.Err()
		})}})
		defer c.Close()
		th := startThread(t, c)
		turn := must(th.Enqueue(t.Context(), Text(`/tool slow {}`), nil))
		<-began
		must(th.Interrupt(t.Context(), &protocol.TurnInterruptParams{TurnID: turn.TurnID}))
		if err := <-ended; !errors.Is(err, errWithdrawn) {
			t.Errorf("the context ended with %v", err)
		}
		synctest.Wait()
		if len(c.runs)+len(c.results.of) != 0 {
			t.Error("a cancelled call is remembered")
		}
	})
}

const toolCall = `{"jsonrpc":"2.0","id":"s%d","method":"item/tool/call","params":{"threadId":"thr_1","turnId":"trn_1","itemId":"itm_1","callId":%q,"tool":"t","arguments":{},"attempt":%d,"bindingGeneration":1}}`

// registered answers the registration of Options.Tools.
func (p *peer) registered() {
	p.answer(p.expect("tool/register"), `{"bindingGeneration":1,"pendingCalls":[]}`)
}

// connectWithTool makes a client with a tool t.
func connectWithTool(t *testing.T, f *fake, handle toolHandler) (*Client, *peer) {
	t.Helper()
	peers := make(chan *peer, 1)
	go func() {
		p := f.accept()
		p.registered()
		peers <- p
	}()
	c := must(Connect(t.Context(), "fake:", f.options(Options{Tools: []Tool{tool("t", handle)}})))
	return c, <-peers
}

// A result that got lost with the connection is given again, without another run.
func TestToolResultIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		var runs atomic.Int32
		c, p := connectWithTool(t, f, func(context.Context, protocol.ToolCallParams) (protocol.ToolCallResult, error) {
			return ToolText(fmt.Sprint("run ", runs.Add(1))), nil
		})
		p.send(toolCall, 1, "call_1", 1)
		synctest.Wait() // the client wants to write
		p.cut()
		p = f.accept()
		p.registered()
		p.send(toolCall, 2, "call_1", 2)
		if r := must(p.read()); string(r.ID) != `"s2"` || !strings.Contains(string(r.Result), "run 1") {
			t.Errorf("the client answers %s", r.raw)
		}
		p.send(toolCall, 3, "call_2", 1)
		if r := must(p.read()); !strings.Contains(string(r.Result), "run 2") {
			t.Errorf("the client answers %s", r.raw)
		}
		go p.ignore()
		c.Close()
	})
}

// A run that nobody asks for again on the new connection ends.
func TestToolIsNotWantedAfterLoss(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		began, ended := make(chan struct{}), make(chan error, 1)
		c, p := connectWithTool(t, f, func(ctx context.Context, _ protocol.ToolCallParams) (protocol.ToolCallResult, error) {
			close(began)
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return protocol.ToolCallResult{}, ctx.Err()
		})
		p.send(toolCall, 1, "call_1", 1)
		<-began
		p.cut()
		p = f.accept()
		p.registered()
		go p.ignore()
		at := time.Now()
		if err := <-ended; !errors.Is(err, errWithdrawn) || time.Since(at) != repeatTimeout {
			t.Errorf("the context ended with %v after %s", err, time.Since(at))
		}
		c.Close()
	})
}

// A result that the daemon would not take fails the call instead of breaking the connection.
func TestToolResultTooLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connectWithTool(t, f, func(context.Context, protocol.ToolCallParams) (protocol.ToolCallResult, error) {
			return ToolText(strings.Repeat("x", 100000)), nil
		})
		p.send(toolCall, 1, "call_1", 1)
		if r := must(p.read()); !strings.Contains(string(r.Result), "ToolFailed") || !strings.Contains(string(r.Result), "100000") {
			t.Errorf("the client answers %s", r.raw)
		}
		go p.ignore()
		c.Close()
	})
}

// A call that was cancelled and comes again is carried out again.
func TestToolCancelledAndCalledAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		var runs atomic.Int32
		began := make(chan struct{})
		c, p := connectWithTool(t, f, func(ctx context.Context, _ protocol.ToolCallParams) (protocol.ToolCallResult, error) {
			if runs.Add(1) == 1 {
				close(began)
				<-ctx.Done()
				return protocol.ToolCallResult{}, ctx.Err()
			}
			return ToolText("done"), nil
		})
		p.send(toolCall, 1, "call_1", 1)
		<-began
		p.event("$/cancelRequest", `{"id":"s1"}`)
		if r := must(p.read()); string(r.ID) != `"s1"` || !strings.Contains(string(r.Result), "ToolFailed") {
			t.Errorf("the client answers %s", r.raw)
		}
		p.send(toolCall, 2, "call_1", 2)
		if r := must(p.read()); !strings.Contains(string(r.Result), "done") {
			t.Errorf("the client answers %s", r.raw)
		}
		go p.ignore()
		c.Close()
	})
}

func TestToolResultsAreBounded(t *testing.T) {
	kept := toolResults{of: map[string]json.RawMessage{}}
	for i := range 2 * keptResults {
		kept.put(fmt.Sprint(i), json.RawMessage(`{}`))
	}
	if len(kept.of) != keptResults || len(kept.order) != keptResults || kept.of["0"] != nil || kept.of[fmt.Sprint(2*keptResults-1)] == nil {
		t.Errorf("%d are kept", len(kept.of))
	}
	kept.put("large", make(json.RawMessage, keptResultBytes))
	if len(kept.of) != 1 || kept.bytes != keptResultBytes {
		t.Errorf("%d with %d bytes are kept", len(kept.of), kept.bytes)
	}
	kept.put("larger", make(json.RawMessage, keptResultBytes+1))
	if len(kept.of) != 1 {
		t.Error("what is larger than all of it is kept")
	}
}
