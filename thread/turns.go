package thread

import (
	"errors"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/turn"
)

// turnDraft is what a new turn is made of.
type turnDraft struct {
	input   protocol.Input
	sender  *protocol.Sender
	by      *protocol.By
	traceID string
	config  protocol.Object // effective
	mode    string
}

// newTurn makes a turn of a draft, without a place anywhere yet.
func (t *Thread) newTurn(d turnDraft) protocol.Turn {
	if d.traceID == "" {
		d.traceID = protocol.NewID(protocol.PrefixTrace)
	}
	return protocol.Turn{
		ID: t.newTurnID(), ThreadID: t.id, Input: d.input, Sender: d.sender, By: d.by, TraceID: d.traceID,
		Agent: t.st.Thread.Agent, Mode: d.mode, Config: d.config, CreatedAt: protocol.Now(),
	}
}

// TurnStart is TurnRun with ifBusy:reject.
func (m *Manager) TurnStart(c Call, p protocol.TurnInput, r Reply[protocol.TurnRunResult]) {
	m.TurnRun(c, protocol.TurnRunParams{TurnInput: p, IfBusy: protocol.BusyReject}, r)
}

// TurnEnqueue is TurnRun with ifBusy:enqueue.
func (m *Manager) TurnEnqueue(c Call, p protocol.TurnInput, r Reply[protocol.TurnRunResult]) {
	m.TurnRun(c, protocol.TurnRunParams{TurnInput: p, IfBusy: protocol.BusyEnqueue}, r)
}

// TurnRun gives the agent an input: accepting it, choosing what becomes of it and
// recording that are one step. With wait the answer comes when the turn is over.
func (m *Manager) TurnRun(c Call, p protocol.TurnRunParams, r Reply[protocol.TurnRunResult]) {
	if p.IfBusy == "" {
		p.IfBusy = protocol.BusyReject
	}
	answer := r
	if p.Wait {
		if c.Park != nil {
			if err := c.Park(); err != nil {
				r(protocol.TurnRunResult{}, err)
				return
			}
		}
		answer = m.awaited(c, r)
	}
	answer = claiming(m, c, answer, claimTurn)
	mutate(m, c, p.ThreadID, p.IdempotencyKey, answer, func(t *Thread, x *change) (protocol.TurnRunResult, error) {
		res, err := t.accept(c, x, p)
		if err == nil && p.Wait {
			x.await(c, res, r)
		}
		return res, err
	})
}

// claimTurn is what a request that gave an input gives its connection.
func claimTurn(res protocol.TurnRunResult) (claim, bool) {
	return claim{thread: res.Turn.ThreadID, follow: true, turn: res.Turn.ID}, res.Replayed
}

// accept decides about an input.
func (t *Thread) accept(c Call, x *change, p protocol.TurnRunParams) (protocol.TurnRunResult, error) {
	var none protocol.TurnRunResult
	if err := t.m.refuseNew(); err != nil {
		return none, err
	}
	if err := t.mustBeActive(); err != nil {
		return none, err
	}
	if !p.Input.HasUser() && !t.userPending() {
		return none, protocol.InvalidParams("input", "needs a part of a user, or appended items of a user that wait (thread/items/append)")
	}
	draft, err := t.draft(c, p.TurnInput)
	if err != nil {
		return none, err
	}
	if p.IfBusy == protocol.BusySteer && t.run != nil {
		return t.steer(c, x, draft)
	}
	tn := t.newTurn(draft)
	if err := t.m.checkTurn(&tn); err != nil {
		return none, err
	}
	how, err := t.st.Queue.Accept(tn.ID, p.IfBusy, t.m.limits.MaxQueued)
	if err != nil {
		return none, t.queueError(err)
	}
	if p.IfBusy == protocol.BusyInterrupt && how == protocol.DispositionQueued {
		if t.run != nil && !t.run.interrupting {
			x.keepStop(protocol.CancelReplaced, c.Caller.By(), "")
		}
		x.then = func() { t.interruptRun(protocol.CancelReplaced, c.Caller.By(), "") }
	}
	t.preview(p.Input)
	x.touchActive()
	x.join(c)
	return x.enter(tn, how), nil
}

// enter starts a new turn, or tells that it waits, as the queue decided.
func (x *change) enter(tn protocol.Turn, how protocol.Disposition) protocol.TurnRunResult {
	if how == protocol.DispositionStarted {
		x.startTurn(tn, nil, storage.TurnEntry{})
		tn = x.t.run.turn
	} else {
		tn = x.queueTurn(tn)
	}
	return protocol.TurnRunResult{Disposition: how, Turn: tn}
}

// maxTraceID bounds the id that is in every event of a turn, in bytes.
const maxTraceID = 256

// draft checks what a client asks of a turn.
func (t *Thread) draft(c Call, p protocol.TurnInput) (turnDraft, error) {
	if err := t.m.checkInput(p.Input); err != nil {
		return turnDraft{}, err
	}
	config, mode, err := t.effective(p.Config, p.Mode)
	if err != nil {
		return turnDraft{}, err
	}
	trace := p.TraceID
	if len(trace) > maxTraceID {
		return turnDraft{}, protocol.InvalidParams("traceId", "must not be longer than "+itoa(maxTraceID)+" bytes")
	}
	if trace == "" {
		trace = c.Caller.TraceID
	}
	return turnDraft{input: p.Input, sender: p.Sender, by: c.Caller.By(), traceID: trace, config: config, mode: mode}, nil
}

// effective is the config of a turn: the agent's, then the thread's, then the turn's own.
func (t *Thread) effective(over protocol.Object, mode string) (protocol.Object, string, error) {
	spec := t.m.agents[t.st.Thread.Agent]
	if spec == nil {
		return nil, "", protocol.Errorf(protocol.CodeAgentUnavailable,
			"the agent %s of this thread is not configured any more; add it to the config file or fork the thread to another agent", t.st.Thread.Agent)
	}
	config := spec.Effective(t.st.Thread.Config, over)
	parsed, err := spec.CheckConfig(config)
	if err != nil {
		return nil, "", err
	}
	if mode == "" {
		mode = t.st.Thread.Mode
	}
	return config, mode, checkMode(spec, parsed, mode)
}

// checkMode refuses a mode that neither the agent nor the config has.
func checkMode(spec *turn.Spec, config protocol.Config, mode string) error {
	if mode == "" {
		return nil
	}
	for _, known := range [][]protocol.Mode{config.Modes, spec.Modes} {
		for _, k := range known {
			if k.ID == mode {
				return nil
			}
		}
	}
	return protocol.InvalidConfig("mode", "is "+quote(mode)+", which is not one of the thread's config.modes or of the agent's modes")
}

func quote(s string) string {
	b, _ := protocol.Marshal(s)
	return string(b)
}

// join subscribes the caller, who gets the events of this change and all later ones. It
// leaves right behind the reply.
func (x *change) join(c Call) { x.joinFrom(c, nil) }

// joinFrom is join with a replay of what comes behind a seq; nil: none.
func (x *change) joinFrom(c Call, after *uint64) {
	t := x.t
	if c.Peer == nil || t.subOf(c.Peer) != nil {
		return
	}
	s, snapshots := t.newSub(c.Peer, "", nil), t.snapshots()
	x.out = append([]effect{{kind: call, fn: func(err error) {
		// An older request of the caller may have subscribed it meanwhile.
		if err == nil && t.subOf(c.Peer) == nil {
			s.activate(after, snapshots)
		}
	}}}, x.out...)
}

// preview makes the start of the first message the thread's preview.
func (t *Thread) preview(in protocol.Input) {
	if t.st.Thread.Preview != "" {
		return
	}
	t.st.Thread.Preview = shortened(in.Text(), 120)
}

// shortened returns s if it has at most so many characters, else its start and an ellipsis.
// It looks no further than that.
func shortened(s string, most int) string {
	n, end := 0, 0
	for i := range s {
		switch n {
		case most - 1:
			end = i
		case most:
			return s[:end] + "…"
		}
		n++
	}
	return s
}

func (t *Thread) mustBeActive() error {
	h := &t.st.Thread
	if h.Status == protocol.StatusActive {
		return nil
	}
	e := protocol.Errorf(protocol.CodeThreadNotActive, "thread %s is %s%s", t.id, h.Status, notActiveHint(h.Status))
	e.Data.Status, e.Data.EndReason = string(h.Status), h.EndReason
	return e
}

func notActiveHint(s protocol.ThreadStatus) string {
	switch s {
	case protocol.StatusPaused:
		return "; thread/resume takes it up again"
	case protocol.StatusArchived:
		return "; thread/unarchive brings it back"
	case protocol.StatusEnded:
		return "; thread/fork continues it in a new one"
	default:
		return ""
	}
}

// queueError says to a client what the queue refused.
func (t *Thread) queueError(err error) error {
	q := &t.st.Queue
	length := len(q.Waiting)
	switch {
	case errors.Is(err, turn.ErrBusy):
		return t.inProgress()
	case errors.Is(err, turn.ErrFull):
		e := protocol.Errorf(protocol.CodeQueueFull, "the queue holds %d turns, which is its limit; wait, or remove some", length)
		e.Data.Limit, e.Data.QueueLength = int64(t.m.limits.MaxQueued), &length
		return e
	default:
		return err
	}
}

// inProgress is the refusal of what cannot be done while a turn runs.
func (t *Thread) inProgress() error {
	length := len(t.st.Queue.Waiting)
	e := protocol.Errorf(protocol.CodeTurnInProgress, "a turn is running")
	e.Data.ActiveTurnID, e.Data.QueueLength = t.st.Queue.Running, &length
	return e
}

// userPending reports whether a turn that is accepted now would find items of a user that
// wait. A turn that is about to begin takes all there are then.
func (t *Thread) userPending() bool {
	if t.run != nil && !t.run.began {
		return t.run.later.Users > 0
	}
	return t.st.Pending.Users > 0
}
