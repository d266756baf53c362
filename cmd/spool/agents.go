package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/protocol"
)

func newAgents(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "agents [NAME]",
		Short: "List the configured agents, or describe one",
		Long: `List the configured agents, or describe one: its kind, its modes, and the config that
threads and turns have where they set nothing. The default one is marked with a star.
Agents are configured in the configuration file of the daemon.`,
		Example: `  spool agents
  spool agents script
  spool agents --json | jq -r '.data[].name'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, s *session) error {
				if len(args) == 1 {
					agent, err := s.Agents().Read(ctx, args[0])
					if err != nil {
						return err
					}
					return a.showAgent(agent)
				}
				list, err := s.Agents().List(ctx)
				if err != nil {
					return err
				}
				return a.listAgents(list)
			})
		},
	}
}

func (a *app) listAgents(list []protocol.AgentInfo) error {
	if a.json {
		return a.printJSON(protocol.AgentListResult{Data: list})
	}
	rows := make([][]string, len(list))
	for i, agent := range list {
		star := ""
		if agent.Default {
			star = "*"
		}
		rows[i] = []string{agent.Name, star, agent.Kind, modeNames(agent.Modes), oneLine(agent.Description, 60)}
	}
	return a.table([]string{"NAME", " ", "KIND", "MODES", "DESCRIPTION"}, rows)
}

func (a *app) showAgent(agent *protocol.AgentInfo) error {
	if a.json {
		return a.printJSON(protocol.AgentReadResult{Agent: *agent})
	}
	defaults, err := protocol.Marshal(agent.Defaults)
	if err != nil {
		return err
	}
	return a.fields([][2]string{
		{"name", agent.Name},
		{"kind", agent.Kind},
		{"default", fmt.Sprint(agent.Default)},
		{"description", oneLine(agent.Description, 200)},
		{"modes", modeNames(agent.Modes)},
		{"config", string(defaults)},
	})
}

func modeNames(modes []protocol.Mode) string {
	names := make([]string, len(modes))
	for i, m := range modes {
		names[i] = m.ID
	}
	return strings.Join(names, ", ")
}
