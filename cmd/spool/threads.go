package main

import (
	"context"
	"fmt"
	"strings"
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

func newThreadsShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show THREAD",
		Short: "Show a thread with all its turns",
		Long: `Show a thread with all its turns: what was asked, what the agent said and did, how each
turn ended, and what waits in the queue. With --json it is the answer of thread/read.`,
		Example: "  spool threads show last\n  spool threads show last --json | jq '.turns[-1].text'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withThread(cmd.Context(), args[0], func(ctx context.Context, t *sdk.Thread) error {
				r, err := t.Read(ctx, &protocol.ThreadReadParams{IncludeTurns: true})
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				return a.showThread(r)
			})
		},
		ValidArgsFunction: completeThread(a),
	}
}

func (a *app) showThread(r *protocol.ThreadReadResult) error {
	t, p := r.Thread, a.paintOut()
	lastEvent := fmt.Sprintf("%s, seq %d", t.UpdatedAt.Time().Local().Format(time.DateTime), t.HeadSeq)
	pairs := [][2]string{
		{"thread", t.ID},
		{"title", oneLine(t.Title, 120)},
		{"agent", t.Agent},
		{"status", p.status(string(t.Status)) + inBrackets(oneLine(t.EndReason, 80))},
		{"owner", t.Owner},
		{"mode", t.Mode},
		{"does", describeRuntime(t.Runtime)},
		{"created", t.CreatedAt.Time().Local().Format(time.DateTime)},
		{"updated", lastEvent},
	}
	if f := t.ForkedFrom; f != nil {
		pairs = append(pairs, [2]string{"forked from", strings.TrimSpace(f.ThreadID + " " + f.TurnID)})
	}
	if u := t.Usage; u.InputTokens+u.OutputTokens > 0 {
		pairs = append(pairs, [2]string{"tokens", fmt.Sprintf("%d in, %d out", u.InputTokens, u.OutputTokens)})
	}
	if err := a.fields(pairs); err != nil {
		return err
	}
	if r.Turns == nil {
		return nil
	}
	for _, turn := range *r.Turns {
		if _, err := fmt.Fprint(a.out, a.showTurn(&turn)); err != nil {
			return err
		}
	}
	return nil
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// showTurn returns a turn as people read it.
func (a *app) showTurn(turn *protocol.Turn) string {
	p := a.paintOut()
	var b strings.Builder
	line := func(s string) { b.WriteString(strings.TrimSuffix(s, "\n") + "\n") }
	line("")
	line(p.dim(fmt.Sprintf("── %s  %s", turn.ID, turn.CreatedAt.Time().Local().Format(time.DateTime))))
	for text := range strings.SplitSeq(clean(inputText(turn.Input)), "\n") {
		line(p.bold("> " + text))
	}
	for _, it := range turn.Items {
		switch it.Type {
		case protocol.ItemAgentMessage:
			line(clean(it.Text))
		case protocol.ItemReasoning:
			line(p.dim(clean(it.Text)))
		case protocol.ItemUserMessage:
			if it.Delivery != protocol.DeliveryInput {
				line(p.bold("> " + clean(contentText(&it))))
			}
		default:
			if s := describeItem(&it); s != "" {
				line(p.dim("· " + s))
			}
		}
	}
	if end := describeEnd(turn); end != "" {
		if turn.Status == protocol.TurnFailed {
			end = p.red(end)
		}
		line(end)
	}
	return b.String()
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
