package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// threadChange is a command that changes the state of whole threads.
type threadChange struct {
	name, short, long string
	done              string // what is said of a thread that was changed
	whileBusy         bool   // it has --if-busy
	confirm           bool
	do                func(ctx context.Context, t *sdk.Thread, p *protocol.ThreadChangeParams) (*protocol.Thread, error)
}

var threadChanges = []threadChange{
	{
		name: "pause", short: "Stop starting turns on threads", done: "paused", whileBusy: true,
		long: "Stop starting turns on threads, until spool threads resume.",
		do: func(ctx context.Context, t *sdk.Thread, p *protocol.ThreadChangeParams) (*protocol.Thread, error) {
			return t.Pause(ctx, p)
		},
	},
	{
		name: "archive", short: "Put threads away", done: "archived", whileBusy: true,
		long: "Put threads away. They keep all they hold and are left out of lists; spool threads\nunarchive brings them back.",
		do: func(ctx context.Context, t *sdk.Thread, p *protocol.ThreadChangeParams) (*protocol.Thread, error) {
			return t.Archive(ctx, p)
		},
	},
	{
		name: "unarchive", short: "Bring archived threads back", done: "active",
		long: "Bring archived threads back.",
		do: func(ctx context.Context, t *sdk.Thread, p *protocol.ThreadChangeParams) (*protocol.Thread, error) {
			return t.Unarchive(ctx, p)
		},
	},
	{
		name: "end", short: "Make threads final", done: "ended", whileBusy: true,
		long: "Make threads final. They stay readable, and nothing brings them back to life; fork one\nto go on from it. Ending a thread again is no error.",
		do: func(ctx context.Context, t *sdk.Thread, p *protocol.ThreadChangeParams) (*protocol.Thread, error) {
			return t.End(ctx, p)
		},
	},
	{
		name: "delete", short: "Remove threads and all they hold", done: "deleted", whileBusy: true, confirm: true,
		long: "Remove threads and all they hold. This cannot be undone; on a terminal you are asked\nfirst, elsewhere --yes is required.",
		do: func(ctx context.Context, t *sdk.Thread, p *protocol.ThreadChangeParams) (*protocol.Thread, error) {
			return nil, t.Delete(ctx, p)
		},
	},
}

func newThreadsChanges(a *app) []*cobra.Command {
	cmds := []*cobra.Command{newThreadsResume(a)}
	for _, c := range threadChanges {
		cmds = append(cmds, newThreadChange(a, c))
	}
	return cmds
}

func newThreadChange(a *app, c threadChange) *cobra.Command {
	var busy, reason string
	var yes bool
	cmd := &cobra.Command{
		Use: c.name + " THREAD...", Short: c.short, Long: c.long,
		Example: fmt.Sprintf("  spool threads %s last", c.name),
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			params := &protocol.ThreadChangeParams{Reason: reason}
			if c.whileBusy {
				if err := oneOf(ifBusy, busy, protocol.BusyThread("").Values()); err != nil {
					return err
				}
				params.IfBusy = protocol.BusyThread(busy)
			}
			return a.eachThread(cmd.Context(), args, func(ctx context.Context, t *sdk.Thread) error {
				if c.confirm && !yes {
					if err := a.confirm(fmt.Sprintf("Delete thread %s and all it holds?", t.ID())); err != nil {
						return err
					}
				}
				thread, err := c.do(ctx, t, params)
				if err != nil {
					return err
				}
				if thread == nil {
					return a.deleted(t.ID())
				}
				return a.changed(thread, describeChange(thread, c.done))
			})
		},
		ValidArgsFunction: completeThread(a),
	}
	if c.whileBusy {
		cmd.Example += fmt.Sprintf("\n  spool threads %s 01JD3Z --if-busy interrupt", c.name)
		busyFlag(cmd, &busy, protocol.BusyThread("").Values(), "reject, interrupt it, or act afterTurn")
		cmd.Flags().StringVar(&reason, "reason", "", "why, for those who look later")
	}
	if c.confirm {
		cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	}
	return cmd
}

// describeChange says what became of a thread; with afterTurn that is still to come.
func describeChange(t *protocol.Thread, done string) string {
	if string(t.Status) != done {
		return fmt.Sprintf("%s, will be %s after the running turn", t.Status, done)
	}
	return done
}

func (a *app) deleted(id string) error {
	if a.json {
		return a.printJSON(protocol.ThreadDeleteResult{Deleted: true})
	}
	_, err := fmt.Fprintf(a.out, "%s\tdeleted\n", id)
	return err
}

// eachThread does something to each of the named threads, also where one fails. All names
// are looked up first.
func (a *app) eachThread(ctx context.Context, names []string, do func(context.Context, *sdk.Thread) error) error {
	return a.with(ctx, func(ctx context.Context, s *session) error {
		threads := make([]*sdk.Thread, len(names))
		for i, name := range names {
			id, err := resolveThread(ctx, s.Client, name)
			if err != nil {
				return err
			}
			threads[i] = s.Threads().Get(id)
		}
		var failed []error
		for _, t := range threads {
			if err := do(ctx, t); err != nil {
				if len(threads) > 1 {
					err = fmt.Errorf("%s: %w", t.ID(), err)
				}
				failed = append(failed, err)
			}
		}
		return errors.Join(failed...)
	})
}

// confirm asks the user. Where nobody can be asked it refuses.
func (a *app) confirm(question string) error {
	if !isTerminal(a.in) || !isTerminal(a.err) {
		return usagef("this cannot be undone; repeat with --yes if you are sure")
	}
	fmt.Fprintf(a.err, "%s [y/N] ", question)
	answer, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil || !strings.EqualFold(strings.TrimSpace(answer), "y") {
		return errors.New("nothing was done")
	}
	return nil
}

func newThreadsResume(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "resume THREAD...",
		Short:   "Let paused threads go on",
		Long:    "Let paused threads go on. A queue that is paused by itself goes on with spool queue\nresume.",
		Example: "  spool threads resume last",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, s *session) error {
				for _, name := range args {
					id, err := resolveThread(ctx, s.Client, name)
					if err != nil {
						return err
					}
					_, snap, err := s.Threads().Resume(ctx, &protocol.ThreadResumeParams{ThreadID: id})
					if err != nil {
						return err
					}
					if err := a.changed(&snap.Thread, string(snap.Thread.Status)); err != nil {
						return err
					}
				}
				return nil
			})
		},
		ValidArgsFunction: completeThread(a),
	}
}
