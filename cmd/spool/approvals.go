package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

func newApprovals(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "approvals",
		Aliases: []string{"approval"},
		Short:   "See and answer what agents ask permission for",
		Long: `See and answer what agents ask permission for. A turn that asks waits until somebody
answers, also over days and without any client, unless its thread's config says otherwise.
The first answer counts. On a terminal spool run and spool attach ask on the spot.

An approval is named by its id, by the beginning or end of it as long as that fits one
only, or by "last" for the newest that is open.`,
		Example: `  spool approvals list
  spool approvals accept last
  spool approvals decline 01JD3Z --note "not on a Friday"
  spool approvals rules`,
	}
	group(a, cmd)
	cmd.AddCommand(newApprovalsList(a), newApprovalsAccept(a), newApprovalsDecline(a), newApprovalsRules(a))
	return cmd
}

func newApprovalsList(a *app) *cobra.Command {
	var thread string
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List open approvals",
		Long: `List open approvals, the oldest first. Elsewhere than on a terminal the columns are
separated by tabs: id, thread, time, kind, operation.`,
		Example: "  spool approvals list\n  spool approvals list --json | jq -r '.data[].item.approvalId'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, s *session) error {
				source := s.Approvals()
				if thread != "" {
					id, err := resolveThread(ctx, s.Client, thread)
					if err != nil {
						return err
					}
					source = s.Threads().Get(id).Approvals()
				}
				open := []protocol.PendingItem{}
				for p, err := range source.List(ctx) {
					if err != nil {
						return err
					}
					open = append(open, p)
				}
				return a.listApprovals(open)
			})
		},
	}
	cmd.Flags().StringVarP(&thread, "thread", "t", "", "only those of this `THREAD`")
	completeThreadFlag(a, cmd, "thread")
	return cmd
}

func (a *app) listApprovals(open []protocol.PendingItem) error {
	if a.json {
		return a.printJSON(protocol.PendingListResult{Data: open})
	}
	if len(open) == 0 {
		if isTerminal(a.out) {
			fmt.Fprintln(a.out, "no approval is open")
		}
		return nil
	}
	rows := make([][]string, len(open))
	for i, p := range open {
		it := p.Item
		rows[i] = []string{it.ApprovalID, p.ThreadID, a.moment(it.CreatedAt), it.Kind, oneLine(it.Operation, 80)}
	}
	return a.table([]string{"APPROVAL", "THREAD", "AGE", "KIND", "OPERATION"}, rows)
}

// moment writes a time as its age on a terminal, elsewhere as it is.
func (a *app) moment(t protocol.Time) string {
	if isTerminal(a.out) {
		return ago(t, time.Now())
	}
	return t.String()
}

func newApprovalsAccept(a *app) *cobra.Command {
	var forThread, always bool
	var note string
	cmd := &cobra.Command{
		Use:   "accept APPROVAL",
		Short: "Let an agent do what it asks for",
		Long: `Let an agent do what it asks for: once, or with --for-thread whenever it asks for the
same on that thread, or with --always on every thread of that agent, until spool
approvals rules remove. What counts as the same is up to the agent.`,
		Example: "  spool approvals accept last\n  spool approvals accept 01JD3Z --for-thread --note \"the build folder only\"",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			decision := protocol.DecisionAccept
			switch {
			case forThread && always:
				return usagef("--for-thread and --always exclude each other")
			case forThread:
				decision = protocol.DecisionAcceptForThread
			case always:
				decision = protocol.DecisionAcceptAlways
			}
			return a.answerApproval(cmd.Context(), args[0], decision, note)
		},
		ValidArgsFunction: completeApproval(a),
	}
	cmd.Flags().BoolVar(&forThread, "for-thread", false, "also whenever it asks for the same on this thread")
	cmd.Flags().BoolVar(&always, "always", false, "also whenever it asks for the same on any thread")
	cmd.Flags().StringVar(&note, "note", "", "a text that is kept with the answer")
	return cmd
}

func newApprovalsDecline(a *app) *cobra.Command {
	var cancel bool
	var note string
	cmd := &cobra.Command{
		Use:     "decline APPROVAL",
		Short:   "Forbid an agent what it asks for",
		Long:    "Forbid an agent what it asks for. The turn goes on without it, or with --cancel ends.",
		Example: "  spool approvals decline last\n  spool approvals decline last --cancel",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			decision := protocol.DecisionDecline
			if cancel {
				decision = protocol.DecisionCancel
			}
			return a.answerApproval(cmd.Context(), args[0], decision, note)
		},
		ValidArgsFunction: completeApproval(a),
	}
	cmd.Flags().BoolVar(&cancel, "cancel", false, "also cancel the turn")
	cmd.Flags().StringVar(&note, "note", "", "a text that is kept with the answer")
	return cmd
}

func (a *app) answerApproval(ctx context.Context, name string, decision protocol.Decision, note string) error {
	return a.with(ctx, func(ctx context.Context, s *session) error {
		id, err := resolveApproval(ctx, s.Client, name)
		if err != nil {
			return err
		}
		item, err := s.Approvals().Respond(ctx, id, decision, note)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(protocol.ItemResult{Item: *item})
		}
		_, err = fmt.Fprintf(a.out, "%s\t%s\n", id, item.Decision)
		return err
	})
}

// resolveApproval returns the id of the approval that a user means: a whole id, "last", or
// the beginning or end of the id of one that is open.
func resolveApproval(ctx context.Context, c *sdk.Client, name string) (string, error) {
	if protocol.ValidID(protocol.PrefixApproval, name) {
		return name, nil
	}
	if name == "" {
		return "", usagef("the name of an approval is empty")
	}
	var found []string
	newest := ""
	for p, err := range c.Approvals().List(ctx) {
		if err != nil {
			return "", err
		}
		newest = p.Item.ApprovalID
		if fitsID(newest, name) {
			found = append(found, newest)
		}
	}
	switch {
	case name != lastThread:
		return only("open approval", name, found, protocol.CodeItemNotFound)
	case newest == "":
		return "", protocol.Errorf(protocol.CodeItemNotFound, "no approval is open")
	default:
		return newest, nil
	}
}

// completeApproval offers the ids of open approvals as the first argument.
func completeApproval(a *app) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completePatience)
		defer cancel()
		a.noStart = true
		ids := []cobra.Completion{cobra.CompletionWithDesc(lastThread, "the newest that is open")}
		_ = a.with(ctx, func(ctx context.Context, s *session) error {
			for p, err := range s.Approvals().List(ctx) {
				if err != nil {
					return err
				}
				ids = append(ids, cobra.CompletionWithDesc(p.Item.ApprovalID, oneLine(p.Item.Kind+": "+p.Item.Operation, 60)))
			}
			return nil
		})
		return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}
