package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/cmd/spool/config"
	"github.com/spoolhq/spool/server"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
	"github.com/spoolhq/spool/storage/mem"
	"github.com/spoolhq/spool/thread"
)

// databaseName is the file of all durable threads in the folder of the data.
const databaseName = "spool.db"

// daemon is a running Spool. Its parts are made in the order of the fields; each start
// notes how to undo it.
type daemon struct {
	config *config.Config
	log    zerolog.Logger

	bolt      *bolt.Store
	manager   *thread.Manager
	hub       *server.Hub
	listeners []server.Listener
	accepting sync.WaitGroup // Serve of the listeners

	undo    []func() error // in the order of the starts
	stopped chan bool      // somebody asked for the end; true: running turns may go on for a while
	broken  chan error     // a listener failed

	turnsStopped bool // stop saw to the turns; agents that did not return are no failure
}

// startDaemon starts all parts. If one fails, those before it are undone in reverse.
func startDaemon(ctx context.Context, c *config.Config, env config.Env, log zerolog.Logger, patience time.Duration) (*daemon, error) {
	d := &daemon{config: c, log: log, stopped: make(chan bool, 1), broken: make(chan error, 1+len(c.Listen))}
	steps := []func() error{
		func() error { return d.own(ctx, patience) },
		func() error { return d.openStore(ctx) },
		func() error { return d.openManager(ctx, env) },
		d.listen,
	}
	for _, step := range steps {
		err := ctx.Err()
		if err == nil {
			err = step()
		}
		if err != nil {
			return nil, errors.Join(err, d.unwind())
		}
	}
	return d, nil
}

// unwind undoes what was started, the latest first.
func (d *daemon) unwind() error {
	var failed []error
	for _, undo := range slices.Backward(d.undo) {
		failed = append(failed, undo())
	}
	d.undo = nil
	return errors.Join(failed...)
}

func (d *daemon) own(ctx context.Context, patience time.Duration) error {
	release, err := ownData(ctx, d.config.Data, d.config.Socket, patience)
	if err != nil {
		return err
	}
	d.undo = append(d.undo, func() error { release(); return nil })
	return nil
}

func (d *daemon) openStore(ctx context.Context) error {
	store, err := bolt.Open(ctx, bolt.Options{
		Path: filepath.Join(d.config.Data, databaseName),
		Logf: func(format string, args ...any) { d.log.Warn().Msgf(format, args...) },
	})
	if err != nil {
		return err
	}
	d.bolt = store
	d.undo = append(d.undo, store.Close)
	return nil
}

func (d *daemon) openManager(ctx context.Context, env config.Env) error {
	specs, err := agentSpecs(d.config.Agents)
	if err != nil {
		return err
	}
	var store storage.Store = d.bolt
	if store, err = withFaults(store, env, d.log); err != nil {
		return err
	}
	l := d.config.Limits
	d.manager, err = thread.Open(ctx, thread.Config{
		Store: store, Ephemeral: mem.New(), Agents: specs, Default: d.config.Default, Log: d.log, Full: d.full,
		Limits: thread.Limits{
			MaxQueued: l.MaxQueued, MaxItemBytes: int64(l.MaxItemBytes), MaxMessageBytes: int64(l.MaxMessageBytes), InterruptGrace: l.InterruptGrace,
			CheckpointBytes: int(l.CheckpointBytes), CheckpointInterval: l.CheckpointInterval,
			IdleUnload: l.IdleUnload, KeyRetention: l.KeyRetention,
		},
	})
	if err != nil {
		return err
	}
	d.undo = append(d.undo, func() error {
		if d.turnsStopped {
			return nil
		}
		return d.stopTurns(0, nil)
	})
	return nil
}

// full reports that the disk is nearly full. Where that cannot be told, writes will.
func (d *daemon) full() bool {
	free, err := d.bolt.Free()
	return err == nil && free < int64(d.config.Limits.DiskReserve)
}

func (d *daemon) listen() error {
	l := d.config.Limits
	d.hub = server.New(server.Config{
		Manager: d.manager, Log: d.log, Version: buildInfo().Version, Info: d.info, Backup: d.backUp, Shutdown: d.requestStop,
		Limits: server.Limits{
			MaxMessageBytes: int64(l.MaxMessageBytes), MaxInFlight: l.MaxInFlight, MaxParked: l.MaxParked,
			OutboxBytes: int(l.OutboxBytes), SlowConsumer: l.SlowConsumerTimeout, Ping: l.PingInterval,
			MaxConnections: l.MaxConnections, MaxNewcomers: l.MaxNewcomers, Handshake: l.HandshakeTimeout, MaxItemBytes: int64(l.MaxItemBytes), MaxQueued: l.MaxQueued,
		},
	})
	d.undo = append(d.undo, d.closeConnections)
	unix, err := d.hub.ListenUnix(d.config.Socket)
	if err != nil {
		return err
	}
	d.open(unix)
	for _, addr := range d.config.Listen {
		web, err := d.hub.ListenWebSocket(addr, d.config.Origins)
		if err != nil {
			return err
		}
		d.open(web)
	}
	for _, l := range d.listeners {
		d.serve(l)
	}
	return nil
}

// open notes a listener. None serves before all are open: info reads the list.
func (d *daemon) open(l server.Listener) {
	d.listeners = append(d.listeners, l)
	d.undo = append(d.undo, func() error { return d.closeListener(l) })
}

// serve takes connections of a listener on a goroutine of its own.
func (d *daemon) serve(l server.Listener) {
	d.accepting.Go(func() {
		if err := l.Serve(); err != nil {
			d.broken <- fmt.Errorf("%s takes no more connections: %w", l.URL(), err)
		}
	})
}

func (d *daemon) closeListener(l server.Listener) error {
	err := l.Close()
	d.accepting.Wait()
	return err
}

// serveStdio serves one client on standard input and output until it leaves.
func (d *daemon) serveStdio(ctx context.Context, in io.Reader, out io.Writer) error {
	err := d.hub.Serve(ctx, server.Lines(joined(in, out), int64(d.config.Limits.MaxMessageBytes)), server.Local("stdio"))
	if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// joined makes one stream of input and output. Where they are files, closing it ends a read
// that waits.
func joined(in io.Reader, out io.Writer) io.ReadWriteCloser {
	inFile, ok := in.(*os.File)
	outFile, ok2 := out.(*os.File)
	if ok && ok2 {
		return server.Stdio(inFile, outFile)
	}
	return &stdio{in, out}
}

// stdio is standard input and output as one stream.
type stdio struct {
	io.Reader
	io.Writer
}

// Close closes both, so that reads and writes end.
func (s *stdio) Close() error {
	var failed []error
	for _, side := range []any{s.Reader, s.Writer} {
		if c, ok := side.(io.Closer); ok {
			failed = append(failed, c.Close())
		}
	}
	return errors.Join(failed...)
}

// info is what clients may ask of the daemon as a whole.
func (d *daemon) info() server.Info {
	i := server.Info{DataPath: d.config.Data}
	for _, l := range d.listeners {
		i.Listeners = append(i.Listeners, l.URL())
	}
	if st, err := os.Stat(d.bolt.Path()); err == nil {
		i.DatabaseBytes = st.Size()
	}
	return i
}

// requestStop asks for the end of the daemon and returns at once.
func (d *daemon) requestStop(drain bool) {
	select {
	case d.stopped <- drain:
	default: // it was asked before
	}
}

// urls returns where the daemon listens, beside its Unix socket.
func (d *daemon) urls() string {
	var urls []string
	for _, l := range d.listeners[1:] {
		urls = append(urls, l.URL())
	}
	return strings.Join(urls, " ")
}
