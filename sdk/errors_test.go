package sdk

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/spoolhq/spool/protocol"
)

func TestErrorTexts(t *testing.T) {
	for want, err := range map[string]error{
		"turn/run: no connection to unix:///s: EOF":                               &TransportError{Op: "turn/run", Endpoint: "unix:///s", Err: io.EOF},
		"turn trn_1 is running":                                                   &TurnInProgressError{ActiveTurnID: "trn_1"},
		"turn trn_1 failed: no model (AgentUnavailable)":                          &TurnFailedError{TurnID: "trn_1", Code: "AgentUnavailable", Message: "no model"},
		"turn trn_1 cancelled: replaced":                                          &TurnCancelledError{TurnID: "trn_1", Reason: protocol.CancelReplaced},
		"turn trn_1 cancelled":                                                    &TurnCancelledError{TurnID: "trn_1"},
		"turn cancelled: context canceled":                                        &TurnCancelledError{err: context.Canceled},
		"turn trn_1 failed: no reason was given (AgentError)":                     resultOf(&protocol.Turn{ID: "trn_1", Status: protocol.TurnFailed}, "").err(),
		"the event is turn/started, not turn/failed":                              payloadError(Event{Method: "turn/started"}, protocol.EventTurnFailed),
		"the event turn/failed was made by the SDK and has no message":            payloadError(Event{Method: "turn/failed"}, protocol.EventTurnFailed),
		"the endpoint names no host; use ws://host:port":                          endpointError("ws:///x"),
		"the endpoint has no path to a socket; use unix:///path/to/socket":        endpointError("unix://"),
		"the endpoint stdio: names no command; use for example stdio:spool stdio": endpointError("stdio: "),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("the error says %q, want %q", err, want)
		}
	}
	if !errors.Is(&TransportError{Err: ErrClosed}, ErrClosed) {
		t.Error("a TransportError hides its cause")
	}
}

func payloadError[P any](ev Event, n protocol.Notification[P]) error {
	_, err := Payload(ev, n)
	return err
}

func endpointError(endpoint string) error {
	_, err := Connect(context.Background(), endpoint, nil)
	return err
}

func TestInputs(t *testing.T) {
	in := Parts(protocol.Part{Type: "text", Text: "a"}, protocol.Part{Type: "text", Text: "b"})
	if !in.HasUser() || in.Text() != "a\nb" || Text("x").Text() != "x" {
		t.Errorf("got %s", toJSON(in))
	}
}
