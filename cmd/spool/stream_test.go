package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// show prints events as if on a terminal, or as if not.
func show(t *testing.T, full bool, events ...sdk.Event) string {
	t.Helper()
	var out, news bytes.Buffer
	tr := newApp(nil, &out, &news, nil).newTranscript()
	tr.full = full
	for _, ev := range events {
		tr.event(ev)
	}
	if err := tr.end(); err != nil {
		t.Fatal(err)
	}
	if news.Len() > 0 {
		return out.String() + "[news] " + news.String()
	}
	return out.String()
}

func delta(item string, offset int, text string) sdk.Event {
	return sdk.Event{Type: sdk.EventAgentMessageDelta, ItemID: item, Offset: offset, Delta: text}
}

func thought(item string, offset int, text string) sdk.Event {
	return sdk.Event{Type: sdk.EventReasoningDelta, ItemID: item, Offset: offset, Delta: text}
}

func whole(kind sdk.EventType, it protocol.Item) sdk.Event {
	return sdk.Event{Type: kind, ItemID: it.ID, Item: &it}
}

func message(id, text string) protocol.Item {
	return protocol.Item{ID: id, Type: protocol.ItemAgentMessage, Text: text}
}

func TestTranscript(t *testing.T) {
	done := sdk.EventItemCompleted
	for _, tt := range []struct {
		name        string
		events      []sdk.Event
		terminal    string
		elsewhere   string
		elsewhereIs bool // the same as on the terminal
	}{
		{
			name:     "deltas and the whole",
			events:   []sdk.Event{delta("1", 0, "one "), delta("1", 4, "two"), whole(done, message("1", "one two"))},
			terminal: "one two\n", elsewhereIs: true,
		},
		{
			name:     "a delta that comes again",
			events:   []sdk.Event{delta("1", 0, "one "), delta("1", 0, "one "), delta("1", 2, "e two"), whole(done, message("1", "one two"))},
			terminal: "one two\n", elsewhereIs: true,
		},
		{
			name:     "a gap is filled by the snapshot",
			events:   []sdk.Event{delta("1", 0, "one "), delta("1", 8, "three"), whole(sdk.EventItemUpdated, message("1", "one two three")), delta("1", 13, " four"), whole(done, message("1", "one two three four"))},
			terminal: "one two three four\n", elsewhereIs: true,
		},
		{
			name:     "the agent changes its mind",
			events:   []sdk.Event{delta("1", 0, "one"), whole(done, message("1", "1"))},
			terminal: "one\n1\n", elsewhereIs: true,
		},
		{
			name:     "two messages",
			events:   []sdk.Event{whole(done, message("1", "one\n")), whole(done, message("2", "two"))},
			terminal: "one\n\ntwo\n", elsewhereIs: true,
		},
		{
			name:     "no text at all",
			events:   []sdk.Event{whole(done, message("1", ""))},
			terminal: "", elsewhereIs: true,
		},
		{
			name:      "reasoning is for people",
			events:    []sdk.Event{thought("1", 0, "hmm"), whole(done, protocol.Item{ID: "1", Type: protocol.ItemReasoning, Text: "hmm"}), delta("2", 0, "answer")},
			terminal:  "hmm\n\nanswer\n",
			elsewhere: "answer\n",
		},
		{
			name: "tools are lines",
			events: []sdk.Event{delta("1", 0, "I look"), whole(done, protocol.Item{
				ID: "2", Type: protocol.ItemToolCall, Tool: "search", Arguments: json.RawMessage(`{"q":"x"}`), DurationMs: 12,
				Result: &protocol.ToolResult{Content: []protocol.Part{{Type: "text", Text: "found\nit"}}},
			})},
			terminal:  "I look\n· search {\"q\":\"x\"} → found it (12 ms)\n",
			elsewhere: "I look\n",
		},
		{
			name:      "plans are lists",
			events:    []sdk.Event{{Type: sdk.EventPlanUpdated, Plan: []protocol.PlanEntry{{Text: "A", Status: "completed"}, {Text: "B", Status: "inProgress"}, {Text: "C", Status: "pending"}}}},
			terminal:  "· [x] A\n· [>] B\n· [ ] C\n",
			elsewhere: "",
		},
		{
			name:        "what holds a turn up is said everywhere",
			events:      []sdk.Event{whole(sdk.EventApprovalRequested, protocol.Item{ID: "1", Type: protocol.ItemApproval, ApprovalID: "apr_1", Kind: "command", Operation: "rm build"})},
			terminal:    "[news] spool: approval of command: rm build; the turn waits: spool approvals accept apr_1 (or decline)\n",
			elsewhereIs: true,
		},
		{
			name:      "nothing drives the terminal",
			events:    []sdk.Event{delta("1", 0, "a\x1b[2Jb\r\x07c\u009bd")},
			terminal:  "a[2Jbcd\n",
			elsewhere: "a\x1b[2Jb\r\x07c\u009bd\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.terminal, show(t, true, tt.events...)); diff != "" {
				t.Errorf("on a terminal: %s", diff)
			}
			if tt.elsewhereIs {
				tt.elsewhere = tt.terminal
			}
			if diff := cmp.Diff(tt.elsewhere, show(t, false, tt.events...)); diff != "" {
				t.Errorf("elsewhere: %s", diff)
			}
		})
	}
}

func TestSpinnerLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := newSpinner(&out, true)
		s.resume()
		s.resume()
		s.pause()
		s.pause()
		if out.Len() > 0 {
			t.Errorf("it wrote %q for a wait that was short", &out)
		}
		s.resume()
		<-time.After(2 * spinnerDelay)
		s.pause()
		if text := out.String(); !strings.Contains(text, "⠋") || !strings.HasSuffix(text, "\r\x1b[K") {
			t.Errorf("it wrote %q for one that was long", text)
		}
	})
}

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{errors.New("x"), exitError},
		{usagef("x"), exitUsage},
		{&sdk.TurnFailedError{}, exitTurnFailed},
		{&sdk.TurnCancelledError{}, exitCancelled},
		{protocol.Errorf(protocol.CodeQueueCleared, "x"), exitCancelled},
		{protocol.Errorf(protocol.CodeTurnInProgress, "x"), exitBusy},
		{protocol.ThreadNotFound(), exitNotFound},
		{protocol.Errorf(protocol.CodeForbidden, "x"), exitError},
		{&unavailableError{errors.New("x")}, exitUnavailable},
		{&sdk.TransportError{Err: errors.New("x")}, exitUnavailable},
		{errors.Join(nil, exitStatus(exitInterrupted)), exitInterrupted},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%#v: %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestNames(t *testing.T) {
	const id = "thr_01JD3Z6P6N7K0Q5Y4M3W2V1T0S"
	for name, want := range map[string]bool{
		"thr_01JD": true, "01jd3z": true, "1T0S": true, "THR_01": true, "6P6N": false, "thr_1T0S": false, "NOPE": false,
	} {
		if fitsID(id, name) != want {
			t.Errorf("%q fits: %t, want %t", name, !want, want)
		}
	}
	queue := []protocol.Turn{{ID: "trn_A1", Position: 1}, {ID: "trn_B2", Position: 2}, {ID: "trn_C3", Position: 3}}
	if id, err := resolveTurn(queue, "2"); id != "trn_B2" && err == nil {
		t.Errorf("position 2 is %s, %v", id, err)
	}
	for position, want := range map[int]string{1: "trn_C3 trn_A1 trn_B2", 2: "trn_A1 trn_C3 trn_B2", 9: "trn_A1 trn_B2 trn_C3"} {
		order, err := moved(queue, "trn_C3", position)
		if got := strings.Join(order, " "); err != nil || got != want {
			t.Errorf("to %d: %s, %v, want %s", position, got, err, want)
		}
	}
	if _, err := moved(queue, "trn_X", 1); exitCode(err) != exitNotFound {
		t.Errorf("a turn that does not wait: %v", err)
	}
}

func TestSettings(t *testing.T) {
	got, err := parseSettings([]string{"model=large", "temperature=0.2", `extra={"a":[1]}`, "instructions=", "provider=5x"})
	if err != nil {
		t.Fatal(err)
	}
	want := protocol.Object{
		"model": json.RawMessage(`"large"`), "temperature": json.RawMessage("0.2"), "extra": json.RawMessage(`{"a":[1]}`),
		"instructions": json.RawMessage(`""`), "provider": json.RawMessage(`"5x"`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// socketPair returns two ends of a Unix socket.
func socketPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("unix", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestBridgePassesAnswersOnAfterTheInput(t *testing.T) {
	client, server := socketPair(t)
	served := make(chan error, 1)
	go func() {
		all, err := io.ReadAll(server) // until the bridge says that no more comes
		if err == nil {
			_, err = server.Write(bytes.ToUpper(all))
		}
		served <- errors.Join(err, server.Close())
	}()
	var out bytes.Buffer
	if err := bridge(t.Context(), client, strings.NewReader("one\ntwo\n"), &out); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil || out.String() != "ONE\nTWO\n" {
		t.Errorf("%q, %v", &out, err)
	}
}

func TestBridgeSaysThatTheDaemonLeft(t *testing.T) {
	client, server := socketPair(t)
	server.Close()
	in, hold := io.Pipe()
	defer hold.Close()
	err := bridge(t.Context(), client, in, io.Discard)
	if exitCode(err) != exitUnavailable {
		t.Errorf("%v", err)
	}
}

func TestOwnData(t *testing.T) {
	data := t.TempDir()
	release, err := ownData(t.Context(), data, "/run/a.sock", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ownData(t.Context(), data, "/run/b.sock", lockRetry*1000); err == nil || !strings.Contains(err.Error(), "socket /run/a.sock") {
		t.Errorf("a foreign daemon: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() {
		again, err := ownData(ctx, data, "/run/a.sock", lockRetry*1000)
		if err == nil {
			again()
		}
		got <- err
	}()
	release()
	if err := <-got; err != nil {
		t.Errorf("one that took over on the same socket: %v", err)
	}
	cancel()
}
