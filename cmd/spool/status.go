package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

func newStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Tell whether the daemon runs, and what it does",
		Long: `Tell whether the daemon runs, and what it does. This command never starts one; if none
is running it says so and returns 7.`,
		Example: "  spool status\n  spool status --json | jq .stats.runningTurns",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.noStart = true
			return a.with(cmd.Context(), func(ctx context.Context, s *session) error {
				info, err := s.Server().Info(ctx)
				if err != nil {
					return err
				}
				stats, err := s.Server().Stats(ctx)
				if err != nil {
					return err
				}
				return a.showStatus(s, info, stats)
			})
		},
	}
}

func (a *app) showStatus(s *session, info *protocol.ServerInfoResult, stats *protocol.ServerStatsResult) error {
	if a.json {
		return a.printJSON(map[string]any{"info": info, "stats": stats})
	}
	uptime := time.Duration(stats.UptimeMs) * time.Millisecond
	return a.fields([][2]string{
		{"daemon", fmt.Sprintf("%s %s, protocol %s, process %d", info.ServerInfo.Name, info.ServerInfo.Version, info.ServerInfo.ProtocolVersion, info.PID)},
		{"running", fmt.Sprintf("for %s", uptime.Round(time.Second))},
		{"you are", s.Session().User},
		{"listens on", strings.Join(info.Listeners, ", ")},
		{"data", fmt.Sprintf("%s (%s)", info.DataPath, size(stats.DatabaseBytes))},
		{"connections", fmt.Sprint(stats.Connections)},
		{"turns", fmt.Sprintf("%d running, %d waiting", stats.RunningTurns, stats.QueuedTurns)},
		{"memory", size(int64(stats.HeapBytes))}, //nolint:gosec // a heap has no 2^63 bytes
	})
}

func newStop(a *app) *cobra.Command {
	now := false
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "Stop the daemon",
		Long: `Stop the daemon and wait until it has ended. Running turns get some time to end first
(limits.drain_timeout); what still runs then is cancelled, and what waits in queues stays
there for the next start. If no daemon is running there is nothing to do.`,
		Example: "  spool stop\n  spool stop --now",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stopped, err := a.stopDaemon(cmd.Context(), !now)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]bool{"stopped": stopped})
			}
			if stopped {
				fmt.Fprintln(a.out, "stopped")
			} else {
				fmt.Fprintln(a.out, "no daemon is running")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&now, "now", false, "cancel running turns at once")
	return cmd
}

// stopDaemon asks the daemon to stop and waits for its end. It tells whether there was one.
func (a *app) stopDaemon(ctx context.Context, drain bool) (bool, error) {
	cfg, err := a.config(nil)
	if err != nil {
		return false, err
	}
	l := launcher{config: cfg, env: a.env, noStart: true}
	probe, err := l.dial(ctx)
	if notRunning(err) {
		return false, nil
	}
	if err != nil {
		return false, &unavailableError{err: fmt.Errorf("cannot reach the daemon: %w", err)}
	}
	defer probe.Close()
	c, err := sdk.Pipe(ctx, probe, &sdk.Options{ClientInfo: protocol.ClientInfo{Name: "spool", Version: buildInfo().Version}})
	if err != nil {
		return false, err
	}
	defer func() { _ = c.Close() }()
	info, err := c.Server().Info(ctx)
	if err != nil {
		return false, err
	}
	if err := c.Server().Shutdown(ctx, drain); err != nil {
		if _, lost := errors.AsType[*sdk.TransportError](err); !lost {
			return false, err
		}
	}
	select {
	case <-c.Done():
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	return true, awaitExit(ctx, info.DataPath)
}

// awaitExit waits until a daemon that closed its connections has let go of its data, so
// that the next one can have them.
func awaitExit(ctx context.Context, data string) error {
	if data == "" {
		return nil
	}
	unlock, err := lockFile(ctx, ownerFile(data))
	if err != nil {
		return fmt.Errorf("cannot tell whether the daemon has ended: %w", err)
	}
	unlock()
	return nil
}
