package thread

import (
	"context"
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// steer is an input that was accepted into a running turn. It is kept with the row until the
// agent takes it; if the turn ends first, it goes to the head of the queue. Items that were
// appended with deliver:steer wait in the same way, and then for the next turn.
type steer struct {
	Input   protocol.Input   `json:"input"`
	Sender  *protocol.Sender `json:"sender,omitempty"`
	By      *protocol.By     `json:"by,omitempty"`
	TraceID string           `json:"traceId,omitempty"`
	Items   []protocol.Item  `json:"items,omitempty"` // in place of Input
	At      protocol.Time    `json:"at"`
	Bytes   int              `json:"bytes"` // what it took when it was accepted
}

// TurnSteer gives an input to the running turn, which must be the expected one.
func (m *Manager) TurnSteer(c Call, p protocol.TurnSteerParams, r Reply[protocol.TurnRunResult]) {
	r = claiming(m, c, r, claimTurn)
	mutateTurn(m, c, p.ThreadID, p.ExpectedTurnID, p.IdempotencyKey, r, func(t *Thread, x *change, known protocol.TurnStatus) (protocol.TurnRunResult, error) {
		var none protocol.TurnRunResult
		if p.ExpectedTurnID == "" {
			return none, turnNotFound("")
		}
		if err := m.refuseNew(); err != nil {
			return none, err
		}
		if err := t.mustBeActive(); err != nil {
			return none, err
		}
		if !p.Input.HasUser() {
			return none, protocol.InvalidParams("input", "needs a part of a user")
		}
		draft, err := t.draft(c, protocol.TurnInput{Input: p.Input, Sender: p.Sender})
		if err != nil {
			return none, err
		}
		if t.run != nil && t.run.turn.ID == p.ExpectedTurnID {
			draft.traceID = t.run.turn.TraceID
			return t.steer(c, x, draft)
		}
		if t.queued[p.ExpectedTurnID] != nil || p.IfEnded == protocol.EndedReject {
			return none, notRunning(p.ExpectedTurnID, t.statusOf(p.ExpectedTurnID, known))
		}
		return t.lateSteer(c, x, draft)
	})
}

// lateSteer accepts a steer whose turn has ended: at the head of the queue, or at once.
func (t *Thread) lateSteer(c Call, x *change, d turnDraft) (protocol.TurnRunResult, error) {
	if t.st.Queue.Full(t.m.limits.MaxQueued) {
		return protocol.TurnRunResult{}, t.queueError(turn.ErrFull)
	}
	tn := t.newTurn(d)
	if err := t.m.checkTurn(&tn); err != nil {
		return protocol.TurnRunResult{}, err
	}
	x.touchActive()
	x.join(c)
	return x.enter(tn, t.st.Queue.PushFirst(tn.ID)), nil
}

// steer accepts an input into the running turn.
func (t *Thread) steer(c Call, x *change, d turnDraft) (protocol.TurnRunResult, error) {
	s := steer{Input: d.input, Sender: d.sender, By: d.by, TraceID: d.traceID, At: x.at}
	untaken := t.newTurn(s.untaken(t.run))
	if err := t.m.checkTurn(&untaken); err != nil {
		return protocol.TurnRunResult{}, err
	}
	if err := t.giveSteer(s); err != nil {
		return protocol.TurnRunResult{}, err
	}
	x.touchActive()
	x.join(c)
	return protocol.TurnRunResult{Disposition: protocol.DispositionSteered, Turn: t.run.turn}, nil
}

// giveSteer keeps a steer for the agent of the running turn. All that wait are in the row,
// which is written with every change, so they have a bound: as many messages and items as may
// wait in the queue, and together no more than one request can bring.
func (t *Thread) giveSteer(s steer) error {
	if s.Items != nil {
		s.Bytes = written(s.Items, 1)
	} else {
		s.Bytes = s.Input.Size()
	}
	n, bytes := 0, s.Bytes
	for _, other := range t.st.Steers {
		n += other.messages()
		bytes += other.Bytes
	}
	if n > 0 && (n+s.messages() > t.m.limits.MaxQueued || int64(bytes) > t.m.limits.share(15)) {
		e := protocol.Errorf(protocol.CodeQueueFull, "%d steered messages wait until the agent of turn %s takes them, and there is no room for more", n, t.run.turn.ID)
		e.Data.Limit, e.Data.QueueLength = int64(t.m.limits.MaxQueued), &n
		e.Data.Hint = "wait, as the agent takes them when it can, or give the input with turn/enqueue"
		return e
	}
	t.st.Steers = append(t.st.Steers, s)
	t.run.wakeSteer()
	return nil
}

// messages is how many messages or items it is.
func (s *steer) messages() int { return len(s.Items) + len(s.Input) }

// untaken is the turn that becomes of a steer which the agent of a run does not take.
func (s *steer) untaken(r *run) turnDraft {
	return turnDraft{input: s.Input, sender: s.Sender, by: s.By, traceID: s.TraceID, config: r.turn.Config, mode: r.turn.Mode}
}

func notRunning(id string, status protocol.TurnStatus) error {
	e := protocol.Errorf(protocol.CodeTurnNotRunning, "turn %s is not running", id)
	e.Data.Status = string(status)
	return e
}

// Steer waits for the next message that was sent into the turn.
func (r *run) Steer(ctx context.Context) (protocol.Item, error) {
	for {
		if it, ok := r.Steered(); ok {
			return it, nil
		}
		select {
		case <-r.steered:
		case <-ctx.Done():
			return protocol.Item{}, context.Cause(ctx)
		}
	}
}

// Steered takes a message that was sent into the turn, if there is one. It becomes an item
// of the turn.
func (r *run) Steered() (protocol.Item, bool) {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.run != r || len(t.st.Steers) == 0 || r.interrupting {
		return protocol.Item{}, false
	}
	x := t.begin()
	x.row = true
	var taken protocol.Item
	first, rest := t.st.Steers[0].split()
	steers := append([]steer(nil), rest...)
	t.st.Steers = append(steers, t.st.Steers[1:]...)
	if first.Items != nil {
		taken = x.attach(r, first.Items)
	} else {
		it := messageItem(first.Input[0], protocol.DeliverySteer)
		it.Sender = first.Sender
		taken = x.addItem(r, it)
	}
	x.commit(nil)
	if len(t.st.Steers) > 0 {
		r.wakeSteer()
	}
	return taken, true
}

// split takes the first message or item out; rest is empty where there is no other.
func (s steer) split() (first steer, rest []steer) {
	first, left := s, s
	if s.Items != nil {
		first.Items, left.Items = s.Items[:1:1], s.Items[1:]
	} else {
		first.Input, left.Input = s.Input[:1:1], s.Input[1:]
	}
	if len(left.Items) > 0 || s.Items == nil && len(left.Input) > 0 {
		rest = []steer{left}
	}
	return first, rest
}

func (r *run) wakeSteer() {
	select {
	case r.steered <- struct{}{}:
	default:
	}
}

// requeueSteers turns what was steered into the run and not taken into queued turns, in
// order, at the head of the queue; items wait for the next turn.
func (x *change) requeueSteers(r *run) {
	t := x.t
	steers := t.st.Steers
	t.st.Steers = nil
	for _, s := range steers {
		if s.Items != nil {
			x.pend(s.Items)
		}
	}
	for _, s := range slices.Backward(steers) {
		if s.Items == nil {
			x.enqueueFirst(t.newTurn(s.untaken(r)))
		}
	}
}
