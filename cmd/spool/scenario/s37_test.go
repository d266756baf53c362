package scenario_test

import (
	"slices"
	"strings"
	"testing"
)

// terminal requires that a turn ends once, as its last event, and returns that.
func (c *client) terminal(t *testing.T, turn, method string) *message {
	t.Helper()
	end := c.Await(method, p{"turnId": turn})
	c.Sync(end.ThreadID)
	told := c.about(turn)
	if last := told[len(told)-1]; last != end {
		t.Errorf("%s: the last that is told of the turn is %s", c.name, last.raw)
	}
	n := 0
	for _, m := range told {
		if slices.Contains(terminalEvents, m.method) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%s: the turn ended %d times", c.name, n)
	}
	return end
}

// What a chat that shows every answer twice, as it streams and at its end, is told of the
// four ways in which a turn goes.
func TestS37_FourWaysOfATurn(t *testing.T) {
	d := startDaemon(t)
	c, watch := d.Dial("ws"), d.Dial("unix")
	thr := c.StartThread(nil)
	watch.Call("thread/subscribe", p{"threadId": thr})

	t.Run("a: a normal turn", func(t *testing.T) {
		turn := c.Run(thr, "Hello there, you")
		end := c.terminal(t, turn, "turn/completed")
		started := c.Await("item/started", p{"turnId": turn, "item.type": "agentMessage"})
		deltas := c.deltas(turn)
		if len(deltas) != 3 || deltas[0].ItemID != started.ItemID {
			t.Errorf("the deltas are %v", deltas)
		}
		// The completed item overwrites: it has the whole text, under the id of the first delta.
		whole := c.Await("item/completed", p{"itemId": started.ItemID, "item.status": "completed", "item.text": "Hello there, you"})
		if whole.Seq >= end.Seq || end.Body().Str("turn.text") != "Hello there, you" {
			t.Errorf("the item is completed with seq %d, the turn ends as %s", whole.Seq, end.raw)
		}
	})
	t.Run("b: stopped", func(t *testing.T) {
		turn := c.Run(thr, "/deltas 100000 5 20ms")
		c.Await("item/agentMessage/delta", p{"turnId": turn, "offset": 5})
		if r := c.Call("turn/interrupt", p{"threadId": thr}); r.Str("outcome") != "interrupting" {
			t.Errorf("the stop answers %s", r)
		}
		end := c.terminal(t, turn, "turn/cancelled")
		text := ""
		for _, m := range c.deltas(turn) {
			text += m.Delta
		}
		if !end.Body().fits(p{"turn.cancelReason": "user", "turn.text": text, "turn.cancelledBy.connectionId": c.ID}) || len(text) < 10 {
			t.Errorf("with %d bytes streamed the turn ended as %s", len(text), end.raw)
		}
		items := c.Items(thr, turn)
		if !slices.Equal(types(items), []string{"userMessage completed", "agentMessage interrupted", "notice completed"}) || items[1].Str("text") != text {
			t.Errorf("the items are %v", items)
		}
		if !items[2].fits(p{"kind": "interrupted", "text": "Operation interrupted by user"}) {
			t.Errorf("the notice is %s", items[2])
		}
	})
	t.Run("c: failed", func(t *testing.T) {
		turn := c.Run(thr, "/say Hello\n/fail boom")
		end := c.terminal(t, turn, "turn/failed")
		if !end.Body().fits(p{"turn.error": p{"code": "AgentError", "message": "boom", "retryable": false}, "turn.text": "Hello"}) {
			t.Errorf("the turn ended as %s", end.raw)
		}
		if got := types(c.Items(thr, turn)); !slices.Equal(got, []string{"userMessage completed", "agentMessage completed"}) {
			t.Errorf("the items are %v", got)
		}
	})
	t.Run("d: a panic", func(t *testing.T) {
		turn := c.Run(thr, "/say Hello\n/panic")
		end := c.terminal(t, turn, "turn/failed")
		if !end.Body().fits(p{"turn.error.code": "AgentPanic", "turn.text": "Hello"}) || strings.Contains(string(end.raw), "goroutine") {
			t.Errorf("the turn ended as %s", end.raw)
		}
		c.Counted("agents.panics", 1)
		if next := c.End(thr, c.Run(thr, "/say and on")); !next.fits(p{"status": "completed", "text": "and on"}) {
			t.Errorf("the next turn ended as %s", next)
		}
	})

	// The user messages of all four are in the history, the partial answer too.
	want := []string{
		"userMessage: Hello there, you", "agentMessage: Hello there, you",
		"userMessage: /deltas 100000 5 20ms", "", "notice: Operation interrupted by user",
		"userMessage: /say Hello /fail boom", "agentMessage: Hello",
		"userMessage: /say Hello /panic", "agentMessage: Hello",
		"userMessage: /say and on", "agentMessage: and on",
	}
	lines := c.History(thr, nil)
	if len(lines) == len(want) && strings.HasPrefix(lines[3], "agentMessage: 0123456789") {
		want[3] = lines[3]
	}
	if !slices.Equal(lines, want) {
		t.Errorf("the agent was told\n%s", strings.Join(lines, "\n"))
	}
}

// timesOut runs turns that take too long until one of them said something in its time, which
// a slow machine may not leave it, and returns that and how many there were.
func timesOut(c *client, thr string) (turn string, n int) {
	c.t.Helper()
	for limit := 100; ; limit *= 2 {
		n++
		turn = c.Call("turn/run", p{"threadId": thr, "input": "/deltas 100000 5 20ms", "config": p{"maxTurnMs": limit}}).Str("turn.id")
		end := c.End(thr, turn)
		text := end.Str("text")
		if !end.fits(p{"status": "failed", "error.code": "TurnTimeout"}) || !strings.HasPrefix(text, "01234") && text != "" {
			c.t.Errorf("the turn that took too long ended as %s", end)
		}
		if text != "" {
			return turn, n
		}
		if limit > 10_000 {
			c.t.Fatalf("within %d ms nothing is said", limit)
		}
	}
}

// With dropPartial an agent is not told of answers that were cut off; what the user said
// stays.
func TestS37_DropPartial(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	thr := c.StartThread(p{"config": p{"historyPolicy": "dropPartial"}})
	c.End(thr, c.Run(thr, "/say whole"))
	cut := []string{"/say said whole\n/deltas 100000 5 20ms", "/think 1 2 3\n/deltas 100000 5 20ms"}
	for _, script := range cut {
		turn := c.Run(thr, script)
		c.Await("item/agentMessage/delta", p{"turnId": turn, "delta": "56789"})
		c.Call("turn/interrupt", p{"threadId": thr})
		c.End(thr, turn)
	}
	// Cut off by a failure in the middle of a message.
	failed, timeouts := timesOut(c, thr)
	if got := types(c.Items(thr, failed)); !slices.Equal(got, []string{"userMessage completed", "agentMessage failed"}) {
		t.Errorf("its items are %v", got)
	}

	check := func(c *client, params p, partial bool) {
		t.Helper()
		lines := c.History(thr, params)
		var users []string
		has := false
		for _, l := range lines {
			has = has || strings.HasPrefix(l, "agentMessage: 01234")
			if strings.HasPrefix(l, "userMessage: ") {
				users = append(users, l)
			}
		}
		if has != partial || !slices.Contains(lines, "agentMessage: whole") || !slices.Contains(lines, "agentMessage: said whole") || !slices.Contains(lines, "reasoning: 1 2 3") {
			t.Errorf("with %v the agent was told\n%s", params, strings.Join(lines, "\n"))
		}
		want := append([]string{"userMessage: /say whole", "userMessage: /say said whole /deltas 100000 5 20ms", "userMessage: /think 1 2 3 /deltas 100000 5 20ms"},
			slices.Repeat([]string{"userMessage: /deltas 100000 5 20ms"}, timeouts)...)
		if !slices.Equal(users[:len(want)], want) {
			t.Errorf("with %v the user's messages are %q", params, users)
		}
	}
	check(c, nil, false)
	check(c, p{"config": p{"historyPolicy": "keepPartial"}}, true)
	// People see the partial answer all the same, and so it is after a restart.
	kept := c.ReadAll(thr)
	d.Restart()
	c = d.Dial("ws")
	if now := c.ReadAll(thr); now.At("turns").String() != kept.At("turns").String() {
		t.Errorf("the turns were\n%s\nand after a restart\n%s", kept.At("turns"), now.At("turns"))
	}
	check(c, nil, false)
	check(c, p{"config": p{"historyPolicy": "keepPartial"}}, true)

	// history.maxTurns leaves older turns out.
	if lines := c.History(thr, p{"config": p{"history": p{"maxTurns": 1}}}); len(lines) == 0 || slices.Contains(lines, "agentMessage: whole") {
		t.Errorf("of one turn the agent was told %q", lines)
	}
}
