package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

func newThreads(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "threads",
		Aliases: []string{"thread"},
		Short:   "List, show and change threads",
		Long: `List, show and change threads. A thread is a conversation with one agent. It is active
until it is paused, archived (put away, and back with unarchive) or ended (final, still
readable); deleting it removes all it holds.`,
		Example: `  spool threads list
  spool threads show last
  spool threads archive 01JD3Z
  spool threads export last -o talk.jsonl`,
	}
	group(a, cmd)
	cmd.AddCommand(newThreadsList(a), newThreadsShow(a), newThreadsRename(a))
	cmd.AddCommand(newThreadsChanges(a)...)
	cmd.AddCommand(newThreadsReset(a), newThreadsRollback(a), newThreadsFork(a), newThreadsExport(a), newThreadsImport(a))
	return cmd
}

// listOptions are the flags of spool threads list.
type listOptions struct {
	all                bool
	status             []string
	agent, query, sort string
	limit              int
}

func newThreadsList(a *app) *cobra.Command {
	var o listOptions
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List threads, the latest first",
		Long: `List threads, the latest first. Without --all or --status it leaves out those that are
archived or ended.

On a terminal it is a table; elsewhere the columns are separated by tabs and there is
no headline: id, status, agent, time of the last change, what it does, title.`,
		Example: `  spool threads list --all
  spool threads list --query invoice --agent writer
  spool threads list --json | jq -r '.data[].id'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			params, err := o.params()
			if err != nil {
				return err
			}
			return a.with(cmd.Context(), func(ctx context.Context, s *session) error {
				threads := []protocol.Thread{}
				for t, err := range s.Threads().List(ctx, params) {
					if err != nil {
						return err
					}
					if threads = append(threads, t); o.limit > 0 && len(threads) == o.limit {
						break
					}
				}
				return a.listThreads(threads)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.all, "all", "a", false, "also those that are archived or ended")
	f.StringSliceVar(&o.status, "status", nil, "only those that are active, paused, archived or ended; repeatable")
	f.StringVar(&o.agent, "agent", "", "only those of the agent `NAME`")
	f.StringVar(&o.query, "query", "", "only those with this `TEXT` in title or preview")
	f.StringVar(&o.sort, "sort", "updated", "order: updated or created")
	f.IntVarP(&o.limit, "limit", "n", 0, "no more than `N`; 0 is all")
	return cmd
}

func (o listOptions) params() (*protocol.ThreadListParams, error) {
	if err := oneOf("sort", o.sort, protocol.ThreadSort("").Values()); err != nil {
		return nil, err
	}
	p := &protocol.ThreadListParams{Agent: o.agent, Query: o.query, Sort: protocol.ThreadSort(o.sort), Paging: protocol.Paging{Limit: 200}}
	if o.limit > 0 {
		p.Limit = min(o.limit, p.Limit)
	}
	for _, s := range o.status {
		if err := oneOf("status", s, protocol.ThreadStatus("").Values()); err != nil {
			return nil, err
		}
		p.Status = append(p.Status, protocol.ThreadStatus(s))
	}
	if !o.all && len(p.Status) == 0 {
		p.Status = []protocol.ThreadStatus{protocol.StatusActive, protocol.StatusPaused}
	}
	return p, nil
}

func (a *app) listThreads(threads []protocol.Thread) error {
	if a.json {
		return a.printJSON(protocol.ThreadListResult{Data: threads})
	}
	terminal, now := isTerminal(a.out), time.Now()
	rows := make([][]string, len(threads))
	for i, t := range threads {
		updated := t.UpdatedAt.String()
		if terminal {
			updated = ago(t.UpdatedAt, now)
		}
		rows[i] = []string{t.ID, string(t.Status), t.Agent, updated, describeRuntime(t.Runtime), threadName(t)}
	}
	return a.table([]string{"THREAD", "STATUS", "AGENT", "UPDATED", "DOES", "TITLE"}, rows)
}

func newThreadsRename(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "rename THREAD TITLE...",
		Short:   "Set the title of a thread",
		Long:    "Set the title of a thread.",
		Example: "  spool threads rename last Invoices of May",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withThread(cmd.Context(), args[0], func(ctx context.Context, t *sdk.Thread) error {
				thread, err := t.Rename(ctx, joinWords(args[1:]))
				if err != nil {
					return err
				}
				return a.changed(thread, "renamed to "+oneLine(thread.Title, 80))
			})
		},
		ValidArgsFunction: completeThread(a),
	}
}

// changed prints what a command did to a thread.
func (a *app) changed(t *protocol.Thread, what string) error {
	if a.json {
		return a.printJSON(protocol.ThreadResult{Thread: *t})
	}
	_, err := fmt.Fprintf(a.out, "%s\t%s\n", t.ID, what)
	return err
}
