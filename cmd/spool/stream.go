package main

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// transcript prints events for people. On a terminal it shows everything; elsewhere only
// what the agent says, so that the output of a pipe is the answer. Its methods may be
// called from several goroutines.
type transcript struct {
	mu    sync.Mutex
	out   io.Writer
	news  io.Writer // where what is not an answer goes, if not to out
	full  bool      // show everything on out
	paint paint
	spin  *spinner
	asks  bool // what agents ask is asked here
	held  bool // the spinner is, for a question

	item    string                      // the one whose text is being printed
	printed map[string]*strings.Builder // the text of items in progress that stands there
	column  bool                        // something stands on the present line
	blocks  int
	err     error // of the first write that failed
}

func (a *app) newTranscript() *transcript {
	return &transcript{
		out: a.out, news: a.err, full: isTerminal(a.out), paint: a.paintOut(),
		spin: newSpinner(a.err, isTerminal(a.out) && isTerminal(a.err)), asks: a.asker != nil, printed: map[string]*strings.Builder{},
	}
}

// event prints one event.
func (t *transcript) event(ev sdk.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spin.pause()
	switch ev.Type {
	case sdk.EventAgentMessageDelta, sdk.EventReasoningDelta:
		t.delta(ev)
	case sdk.EventItemUpdated, sdk.EventItemCompleted:
		if ev.Item != nil {
			t.whole(ev.Item, ev.Type == sdk.EventItemCompleted)
		}
	case sdk.EventApprovalRequested, sdk.EventQuestionRequested:
		t.asked(ev)
	case sdk.EventApprovalResolved, sdk.EventQuestionResolved:
		if ev.Item != nil && t.full {
			t.line(describeItem(ev.Item))
		}
	case sdk.EventPlanUpdated:
		t.plan(ev.Plan)
	case sdk.EventSystemEvent:
		if p, err := sdk.Payload(ev, protocol.EventSystemNews); err == nil {
			t.note(p.Text)
		}
	case sdk.EventQueueUpdated:
		if p, err := sdk.Payload(ev, protocol.EventQueueUpdated); err == nil && p.Paused {
			t.note(fmt.Sprintf("the queue is paused (%s), %d waiting", p.PauseReason, len(p.TurnIDs)))
		}
	default: // nothing of it is shown
	}
	if t.item == "" && !ev.Terminal() && !t.held {
		t.spin.resume()
	}
}

// delta prints a piece of text.
func (t *transcript) delta(ev sdk.Event) {
	reasoning := ev.Type == sdk.EventReasoningDelta
	if reasoning && !t.full {
		return
	}
	had := t.had(ev.ItemID)
	skip := had.Len() - ev.Offset
	if skip < 0 || skip >= len(ev.Delta) {
		return // after a gap the whole item follows; what was printed needs no repeat
	}
	t.enter(ev.ItemID)
	t.text(ev.Delta[skip:], reasoning)
	had.WriteString(ev.Delta[skip:])
}

// had returns what was printed of an item.
func (t *transcript) had(id string) *strings.Builder {
	b := t.printed[id]
	if b == nil {
		b = &strings.Builder{}
		t.printed[id] = b
	}
	return b
}

// whole prints an item as it is now: what is missing of a text, or a line for what is no
// text.
func (t *transcript) whole(it *protocol.Item, final bool) {
	if it.Type != protocol.ItemAgentMessage && it.Type != protocol.ItemReasoning {
		if final && t.full {
			t.line(describeItem(it))
		}
		return
	}
	reasoning := it.Type == protocol.ItemReasoning
	if reasoning && !t.full {
		return
	}
	had := t.had(it.ID)
	if it.Text != had.String() {
		t.enter(it.ID)
		if !strings.HasPrefix(it.Text, had.String()) {
			t.newline() // the agent changed its mind: say all of it again
			had.Reset()
		}
		t.text(it.Text[had.Len():], reasoning)
		had.WriteString(it.Text[had.Len():])
	}
	if final {
		delete(t.printed, it.ID)
		if t.item == it.ID {
			t.leave()
		}
	}
}

// enter begins or goes on with the text of an item.
func (t *transcript) enter(id string) {
	if t.item == id {
		return
	}
	t.leave()
	if t.blocks > 0 {
		t.write("\n")
	}
	t.blocks++
	t.item = id
}

// leave ends the line of the text that was printed.
func (t *transcript) leave() {
	t.newline()
	t.item = ""
}

func (t *transcript) newline() {
	if t.column {
		t.write("\n")
		t.column = false
	}
}

func (t *transcript) text(s string, dim bool) {
	if s == "" {
		return
	}
	if t.full {
		s = clean(s)
	}
	t.column = !strings.HasSuffix(s, "\n")
	if dim {
		s = t.paint.dim(s)
	}
	t.write(s)
}

// line prints a line about something that is no text.
func (t *transcript) line(s string) {
	if s == "" {
		return
	}
	t.leave()
	t.write(t.paint.dim("· "+s) + "\n")
	t.blocks++
}

// said prints what a user wrote.
func (t *transcript) said(it *protocol.Item) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.full {
		return
	}
	t.spin.pause()
	t.leave()
	for line := range strings.SplitSeq(clean(contentText(it)), "\n") {
		t.write(t.paint.bold("> "+line) + "\n")
	}
	t.blocks++
}

// remark prints a line about the thread.
func (t *transcript) remark(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spin.pause()
	t.note(s)
}

// note prints a line that people need to see also where output is a pipe.
func (t *transcript) note(s string) {
	if t.full {
		t.line(oneLine(s, 200))
		return
	}
	fmt.Fprintf(t.news, "spool: %s\n", oneLine(s, 200))
}

// asks reports whether an agent asks for something that is not answered yet.
func asks(ev sdk.Event) bool {
	return ev.Item != nil && (ev.Type == sdk.EventApprovalRequested || ev.Type == sdk.EventQuestionRequested)
}

// asked says that the turn waits for an answer, unless it is asked for here.
func (t *transcript) asked(ev sdk.Event) {
	if asks(ev) && !t.asks {
		t.leave()
		fmt.Fprintf(t.news, "spool: %s\n", unanswered(ev.Item))
	}
}

// hold keeps the spinner away, and begins a line, for a question. goOn ends that.
func (t *transcript) hold() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spin.pause()
	t.leave()
	t.held = true
}

func (t *transcript) goOn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = false
	t.spin.resume()
}

func (t *transcript) plan(entries []protocol.PlanEntry) {
	if !t.full {
		return
	}
	for _, e := range entries {
		mark := map[string]string{"completed": "[x]", "inProgress": "[>]"}[e.Status]
		if mark == "" {
			mark = "[ ]"
		}
		t.line(mark + " " + oneLine(e.Text, 120))
	}
}

// end finishes the output.
func (t *transcript) end() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spin.pause()
	t.spin.on = false // also if a question is given up only now
	t.leave()
	return t.err
}

func (t *transcript) write(s string) {
	if t.err == nil {
		_, t.err = io.WriteString(t.out, s)
	}
}
