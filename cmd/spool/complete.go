package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/protocol"
)

// completePatience bounds what a shell waits for names.
const completePatience = time.Second

// completeThread offers the ids of the newest threads as the first argument. It starts no
// daemon.
func completeThread(a *app) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.threadNames(cmd.Context()), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// completeThreadFlag offers the same for a flag.
func completeThreadFlag(a *app, cmd *cobra.Command, flag string) {
	complete := completeThread(a)
	if err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return complete(cmd, nil, toComplete)
	}); err != nil {
		panic(err) // the flag does not exist
	}
}

func (a *app) threadNames(ctx context.Context) []cobra.Completion {
	ctx, cancel := context.WithTimeout(ctx, completePatience)
	defer cancel()
	a.noStart = true
	names := []cobra.Completion{cobra.CompletionWithDesc(lastThread, "the thread that was active last")}
	_ = a.with(ctx, func(ctx context.Context, s *session) error {
		for t, err := range s.Threads().List(ctx, &protocol.ThreadListParams{Paging: protocol.Paging{Limit: 20}}) {
			if err != nil || len(names) > 20 {
				return err
			}
			names = append(names, cobra.CompletionWithDesc(t.ID, threadName(t)))
		}
		return nil
	})
	return names
}
