package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

const runLong = `Give an agent a text and print its answer as it comes. Without --thread a new thread
begins; its id is printed at the end, on standard error.

On a terminal everything is shown: reasoning, tools, plans. Where standard output is no
terminal it gets what the agent says and nothing else, or with --json every event of the
turn, one JSON-RPC notification a line, just as the daemon sent it.

If a turn is running on the thread, --if-busy says what to do: reject (the default, ends
with 5), enqueue (wait for its turn), steer (into the running turn) or interrupt (cancel
the running one and be next).

If the agent asks for permission or has a question, a terminal is asked on the spot.
Elsewhere the turn waits until somebody else answers; see spool approvals.

Ctrl-C interrupts the turn and waits for its end; what was said is kept. A second Ctrl-C
leaves at once. A turn goes on if the terminal is closed.

The exit code is 0 if the turn completed, 3 if it failed, 4 if it was cancelled.`

const runExample = `  spool run "Explain tail recursion"
  git diff | spool run -
  spool run -t last "Shorter, please"
  spool run -t last --if-busy enqueue --detach "Then write tests"
  spool run --agent script "/think hmm" --json | jq -r .method`

// runOptions are the flags of spool run.
type runOptions struct {
	thread, agent, title, mode string
	ifBusy                     string
	set                        []string
	detach                     bool
}

func newRun(a *app) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:     "run [flags] TEXT...|-",
		Short:   "Give an agent a text and print its answer",
		Long:    runLong,
		Example: runExample,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.thread != "" && (o.agent != "" || o.title != "") {
				return usagef("--agent and --title are for a new thread; leave them or --thread out")
			}
			config, err := parseSettings(o.set)
			if err != nil {
				return err
			}
			if err := oneOf(ifBusy, o.ifBusy, protocol.IfBusy("").Values()); err != nil {
				return err
			}
			text, err := a.readText(args)
			if err != nil {
				return err
			}
			if !o.detach {
				a.asker = a.newAsker(true)
			}
			return a.with(cmd.Context(), func(ctx context.Context, s *session) error {
				return a.run(ctx, s, text, o, config)
			})
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.thread, "thread", "t", "", "`THREAD` to go on with")
	f.StringVar(&o.agent, "agent", "", "`NAME` of the agent of a new thread")
	f.StringVar(&o.title, "title", "", "title of a new thread")
	f.StringVar(&o.mode, "mode", "", "mode of this turn")
	busyFlag(cmd, &o.ifBusy, protocol.IfBusy("").Values(), "reject, enqueue, steer or interrupt")
	f.StringArrayVar(&o.set, "set", nil, "config of this turn, such as model=large or temperature=0.2; repeatable")
	f.BoolVar(&o.detach, "detach", false, "do not wait for the answer")
	completeThreadFlag(a, cmd, "thread")
	return cmd
}

// oneOf refuses a value that a flag does not have.
func oneOf(flag, value string, values []string) error {
	for _, v := range values {
		if v == value {
			return nil
		}
	}
	return usagef("--%s must be one of %s, not %q", flag, strings.Join(values, ", "), value)
}

// parseSettings reads KEY=VALUE pairs, where a value that is JSON counts as that, and any
// other as a text.
func parseSettings(pairs []string) (protocol.Object, error) {
	config := protocol.Object{}
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, usagef("--set needs KEY=VALUE, not %q", pair)
		}
		raw := json.RawMessage(value)
		if !json.Valid(raw) {
			text, err := protocol.Marshal(value)
			if err != nil {
				return nil, usagef("--set %s: %v", key, err)
			}
			raw = text
		}
		config[key] = raw
	}
	return config, nil
}

// run runs one turn and prints it.
func (a *app) run(ctx context.Context, s *session, text string, o runOptions, config protocol.Object) error {
	thread, err := a.threadToRun(ctx, s, o)
	if err != nil {
		return err
	}
	opts := &sdk.RunOptions{IfBusy: protocol.IfBusy(o.ifBusy), Mode: o.mode, KeepRunning: true}
	if len(config) > 0 {
		opts.Config = config
	}
	if o.detach {
		err = a.runDetached(ctx, thread, text, opts)
	} else {
		err = a.runStreamed(ctx, thread, text, opts)
	}
	if o.thread == "" && !a.json {
		fmt.Fprintln(a.err, a.paintErr().dim(fmt.Sprintf("thread %s; continue with: spool run -t %s …", thread.ID(), thread.ID())))
	}
	return err
}

func (a *app) threadToRun(ctx context.Context, s *session, o runOptions) (*sdk.Thread, error) {
	if o.thread != "" {
		id, err := resolveThread(ctx, s.Client, o.thread)
		if err != nil {
			return nil, err
		}
		return s.Threads().Get(id), nil
	}
	return s.Threads().Start(ctx, &protocol.ThreadStartParams{ThreadOptions: protocol.ThreadOptions{Agent: o.agent, Title: o.title}})
}

func (a *app) runDetached(ctx context.Context, t *sdk.Thread, text string, opts *sdk.RunOptions) error {
	opts.Detach = true
	r, err := t.Run(ctx, sdk.Text(text), opts)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(protocol.TurnRunResult{Disposition: r.Disposition, Turn: r.Turn})
	}
	_, err = fmt.Fprintf(a.out, "%s\t%s\n", r.TurnID, r.Disposition)
	return err
}

// runStreamed prints the turn while it runs. The first Ctrl-C interrupts the turn, the
// second ends the waiting.
func (a *app) runStreamed(ctx context.Context, t *sdk.Thread, text string, opts *sdk.RunOptions) error {
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	ctrlC := make(chan os.Signal, 2)
	signal.Notify(ctrlC, os.Interrupt)
	defer signal.Stop(ctrlC)
	show, say, end := a.printer()
	stop := newStopper(ctx, t, ctrlC, leave, say)
	defer stop.wait()
	var last error
	for ev, err := range t.RunStreamed(ctx, sdk.Text(text), opts) {
		if err != nil {
			last = err
			break
		}
		stop.seen(ev.TurnID)
		show(ev)
		if ev.Terminal() {
			last = ev.Err()
		}
	}
	return errors.Join(end(), a.explainEnd(ctx, last))
}

// explainEnd returns the error that stands for the end of a turn.
func (a *app) explainEnd(ctx context.Context, err error) error {
	if status, ok := errors.AsType[exitStatus](context.Cause(ctx)); ok {
		return status
	}
	return err
}

// printer returns how events, and notes about them, are shown: for people, or raw, one a
// line, without notes.
func (a *app) printer() (show func(sdk.Event), say func(string), end func() error) {
	if !a.json {
		t := a.newTranscript()
		a.asker.beside(t)
		t.spin.resume()
		return t.event, t.remark, t.end
	}
	var failed error
	show = func(ev sdk.Event) {
		if ev.Raw != nil && failed == nil {
			_, failed = fmt.Fprintf(a.out, "%s\n", ev.Raw)
		}
		if asks(ev) {
			fmt.Fprintf(a.err, "spool: %s\n", unanswered(ev.Item))
		}
	}
	return show, func(string) {}, func() error { return failed }
}
