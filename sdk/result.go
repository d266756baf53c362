package sdk

import "github.com/spoolhq/spool/protocol"

// Result is what became of an input.
type Result struct {
	ThreadID    string
	TurnID      string
	Status      protocol.TurnStatus  // queued or running only where nobody waited
	Disposition protocol.Disposition // what the daemon did with the input; empty for Wait
	Text        string               // all agent messages, joined by a blank line
	Items       []protocol.Item      // of the turn, in order
	Usage       protocol.Usage
	TraceID     string
	Turn        protocol.Turn // the turn as it was last told, without its items
}

func resultOf(turn *protocol.Turn, d protocol.Disposition) *Result {
	r := &Result{
		ThreadID: turn.ThreadID, TurnID: turn.ID, Status: turn.Status, Disposition: d,
		Text: turn.Text, Items: turn.Items, TraceID: turn.TraceID, Turn: *turn,
	}
	if turn.Usage != nil {
		r.Usage = *turn.Usage
	}
	r.Turn.Items = nil
	return r
}

// err returns the error that stands for the end of the turn, nil if it completed or has
// not ended.
func (r *Result) err() error {
	switch r.Status {
	case protocol.TurnFailed:
		e := &TurnFailedError{TurnID: r.TurnID, Partial: r, Code: protocol.TurnErrAgent, Message: "no reason was given"}
		if te := r.Turn.Error; te != nil {
			e.Code, e.Message, e.Retryable = te.Code, te.Message, te.Retryable
		}
		return e
	case protocol.TurnCancelled:
		return &TurnCancelledError{TurnID: r.TurnID, Reason: r.Turn.CancelReason, Partial: r}
	default:
		return nil
	}
}
