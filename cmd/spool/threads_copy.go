package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

func newThreadsFork(a *app) *cobra.Command {
	var p protocol.ThreadForkParams
	cmd := &cobra.Command{
		Use:   "fork THREAD",
		Short: "Begin a thread with the history of another",
		Long: `Begin a thread with the history of another, up to its last turn that has ended or up to
the turn of --up-to. The two do not touch each other afterwards. What is not given is
as in the other thread.`,
		Example: "  spool threads fork last --title 'Second thoughts'\n  spool threads fork last --up-to trn_01JD3Z6P6N7K0Q5Y4M3W2V1T0S",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withThread(cmd.Context(), args[0], func(ctx context.Context, t *sdk.Thread) error {
				fork, err := t.Fork(ctx, &p)
				if err != nil {
					return err
				}
				info := fork.Info()
				return a.changed(&info, "forked from "+t.ID())
			})
		},
		ValidArgsFunction: completeThread(a),
	}
	f := cmd.Flags()
	f.StringVar(&p.UpToTurnID, "up-to", "", "last `TURN` to take")
	f.StringVar(&p.Title, "title", "", "title of the new thread")
	f.StringVar(&p.Agent, "agent", "", "`NAME` of its agent")
	return cmd
}

func newThreadsExport(a *app) *cobra.Command {
	output := ""
	cmd := &cobra.Command{
		Use:   "export THREAD",
		Short: "Write the journal of a thread",
		Long: `Write the journal of a thread: every durable event, byte for byte as clients were sent
it, one a line. spool threads import reads it.`,
		Example: "  spool threads export last -o talk.jsonl\n  spool threads export last | grep -c turn/completed",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withThread(cmd.Context(), args[0], func(ctx context.Context, t *sdk.Thread) error {
				if output == "" || output == "-" {
					_, err := writeEvents(ctx, a.out, t)
					return err
				}
				n, err := exportFile(ctx, output, t)
				if err != nil || a.json {
					return err
				}
				_, err = fmt.Fprintf(a.err, "%d events in %s\n", n, output)
				return err
			})
		},
		ValidArgsFunction: completeThread(a),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to `FILE`, which must not exist")
	return cmd
}

// exportFile writes to a new file, which is removed again if that fails.
func exportFile(ctx context.Context, path string, t *sdk.Thread) (int, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := writeEvents(ctx, f, t)
	if err = errors.Join(err, f.Close()); err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return n, err
}

func writeEvents(ctx context.Context, w io.Writer, t *sdk.Thread) (int, error) {
	out, n := bufio.NewWriter(w), 0
	for event, err := range t.Export(ctx) {
		if err != nil {
			return n, err
		}
		if _, err := fmt.Fprintf(out, "%s\n", event); err != nil {
			return n, err
		}
		n++
	}
	return n, out.Flush()
}

func newThreadsImport(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE|-",
		Short: "Store a thread that was exported",
		Long: `Store a thread that was exported, under its own id, which no thread here may have or
have had.`,
		Example: "  spool threads import talk.jsonl\n  ssh other spool threads export last | spool threads import -",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, s *session) error {
				events, err := a.readEvents(args[0], s.Session().Limits.MaxMessageBytes)
				if err != nil {
					return err
				}
				t, err := s.Threads().Import(ctx, events)
				if err != nil {
					return err
				}
				info := t.Info()
				return a.changed(&info, fmt.Sprintf("imported %d events", len(events)))
			})
		},
	}
}

// readEvents reads a journal, which must fit into one message.
func (a *app) readEvents(path string, limit int64) ([]json.RawMessage, error) {
	in := a.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	} else {
		path = "standard input"
	}
	raw, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%s is longer than a message to the daemon may be (%s); raise limits.max_message_bytes of the daemon", path, size(limit))
	}
	var events []json.RawMessage
	line := 0
	for text := range bytes.Lines(raw) {
		line++
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		if !json.Valid(text) {
			return nil, fmt.Errorf("%s, line %d: this is not an event: it is not valid JSON", path, line)
		}
		events = append(events, text)
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("%s holds no events", path)
	}
	return events, nil
}
