package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

func newThreadsReset(a *app) *cobra.Command {
	var busy string
	var keepQueue, yes bool
	cmd := &cobra.Command{
		Use:   "reset THREAD",
		Short: "Remove all turns of a thread",
		Long: `Remove all turns of a thread, for its user and for the agent. The thread keeps its id,
owner, config and metadata. This cannot be undone; on a terminal you are asked first,
elsewhere --yes is required.`,
		Example: "  spool threads reset last\n  spool threads reset last --yes --if-busy interrupt --keep-queue",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf(ifBusy, busy, protocol.BusyThread("").Values()); err != nil {
				return err
			}
			params := &protocol.ThreadResetParams{IfBusy: protocol.BusyThread(busy), Queue: protocol.ResetQueueClear}
			if keepQueue {
				params.Queue = protocol.ResetQueueKeep
			}
			return a.withThread(cmd.Context(), args[0], func(ctx context.Context, t *sdk.Thread) error {
				if !yes {
					if err := a.confirm(fmt.Sprintf("Remove all turns of thread %s?", t.ID())); err != nil {
						return err
					}
				}
				r, err := t.Reset(ctx, params)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				_, err = fmt.Fprintf(a.out, "%s\tremoved %d turns\n", t.ID(), r.RemovedTurns)
				return err
			})
		},
		ValidArgsFunction: completeThread(a),
	}
	f := cmd.Flags()
	busyFlag(cmd, &busy, protocol.BusyThread("").Values(), "reject, interrupt it, or act afterTurn")
	f.BoolVar(&keepQueue, "keep-queue", false, "keep the turns that wait")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func newThreadsRollback(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "rollback THREAD N",
		Short:   "Remove the newest N turns of a thread",
		Long:    "Remove the newest N turns of a thread on which no turn is running, for its user and for\nthe agent.",
		Example: "  spool threads rollback last 1",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil || n < 1 {
				return usagef("N must be a number from 1 on, not %q", args[1])
			}
			return a.withThread(cmd.Context(), args[0], func(ctx context.Context, t *sdk.Thread) error {
				thread, err := t.Rollback(ctx, n)
				if err != nil {
					return err
				}
				return a.changed(thread, fmt.Sprintf("rolled back %d turns", n))
			})
		},
		ValidArgsFunction: completeThread(a),
	}
}
