package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/storage/bolt"
)

func newCompact(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "compact [FILE]",
		Short: "Make a data file as small as it can be",
		Long: `Make a data file as small as it can be. What was deleted leaves room that is used again,
but the file does not shrink by itself. Without FILE it is the data file of the
configuration. The daemon must not have it open: stop it first (spool stop).

A new file is written beside the old one, which takes as much space on the disk as the
records need, and checked; then it takes the place of the old one. Whenever this is cut
off, there is one whole data file. A damaged file is refused with 8; see spool verify.`,
		Example: "  spool stop && spool compact\n  spool compact --json talks.db",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.offline(cmd.Context(), args, true, a.compact)
		},
	}
}

func (a *app) compact(ctx context.Context, path string) error {
	p := a.newProgress("compacting")
	done, err := bolt.Compact(ctx, bolt.Options{Path: path}, p.add)
	p.done()
	if err != nil {
		return damagedOr(fmt.Errorf("the file was left as it was: %w", err))
	}
	if a.json {
		return a.printJSON(map[string]any{"file": path, "bytesBefore": done.Before, "bytes": done.After})
	}
	_, err = fmt.Fprintf(a.out, "%s: %s before, %s now\n", path, size(done.Before), size(done.After))
	return err
}
