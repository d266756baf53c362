package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// stopper carries Ctrl-C to the daemon: the first interrupts the turn that is shown, the
// second leaves.
type stopper struct {
	thread *sdk.Thread
	leave  context.CancelCauseFunc
	say    func(string) // tells the user what happens

	mu     sync.Mutex
	turn   string // the one that is shown; empty: not known yet
	wanted bool   // it shall be interrupted
	known  chan struct{}

	done sync.WaitGroup
	end  context.CancelFunc
}

// interruptingNote is said at the first Ctrl-C.
const interruptingNote = "interrupting the turn; Ctrl-C again leaves at once"

func newStopper(ctx context.Context, t *sdk.Thread, ctrlC <-chan os.Signal, leave context.CancelCauseFunc, say func(string)) *stopper {
	ctx, end := context.WithCancel(ctx)
	s := &stopper{thread: t, leave: leave, say: say, known: make(chan struct{}), end: end}
	s.done.Go(func() { s.watch(ctx, ctrlC) })
	return s
}

// seen tells the turn that is shown.
func (s *stopper) seen(turn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turn == "" && turn != "" {
		s.turn = turn
		close(s.known)
	}
}

// wait ends the watching.
func (s *stopper) wait() {
	s.end()
	s.done.Wait()
}

func (s *stopper) watch(ctx context.Context, ctrlC <-chan os.Signal) {
	var known <-chan struct{} // nil until an interrupt waits for the turn
	for {
		select {
		case <-ctx.Done():
			return
		case <-ctrlC:
			if s.wanted {
				s.leave(exitStatus(exitInterrupted))
				return
			}
			s.wanted, known = true, s.known
			s.say(interruptingNote)
		case <-known:
			known = nil
			s.done.Go(func() { s.interrupt(ctx) })
		}
	}
}

// interrupt stops the turn. That it has ended meanwhile is no error; that the daemon
// cannot be asked shows elsewhere.
func (s *stopper) interrupt(ctx context.Context) {
	s.mu.Lock()
	turn := s.turn
	s.mu.Unlock()
	_, _ = s.thread.Interrupt(ctx, &protocol.TurnInterruptParams{TurnID: turn})
}

func newInterrupt(a *app) *cobra.Command {
	var turn, queue string
	cmd := &cobra.Command{
		Use:   "interrupt THREAD",
		Short: "Interrupt the running turn of a thread",
		Long: `Interrupt the running turn of a thread. What the agent said so far is kept. It is safe
to repeat, and no error if nothing runs.

What happens to the turns that wait is up to the thread's queue policy, unless --queue
says otherwise: clear takes them out, continue lets the next one start.`,
		Example: "  spool interrupt last\n  spool interrupt last --queue continue",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if queue != "" {
				if err := oneOf("queue", queue, protocol.InterruptQueue("").Values()); err != nil {
					return err
				}
			}
			return a.withThread(cmd.Context(), args[0], func(ctx context.Context, t *sdk.Thread) error {
				r, err := t.Interrupt(ctx, &protocol.TurnInterruptParams{TurnID: turn, Queue: protocol.InterruptQueue(queue)})
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				_, err = fmt.Fprintln(a.out, describeOutcome(r))
				return err
			})
		},
		ValidArgsFunction: completeThread(a),
	}
	cmd.Flags().StringVar(&turn, "turn", "", "interrupt only if this `TURN` is the one that runs or waits")
	cmd.Flags().StringVar(&queue, "queue", "", "what happens to waiting turns: keep, clear or continue")
	return cmd
}

func describeOutcome(r *protocol.TurnInterruptResult) string {
	switch r.Outcome {
	case protocol.Interrupting:
		return "interrupting " + r.TurnID
	case protocol.AlreadyInterrupting:
		return r.TurnID + " is being interrupted already"
	case protocol.AlreadyTerminal:
		return r.TurnID + " has ended already"
	case protocol.RemovedFromQueue:
		return "took " + r.TurnID + " out of the queue"
	default:
		return "nothing is running"
	}
}
