package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const rootLong = `Spool keeps conversations with agents: threads of turns, stored durably by one daemon
that every client on the machine shares.

A command that needs the daemon starts it in the background. Threads are named by
their id, by at least four letters of its beginning or end as long as they fit one
thread only, or by "last" for the one that changed last.

Exit codes:
  0    done
  1    an error that no other code stands for
  2    wrong command line or configuration
  3    the turn failed
  4    the turn was cancelled
  5    a turn is running, and --if-busy says to refuse then
  6    no such thread, turn or agent
  7    the daemon cannot be reached or started
  8    the data file is damaged (spool verify, backup and compact)
  130  left with Ctrl-C`

const rootExample = `  spool run "What is a spool?"        # begin a thread and print the answer
  spool run -t last "And a bobbin?"   # go on with it
  spool threads list                  # what there is
  spool attach last                   # follow a thread and write into it
  spool serve --listen ws://127.0.0.1:7717`

// newRoot returns the tree of commands.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "spool",
		Short:         "Keep conversations with agents",
		Long:          rootLong,
		Example:       rootExample,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.running = true
		},
	}
	group(a, root)
	withVersion(a, root)
	root.CompletionOptions.HiddenDefaultCmd = false
	f := root.PersistentFlags()
	f.StringVar(&a.configFile, "config", "", "configuration `FILE` (default $XDG_CONFIG_HOME/spool/config.toml)")
	f.StringVar(&a.data, "data", "", "`DIR` of the data (default $XDG_DATA_HOME/spool)")
	f.StringVar(&a.socket, "socket", "", "`PATH` of the daemon's socket (default $XDG_RUNTIME_DIR/spool/spool.sock)")
	f.BoolVar(&a.noStart, "no-start", false, "do not start a daemon if none is running")
	f.BoolVar(&a.json, "json", false, "print JSON, also for errors")
	root.AddCommand(
		newRun(a), newAttach(a), newThreads(a), newQueue(a), newApprovals(a), newInterrupt(a),
		newAgents(a), newServe(a), newStdio(a), newStatus(a), newStop(a),
		newVerify(a), newBackup(a), newCompact(a), newSchema(a), newVersion(a),
	)
	return root
}

// group makes a command that only holds others print its help, and refuse names that it
// does not hold.
func group(a *app, cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		a.running = false
		hint := ""
		if cmd.SuggestionsMinimumDistance <= 0 {
			cmd.SuggestionsMinimumDistance = 2
		}
		if list := cmd.SuggestionsFor(args[0]); len(list) > 0 {
			hint = fmt.Sprintf("; did you mean %s?", strings.Join(list, " or "))
		}
		return fmt.Errorf("there is no command %q%s", strings.TrimSpace(cmd.CommandPath()+" "+args[0]), hint)
	}
}

// strict has the commands that cobra adds by itself refuse names that they do not know.
func strict(a *app, root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion":
			group(a, cmd)
		case "help":
			cmd.Run = nil
			cmd.RunE = func(_ *cobra.Command, args []string) error {
				about, rest, err := root.Find(args)
				if err == nil && len(rest) == 0 {
					return about.Help()
				}
				a.running = false
				return fmt.Errorf("there is no command %q", strings.Join(append([]string{root.Name()}, args...), " "))
			}
		}
	}
}

// newVersion prints the version.
func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this binary",
		Long:    "Print the version of this binary. spool status tells that of the running daemon.",
		Example: "  spool version\n  spool version --json",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.printVersion() },
	}
}

// withVersion gives the root command --version. Cobra's own does not know of --json.
func withVersion(a *app, root *cobra.Command) {
	run, version := root.RunE, false
	root.Flags().BoolVar(&version, "version", false, "print the version of this binary, as spool version does")
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if version && len(args) == 0 {
			return a.printVersion()
		}
		return run(cmd, args)
	}
}

func (a *app) printVersion() error {
	info := buildInfo()
	if a.json {
		return a.printJSON(info)
	}
	_, err := fmt.Fprintf(a.out, "spool %s (protocol %s, %s, %s)\n", info.Version, info.ProtocolVersion, info.Go, info.Platform)
	return err
}
