package sdk

import (
	"context"

	"github.com/spoolhq/spool/protocol"
)

// Agents tells of the configured agents.
type Agents struct{ c *Client }

// Agents gives access to the agents of the daemon.
func (c *Client) Agents() Agents { return Agents{c} }

// List returns all agents, by name.
func (a Agents) List(ctx context.Context) ([]protocol.AgentInfo, error) {
	r, err := Call(ctx, a.c, protocol.MethodAgentList, protocol.Empty{})
	return r.Data, err
}

// Read describes one agent.
func (a Agents) Read(ctx context.Context, name string) (*protocol.AgentInfo, error) {
	r, err := Call(ctx, a.c, protocol.MethodAgentRead, protocol.AgentReadParams{Agent: name})
	if err != nil {
		return nil, err
	}
	return &r.Agent, nil
}

// Server is the daemon itself.
type Server struct{ c *Client }

// Server gives access to the daemon.
func (c *Client) Server() Server { return Server{c} }

// Info describes the daemon.
func (s Server) Info(ctx context.Context) (*protocol.ServerInfoResult, error) {
	return callP(ctx, s.c, protocol.MethodServerInfo, protocol.Empty{})
}

// Ping asks the daemon for its time.
func (s Server) Ping(ctx context.Context) (*protocol.PingResult, error) {
	return callP(ctx, s.c, protocol.MethodServerPing, protocol.Empty{})
}

// Stats returns what the daemon counts.
func (s Server) Stats(ctx context.Context) (*protocol.ServerStatsResult, error) {
	return callP(ctx, s.c, protocol.MethodServerStats, protocol.Empty{})
}

// Connections lists all connections of the daemon. It needs the admin scope.
func (s Server) Connections(ctx context.Context) ([]protocol.ConnectionInfo, error) {
	r, err := Call(ctx, s.c, protocol.MethodServerConnectionsList, protocol.Empty{})
	return r.Data, err
}

// Backup has the daemon write a copy of all threads, as they are at one moment, to a new file
// in the folder of its data while it goes on. Whoever asks should move the file away. It
// needs the admin scope.
func (s Server) Backup(ctx context.Context) (*protocol.ServerBackupResult, error) {
	return callP(ctx, s.c, protocol.MethodServerBackup, protocol.Empty{})
}

// Shutdown stops the daemon. With drain running turns get some time to end; without they
// are cancelled at once. It needs the admin scope. Unlike other requests it is not sent
// again if the connection is lost before the answer, as that could stop the daemon that
// was started next.
func (s Server) Shutdown(ctx context.Context, drain bool) error {
	_, err := Call(ctx, s.c, protocol.MethodServerShutdown, protocol.ServerShutdownParams{Drain: &drain})
	return err
}
