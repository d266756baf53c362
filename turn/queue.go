package turn

import (
	"errors"
	"slices"

	"github.com/spoolhq/spool/protocol"
)

// MaxFailures is how many turns in a row may fail before the queue is paused whatever
// its policy says, so that a broken agent cannot burn it.
const MaxFailures = 10

// Errors of a queue.
var (
	ErrBusy       = errors.New("a turn is running")
	ErrFull       = errors.New("the queue is full")
	ErrNotInQueue = errors.New("the turn is not in the queue")
	ErrOrder      = errors.New("the order is not one of the queued turns")
)

// Queue holds the rule "one running turn a thread" and the order of those that wait. It
// is a plain value: no lock, no clock, no I/O. Each method changes it and returns what
// must happen, which the caller makes happen in one commit. Its fields are its state as
// it is stored; only its methods change them. A copy is not touched by later changes.
//
// Revision grows by one whenever a turn enters or leaves the waiting list, and at every
// edit, new order, clearing, pause and resume.
type Queue struct {
	Running  string               `json:"running,omitempty"`
	Waiting  []string             `json:"waiting,omitempty"`
	First    int                  `json:"first,omitempty"` // so many at the head start even from a paused queue
	Paused   bool                 `json:"paused,omitempty"`
	Reason   protocol.PauseReason `json:"reason,omitempty"`
	Revision uint64               `json:"revision"`
	Failures int                  `json:"failures,omitempty"` // in a row
}

// Accept decides what becomes of a new turn. On an idle thread it runs at once, also
// where the queue is paused. On a busy one: ErrBusy for reject, queued for enqueue (or
// ErrFull beyond max waiting turns), steered for steer (nothing changes: the input
// belongs to the running turn), and queued at the head for interrupt, where the caller
// cancels the running turn and this one runs next even if the queue is paused.
func (q *Queue) Accept(id string, busy protocol.IfBusy, max int) (protocol.Disposition, error) {
	if q.Running == "" {
		q.Running = id
		return protocol.DispositionStarted, nil
	}
	switch busy {
	case protocol.BusyEnqueue:
		if q.Full(max) {
			return "", ErrFull
		}
		q.insert(len(q.Waiting), id)
		return protocol.DispositionQueued, nil
	case protocol.BusySteer:
		return protocol.DispositionSteered, nil
	case protocol.BusyInterrupt:
		if q.Full(max) {
			return "", ErrFull
		}
		q.insert(0, id)
		q.First++
		return protocol.DispositionQueued, nil
	default:
		return "", ErrBusy
	}
}

// Full reports whether a new turn would have to wait where max turns wait already.
func (q *Queue) Full(max int) bool { return q.Running != "" && len(q.Waiting) >= max }

// PushFirst puts a turn at the head of the queue, for a steer that came too late. On an
// idle thread it runs at once. It knows no maximum: what was accepted must have a place.
func (q *Queue) PushFirst(id string) protocol.Disposition {
	if q.Running == "" {
		q.Running = id
		return protocol.DispositionStarted
	}
	q.insert(q.First, id)
	return protocol.DispositionQueued
}

// insert puts a turn at a place of the list, in a new array: a copy of the queue may
// share the old one.
func (q *Queue) insert(i int, id string) {
	q.Waiting = slices.Insert(slices.Clip(q.Waiting), i, id)
	q.Revision++
}

// End is how a turn ended.
type End struct {
	Status protocol.TurnStatus
	Reason protocol.CancelReason
	// Queue is what an interrupt of the turn asked for, if there was one. Clear and
	// continue outrank the policy.
	Queue protocol.InterruptQueue
}

// After is what the end of a turn does to the queue.
type After struct {
	Cleared []string // these are cancelled with queueCleared
	Paused  bool     // the queue was paused by it
}

// Finish takes the running turn out and applies the policy to what waits. Call Next
// afterwards. A turn that was replaced, or fell to a shutdown or to the end of its thread,
// does not trigger the policy; nor does one where nothing waits. The policy does not clear
// turns that must run next; an interrupt does.
func (q *Queue) Finish(end End, policy protocol.QueuePolicy) After {
	q.Running = ""
	reaction, reason := q.reaction(end, policy)
	if len(q.Waiting) == 0 {
		return After{}
	}
	switch reaction {
	case protocol.QueueClear:
		keep := q.First
		if end.Queue == protocol.InterruptClear {
			keep = 0
		}
		return After{Cleared: q.clearFrom(keep)}
	case protocol.QueuePause:
		if q.Paused {
			return After{}
		}
		q.pause(reason)
		return After{Paused: true}
	default:
		return After{}
	}
}

func (q *Queue) reaction(end End, policy protocol.QueuePolicy) (protocol.QueueReaction, protocol.PauseReason) {
	failed := end.Status == protocol.TurnFailed
	switch {
	case failed:
		q.Failures++
	case end.Status == protocol.TurnCompleted:
		q.Failures = 0
	}
	switch {
	case end.Queue == protocol.InterruptClear:
		return protocol.QueueClear, ""
	case failed && q.Failures >= MaxFailures:
		return protocol.QueuePause, protocol.PauseRepeatedFailure
	case end.Queue == protocol.InterruptContinue:
		return protocol.QueueContinue, ""
	case failed:
		return orPause(policy.OnFailed), protocol.PauseTurnFailed
	case end.Status == protocol.TurnCancelled && !exempt(end.Reason):
		return orPause(policy.OnCancelled), protocol.PauseTurnCancelled
	default:
		return protocol.QueueContinue, ""
	}
}

// exempt reports whether turns that were cancelled for this reason leave the queue alone.
func exempt(r protocol.CancelReason) bool {
	return r == protocol.CancelReplaced || r == protocol.CancelShutdown || r == protocol.CancelThreadEnded
}

func orPause(r protocol.QueueReaction) protocol.QueueReaction {
	if r == "" {
		return protocol.QueuePause
	}
	return r
}

// Next takes the next turn to run out of the queue and makes it the running one. It is
// empty while one runs, nothing waits, or the queue is paused (but for turns that must
// run next).
func (q *Queue) Next() string {
	if q.Running != "" || len(q.Waiting) == 0 || q.Paused && q.First == 0 {
		return ""
	}
	q.Running = q.Waiting[0]
	q.removeAt(0)
	return q.Running
}

// Remove takes a waiting turn out.
func (q *Queue) Remove(id string) error {
	i := slices.Index(q.Waiting, id)
	if i < 0 {
		return ErrNotInQueue
	}
	q.removeAt(i)
	return nil
}

func (q *Queue) removeAt(i int) {
	q.Waiting = slices.Delete(slices.Clone(q.Waiting), i, i+1)
	if i < q.First {
		q.First--
	}
	q.Revision++
}

// Edited counts a change of a waiting turn's input.
func (q *Queue) Edited(id string) error {
	if !slices.Contains(q.Waiting, id) {
		return ErrNotInQueue
	}
	q.Revision++
	return nil
}

// Reorder puts the waiting turns into another order; order must hold each of them once.
// After it none must run next: the order is what was asked for.
func (q *Queue) Reorder(order []string) error {
	a, b := slices.Sorted(slices.Values(order)), slices.Sorted(slices.Values(q.Waiting))
	if !slices.Equal(a, b) {
		return ErrOrder
	}
	q.Waiting = slices.Clone(order)
	q.First = 0
	q.Revision++
	return nil
}

// Clear takes all waiting turns out and returns them in order. It is one change.
func (q *Queue) Clear() []string { return q.clearFrom(0) }

// clearFrom takes the waiting turns out but for so many at the head.
func (q *Queue) clearFrom(keep int) []string {
	if len(q.Waiting) <= keep {
		return nil
	}
	cleared := q.Waiting[keep:]
	q.Waiting = slices.Clip(q.Waiting[:keep])
	q.First = min(q.First, keep)
	q.Revision++
	return cleared
}

// Pause lets nothing start from the queue. It reports whether that is a change.
func (q *Queue) Pause(reason protocol.PauseReason) bool {
	if q.Paused && q.Reason == reason {
		return false
	}
	q.pause(reason)
	return true
}

func (q *Queue) pause(reason protocol.PauseReason) {
	q.Paused, q.Reason = true, reason
	q.Revision++
}

// Resume lets the queue go on and forgets failures. It reports whether that is a change.
// Call Next afterwards.
func (q *Queue) Resume() bool {
	if !q.Paused {
		return false
	}
	q.Paused, q.Reason, q.Failures = false, "", 0
	q.Revision++
	return true
}

// Position returns the place of a waiting turn, 1 for the next, 0 for none.
func (q *Queue) Position(id string) int { return slices.Index(q.Waiting, id) + 1 }

// State returns what events say of the queue.
func (q *Queue) State() *protocol.QueueState {
	return &protocol.QueueState{Revision: q.Revision, Length: len(q.Waiting), Paused: q.Paused}
}
