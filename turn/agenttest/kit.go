package agenttest

import (
	"cmp"
	"testing"
	"time"

	"github.com/spoolhq/spool/turn"
)

// Cases are the inputs with which [Run] tries an agent, and what it is to do with them. Says
// is required; what an agent cannot do is left out and not tried.
type Cases struct {
	// Says makes the agent answer with text. It must work any number of times, also at the
	// same time.
	Says turn.Input
	// Text is that answer, as in Turn.Text; empty: any text.
	Text string
	// Works makes the agent say some text and then work until it is stopped.
	Works turn.Input
	// Fails makes the agent fail the turn.
	Fails turn.Input
	// Steers makes the agent take at least one message that is steered in before it ends.
	Steers turn.Input
	// Steer is that message; "go on" if empty.
	Steer string
	// Approves, Asks and Calls make the agent ask for approval, ask the user, and call a
	// tool, and complete the turn whatever the answer is.
	Approves, Asks, Calls turn.Input
	// Within is how soon the agent returns when its context ends; one second if zero. As any
	// program can be held up, an agent that is late has some more attempts.
	Within time.Duration
	// Idle, if set, closes what the agent keeps from turn to turn, such as connections that
	// are not in use. It is called before each look for goroutines that were left behind.
	Idle func()
}

// Run tests that an agent keeps the promises of [turn.Agent]: it returns soon when its
// context ends and keeps what it said until then, leaves no goroutine behind, says nothing
// after its end, streams exactly the text that it says in the end, bears steered messages,
// refusals and errors of what it asks, and runs turns at the same time that do not touch
// each other. Each test opens an agent of its own; use t.Cleanup of what open is given to
// close it.
func Run(t *testing.T, open func(t testing.TB) turn.Agent, c Cases) {
	c.Within = cmp.Or(c.Within, time.Second)
	c.Steer = cmp.Or(c.Steer, "go on")
	for _, p := range promises {
		t.Run(p.name, func(t *testing.T) {
			k := &kit{T: t, Cases: c, agent: open(t)}
			k.watch()
			p.run(k)
		})
	}
}

type promise struct {
	name string
	run  func(k *kit)
}

var promises = []promise{
	{"the text is what was streamed", says},
	{"whoever takes the text is slow", saysSlowly},
	{"many turns run at once", concurrent},
	{"a context that has ended ends the turn", endedBefore},
	{"an interrupt ends the turn and keeps the text", interrupted},
	{"an interrupt while others go on", interruptedAlone},
	{"a time limit ends the turn", timedOut},
	{"a turn that fails says why", fails},
	{"a history that cannot be read fails the turn", noHistory},
	{"messages that are steered in do no harm", steeredAnyway},
	{"a message that is steered in is taken", steers},
	{"a wait for messages ends with the context", steersNever},
	{"an approval is refused", approvalRefused},
	{"an approval is given", approvalGiven},
	{"nobody answers a question", questionUnanswered},
	{"a question is answered", questionAnswered},
	{"a call fails", callFails},
	{"a call succeeds", callSucceeds},
	{"an error of what is asked ends the turn", askingFails},
	{"a wait for an answer ends with the context", askingHangs},
}
