package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

const attachLong = `Follow a thread live, whoever writes into it, beginning with what is in progress. Each
line that is typed is put into its queue, or run at once if nothing runs. On a terminal
the agent's questions and wishes for permission are asked on the spot; the next line is
the answer then.

Ctrl-C interrupts the running turn; a second one soon after, or one while nothing runs,
leaves. So does the end of the input (Ctrl-D); if the input is no terminal, after the
turns of its lines have ended. Leaving changes nothing on the thread.

With --json every event is printed as the daemon sent it, one a line.`

const attachExample = `  spool attach last
  spool attach last --no-input --json
  spool attach last --after-seq 0 --no-input   # all of it from the beginning, then live
  printf 'First\nSecond\n' | spool attach last`

func newAttach(a *app) *cobra.Command {
	var noInput bool
	var afterSeq int64
	cmd := &cobra.Command{
		Use:     "attach THREAD",
		Short:   "Follow a thread live, and write into it",
		Long:    attachLong,
		Example: attachExample,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts := &sdk.SubscribeOptions{}
			if afterSeq >= 0 {
				seq := uint64(afterSeq)
				opts.AfterSeq = &seq
			}
			if !noInput {
				a.asker = a.newAsker(false)
			}
			return a.withThread(cmd.Context(), args[0], func(ctx context.Context, t *sdk.Thread) error {
				return a.attach(ctx, t, opts, !noInput)
			})
		},
		ValidArgsFunction: completeThread(a),
	}
	cmd.Flags().BoolVar(&noInput, "no-input", false, "only follow; do not read standard input")
	cmd.Flags().Int64Var(&afterSeq, "after-seq", -1, "first replay the events after this `SEQ`; 0 is all of them")
	return cmd
}

// leaveWindow is how soon a second Ctrl-C must follow to leave while a turn runs.
const leaveWindow = 3 * time.Second

// attachment is a thread that somebody sits at.
type attachment struct {
	app    *app
	thread *sdk.Thread
	show   func(sdk.Event)
	script *transcript // nil with --json

	running  string          // the turn that runs
	mine     map[string]bool // turns from this input that have not ended
	echoed   map[string]bool // turns whose text stands on the terminal already
	replayed uint64          // events up to this seq are from before
	open     map[string]bool // items that waited for an answer then
	stopping time.Time       // of the last Ctrl-C that interrupted
}

// happening is the next event of a subscription, or its end.
type happening struct {
	event sdk.Event
	err   error
}

func (a *app) attach(ctx context.Context, t *sdk.Thread, opts *sdk.SubscribeOptions, input bool) error {
	sub, err := t.Listen(ctx, opts)
	if err != nil {
		return err
	}
	defer sub.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &attachment{app: a, thread: t, mine: map[string]bool{}, echoed: map[string]bool{}}
	end := s.printer()
	s.snapshot(sub.Snapshot(), opts.AfterSeq != nil)
	var lines <-chan typed
	if input {
		lines = readLines(ctx, a.in)
	}
	ctrlC := make(chan os.Signal, 2)
	signal.Notify(ctrlC, os.Interrupt)
	defer signal.Stop(ctrlC)
	events := follow(ctx, sub)
	err = s.loop(ctx, events, lines, ctrlC)
	cancel()
	for range events { // until its goroutine has ended
	}
	return errors.Join(err, end())
}

// printer sets how events are shown.
func (s *attachment) printer() (end func() error) {
	if s.app.json {
		s.show, _, end = s.app.printer()
		return end
	}
	s.script = s.app.newTranscript()
	s.app.asker.beside(s.script)
	s.script.spin.on = false // it would get between what is typed
	s.show = s.script.event
	return s.script.end
}

// follow gives out the events of a subscription until ctx ends.
func follow(ctx context.Context, sub *sdk.Subscription) <-chan happening {
	events := make(chan happening)
	go func() {
		defer close(events)
		for ev, err := range sub.Events(ctx) {
			select {
			case events <- happening{ev, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return events
}

// typed is a line of the input, or why there are no more.
type typed struct {
	line string
	err  error
}

// readLines gives out the lines of the input. Its goroutine may wait in a read until the
// process ends.
func readLines(ctx context.Context, in io.Reader) <-chan typed {
	lines := make(chan typed)
	give := func(t typed) {
		select {
		case lines <- t:
		case <-ctx.Done():
		}
	}
	go func() {
		defer close(lines)
		s := bufio.NewScanner(in)
		s.Buffer(nil, maxStdin)
		for ctx.Err() == nil && s.Scan() {
			if line := s.Text(); strings.TrimSpace(line) != "" {
				give(typed{line: line})
			}
		}
		if errors.Is(s.Err(), bufio.ErrTooLong) {
			give(typed{err: fmt.Errorf("a line on standard input is longer than %s", size(maxStdin))})
		}
	}()
	return lines
}

// loop handles what happens until there is nothing more to wait for.
func (s *attachment) loop(ctx context.Context, events <-chan happening, lines <-chan typed, ctrlC <-chan os.Signal) error {
	ended := false // the input
	for {
		if ended && (isTerminal(s.app.in) || len(s.mine) == 0) {
			return nil
		}
		select {
		case h, ok := <-events:
			if !ok || h.err != nil {
				return h.err
			}
			if s.handle(h.event) {
				return nil
			}
		case in, ok := <-lines:
			if !ok {
				ended, lines = true, nil
			} else if in.err != nil {
				return in.err
			} else if s.app.asker.offer(in.line) {
				continue
			} else if err := s.enqueue(ctx, in.line); err != nil {
				return err
			}
		case <-ctrlC:
			if s.running == "" || time.Since(s.stopping) < leaveWindow {
				return exitStatus(exitInterrupted)
			}
			s.stopping = time.Now()
			if s.script != nil {
				s.script.remark(interruptingNote)
			}
			if _, err := s.thread.Interrupt(ctx, &protocol.TurnInterruptParams{TurnID: s.running}); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// snapshot shows what is in progress, unless a replay will.
func (s *attachment) snapshot(snap protocol.ThreadSnapshot, replay bool) {
	s.replayed, s.open = snap.HeadSeq, map[string]bool{}
	for _, it := range snap.Pending {
		s.open[it.ID] = true
	}
	if snap.ActiveTurn == nil || replay {
		return
	}
	s.running = snap.ActiveTurn.ID
	for _, it := range snap.ActiveTurn.Items {
		kind := sdk.EventItemUpdated
		switch {
		case it.Status != protocol.ItemInProgress:
			kind = sdk.EventItemCompleted
		case it.Type == protocol.ItemApproval:
			kind = sdk.EventApprovalRequested
		case it.Type == protocol.ItemQuestion:
			kind = sdk.EventQuestionRequested
		}
		s.handle(sdk.Event{Type: kind, TurnID: it.TurnID, ItemID: it.ID, Item: &it})
	}
}

// handle shows an event and reports whether it is the last of the thread.
func (s *attachment) handle(ev sdk.Event) (last bool) {
	if s.script != nil && ev.Type == sdk.EventItemCompleted && ev.Item != nil && ev.Item.Type == protocol.ItemUserMessage && !s.echoed[ev.TurnID] {
		s.script.said(ev.Item)
	}
	if asks(ev) && ev.Seq > 0 && ev.Seq <= s.replayed && !s.open[ev.Item.ID] {
		ev.Item = nil // it was answered long ago
	}
	s.show(ev)
	switch {
	case ev.Type == sdk.EventTurnStarted:
		s.running = ev.TurnID
	case ev.Terminal():
		delete(s.mine, ev.TurnID)
		delete(s.echoed, ev.TurnID)
		if s.running == ev.TurnID {
			s.running = ""
		}
		if s.script != nil && ev.Turn != nil && ev.Err() != nil {
			s.script.remark("turn " + describeEnd(ev.Turn))
		}
	case ev.Type == sdk.EventThreadEnded, ev.Type == sdk.EventThreadDeleted:
		if s.script != nil {
			s.script.remark(strings.ReplaceAll(string(ev.Type), "_", " "))
		}
		return true
	}
	return false
}

// enqueue gives a line to the agent. That the daemon refuses it does not end the
// attachment.
func (s *attachment) enqueue(ctx context.Context, line string) error {
	text, err := checkText(line)
	if err != nil {
		return err
	}
	r, err := s.thread.Enqueue(ctx, sdk.Text(text), nil)
	if _, refused := errors.AsType[*protocol.Error](err); refused {
		s.app.printError(fmt.Errorf("the line was not accepted: %w", err))
		return nil
	}
	if err != nil {
		return err
	}
	s.mine[r.TurnID] = true
	switch {
	case r.Disposition == protocol.DispositionStarted:
		s.echoed[r.TurnID] = isTerminal(s.app.in)
	case s.script != nil:
		s.script.remark(fmt.Sprintf("waiting, position %d", r.Turn.Position))
	}
	return nil
}
