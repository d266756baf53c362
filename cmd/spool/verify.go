package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/cmd/spool/config"
	"github.com/spoolhq/spool/storage"
)

const verifyLong = `Check a data file from end to end: its pages, the checksum of every record, that no
journal has a hole, that every event obeys the rules of threads, turns and items, and
that rows, queues and indexes are what the journals say. Without FILE it is the data
file of the configuration. Nothing is changed, and no daemon is started.

The daemon must not have the file open: stop it (spool stop), or verify a backup.

With --rebuild-indexes, what can be made anew from journals and rows is: a new file is
written beside the old one, checked, and put in its place; the old one is kept under
another name. What it cannot repair is listed. Nothing is written where nothing can be
repaired.

It returns 0 if all is well, 8 if something is wrong, 1 if it could not check: there is
no such file, it is in use, none of Spool's, or of another version.`

func newVerify(a *app) *cobra.Command {
	rebuild := false
	cmd := &cobra.Command{
		Use:     "verify [FILE]",
		Short:   "Check a data file from end to end",
		Long:    verifyLong,
		Example: "  spool stop && spool verify\n  spool backup talks.db && spool verify talks.db\n  spool verify --json talks.db | jq '.problems[]'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.offline(cmd.Context(), args, rebuild, func(ctx context.Context, path string) error {
				if rebuild {
					return a.rebuild(ctx, path)
				}
				v, err := a.verify(ctx, path)
				if err != nil {
					return err
				}
				return a.showVerified(v)
			})
		},
	}
	cmd.Flags().BoolVar(&rebuild, "rebuild-indexes", false, "make anew what can be made from journals and rows")
	return cmd
}

// offline runs something on a data file that no daemon has open: the one that is named, or
// that of the configuration. Where it changes the file of the configuration, no daemon can
// start meanwhile. Ctrl-C ends it.
func (a *app) offline(ctx context.Context, args []string, change bool, do func(ctx context.Context, path string) error) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := a.config(nil)
	if err != nil {
		return err
	}
	path, configured := filepath.Join(cfg.Data, databaseName), true
	if len(args) > 0 {
		path, configured = args[0], false
	}
	if err := mustBeFile(path); err != nil {
		return err
	}
	if change && configured {
		release, err := ownData(ctx, cfg.Data, cfg.Socket, 0)
		if err != nil {
			return err
		}
		defer release()
	}
	return ended(ctx, inUseBy(cfg, path, do(ctx, path)))
}

// mustBeFile explains why there is nothing to work on.
func mustBeFile(path string) error {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no data file %s", path)
	case err != nil:
		return fmt.Errorf("cannot look at the data file: %w", err)
	case st.IsDir():
		return fmt.Errorf("%s is a folder, not a data file; in the folder of the data it is called %s", path, databaseName)
	}
	return nil
}

// ended makes the end by a signal one without words: whoever sent it knows.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return exitStatus(exitInterrupted)
	}
	return err
}

// inUseBy says what to do about a file that somebody has open.
func inUseBy(cfg *config.Config, path string, err error) error {
	if !errors.Is(err, storage.ErrLocked) {
		return err
	}
	owner := "the daemon uses it, or another spool is at work on it"
	if path == filepath.Join(cfg.Data, databaseName) {
		if who := readOwner(cfg.Data); who != "" {
			owner = "the daemon uses it (" + who + ")"
		}
	}
	return fmt.Errorf("%s is in use: %s; stop it with spool stop, or take a backup with spool backup FILE and work on that", path, owner)
}

// progress counts what was read, and shows it on a terminal while something runs.
type progress struct {
	read    atomic.Int64
	spinner *spinner
}

func (a *app) newProgress(doing string) *progress {
	p := &progress{spinner: newSpinner(a.err, isTerminal(a.err) && !a.json)}
	p.spinner.text = func() string { return doing + ", " + size(p.read.Load()) + " so far" }
	p.spinner.resume()
	return p
}

func (p *progress) add(bytes int64) { p.read.Add(bytes) }

func (p *progress) done() { p.spinner.pause() }
