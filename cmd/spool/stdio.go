package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
)

// answerPatience is how long the bridge, after the end of its input, waits for answers
// that are under way.
const answerPatience = 5 * time.Second

func newStdio(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "stdio",
		Short: "Bridge standard input and output to the daemon",
		Long: `Bridge standard input and output to the daemon, for editors and other programs that
start a child process and speak the protocol with it: one JSON-RPC message a line.

The daemon is started if none is running; it is shared with all other clients and goes
on when the bridge ends. Standard output carries the protocol and nothing else; what
goes wrong is said on standard error.

At the end of its input the bridge passes on the answers that are under way and ends
with 0. If the daemon goes away first, it ends with 7.`,
		Example: `  spool stdio
  echo '{"id":1,"method":"initialize","params":{"clientInfo":{"name":"me"}}}' | spool stdio`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.config(nil)
			if err != nil {
				return err
			}
			conn, err := launcher{config: cfg, env: a.env, noStart: a.noStart}.dialOrStart(cmd.Context())
			if err != nil {
				return err
			}
			return bridge(cmd.Context(), conn, a.in, a.out)
		},
	}
}

// bridge copies in to conn and conn to out until one of them ends. The copying of in may
// outlive it, as a read of standard input cannot be called off; the process ends then.
func bridge(ctx context.Context, conn net.Conn, in io.Reader, out io.Writer) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	sent, received := make(chan error, 1), make(chan error, 1)
	var ended atomic.Bool // the input; from then on the daemon may close
	go func() {
		_, err := io.Copy(conn, in)
		ended.Store(err == nil)
		if half, ok := conn.(interface{ CloseWrite() error }); ok && err == nil {
			err = half.CloseWrite()
		}
		sent <- err
	}()
	go func() {
		_, err := io.Copy(out, conn)
		received <- err
	}()
	select {
	case err := <-sent:
		if err != nil && !ended.Load() {
			return daemonLeft(err)
		}
		return awaitAnswers(conn, received)
	case err := <-received:
		if err == nil && ended.Load() {
			return nil
		}
		return daemonLeft(err)
	}
}

// awaitAnswers lets what is under way arrive after the end of the input.
func awaitAnswers(conn net.Conn, received <-chan error) error {
	if err := conn.SetReadDeadline(time.Now().Add(answerPatience)); err != nil {
		return daemonLeft(err)
	}
	err := <-received
	if netErr, ok := errors.AsType[net.Error](err); err == nil || ok && netErr.Timeout() {
		return nil
	}
	return daemonLeft(err)
}

func daemonLeft(err error) error {
	if err == nil {
		return &unavailableError{err: errors.New("the daemon closed the connection")}
	}
	return &unavailableError{err: fmt.Errorf("the connection to the daemon is lost: %w", err)}
}
