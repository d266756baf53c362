package thread_test

import (
	"slices"

	"github.com/spoolhq/spool/protocol"
)

// model is the scheduler in the plainest words: what runs, what waits, what is deferred.
// It knows turns by the text of their input, which no two share.
type model struct {
	status  protocol.ThreadStatus
	policy  protocol.QueuePolicy
	running string
	waiting []string
	first   int // so many at the head run next even from a paused queue
	paused  bool
	reason  protocol.PauseReason
	fails   int
	steers  []steered
	after   []deferred
	pending int // appended items that wait
	most    int // turns that may wait, and messages for the agent
}

// steered is a message, or an appended item, that the agent has not taken.
type steered struct{ text string }

func (s steered) item() bool { return s.text == "" }

type deferred struct {
	op    string
	queue protocol.ResetQueue
}

// accept gives what becomes of an input.
func (m *model) accept(text string, busy protocol.IfBusy) (protocol.Disposition, int) {
	switch {
	case m.status != protocol.StatusActive:
		return "", protocol.CodeThreadNotActive
	case m.running == "":
		m.run(text)
		return protocol.DispositionStarted, 0
	}
	full := len(m.waiting) >= m.most
	switch {
	case busy == protocol.BusySteer:
		return protocol.DispositionSteered, m.steer(steered{text})
	case full && (busy == protocol.BusyEnqueue || busy == protocol.BusyInterrupt):
		return "", protocol.CodeQueueFull
	}
	switch busy {
	case protocol.BusyEnqueue:
		m.waiting = append(m.waiting, text)
	case protocol.BusyInterrupt:
		m.waiting = slices.Insert(m.waiting, 0, text)
		m.first++
		m.end(protocol.TurnCancelled, protocol.CancelReplaced, "")
	default:
		return "", protocol.CodeTurnInProgress
	}
	return protocol.DispositionQueued, 0
}

// steer gives something to the agent of the running turn.
func (m *model) steer(s ...steered) int {
	if len(m.steers) > 0 && len(m.steers)+len(s) > m.most {
		return protocol.CodeQueueFull
	}
	m.steers = append(m.steers, s...)
	return 0
}

// pushFirst is for an input that comes too late for its turn.
func (m *model) pushFirst(text string) (protocol.Disposition, int) {
	switch {
	case m.running == "":
		m.run(text)
		return protocol.DispositionStarted, 0
	case len(m.waiting) >= m.most:
		return "", protocol.CodeQueueFull
	}
	m.waiting = slices.Insert(m.waiting, m.first, text)
	return protocol.DispositionQueued, 0
}

func (m *model) run(text string) { m.running, m.pending = text, 0 }

// end ends the running turn and does what follows from it.
func (m *model) end(status protocol.TurnStatus, reason protocol.CancelReason, queue protocol.InterruptQueue) {
	m.cut(status, reason, queue)
	m.deferred()
	m.next()
}

func (m *model) cut(status protocol.TurnStatus, reason protocol.CancelReason, queue protocol.InterruptQueue) {
	m.untaken()
	m.running = ""
	switch status {
	case protocol.TurnFailed:
		m.fails++
	case protocol.TurnCompleted:
		m.fails = 0
	}
	if len(m.waiting) == 0 {
		return
	}
	exempt := reason == protocol.CancelReplaced || reason == protocol.CancelThreadEnded
	switch {
	case queue == protocol.InterruptClear:
		m.waiting, m.first = nil, 0
	case status == protocol.TurnFailed && m.fails >= 10:
		m.pause(protocol.PauseRepeatedFailure)
	case queue == protocol.InterruptContinue || exempt:
	case status == protocol.TurnFailed:
		m.react(m.policy.OnFailed, protocol.PauseTurnFailed)
	case status == protocol.TurnCancelled:
		m.react(m.policy.OnCancelled, protocol.PauseTurnCancelled)
	}
}

// untaken puts what was steered and not taken where it does not get lost.
func (m *model) untaken() {
	at := m.first
	for _, s := range m.steers {
		if s.item() {
			m.pending++
		} else {
			m.waiting = slices.Insert(m.waiting, at, s.text)
			at++
		}
	}
	m.steers = nil
}

func (m *model) react(to protocol.QueueReaction, reason protocol.PauseReason) {
	switch to {
	case protocol.QueueClear:
		m.waiting = m.waiting[:m.first]
	case protocol.QueuePause, "":
		m.pause(reason)
	}
}

func (m *model) pause(reason protocol.PauseReason) {
	if !m.paused {
		m.paused, m.reason = true, reason
	}
}

// deferred does what was asked for the end of the turn.
func (m *model) deferred() {
	after := m.after
	m.after = nil
	for _, d := range after {
		switch d.op {
		case "pause":
			m.status = protocol.StatusPaused
		case "archive":
			m.status = protocol.StatusArchived
		case "reset":
			m.reset(d.queue)
		}
	}
}

// later asks for something at the end of the turn; the same again takes the place of the
// older.
func (m *model) later(d deferred) {
	m.dropLater(d.op)
	m.after = append(m.after, d)
}

func (m *model) dropLater(op string) {
	m.after = slices.DeleteFunc(m.after, func(o deferred) bool { return o.op == op })
}

func (m *model) reset(queue protocol.ResetQueue) {
	if queue != protocol.ResetQueueKeep {
		m.waiting, m.first = nil, 0
	}
	m.pending = 0
}

func (m *model) next() {
	if m.status != protocol.StatusActive || m.running != "" || len(m.waiting) == 0 || m.paused && m.first == 0 {
		return
	}
	text := m.waiting[0]
	m.take(0)
	m.run(text)
}

func (m *model) take(i int) {
	m.waiting = slices.Delete(slices.Clone(m.waiting), i, i+1)
	if i < m.first {
		m.first--
	}
}

// crash is what a kill and a new start do.
func (m *model) crash() {
	if m.running != "" {
		m.untaken()
		m.running = ""
		if len(m.waiting) > 0 {
			m.first, m.paused, m.reason = 0, true, protocol.PauseServerRestarted
		}
		m.deferred()
	}
	m.next()
}

// busy is what ifBusy of a request on the whole thread says. True: the request is done.
func (m *model) busy(ifBusy protocol.BusyThread, d deferred) (done bool, code int) {
	switch {
	case m.running == "":
		return false, 0
	case ifBusy == protocol.BusyThreadInterrupt:
		m.cut(protocol.TurnCancelled, protocol.CancelUser, protocol.InterruptContinue)
		m.deferred()
		return false, 0
	case ifBusy == protocol.BusyThreadAfterTurn:
		m.later(d)
		return true, 0
	default:
		return true, protocol.CodeTurnInProgress
	}
}
