package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/cmd/spool/config"
)

const serveLong = `Run the daemon in the foreground: it keeps threads, runs their turns and serves all
clients. It always listens on its Unix socket, for its user alone. --listen adds
WebSockets at ws://HOST:PORT/ws, on loopback addresses only.

With --stdio it also serves one client on standard input and output, and ends when that
one leaves. To share a daemon with others over standard input and output use spool stdio.

The log goes to standard error: lines for people on a terminal, else JSON. When all is
up it says "ready", with the socket, the addresses and the folder of the data.

SIGINT and SIGTERM stop it: no new connections, no new turns; running turns get
limits.drain_timeout, then they are cancelled; what waits in queues stays for the next
start. A second signal cuts the waiting short, but the last writes are always finished.

Settings are read from the configuration file, from SPOOL_ variables and from flags;
flags win. See docs/configuration.md.`

const serveExample = `  spool serve
  spool serve --listen ws://127.0.0.1:7717 --log-level debug
  SPOOL_LIMITS_DRAIN_TIMEOUT=1m spool serve --data /srv/spool`

// gcPercent lets the heap grow to two and a half times of what is in use. The daemon holds
// little and makes a frame for every word that is said, so that with twice, the default, a
// seventh of its time would go into collecting them.
const gcPercent = 150

// serveOptions are the flags of spool serve.
type serveOptions struct {
	listen              []string
	stdio               bool
	logLevel, logFormat string
	readyFD             int
}

func newServe(a *app) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Run the daemon",
		Long:    serveLong,
		Example: serveExample,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			debug.SetGCPercent(gcPercent)
			report := newReport(o.readyFD)
			err := a.serve(cmd.Context(), o, report)
			report.failed(err)
			return err
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.listen, "listen", nil, "also listen on this `URL`, such as ws://127.0.0.1:7717; repeatable")
	f.BoolVar(&o.stdio, "stdio", false, "also serve one client on standard input and output, and end with it")
	f.StringVar(&o.logLevel, "log-level", "", "trace, debug, info, warn, error or off (default info)")
	f.StringVar(&o.logFormat, "log-format", "", "auto, console or json (default auto)")
	f.IntVar(&o.readyFD, "ready-fd", 0, "tell the file of this number when all is up")
	if err := f.MarkHidden("ready-fd"); err != nil {
		panic(err)
	}
	return cmd
}

// settings returns the flags that were given, by the names of their keys.
func (o serveOptions) settings() map[string]any {
	s := map[string]any{}
	if o.listen != nil {
		s["listen"] = o.listen
	}
	if o.logLevel != "" {
		s["log.level"] = o.logLevel
	}
	if o.logFormat != "" {
		s["log.format"] = o.logFormat
	}
	return s
}

// report tells a process that started this one in the background how the start went.
type report struct{ file *os.File }

func newReport(fd int) *report {
	if fd < 3 {
		return &report{}
	}
	return &report{os.NewFile(uintptr(fd), "ready")}
}

func (r *report) say(text string) {
	if r.file != nil {
		_, _ = io.WriteString(r.file, text) // whoever asked may be gone
		_ = r.file.Close()
		r.file = nil
	}
}

func (r *report) failed(err error) {
	if err != nil {
		r.say(err.Error())
	}
}

// takeoverPatience is how long a daemon that is started in the background waits for one
// that is just stopping on the same socket and data.
const takeoverPatience = time.Minute

// serve runs a daemon until a signal, a client or the end of ctx stops it.
func (a *app) serve(ctx context.Context, o serveOptions, ready *report) error {
	cfg, err := a.config(o.settings())
	if err != nil {
		return err
	}
	log := a.newLogger(cfg.Log)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	patience := time.Duration(0)
	if ready.file != nil {
		patience = takeoverPatience
	}
	d, err := a.startUnlessStopped(ctx, cfg, log, patience, signals)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		log.Warn().Msg(w)
	}
	log.Info().Str("version", buildInfo().Version).Int("pid", os.Getpid()).Str("socket", cfg.Socket).
		Str("listen", d.urls()).Str("data", cfg.Data).Str("config", cfg.File).Str("agent", cfg.Default).Msg("ready")
	ready.say(readyWord)
	return a.untilStopped(ctx, d, o, signals)
}

// startUnlessStopped starts the daemon. A signal ends the start.
func (a *app) startUnlessStopped(ctx context.Context, cfg *config.Config, log zerolog.Logger, patience time.Duration, signals <-chan os.Signal) (*daemon, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	started := make(chan struct{})
	watch.Go(func() {
		select {
		case s := <-signals:
			cancel(fmt.Errorf("stopped by %s before it was ready", s))
		case <-started:
		}
	})
	d, err := startDaemon(ctx, cfg, a.env, log, patience)
	close(started)
	watch.Wait()
	cause := context.Cause(ctx)
	if err == nil && cause != nil {
		err = errors.Join(cause, d.stop(0, nil))
	} else if err != nil && cause != nil {
		err = cause
	}
	cancel(nil)
	return d, err
}

// untilStopped waits for a reason to stop, and stops.
func (a *app) untilStopped(ctx context.Context, d *daemon, o serveOptions, signals <-chan os.Signal) error {
	var client sync.WaitGroup
	left := make(chan error, 1)
	if o.stdio {
		client.Go(func() { left <- d.serveStdio(ctx, a.in, a.out) })
	}
	drain := d.config.Limits.DrainTimeout
	var failed error
	reason := ""
	select {
	case s := <-signals:
		reason = s.String()
	case failed = <-d.broken:
		reason = "a listener failed"
	case failed = <-left:
		reason = "the client on standard input left"
	case <-ctx.Done():
		reason = context.Cause(ctx).Error()
	case wait := <-d.stopped:
		reason = "a client asked for it"
		if !wait {
			drain = 0
		}
	}
	d.log.Info().Str("reason", reason).Dur("drain", drain).Msg("stopping")
	err := errors.Join(failed, hurried(signals, func(hurry <-chan struct{}) error { return d.stop(drain, hurry) }))
	client.Wait()
	if err == nil {
		d.log.Info().Msg("stopped")
	}
	return err
}

// hurried calls stop, with a channel that is closed at the next signal.
func hurried(signals <-chan os.Signal, stop func(hurry <-chan struct{}) error) error {
	hurry, done := make(chan struct{}), make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-signals:
			close(hurry)
		case <-done:
		}
	})
	err := stop(hurry)
	close(done)
	watch.Wait()
	return err
}
