package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/protocol"
)

func newApprovalsRules(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "List what is always accepted",
		Long: `List what is always accepted: what spool approvals accept --always left behind. Elsewhere
than on a terminal the columns are separated by tabs: id, agent, what, time.`,
		Example: "  spool approvals rules\n  spool approvals rules remove 01JD3Z",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, s *session) error {
				rules, err := rulesOf(ctx, s)
				if err != nil {
					return err
				}
				return a.listRules(rules)
			})
		},
	}
	cmd.AddCommand(newApprovalsRulesRemove(a))
	return cmd
}

func rulesOf(ctx context.Context, s *session) ([]protocol.ApprovalRule, error) {
	rules := []protocol.ApprovalRule{}
	for r, err := range s.Rules().List(ctx) {
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func (a *app) listRules(rules []protocol.ApprovalRule) error {
	if a.json {
		return a.printJSON(protocol.ApprovalRulesListResult{Data: rules})
	}
	if len(rules) == 0 {
		if isTerminal(a.out) {
			fmt.Fprintln(a.out, "nothing is always accepted")
		}
		return nil
	}
	rows := make([][]string, len(rules))
	for i, r := range rules {
		rows[i] = []string{r.ID, r.Agent, oneLine(r.ScopeKey, 80), a.moment(r.CreatedAt)}
	}
	return a.table([]string{"RULE", "AGENT", "ACCEPTS", "AGE"}, rows)
}

func newApprovalsRulesRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "remove RULE",
		Aliases: []string{"rm"},
		Short:   "Let an agent ask again",
		Long:    "Let an agent ask again for what was always accepted. RULE is an id as spool approvals\nrules lists it, or the beginning or end of one.",
		Example: "  spool approvals rules remove 01JD3Z",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, s *session) error {
				return a.removeRule(ctx, s, args[0])
			})
		},
	}
}

func (a *app) removeRule(ctx context.Context, s *session, name string) error {
	rules, err := rulesOf(ctx, s)
	if err != nil {
		return err
	}
	var found []string
	for _, r := range rules {
		if name != "" && fitsID(r.ID, name) {
			found = append(found, r.ID)
		}
	}
	id, err := only("rule", name, found, protocol.CodeItemNotFound)
	if err != nil {
		return err
	}
	removed, err := s.Rules().Remove(ctx, id)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(protocol.RemovedResult{Removed: removed})
	}
	_, err = fmt.Fprintf(a.out, "%s\tremoved\n", id)
	return err
}
