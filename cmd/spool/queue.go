package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

func newQueue(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "See and edit what waits on a thread",
		Long: `See and edit what waits on a thread. Turns run one after another, in the order of the
queue. A turn is named by its position, by its id, or by at least four letters of its
beginning or end.

After a turn that failed or was cancelled the queue is paused, unless the thread's queue
policy says otherwise, and after a crash that cut a turn short. spool queue resume lets
it go on.`,
		Example: `  spool queue add last "Then write tests"
  spool queue list last
  spool queue move last 3 1
  spool queue remove last 2`,
	}
	group(a, cmd)
	cmd.AddCommand(newQueueList(a), newQueueAdd(a), newQueueEdit(a), newQueueRemove(a), newQueueMove(a), newQueueClear(a),
		newQueueSwitch(a, "pause", "Let nothing start from the queue", "paused", sdk.Queue.Pause),
		newQueueSwitch(a, "resume", "Let the queue go on", "resumed", sdk.Queue.Resume))
	return cmd
}

func newQueueList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list THREAD",
		Aliases: []string{"ls"},
		Short:   "List the turns that wait",
		Long: `List the turns that wait, the next one first. Elsewhere than on a terminal the columns
are separated by tabs: position, id, text.`,
		Example: "  spool queue list last\n  spool queue list last --json | jq -r '.turns[].id'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withThread(cmd.Context(), args[0], func(ctx context.Context, t *sdk.Thread) error {
				q, err := t.Queue().List(ctx)
				if err != nil {
					return err
				}
				return a.showQueue(q)
			})
		},
		ValidArgsFunction: completeThread(a),
	}
}

func (a *app) showQueue(q *protocol.QueueListResult) error {
	if a.json {
		return a.printJSON(q)
	}
	rows := make([][]string, len(q.Turns))
	for i, t := range q.Turns {
		rows[i] = []string{strconv.Itoa(t.Position), t.ID, oneLine(inputText(t.Input), 60)}
	}
	if q.Paused {
		fmt.Fprintf(a.err, "the queue is paused (%s); let it go on with spool queue resume\n", q.PauseReason)
	}
	if len(rows) == 0 {
		if isTerminal(a.out) {
			fmt.Fprintln(a.out, "nothing waits")
		}
		return nil
	}
	return a.table([]string{"#", "TURN", "TEXT"}, rows)
}

func newQueueAdd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "add THREAD TEXT...|-",
		Short:   "Put a text to the end of the queue",
		Long:    "Put a text to the end of the queue, or run it at once if nothing runs. It does not wait\nfor the answer; spool attach shows it.",
		Example: "  spool queue add last \"Then write tests\"\n  spool queue add last - < plan.md",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.readText(args[1:])
			if err != nil {
				return err
			}
			return a.withThread(cmd.Context(), args[0], func(ctx context.Context, t *sdk.Thread) error {
				return a.runDetached(ctx, t, text, &sdk.RunOptions{IfBusy: protocol.BusyEnqueue})
			})
		},
		ValidArgsFunction: completeThread(a),
	}
}

func newQueueEdit(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "edit THREAD TURN TEXT...|-",
		Short:   "Change the text of a turn that waits",
		Long:    "Change the text of a turn that waits. It keeps its place and its id.",
		Example: "  spool queue edit last 1 \"Write tests first\"",
		Args:    cobra.MinimumNArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.readText(args[2:])
			if err != nil {
				return err
			}
			return a.editQueue(cmd.Context(), args[0], args[1], func(ctx context.Context, q sdk.Queue, now *protocol.QueueListResult, id string) (uint64, error) {
				return q.Update(ctx, id, sdk.Text(text), now.Revision)
			})
		},
		ValidArgsFunction: completeThread(a),
	}
}

func newQueueRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "remove THREAD TURN",
		Aliases: []string{"rm"},
		Short:   "Take a turn out of the queue",
		Long:    "Take a turn out of the queue. It becomes a cancelled turn of the thread. One that runs\nalready stays; spool interrupt stops it.",
		Example: "  spool queue remove last 2",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.editQueue(cmd.Context(), args[0], args[1], func(ctx context.Context, q sdk.Queue, now *protocol.QueueListResult, id string) (uint64, error) {
				return q.Remove(ctx, id, now.Revision)
			})
		},
		ValidArgsFunction: completeThread(a),
	}
}

func newQueueMove(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "move THREAD TURN POSITION",
		Aliases: []string{"mv"},
		Short:   "Put a turn to another place in the queue",
		Long:    "Put a turn to another place in the queue; 1 is next. A position behind the last counts\nas the last.",
		Example: "  spool queue move last 3 1",
		Args:    cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			position, err := strconv.Atoi(args[2])
			if err != nil || position < 1 {
				return usagef("POSITION must be a number from 1 on, not %q", args[2])
			}
			return a.editQueue(cmd.Context(), args[0], args[1], func(ctx context.Context, q sdk.Queue, now *protocol.QueueListResult, id string) (uint64, error) {
				order, err := moved(now.Turns, id, position)
				if err != nil {
					return 0, err
				}
				return q.Reorder(ctx, order, now.Revision)
			})
		},
		ValidArgsFunction: completeThread(a),
	}
}

// moved returns the ids of the queue with one of them at a position from 1 on.
func moved(queue []protocol.Turn, id string, position int) ([]string, error) {
	var order []string
	for _, t := range queue {
		if t.ID != id {
			order = append(order, t.ID)
		}
	}
	if len(order) == len(queue) {
		return nil, protocol.Errorf(protocol.CodeTurnNotFound, "turn %s is not waiting", id)
	}
	return slices.Insert(order, min(position-1, len(order)), id), nil
}

func newQueueClear(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "clear THREAD",
		Short:   "Take all turns out of the queue",
		Long:    "Take all turns out of the queue. They become cancelled turns of the thread.",
		Example: "  spool queue clear last",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.editQueue(cmd.Context(), args[0], "", func(ctx context.Context, q sdk.Queue, now *protocol.QueueListResult, _ string) (uint64, error) {
				return q.Clear(ctx, now.Revision)
			})
		},
		ValidArgsFunction: completeThread(a),
	}
}

func newQueueSwitch(a *app, name, short, done string, do func(sdk.Queue, context.Context) (uint64, error)) *cobra.Command {
	return &cobra.Command{
		Use:     name + " THREAD",
		Short:   short,
		Long:    short + ". This is about the queue only: a text that is given to an idle\nthread with spool run runs at once. See spool threads pause for the whole thread.",
		Example: fmt.Sprintf("  spool queue %s last", name),
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withThread(cmd.Context(), args[0], func(ctx context.Context, t *sdk.Thread) error {
				revision, err := do(t.Queue(), ctx)
				if err != nil {
					return err
				}
				return a.queueDone(done, revision)
			})
		},
		ValidArgsFunction: completeThread(a),
	}
}

// queueDone prints that the queue was changed.
func (a *app) queueDone(done string, revision uint64) error {
	if a.json {
		return a.printJSON(protocol.QueueResult{Revision: revision})
	}
	_, err := fmt.Fprintln(a.out, done)
	return err
}

// editAttempts bounds how often an edit is made anew because the queue changed between
// looking and editing.
const editAttempts = 5

// queueEdit changes a queue that was looked at; id is the turn that the user named.
type queueEdit func(ctx context.Context, q sdk.Queue, now *protocol.QueueListResult, id string) (revision uint64, err error)

// editQueue looks at the queue and edits it. Where somebody else was faster it looks again;
// the turn stays the one that the name meant at first. An empty turn names none.
func (a *app) editQueue(ctx context.Context, thread, turn string, edit queueEdit) error {
	return a.withThread(ctx, thread, func(ctx context.Context, t *sdk.Thread) error {
		id := ""
		for attempt := 1; ; attempt++ {
			now, err := t.Queue().List(ctx)
			if err != nil {
				return err
			}
			if turn != "" && id == "" {
				if id, err = resolveTurn(now.Turns, turn); err != nil {
					return err
				}
			}
			revision, err := edit(ctx, t.Queue(), now, id)
			if err == nil {
				return a.queueDone("done", revision)
			}
			wire, ok := errors.AsType[*protocol.Error](err)
			if !ok || wire.Code != protocol.CodeConflict || wire.Data.Turn != nil || attempt == editAttempts {
				return err
			}
		}
	})
}
