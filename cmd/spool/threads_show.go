package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

func newThreadsShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show THREAD",
		Short: "Show a thread with all its turns",
		Long: `Show a thread with all its turns: what was asked, what the agent said and did, how each
turn ended, and what waits in the queue. With --json it is the answer of thread/read, however
long it is.`,
		Example: "  spool threads show last\n  spool threads show last --json | jq '.turns[-1].text'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withThread(cmd.Context(), args[0], func(ctx context.Context, t *sdk.Thread) error {
				r, err := readWhole(ctx, t)
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

// readWhole reads a thread with all its turns. It asks for pages, as thread/read has no more
// than fits into a message.
func readWhole(ctx context.Context, t *sdk.Thread) (*protocol.ThreadReadResult, error) {
	const page = 200
	r, err := t.Read(ctx, nil)
	if err != nil {
		return nil, err
	}
	turns := []protocol.Turn{}
	for turn, err := range t.Turns(ctx, &protocol.ThreadTurnsListParams{Paging: protocol.Paging{Limit: page}}) {
		if err != nil {
			return nil, err
		}
		turns = append(turns, turn)
	}
	slices.SortStableFunc(turns, func(a, b protocol.Turn) int { return cmp.Compare(place(&a), place(&b)) })
	at := map[string]int{}
	for i := range turns {
		at[turns[i].ID] = i
	}
	for it, err := range t.Items().List(ctx, &protocol.ThreadItemsListParams{Paging: protocol.Paging{Limit: page}}) {
		if err != nil {
			return nil, err
		}
		if i, ok := at[it.TurnID]; ok {
			turns[i].Items = append(turns[i].Items, it)
		}
	}
	r.Turns = &turns
	return r, nil
}

// place is where thread/read has a turn: those that ended, in the order in which they were
// accepted, the running one, and those that wait, in the order of the queue.
func place(t *protocol.Turn) int {
	switch t.Status {
	case protocol.TurnQueued:
		return 1 + t.Position
	case protocol.TurnRunning:
		return 1
	default:
		return 0
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
